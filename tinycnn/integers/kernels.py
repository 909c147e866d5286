"""The operations of a network in whole numbers, computed here in numpy as C computes them.

Maps are int64 (N, H, W, C) here, and bytes or int32 (H, W, C) in C. ``run`` is the reference that the C program must
equal bit by bit; ``struct`` returns the constants of the kernel in C, of ``export/kernels/``, that does the same.
"""

from dataclasses import dataclass

import numpy as np

from tinycnn.integers.fixed import LARGEST, Format, curve, requantised, sigmoid


@dataclass(frozen=True)
class Struct:
    """The constants of a kernel in C: ``fields`` in the order of the struct's, arrays (type, numbers) among them."""

    kind: str
    fields: tuple


class Kernel:
    """An operation on whole numbers; ``name`` is that of its C function, ``out`` the format of what it returns."""

    name: str
    needs: tuple[str, ...] = ("requantise", "to_byte")
    out: Format

    def run(self, *maps: np.ndarray) -> np.ndarray:
        """Compute the output."""
        raise NotImplementedError

    def struct(self, *shapes) -> Struct:
        """Return the constants for inputs and, last, an output of these shapes (C, H, W)."""
        raise NotImplementedError

    def finished(self, sums: np.ndarray) -> np.ndarray:
        """Return sums, in the units of the output, as numbers of the output."""
        return np.clip(sums + self.out.zero, self.out.low, self.out.high)


