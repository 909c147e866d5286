"""A network without data: parameters, multiply-accumulates, output sizes, receptive field.

The layers of a ``Network`` are walked as a tree; of a ``Custom`` network the torch modules that it calls are listed.
"""

import contextlib
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinycnn.errors import SpecError
from tinycnn.network.startup import postpone_compiler
from tinycnn.spec import Network, Repeat, Residual
from tinycnn.spec.build import evaluation, output, result
from tinycnn.spec.section import is_ours


@dataclass(frozen=True)
class Layer:
    """One row of the layer table; ``output`` is (C, H, W), or (C,) once flattened.

    ``name`` is the path of the module in the network; ``receptive_field`` the side in pixels of the square of the image
    that one output unit sees, ``jump`` the distance in pixels between the squares of neighbouring units (0 where all
    see the same), and ``start`` where the first one begins, below 0 in the padding. Zero padding counts as image. Of a
    ``Custom`` network only what lies within the image counts, and jump and start are not known (None).
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: int
    jump: int | None
    start: int | None


@dataclass(frozen=True)
class Measured:
    """A network's totals, for one image, and its layer table."""

    parameters: int
    macs: int
    receptive_field: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class _Field:
    """The receptive field of a unit, as in ``Layer``."""

    side: int = 1
    jump: int = 1
    start: int = 0


def measure(spec, facts) -> Measured:
    """Measure the network of ``spec`` on images of ``facts.channels`` x ``facts.size`` x ``facts.size``.

    Raises SpecError for a network that cannot be built or cannot take such images, or whose output is not (N, classes)
    and finite.
    """
    postpone_compiler()  # which the counting of operations would import
    shape, classes = (facts.channels, facts.size, facts.size), len(facts.classes)
    with prefixed(spec), torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = spec.model.build(shape, classes)
        layered = isinstance(spec.model, Network)
        check_output(network, shape, classes, "layers" if layered else "network")
        table = _Table(network, shape)
        if layered:
            table.walk(spec.model.filled, network, "", shape, _Field())
        else:
            table.list_calls(network, shape)
    parameters = sum(p.numel() for p in network.parameters())
    field = max((row.receptive_field for row in table.rows), default=shape[1])  # of branches, the last may see less
    return Measured(parameters, table.macs[""], field, tuple(table.rows))


def count_parameters(spec, facts) -> int:
    """Count the parameters of the network of ``spec``; those of the project's own layers without computing anything."""
    shape, classes = (facts.channels, facts.size, facts.size), len(facts.classes)
    ours = isinstance(spec.model, Network) and all(map(is_ours, spec.model.used()))
    with prefixed(spec), torch.device("meta") if ours else contextlib.nullcontext():
        return sum(p.numel() for p in spec.model.build(shape, classes).parameters())


@contextlib.contextmanager
def prefixed(spec):
    """Prefix errors of the network with the name of its spec."""
    try:
        yield
    except SpecError as error:
        text = str(error)
        raise type(error)(text if text.startswith(f"{spec.name}: ") else f"{spec.name}: model.{text}") from error


