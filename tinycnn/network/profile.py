"""What a network is, without data: parameters, multiply-accumulates, output sizes, receptive field.

A network of layers is walked along its tree; of a network of one's own the torch modules inside are listed.
"""

import contextlib
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinycnn.errors import SpecError
from tinycnn.spec import Network, Repeat, Residual
from tinycnn.spec.build import output, why_not


@dataclass(frozen=True)
class Layer:
    """One row of the layer table; ``output`` is (C, H, W), or (C,) once flattened.

    ``name`` is the path of the module in the network; ``receptive_field`` the side in pixels of the square of the
    picture that one output unit can see, ``jump`` the distance in pixels between the squares of neighbouring units (0
    where all see the same), and ``start`` where the first one's begins, below 0 in the padding. Zero padding counts as
    picture. Of a network of one's own only what lies within the picture counts, and jump and start are not known
    (None).
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
    """A network's totals, for one picture, and its layer table."""

    parameters: int
    macs: int
    receptive_field: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class _Field:
    """The square that a unit sees, as ``Layer`` has it."""

    side: int = 1
    jump: int = 1
    start: int = 0


def measure(spec, facts) -> Measured:
    """Measure the network of ``spec`` on pictures of ``facts.channels`` x ``facts.size`` x ``facts.size``.

    Raises SpecError for a network that cannot be built or cannot take such pictures, or whose output is not (N,
    classes) and finite.
    """
    shape, classes = (facts.channels, facts.size, facts.size), len(facts.classes)
    with prefixed(spec), torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = spec.model.build(shape, classes)
        check_output(network, shape, classes, "layers" if isinstance(spec.model, Network) else "network")
        macs = _macs(network, shape)
        if isinstance(spec.model, Network):
            rows, start = [], (shape, _Field())
            _walk(spec.model.filled, network, "", *start, rows, set(), macs)
        else:
            rows = _of_modules(network, shape, macs)
    parameters = sum(p.numel() for p in network.parameters())
    field = max((row.receptive_field for row in rows), default=shape[1])  # of branches, the last may see less
    return Measured(parameters, macs[""], field, tuple(rows))


def count_parameters(spec, facts) -> int:
    """Count the parameters of the network of ``spec``, without a multiplication: on torch's meta device if it can."""
    shape, classes = (facts.channels, facts.size, facts.size), len(facts.classes)
    with prefixed(spec), torch.device("meta") if isinstance(spec.model, Network) else contextlib.nullcontext():
        return sum(p.numel() for p in spec.model.build(shape, classes).parameters())


@contextlib.contextmanager
def prefixed(spec):
    """Let what is wrong with the network say whose it is."""
    try:
        yield
    except SpecError as error:
        text = str(error)
        raise type(error)(text if text.startswith(f"{spec.name}: ") else f"{spec.name}: model.{text}") from error


@torch.no_grad()
def check_output(network: nn.Module, shape, classes: int, where: str = "network") -> None:
    """Raise SpecError unless two pictures become logits (2, classes), all finite."""
    training = network.training
    pictures = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    try:
        logits = network.eval()(pictures)
    except SpecError:
        raise
    except Exception as error:  # whatever the author of a network did wrong
        raise SpecError(f"{where}: {why_not(error, shape)}") from error
    finally:
        network.train(training)
    given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if given != (2, classes):
        raise SpecError(f"{where}: gives {given} for 2 pictures; {(2, classes)} is needed, a number for each class")
    if not torch.isfinite(logits).all():
        raise SpecError(f"{where}: gives numbers that are infinite or NaN before any training")