@dataclass(eq=False)
class Conv(Kernel):
    """A convolution. ``weights``: (outputs, rows, columns, inputs / groups); ``border``: (inputs,) around the map.

    ``negative``: the multipliers of sums below 0 where they are others. ``margin``: rows and columns (left, right,
    above, below) around the map, below 0 what is cut off.
    """

    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    negative: np.ndarray | None
    shift: np.ndarray
    border: np.ndarray
    groups: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    margin: tuple[int, int, int, int]
    units: np.ndarray  # (outputs,), what 1 in a sum stands for; not part of the program
    out: Format
    of_sums: bool = False  # the input is int32

    @property
    def name(self):
        return "linear" if self.of_sums else "conv"

    @property
    def needs(self):
        return ("requantise", "to_byte") if self.of_sums else ("requantise", "to_byte", "convolved")

    def run(self, maps):
        sums = self.sums(maps)
        multiplier = self.multiplier if self.negative is None else np.where(sums < 0, self.negative, self.multiplier)
        return self.finished(np.clip(requantised(sums, multiplier, self.shift), -LARGEST, LARGEST))

    def sums(self, maps):
        """Return the sums, int64, that multipliers are applied to."""
        left, right, above, below = self.margin
        maps = maps[:, max(0, -above) : maps.shape[1] - max(0, -below), max(0, -left) : maps.shape[2] - max(0, -right)]
        count, height, width, inputs = maps.shape
        above, below, left, right = (max(0, each) for each in (above, below, left, right))
        framed = np.empty((count, height + above + below, width + left + right, inputs))
        framed[:] = self.border
        framed[:, above : above + height, left : left + width] = maps
        outputs, rows, columns, each = self.weights.shape
        high = (framed.shape[1] - (rows - 1) * self.dilation[0] - 1) // self.stride[0] + 1
        wide = (framed.shape[2] - (columns - 1) * self.dilation[1] - 1) // self.stride[1] + 1
        grouped = framed.reshape(*framed.shape[:3], self.groups, each)
        weights = self.weights.reshape(self.groups, outputs // self.groups, rows, columns, each).astype(float)
        sums = np.zeros((count, high, wide, self.groups, outputs // self.groups))
        for i in range(rows):
            for j in range(columns):
                y, x = i * self.dilation[0], j * self.dilation[1]
                seen = grouped[:, y : y + (high - 1) * self.stride[0] + 1 : self.stride[0],
                               x : x + (wide - 1) * self.stride[1] + 1 : self.stride[1]]  # fmt: skip
                # float64 is exact here, since sums are less than 2^31, and much faster than numpy's integers
                if each == 1:
                    sums += seen * weights[:, :, i, j, 0]
                    continue
                for group in range(self.groups):
                    sums[..., group, :] += seen[..., group, :] @ weights[group, :, i, j].T
        return sums.reshape(count, high, wide, outputs).astype(np.int64) + self.bias

    def struct(self, taken, made):
        arrays = [
            ("int8_t", self.weights),
            ("int32_t", self.bias),
            ("int16_t", self.multiplier),
            ("int16_t", self.negative),
            ("uint8_t", self.shift),
        ]
        if self.of_sums:
            return Struct("linear", (*arrays, taken[0], made[0], self.groups, self.out.zero))
        border = ("uint8_t", self.border if self.border.any() and max(self.margin) > 0 else None)
        rows, columns = self.weights.shape[1:3]
        numbers = (*taken[1:], taken[0], *made[1:], made[0], rows, columns)
        numbers += (*self.stride, *self.dilation, *self.pad, self.groups)
        return Struct("conv", (*arrays, border, *numbers, 0 if self.name == "curved" else self.out.zero))


@dataclass(eq=False, kw_only=True)
class Curved(Conv):
    """A convolution whose sums, 12 bits after the binary point, pass a curve before they are bytes.

    ``by``, ``by_shift`` and ``zeros``: what makes bytes of the curve, by output channel or one for all.
    """

    table: np.ndarray
    by: np.ndarray
    by_shift: np.ndarray
    zeros: np.ndarray
    name, needs = "curved", ("requantise", "to_byte", "convolved", "curve")

    def finished(self, sums):
        numbers = requantised(curve(self.table, sums), self.by, self.by_shift)
        return np.clip(numbers + self.zeros, 0, 255)

    def struct(self, taken, made):
        arrays = ("int16_t", self.table), ("int16_t", self.by), ("uint8_t", self.by_shift), ("uint8_t", self.zeros)
        return Struct("curved", (super().struct(taken, made), *arrays, len(self.by) > 1))


@dataclass(eq=False)
class _Window(Kernel):
    size: tuple[int, int]
    stride: tuple[int, int]
    out: Format

    def windows(self, maps):
        """Return views (N, H', W', C, rows, columns) of the windows."""
        seen = np.lib.stride_tricks.sliding_window_view(maps, self.size, (1, 2))
        return seen[:, :: self.stride[0], :: self.stride[1]]

    def window(self, taken, made) -> Struct:
        """Return the constants that all windows have."""
        return Struct("window", (taken[2], taken[0], *made[1:], *self.size, *self.stride))


class MaxPool(_Window):
    """The largest number of each window; the format is that of the input."""

    name, needs = "max_pool", ("window",)

    def run(self, maps):
        return self.windows(maps).max((4, 5))

    struct = _Window.window


@dataclass(eq=False)
class Average(_Window):
    """The average of each window, or its sum where the output is wide. ``zero``: of the input."""

    zero: int = 0
    multiplier: int = 0
    shift: int = 1
    name, needs = "average", ("requantise", "to_byte", "window")

    def run(self, maps):
        sums = self.windows(maps).sum((4, 5)) - self.zero * self.size[0] * self.size[1]
        return sums if self.out.wide else self.finished(requantised(sums, self.multiplier, self.shift))

    def struct(self, taken, made):
        offset = self.zero * self.size[0] * self.size[1]
        return Struct("average", (self.window(taken, made), offset, self.multiplier, self.shift, self.out.zero))


@dataclass(eq=False)
class GatedPool(_Window):
    """The largest number of each window times a gate, made of the window's sum by channel."""

    bias: np.ndarray
    multiplier: np.ndarray
    gate_shift: np.ndarray
    factor: int
    shift: int
    zero: int
    name, needs = "gated_pool", ("requantise", "to_byte", "window", "sigmoid")

    def run(self, maps):
        seen = self.windows(maps)
        gates = requantised(seen.sum((4, 5)) + self.bias, self.multiplier, self.gate_shift)
        product = (seen.max((4, 5)) - self.zero) * sigmoid(gates)
        return self.finished(requantised(product, self.factor, self.shift))

    def struct(self, taken, made):
        arrays = ("int32_t", self.bias), ("int16_t", self.multiplier), ("uint8_t", self.gate_shift)
        rest = self.factor, self.shift, self.zero, self.out.zero
        return Struct("gated_pool", (self.window(taken, made), *arrays, *rest))


@dataclass(eq=False)
class Blur(Kernel):
    """A binomial filter; the format is that of the input. ``row``: whole numbers whose sum is a power of 2."""

    row: list[int]
    stride: int
    out: Format
    name, needs = "blur", ()

    def run(self, maps):
        side = len(self.row)
        margins = (0, 0), ((side - 1) // 2, side // 2), ((side - 1) // 2, side // 2), (0, 0)
        seen = np.lib.stride_tricks.sliding_window_view(np.pad(maps, margins, "reflect"), (side, side), (1, 2))
        whole = sum(self.row) ** 2
        sums = (seen[:, :: self.stride, :: self.stride] * np.outer(self.row, self.row)).sum((4, 5))
        return (sums + whole // 2) // whole

    def struct(self, taken, made):
        numbers = (*taken[1:], taken[0], *made[1:], len(self.row), self.stride)
        return Struct("blur", (("uint8_t", np.array(self.row)), *numbers))


@dataclass(eq=False)
class Add(Kernel):
    """The sum of two maps, each minus its zero and times its multiplier; ``crop``: of the second, before the first."""

    crop: int
    multipliers: tuple[int, int]
    shift: int
    zeros: tuple[int, int]
    out: Format
    name = "add"

    def run(self, maps, other):
        rows, columns = (slice(self.crop, self.crop + side) for side in maps.shape[1:3])
        pairs = zip((maps, other[:, rows, columns]), self.zeros, self.multipliers, strict=True)
        return self.finished(requantised(sum((each - zero) * by for each, zero, by in pairs), 1, self.shift))

    def struct(self, taken, other, made):
        numbers = (*made[1:], made[0], other[2], self.crop, *self.multipliers, self.shift, *self.zeros, self.out.zero)
        return Struct("add", numbers)


@dataclass(eq=False)
class Scale(Kernel):
    """A map times the sigmoid of a number for each channel."""

    multiplier: int
    shift: int
    zero: int
    out: Format
    name, needs = "scale", ("requantise", "to_byte", "sigmoid")

    def run(self, maps, gates):
        return self.finished(requantised((maps - self.zero) * sigmoid(gates), self.multiplier, self.shift))

    def struct(self, taken, gates, made):
        return Struct("scale", (made[1] * made[2], made[0], self.multiplier, self.shift, self.zero, self.out.zero))


@dataclass(eq=False)
class Lookup(Kernel):
    """A function of each number, from a table of 256."""

    table: np.ndarray
    out: Format
    name, needs = "lookup", ()

    def run(self, maps):
        return self.table[maps]