def check_output(network: nn.Module, shape, classes: int, where: str = "network") -> None:
    """Raise SpecError unless two images become logits (2, classes), all finite."""
    try:
        logits = result(network, torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error
    given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if given != (2, classes):
        raise SpecError(f"{where}: gives {given} for 2 pictures; {(2, classes)} is needed, a number for each class")
    if not torch.isfinite(logits).all():
        raise SpecError(f"{where}: gives numbers that are infinite or NaN before any training")


class _Table:
    """The layer table of a network while it is made; parameters that layers share count once."""

    def __init__(self, network, shape):
        self.rows, self._counted = [], set()
        with FlopCounterMode(display=False) as counter, evaluation(network):
            network(torch.zeros(2, *shape))  # not one: some code squeezes dimensions of length 1
        flops = {name.partition(".")[2]: sum(each.values()) for name, each in counter.get_flop_counts().items()}
        flops |= {"": counter.get_total_flops()}
        self.macs = {name: flops.get(name, 0) // 4 for name, _ in network.named_modules()}

    def add(self, name, kind, module, shape, macs, side, jump=None, start=None):
        new = [p for p in module.parameters() if id(p) not in self._counted]
        self._counted.update(map(id, new))
        self.rows.append(Layer(name, kind, shape, sum(p.numel() for p in new), macs, side, jump, start))

    def walk(self, layers, modules, path, shape, field) -> tuple[tuple, _Field]:
        """Add a row for each layer; return shape and receptive field after the last."""
        for number, (layer, module) in enumerate(zip(layers, modules, strict=True)):
            name = f"{path}{number}"
            if isinstance(layer, Repeat):
                for time, repeated in enumerate(module):
                    shape, field = self.walk(layer.layers, repeated, f"{name}.{time}.", shape, field)
                continue
            own, macs = module, self.macs[name]
            if isinstance(layer, Residual):
                skip = replace(field, start=field.start + module.crop * field.jump, jump=field.jump * module.stride)
                shape, field = self.walk(layer.layers, module.layers, f"{name}.layers.", shape, field)
                start, jump = min(field.start, skip.start), min(field.jump, skip.jump)  # 0 where all see the same
                end = max(field.start + field.side, skip.start + skip.side)
                field, kind = _Field(end - start, jump, start), _sum_words(module)
                own, macs = nn.ModuleList([module.skip, module.activation]), self.macs[f"{name}.skip"]
            else:
                after = output(module, shape)
                field, kind = _after(layer, module, shape, after, field), layer.describe() or _words(module)
                shape = after
            self.add(name, kind or repr(layer), own, shape, macs, field.side, field.jump, field.start)
        return shape, field

    def list_calls(self, network, shape):
        """Add a row for each module without children that a network calls, in the order of the calls."""
        leaves = {}
        for name, module in network.named_modules():  # of a convolution with weight norm the convolution
            children = {child for child, _ in module.named_children()} - {"parametrizations"}
            if not children and "parametrizations." not in name:
                leaves[module] = name
        calls = []

        def note(module, _, returned):  # at once: what follows may work in place
            if isinstance(returned, torch.Tensor) and returned.dim() and len(returned) == shape[2]:
                middle = (..., *(n // 2 for n in returned.shape[2:])) if returned.dim() == 4 else ...
                side = int(returned[middle].isnan().reshape(shape[2], -1).any(1).sum())
                calls.append((module, tuple(returned.shape[1:]), max(1, side)))

        hooks = [module.register_forward_hook(note) for module in leaves]
        try:
            with evaluation(network):
                network(_columns(shape))
        finally:
            for hook in hooks:
                hook.remove()
        for module, after, side in calls:
            name = leaves[module]
            macs = 0 if any(row.name == name for row in self.rows) else self.macs[name]  # those of all calls
            self.add(name, _words(module) or type(module).__name__, module, after, macs, side)


def _after(layer, module, shape, after, field: _Field) -> _Field:
    """Return the field after a layer, by the recurrence r' = r + (k - 1) j, j' = j s, s' = s - p j.

    For a window of side k, stride s and padding p (Araujo, Norris and Sim 2019, "Computing Receptive Fields of
    Convolutional Neural Networks", Distill).
    """
    if len(after) == 1 or len(shape) == 1:
        side, stride, padding = (shape[1], shape[1], 0) if len(shape) == 3 else (1, 1, 0)
    else:
        side, stride, padding = layer.window() or _measured_window(module, shape, after)
    return _Field(field.side + (side - 1) * field.jump, field.jump * stride, field.start - padding * field.jump)


def _columns(shape) -> torch.Tensor:
    """Return one image for each column, (W, C, H, W), zero but for that column, which is NaN.

    NaN spreads to every output that depends on it, so it shows what a unit sees.
    """
    columns = torch.zeros(shape[2], *shape)
    for x in range(shape[2]):
        columns[x, :, :, x] = torch.nan
    return columns


def _measured_window(module, shape, after) -> tuple[int, int, int]:
    """Return (side, stride, padding) of a module's window, found with ``_columns``; within the image only."""
    with evaluation(module):
        seen = module(_columns(shape)).isnan().flatten(1, 2).any(1)  # (column of the input, column of the output)
    inputs = [torch.nonzero(seen[:, x]).flatten() for x in range(after[2])]
    middle = inputs[len(inputs) // 2]
    if not len(middle):
        return 1, 1, 0
    if len(inputs) > 1 and all(len(each) == shape[2] for each in inputs):  # as of a gate computed from the whole map
        return shape[2], 0, 0
    if len(middle) == shape[2] or len(inputs) < 2:
        return len(middle), max(1, round(shape[2] / after[2])), 0
    stride = max(int(middle[-1] - inputs[len(inputs) // 2 - 1][-1]), 1)
    return int(middle[-1] - middle[0]) + 1, stride, max(0, len(inputs) // 2 * stride - int(middle[0]))


def _sum_words(module) -> str:
    """Describe the sum of a residual layer."""
    kinds = {type(each) for each in module.skip.modules()}
    words = "sum with input by 1×1 conv" if nn.Conv2d in kinds else "sum with input"
    words += f", cropped by {module.crop}" if module.crop else ""
    words += ", BN" if nn.BatchNorm2d in kinds else ""
    return words if isinstance(module.activation, nn.Identity) else f"{words}, {_words(module.activation)}"


def _words(module: nn.Module) -> str:
    """Describe a torch module, e.g. ``conv 3×3, 16, padding 1, BN, ReLU``; "" for one of unknown type."""
    if isinstance(module, nn.Sequential):
        words = [_words(each) for each in module]
        return ", ".join(words) if all(words) else ""
    if isinstance(module, nn.Conv2d):
        return _convolution_words(module)
    if isinstance(module, nn.Linear):
        return f"linear, {module.out_features}" + ", bias" * (module.bias is not None)
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        stride = f", stride {module.stride}" if module.stride != module.kernel_size else ""
        return f"{'max' if isinstance(module, nn.MaxPool2d) else 'average'}-pool {module.kernel_size}{stride}"
    if isinstance(module, nn.Dropout | nn.Dropout2d):
        return f"dropout {module.p:g}" + " of elements" * isinstance(module, nn.Dropout)
    if isinstance(module, nn.PReLU):
        return "PReLU" + " per channel" * (module.num_parameters > 1)
    names = {"BatchNorm2d": "BN", "AdaptiveAvgPool2d": "global average", "Flatten": "flatten", "SiLU": "SiLU",
             "ReLU": "ReLU", "GELU": "GELU", "Identity": "none"}  # fmt: skip
    return names.get(type(module).__name__, "")


def _convolution_words(conv: nn.Conv2d) -> str:
    inputs, outputs = conv.in_channels, conv.out_channels
    if conv.groups == inputs > 1:
        words = ["depthwise " + "×".join(map(str, conv.kernel_size)), f"×{outputs // inputs}" * (outputs > inputs)]
    else:
        words = ["conv " + "×".join(map(str, conv.kernel_size)), str(outputs)]
    padding = conv.padding if isinstance(conv.padding, str) else conv.padding[0]
    settings = {"padding ": padding if padding != "valid" else 0, "stride ": conv.stride[0] - 1 and conv.stride[0],
                "dilation ": conv.dilation[0] - 1 and conv.dilation[0],
                "groups=": conv.groups if 1 < conv.groups < inputs else 0}  # fmt: skip
    words += [f"{name}{value}" for name, value in settings.items() if value]
    return ", ".join([*filter(None, words), *["bias"] * (conv.bias is not None)])
