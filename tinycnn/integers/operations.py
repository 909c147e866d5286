"""The operations that an exported network consists of, computed in floating point.

Each knows its parameters, its multiply-accumulates and which rows of its input a row of its output needs. Batch norm
and dropout are none: they are folded into what comes before, or left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

Pair = tuple[int, int]


class Operation:
    """One step from maps (N, C, H, W) to maps; ``shape`` is that of the output without N.

    ``elementwise``: an output depends on the input at the same place alone, so it may take its place in memory.
    """

    shape: tuple[int, int, int]
    elementwise = False

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Compute the output in floating point."""
        raise NotImplementedError

    def macs(self) -> int:
        """Return the multiply-accumulates of one image; those of pools, sums and activations are not counted."""
        return 0

    def first_row(self, row: int) -> int:
        """Return the first row of the (first) input that row ``row`` of the output needs."""
        return row


@dataclass(eq=False)
class Conv(Operation):
    """A convolution, times ``factor`` plus ``bias`` by output channel, then an activation: ``function`` or ``slopes``.

    ``weight``: (C, inputs / groups, rows, columns). ``pad``: rows and columns of zeros before the input, below 0 those
    that are cut off; what is needed behind it follows from ``shape``. ``slopes``: (C,) factors of values below 0, zeros
    are ReLU. ``affine``: the input is pixels p from 0 to 255 and the network's
    is p × scale + shift, (inputs,) each.
    """

    weight: torch.Tensor
    factor: torch.Tensor
    bias: torch.Tensor
    shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad: Pair = (0, 0)
    groups: int = 1
    slopes: torch.Tensor | None = None
    affine: tuple[torch.Tensor, torch.Tensor] | None = None
    function: Callable | None = None

    @property
    def activated(self) -> bool:
        """Whether it has an activation."""
        return self.slopes is not None or self.function is not None

    @property
    def pointwise(self) -> bool:
        """Whether each output pixel is computed from the input pixel at its place."""
        return tuple(self.weight.shape[2:]) == self.stride == (1, 1) and self.pad == (0, 0)

    def by_input(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (inputs,) in a shape that multiplies the weights."""
        outputs, each = self.weight.shape[:2]
        by_group = values.reshape(self.groups, 1, each).repeat_interleave(outputs // self.groups, 1)
        return by_group.reshape(outputs, each, 1, 1)

    def border(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the zeros (left, right, above, below) around an input of this size, below 0 what is cut off."""
        behind = [
            (out - 1) * stride + (side - 1) * dilation + 1 - before - there
            for out, stride, side, dilation, before, there in zip(
                self.shape[1:], self.stride, self.weight.shape[2:], self.dilation, self.pad, (height, width),
                strict=True,
            )
        ]  # fmt: skip
        return self.pad[1], behind[1], self.pad[0], behind[0]

    def forward(self, maps):
        maps = self.sums(maps)
        if self.function is not None:
            return self.function(maps)
        return maps if self.slopes is None else torch.where(maps < 0, maps * self.slopes.view(-1, 1, 1), maps)

    def sums(self, maps: torch.Tensor) -> torch.Tensor:
        """Compute the output before the activation."""
        if self.affine is not None:
            scale, shift = self.affine
            maps = maps * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        maps = functional.pad(maps, self.border(*maps.shape[2:]))
        maps = functional.conv2d(maps, self.weight, None, self.stride, 0, self.dilation, self.groups)
        return maps * self.factor.view(-1, 1, 1) + self.bias.view(-1, 1, 1)

    def macs(self):
        return self.weight.numel() * self.shape[1] * self.shape[2]

    def first_row(self, row):
        return row * self.stride[0] - self.pad[0]


@dataclass(eq=False)
class _Window(Operation):
    """A window of ``size`` that moves by ``stride``, inside the map."""

    size: Pair
    stride: Pair
    shape: tuple[int, int, int]

    def first_row(self, row):
        return row * self.stride[0]


class MaxPool(_Window):
    """The maximum of each window."""

    def forward(self, maps):
        return functional.max_pool2d(maps, self.size, self.stride)


class Average(_Window):
    """The average of each window, which may be the whole map."""

    def forward(self, maps):
        return functional.avg_pool2d(maps, self.size, self.stride)


@dataclass(eq=False)
class GatedPool(_Window):
    """The maximum of each window times the sigmoid of its average × ``scale`` + ``shift``, (C,) each."""

    scale: torch.Tensor
    shift: torch.Tensor

    def forward(self, maps):
        average = functional.avg_pool2d(maps, self.size, self.stride)
        gate = torch.sigmoid(average * self.scale.view(-1, 1, 1) + self.shift.view(-1, 1, 1))
        return functional.max_pool2d(maps, self.size, self.stride) * gate


@dataclass(eq=False)
class Blur(Operation):
    """A binomial filter of ``width`` pixels each way, the map reflected at its border, at every ``stride``-th pixel."""

    width: int
    stride: int
    shape: tuple[int, int, int]

    @property
    def row(self) -> list[int]:
        """The binomial coefficients, whose sum is 2^(width - 1)."""
        row = [1]
        for _ in range(self.width - 1):
            row = [a + b for a, b in zip([0, *row], [*row, 0], strict=True)]
        return row

    def forward(self, maps):
        row = torch.tensor(self.row, dtype=maps.dtype) / 2 ** (self.width - 1)
        before, behind = (self.width - 1) // 2, self.width // 2
        padded = functional.pad(maps, (before, behind) * 2, mode="reflect")
        kernel = torch.outer(row, row).expand(maps.shape[1], 1, -1, -1)
        return functional.conv2d(padded, kernel, stride=self.stride, groups=maps.shape[1])

    def first_row(self, row):
        return row * self.stride - self.width // 2  # also of what the lower border reflects


@dataclass(eq=False)
class Add(Operation):
    """The sum of a map and of another, of which ``crop`` pixels are left out before the first; then perhaps ReLU."""

    shape: tuple[int, int, int]
    crop: int = 0
    relu: bool = False
    elementwise = True

    def forward(self, maps, other):
        rows, columns = (slice(self.crop, self.crop + side) for side in self.shape[1:])
        total = maps + other[:, :, rows, columns]
        return total.relu() if self.relu else total


@dataclass(eq=False)
class Scale(Operation):
    """A map times the sigmoid of another number for each of its channels."""

    shape: tuple[int, int, int]
    elementwise = True

    def forward(self, maps, gates):
        return maps * torch.sigmoid(gates)


@dataclass(eq=False)
class Lookup(Operation):
    """A function of each element, which integers look up in a table."""

    function: Callable
    shape: tuple[int, int, int]
    elementwise = True

    def forward(self, maps):
        return self.function(maps)
