"""What a network is, without data: parameters, multiply-accumulates, output sizes, receptive field."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinycnn import models
from tinycnn.errors import SpecError


@dataclass(frozen=True)
class Layer:
    """One row of the layer table; ``output`` is (C, H, W), or (C,) once flattened.

    ``receptive_field`` is the side in pixels of the square of the picture that one output unit can see, ``jump`` the
    distance in pixels between the squares of neighbouring units. Zero padding counts as picture.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: int
    jump: int


@dataclass(frozen=True)
class Measured:
    """A network's totals, for one picture, and its layer table."""

    parameters: int
    macs: int
    receptive_field: int
    layers: tuple[Layer, ...]


def measure(spec, facts) -> Measured:
    """Measure the network of ``spec`` on pictures of ``facts.channels`` x ``facts.size`` x ``facts.size``.

    Nothing is computed: the network is built on torch's meta device. Raises SpecError for a network that shrinks its
    map below 1x1, or whose layers do not fit together.
    """
    with torch.device("meta"):
        network = models.build(spec, facts).eval()
        picture = torch.empty(1, facts.channels, facts.size, facts.size)
    return measure_network(network, picture, f"{spec.name}: model.name: {spec.model.name}")


def count_parameters(spec, facts) -> int:
    """Count the parameters of the network of ``spec``, without its shapes: a hundredth of the time of ``measure``."""
    with torch.device("meta"):
        return sum(p.numel() for p in models.build(spec, facts).parameters())


def measure_network(network: nn.Module, picture: torch.Tensor, where: str = "network") -> Measured:
    """Measure a network of layers in sequence on a picture (1, C, H, W), on whatever device both are."""
    shapes, hooks = {}, []
    leaves = {name: module for name, module in network.named_modules() if not list(module.children())}
    for name, module in leaves.items():
        hooks.append(module.register_forward_pre_hook(lambda m, args, n=name: shapes.update({n: [args[0].shape[1:]]})))
        hooks.append(module.register_forward_hook(lambda m, args, out, n=name: shapes[n].append(out.shape[1:])))
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            network(picture)
    except (RuntimeError, ValueError, IndexError) as error:
        raise SpecError(_why_not(error, where, picture, shapes, leaves)) from error
    finally:
        for hook in hooks:
            hook.remove()
    counts = counter.get_flop_counts()
    prefix = type(network).__name__
    rows, field, jump = [], 1, 1
    for name, (before, after) in shapes.items():
        module = leaves[name]
        field, jump = grow_receptive_field(field, jump, module, before)
        flops = sum(counts.get(f"{prefix}.{name}", {}).values())
        parameters = sum(p.numel() for p in module.parameters())
        rows.append(Layer(name, describe(module), tuple(after), parameters, flops // 2, field, jump))
    return Measured(
        parameters=sum(p.numel() for p in network.parameters()),
        macs=sum(row.macs for row in rows),
        receptive_field=field,
        layers=tuple(rows),
    )


def _why_not(error, where, picture, shapes, leaves) -> str:
    """Say in one line why the network cannot take the picture; ``shapes`` are what its layers got until then."""
    said = " ".join(str(error).split())
    last = next(reversed(shapes), None)
    if last is None:
        return f"{where} cannot take a picture of {_by(picture.shape[1:])}: {said}; correct it in tinycnn/models.py"
    layer = f"layer {last} ({type(leaves[last]).__name__}) gets {_by(shapes[last][0])}"
    # in the words of torch's convolutions and of its pools
    if "Kernel size can't be greater than actual input size" in said or "Output size is too small" in said:
        shrinks = f"shrinks a {_by(picture.shape[2:])} picture below 1x1"
        return f"{where} {shrinks}: {layer}; use fewer layers, padding or a larger picture"
    return f"{where} does not fit together: {layer}, and torch says: {said}; correct it in tinycnn/models.py"


def _by(sizes) -> str:
    return "x".join(map(str, sizes))


def grow_receptive_field(field: int, jump: int, module: nn.Module, before: torch.Size) -> tuple[int, int]:
    """Return receptive field and jump after ``module``, whose input is (C, H, W) = ``before``.

    The recurrence r' = r + (k - 1) d j, j' = j s for a kernel of side k, dilation d and stride s (Araujo, Norris and
    Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks", Distill). A global average is a kernel
    as large as its input.
    """
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return field + (before[-1] - 1) * jump, jump * before[-1]
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel, stride, dilation = (_one(getattr(module, n, 1)) for n in ("kernel_size", "stride", "dilation"))
        return field + (kernel - 1) * dilation * jump, jump * stride
    return field, jump


def _one(value) -> int:
    return max(value) if isinstance(value, tuple) else value


def describe(module: nn.Module) -> str:
    """Name a layer as people do, e.g. ``conv 3x3, 16``."""
    if isinstance(module, nn.Conv2d):
        side, padding = module.kernel_size[0], ", padded" if math.prod(module.padding) else ""
        return f"conv {side}x{side}, {module.out_channels}{padding}"
    if isinstance(module, nn.MaxPool2d):
        return f"max-pool {module.kernel_size}"
    if isinstance(module, nn.Dropout2d):
        return f"dropout {module.p:g}"
    names = {"BatchNorm2d": "batch norm", "AdaptiveAvgPool2d": "global average", "Flatten": "flatten"}
    return names.get(type(module).__name__, type(module).__name__)
