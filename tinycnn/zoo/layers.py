"""What each step of a program does, in words, and what of the image each of its units sees."""

from tinycnn.integers import kernels
from tinycnn.integers.steps import Program, Step

Interval = tuple[int, int] | None
"""The first and the last pixel that a unit depends on along one axis; None: on none, as in a map's padding."""


def words(step: Step, program: Program) -> str:
    """Describe a step, e.g. ``convolution 3×3``."""
    kernel, (_, height, width) = step.operation, program.shapes[step.inputs[0]]
    if isinstance(kernel, kernels.Conv):
        rows, columns, each = kernel.weights.shape[1:]
        side = f"{rows}×{columns}"
        if program.shapes[step.output][1:] == (1, 1) and (rows, columns) == (height, width):
            return "linear layer"
        if kernel.groups > 1 and each == 1:
            return f"depthwise convolution {side}" if rows * columns > 1 else "scale of each map"
        return f"convolution {side}" + f", {kernel.groups} groups" * (kernel.groups > 1)
    if isinstance(kernel, kernels.Average) and kernel.size == (height, width):
        return "average of the whole map"
    if isinstance(kernel, kernels.Blur):
        return f"blur {len(kernel.row)}×{len(kernel.row)}"
    if isinstance(kernel, kernels.MaxPool | kernels.Average | kernels.GatedPool):
        names = {"MaxPool": "max-pool", "Average": "average-pool", "GatedPool": "gated pool"}
        return f"{names[type(kernel).__name__]} {'×'.join(map(str, kernel.size))}"
    return {"Add": "sum of two maps", "Scale": "gates for each map", "Lookup": "activation"}[type(kernel).__name__]


def seen(program: Program) -> dict[int, tuple[list[Interval], list[Interval]]]:
    """Return, for each value by its number, the intervals that its rows and its columns see of the image."""
    found = {0: tuple([(i, i) for i in range(side)] for side in program.shapes[0][1:])}
    for step in program.steps:
        axes = []
        for axis, side in enumerate(program.shapes[step.output][1:]):
            inputs = [found[number][axis] for number in step.inputs]
            axes.append([_hull(_needed(step, place, axis, inputs)) for place in range(side)])
        found[step.output] = tuple(axes)
    return found


def _needed(step, place: int, axis: int, inputs: list[list[Interval]]) -> list[Interval]:
    """Return the intervals of all that the output at this place of an axis is computed from."""
    kernel, taken = step.operation, inputs[0]
    if isinstance(kernel, kernels.Conv):
        first = place * kernel.stride[axis] - kernel.pad[axis]
        places = (first + each * kernel.dilation[axis] for each in range(kernel.weights.shape[1 + axis]))
        return [taken[each] for each in places if 0 <= each < len(taken)]
    if isinstance(kernel, kernels.Blur):
        first, last = place * kernel.stride - (len(kernel.row) - 1) // 2, len(taken) - 1
        places = (abs(first + each) for each in range(len(kernel.row)))  # the map is reflected at both ends
        return [taken[last - abs(last - each)] for each in places]
    if isinstance(kernel, kernels.Add):
        return [taken[place], inputs[1][place + kernel.crop]]
    if isinstance(kernel, kernels.Scale):
        return [taken[place], *inputs[1]]
    if isinstance(kernel, kernels.Lookup):
        return [taken[place]]
    first = place * kernel.stride[axis]
    return taken[first : first + kernel.size[axis]]


def _hull(intervals: list[Interval]) -> Interval:
    known = [each for each in intervals if each]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None
