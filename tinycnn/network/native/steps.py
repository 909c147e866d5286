"""What a plan is made of, maps and the steps between them, and what memory they need."""

from dataclasses import dataclass, field

from torch import nn

# numbered as in network.h
(IMAGES, CONVOLUTION, POINTWISE, MAX_POOL, AVERAGE_POOL, GATED_POOL, BLUR, EXCITE, SUM, BRANCH, RESULT) = range(11)
NONE, RELU, PRELU, SILU, GELU = range(5)


@dataclass
class Map:
    """A map (channels, height, width); ``of``: the map whose data it is another name for."""

    channels: int
    height: int
    width: int
    wanted: bool = True
    of: int | None = None
    whole: bool = False  # the gradient too is that map's
    border: int = 0
    halo: int = 0
    brief_data: bool = False  # needed for one block at a time only
    brief_grad: bool = False
    normed: bool = False  # whether batch norm follows

    @property
    def shape(self):
        """Channels, height and width."""
        return self.channels, self.height, self.width


@dataclass
class Step:
    """What computes a map from another; the fields of ``network.h``, and the modules it takes values from."""

    kind: int
    in_: int
    out: int
    other: int = 0
    rows: int = 1
    columns: int = 1
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1
    function: int = NONE
    pool: int = 1
    norm: nn.Module | None = None
    drop: nn.Module | None = None
    parameters: list = field(default_factory=list)  # (dictionary of a module, name in it) of each, or None
    taken: int = 0  # how far a pointwise step is
    again: bool = False  # whether the step before computes the input again on the way back


def lay_out(maps: list[Map], steps: list[Step]):
    """Set the margins of maps, and how long each is kept."""
    for step in steps:
        if step.kind == CONVOLUTION:
            _margins(maps, step)
    _shorten(maps, steps)


def _shorten(maps, steps):
    """Find the maps that need not be kept: what is needed no longer stays in the cache, and memory is slow.

    A block goes through all steps from one batch norm to the next before another block does. A gradient that is
    neither left nor read by others is brief. So are the results of cheap pointwise steps that only a convolution
    reads: it has them computed again on the way back.
    """
    groups, users = [], [[] for _ in maps]
    for number, step in enumerate(steps):
        groups.append((groups[-1] if groups else 0) + (step.norm is not None))
        for each in {step.in_, step.other} if step.kind == SUM else {step.in_}:
            if step.kind != IMAGES:
                users[each].append(number)
    for number, step in enumerate(steps):
        after, readers = maps[step.out], users[step.out]
        # batch norm's own part comes after the others': with the group before it
        after.normed = any(steps[each].norm is not None for each in readers)
        if step.kind in (IMAGES, RESULT):
            continue
        after.brief_grad = after.normed or all(groups[each] == groups[number] for each in readers)
        cheap = step.kind == POINTWISE and step.function in (NONE, RELU, PRELU)
        if cheap and readers == [number + 1] and steps[number + 1].kind == CONVOLUTION:
            after.brief_data = steps[number + 1].again = True


def _margins(maps, step):
    """Set the zeros that a convolution needs around its input, and backward around its output's gradient."""
    before, after = maps[step.in_], maps[step.out]
    if step.out == step.in_:
        return
    root = before
    while root.of is not None:
        root = maps[root.of]
    root.border = max(root.border, step.pad)
    for n, out, taps in zip(before.shape[1:], after.shape[1:], (step.rows, step.columns), strict=True):
        lowest = (step.pad - (taps - 1) * step.dilation) // step.stride
        highest = (n - 1 + step.pad) // step.stride
        after.halo = max(after.halo, -lowest, highest - out + 1)
