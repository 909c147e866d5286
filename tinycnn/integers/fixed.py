"""Whole numbers that stand for real ones, and the arithmetic between them: that of ``export/kernels/``, in numpy.

A value q stands for scale × (q - zero). After Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", arXiv:1712.05877, section 2; but that multipliers have 16 bits with their
sign, and that rounding is floor(x + 1/2) everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from tinycnn.errors import SpecError

LONGEST_SHIFT = 46
"""Bits: a sum of 32 bits times a multiplier of 16 is less than 2^46, so a longer shift leaves nothing."""
LARGEST = 2**30
"""What a result of 32 bits is limited to."""
CURVE_INPUT, CURVE_OUTPUT, SIGMOID_OUTPUT = 12, 11, 15
"""Bits after the binary point of what curves and the sigmoid take and give."""
CURVE_STEPS, CURVE_END = 128, 2**21
"""The number of intervals from -8 to 8, and what numbers that a curve takes are limited to: 512 either way."""


@dataclass(frozen=True)
class Format:
    """What the whole numbers of a value stand for: scale × (q - zero). ``wide``: int32, or else uint8.

    ``scale`` and ``zero`` are tuples where each channel has its own. ``largest``: the largest magnitude that a wide
    value can have.
    """

    scale: float | tuple[float, ...]
    zero: int | tuple[int, ...] = 0
    wide: bool = False
    largest: int = 255

    @property
    def low(self) -> int:
        """The least number."""
        return -LARGEST if self.wide else 0

    @property
    def high(self) -> int:
        """The largest number."""
        return LARGEST if self.wide else 255

    def nearest(self, real: np.ndarray) -> np.ndarray:
        """Return the numbers (int64) that are nearest to real ones."""
        return np.clip(np.floor(real / self.scale + 0.5).astype(np.int64) + self.zero, self.low, self.high)


def multipliers(*factors: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Return, for arrays of factors, arrays of multipliers and one of shifts: factor ≈ multiplier / 2^shift.

    Multipliers are int16, as large as they can be; all factors of one place share its shift (1 to 46). Raises SpecError
    for a factor that is too large.
    """
    largest = np.max(np.abs(factors), axis=0)
    exponents = np.frexp(np.where(largest > 0, largest, 1))[1]  # largest < 2^exponent
    shifts = np.minimum(15 - exponents, LONGEST_SHIFT)
    shifts = np.where(np.rint(np.ldexp(largest, shifts)) > 32767, shifts - 1, shifts)
    if shifts.min() < 1:
        raise SpecError(f"model: a factor of {largest.max():.3g} is more than integers of 16 bits can hold")
    return [np.rint(np.ldexp(each, shifts)).astype(np.int64) for each in factors], shifts


def requantised(sums: np.ndarray, multiplier, shift) -> np.ndarray:
    """Return floor(sums × multiplier / 2^shift + 1/2), int64."""
    shift = np.asarray(shift, np.int64)
    return (sums * multiplier + ((np.int64(1) << shift) >> 1)) >> shift


def curve_table(function: Callable) -> np.ndarray | None:
    """Return a function at both ends of each interval from -8 to 8, 11 bits after the binary point.

    None where 16 bits are too few, or ``curve`` would be wrong by more than the step of bytes that reach as far as the
    number, and than 0.005.
    """
    points = torch.linspace(-8, 8, CURVE_STEPS + 1, dtype=torch.float64)
    table = np.rint(function(points).numpy() * 2**CURVE_OUTPUT)
    ends = np.abs(np.diff(table)[[0, -1]]).max()
    if not np.abs(table).max() < 2**15 or ends * CURVE_END >= 2**30:
        return None
    table = table.astype(np.int64)
    inside, outside = (np.arange(-end, end, end // 2500) for end in (8 << CURVE_INPUT, CURVE_END))
    numbers = np.concatenate([inside, outside])
    real = numbers / 2**CURVE_INPUT
    wrong = np.abs(curve(table, numbers) / 2**CURVE_OUTPUT - function(torch.from_numpy(real)).numpy())
    return table if (wrong <= np.maximum(0.005, np.abs(real) / 255)).all() else None


def curve(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return a function, 11 bits after the binary point, of numbers with 12: straight between the values of its table.

    Beyond -8 and 8 the first and the last line go on.
    """
    step = (16 << CURVE_INPUT) // CURVE_STEPS
    place = np.clip(numbers, -CURVE_END, CURVE_END) + (8 << CURVE_INPUT)
    index = np.clip(place // step, 0, CURVE_STEPS - 1)
    return table[index] + ((table[index + 1] - table[index]) * (place - index * step) + step // 2) // step


def sigmoid_table() -> np.ndarray:
    """Return the sigmoid at both ends of each interval from -8 to 8, 15 bits after the binary point."""
    points = np.linspace(-8, 8, CURVE_STEPS + 1)
    return np.rint(2**SIGMOID_OUTPUT / (1 + np.exp(-points))).astype(np.int64)


def sigmoid(numbers: np.ndarray) -> np.ndarray:
    """Return the sigmoid, 15 bits after the binary point, of numbers with 12: interpolated between those of the table.

    Within 3e-4 of the function from -8 to 8; beyond, that of the end.
    """
    edge, step = 8 << CURVE_INPUT, (16 << CURVE_INPUT) // CURVE_STEPS
    place = np.clip(numbers, -edge, edge - 1) + edge
    table, index, rest = sigmoid_table(), place // step, place % step
    return table[index] + ((table[index + 1] - table[index]) * rest + step // 2) // step


@dataclass(frozen=True)
class Weights:
    """Weights as int8, and what they stand for: real = number × ``steps`` of their output channel (first axis)."""

    numbers: np.ndarray
    steps: np.ndarray


def quantised_weights(real: np.ndarray) -> Weights:
    """Return weights (C, ...) as numbers from -127 to 127, symmetric, with a step for each output channel."""
    largest = np.abs(real).reshape(len(real), -1).max(1)
    steps = np.where(largest > 0, largest, 1) / 127
    numbers = np.rint(real / steps.reshape(-1, *[1] * (real.ndim - 1)))
    return Weights(numbers.astype(np.int64), steps)