def _macs(network, shape) -> dict[str, int]:
    """Return the multiply-accumulates of one picture by module, as torch counts them; "" is the whole network."""
    training = network.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(2, *shape))  # not one: some code squeezes what has length 1
    network.train(training)
    counted = {name.partition(".")[2]: sum(flops.values()) // 4 for name, flops in counter.get_flop_counts().items()}
    return dict.fromkeys(dict(network.named_modules()), 0) | counted | {"": counter.get_total_flops() // 4}


def _walk(layers, modules, path, shape, field, rows, seen, macs) -> tuple[tuple, _Field]:
    """Add a row for each layer to ``rows``; return shape and field after the last. ``seen``: counted parameters."""
    for number, (layer, module) in enumerate(zip(layers, modules, strict=True)):
        name = f"{path}{number}"
        if isinstance(layer, Repeat):
            for time, passed in enumerate(module):
                shape, field = _walk(layer.layers, passed, f"{name}.{time}.", shape, field, rows, seen, macs)
        elif isinstance(layer, Residual):
            skip = field
            inside, field = _walk(layer.layers, module.layers, f"{name}.layers.", shape, field, rows, seen, macs)
            conv = next((each for each in module.skip.modules() if isinstance(each, nn.Conv2d)), None)
            start = skip.start + module.crop * skip.jump
            field = _joined(field, replace(skip, start=start, jump=skip.jump * module.stride))
            words = "sum with input" if conv is None else "sum with input by 1×1 conv"
            words += f", {module.crop} pixel{'s' * (module.crop > 1)} off each side" if module.crop else ""
            words += ", BN" if any(isinstance(each, nn.BatchNorm2d) for each in module.skip.modules()) else ""
            after = "" if isinstance(module.activation, nn.Identity) else f", {_words(module.activation)}"
            own = _new(nn.ModuleList([module.skip, module.activation]), seen)
            shape = inside
            rows.append(
                Layer(name, words + after, shape, own, macs[f"{name}.skip"], field.side, field.jump, field.start)
            )
        else:
            after = output(module, shape)
            field = _after(layer, module, shape, after, field)
            own = _new(module, seen)
            rows.append(Layer(name, layer.describe(), after, own, macs[name], field.side, field.jump, field.start))
            shape = after
    return shape, field


def _new(module, seen) -> int:
    """Count the parameters that were not counted before, as those that are shared are."""
    new = [p for p in module.parameters() if id(p) not in seen]
    seen.update(map(id, new))
    return sum(p.numel() for p in new)


def _joined(one: _Field, other: _Field) -> _Field:
    """Return what a unit sees that adds up two maps."""
    start, jump = min(one.start, other.start), min(one.jump, other.jump)  # 0 where all see the same
    return _Field(max(one.start + one.side, other.start + other.side) - start, jump, start)


def _after(layer, module, shape, after, field: _Field) -> _Field:
    """Return the field after a layer, by the recurrence r' = r + (k - 1) j, j' = j s, s' = s - p j.

    For a window of side k, stride s and padding p (Araujo, Norris and Sim 2019, "Computing Receptive Fields of
    Convolutional Neural Networks", Distill).
    """
    if len(after) == 1 or len(shape) == 1:
        side, stride, padding = (shape[1], shape[1], 0) if len(shape) == 3 else (1, 1, 0)
    else:
        side, stride, padding = layer.window() or _tried(module, shape, after)
    return _Field(field.side + (side - 1) * field.jump, field.jump * stride, field.start - padding * field.jump)


@torch.no_grad()
def _tried(module, shape, after) -> tuple[int, int, int]:
    """Find (side, stride, padding) of a module's window by what becomes no number where a column of its input is none.

    Exact for whatever passes such values on, as sums and maxima do, but not beyond the border of the map.
    """
    columns = torch.zeros(shape[2], *shape)
    for x in range(shape[2]):
        columns[x, :, :, x] = torch.nan
    training = module.training
    seen = module.eval()(columns).isnan().flatten(1, 2).any(1)  # (column of the input, column of the output)
    module.train(training)
    sides = [torch.nonzero(seen[:, x]).flatten() for x in range(after[2])]
    middle = sides[len(sides) // 2]
    if not len(middle):
        return 1, 1, 0
    if len(sides) > 1 and all(len(side) == shape[2] for side in sides):  # as of a gate computed from the whole map
        return shape[2], 0, 0
    if len(middle) == shape[2] or len(sides) < 2:
        return len(middle), max(1, round(shape[2] / after[2])), 0
    before = sides[len(sides) // 2 - 1]
    stride = max(int(middle[-1] - before[-1]), 1)
    side = int(middle[-1] - middle[0]) + 1
    return side, stride, max(0, len(sides) // 2 * stride - int(middle[0]))


def _of_modules(network, shape, macs) -> list[Layer]:
    """Return a row for each torch module that a network of one's own called, in the order of the calls."""
    leaves = {
        module: name
        for name, module in network.named_modules()
        if not {part for part, _ in module.named_children()} - {"parametrizations"} and "parametrizations." not in name
    }  # of a convolution with weight norm the convolution
    rows, seen, hooks, calls = [], set(), [], []

    def look(module, _, out):  # at once: what follows may work in place
        if isinstance(out, torch.Tensor) and out.dim() and len(out) == shape[2]:
            unit = out[..., out.shape[2] // 2, out.shape[3] // 2] if out.dim() == 4 else out
            calls.append((module, tuple(out.shape[1:]), int(unit.isnan().reshape(shape[2], -1).any(1).sum())))

    for module in leaves:
        hooks.append(module.register_forward_hook(look))
    training = network.training
    columns = torch.zeros(shape[2], *shape)
    for x in range(shape[2]):
        columns[x, :, :, x] = torch.nan
    try:
        with torch.no_grad():
            network.eval()(columns)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    for module, given, field in calls:
        name = leaves[module]
        again = any(row.name == name for row in rows)
        own = _new(module, seen)
        rows.append(Layer(name, _words(module), given, own, 0 if again else macs[name], max(1, field), None, None))
    return rows


def _words(module: nn.Module) -> str:
    """Name a torch module as people do, e.g. ``conv 3×3, 16, groups=16``."""
    if isinstance(module, nn.Conv2d):
        side = "×".join(map(str, module.kernel_size))
        words = [f"conv {side}", str(module.out_channels)]
        words += [f"padding {module.padding[0] if isinstance(module.padding, tuple) else module.padding}"] * (
            module.padding not in ((0, 0), 0, "valid")
        )
        words += [f"stride {module.stride[0]}"] * (module.stride != (1, 1))
        words += [f"groups={module.groups}"] * (module.groups > 1) + ["bias"] * (module.bias is not None)
        return ", ".join(words)
    if isinstance(module, nn.Linear):
        return f"linear, {module.out_features}" + ", bias" * (module.bias is not None)
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return f"{'max' if isinstance(module, nn.MaxPool2d) else 'average'}-pool {module.kernel_size}"
    if isinstance(module, nn.Dropout | nn.Dropout2d):
        return f"dropout {module.p:g}"
    names = {"BatchNorm2d": "BN", "AdaptiveAvgPool2d": "global average", "Flatten": "flatten"}
    return names.get(type(module).__name__, type(module).__name__)
