"""Whole numbers that stand for real ones, and the arithmetic between them: that of ``export/kernels/``, in numpy.

A value q stands for scale × (q - zero). After Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", arXiv:1712.05877, section 2; but that multipliers have 16 bits with their
sign, and that rounding is floor(x + 1/2) everywhere.
"""

from dataclasses import dataclass

import numpy as np

from tinycnn.errors import SpecError

LONGEST_SHIFT = 46
"""Bits: a sum of 32 bits times a multiplier of 16 is less than 2^46, so a longer shift leaves nothing."""
LARGEST = 2**30
"""What a result of 32 bits is limited to."""
SIGMOID_INPUT, SIGMOID_OUTPUT, SIGMOID_STEPS = 12, 15, 128
"""Bits after the binary point of what the sigmoid takes and gives, and the number of intervals from -8 to 8."""


@dataclass(frozen=True)
class Format:
    """What the whole numbers of a value stand for: scale × (q - zero). ``wide``: int32, or else uint8.

    ``largest``: the largest magnitude that a wide value can have.
    """

    scale: float
    zero: int = 0
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


def sigmoid_table() -> np.ndarray:
    """Return the sigmoid at both ends of each interval from -8 to 8, 15 bits after the binary point."""
    points = np.linspace(-8, 8, SIGMOID_STEPS + 1)
    return np.rint(2**SIGMOID_OUTPUT / (1 + np.exp(-points))).astype(np.int64)


def sigmoid(numbers: np.ndarray) -> np.ndarray:
    """Return the sigmoid, 15 bits after the binary point, of numbers with 12: interpolated between those of the table.

    Within 3e-4 of the function from -8 to 8; beyond, that of the end.
    """
    edge, step = 8 << SIGMOID_INPUT, (16 << SIGMOID_INPUT) // SIGMOID_STEPS
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
