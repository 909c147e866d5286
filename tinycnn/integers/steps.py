"""The steps of a network: a graph of operations in floating point, and the program of kernels that is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from tinycnn.integers.fixed import Format
from tinycnn.integers.kernels import Kernel
from tinycnn.integers.operations import Operation


@dataclass(frozen=True)
class Step:
    """An operation, or its kernel, with the numbers of the values that it takes, and of the one that it makes."""

    operation: Operation | Kernel
    inputs: tuple[int, ...]
    output: int


def values(steps: list[Step], image, compute: Callable) -> dict:
    """Return every value by its number, where ``compute(step, *inputs)`` makes one; value 0 is the image."""
    found = {0: image}
    for step in steps:
        found[step.output] = compute(step, *(found[number] for number in step.inputs))
    return found


@dataclass(eq=False)
class Graph:
    """The steps of a network, in order. Value 0 is the image (C, H, W), uint8 pixels; ``result`` the logits."""

    shape: tuple[int, int, int]
    steps: list[Step] = field(default_factory=list)
    result: int = 0

    @torch.no_grad()
    def values(self, pixels: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return every value for pixels (N, C, H, W) from 0 to 255, in floating point, by its number."""
        return values(self.steps, pixels, lambda step, *maps: step.operation.forward(*maps))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, classes) of pixels (N, C, H, W) from 0 to 255, in floating point."""
        return self.values(pixels)[self.result].flatten(1)

    def shape_of(self, number: int) -> tuple[int, int, int]:
        """Return the shape (C, H, W) of a value."""
        return self.shape if number == 0 else self.step_of(number).operation.shape

    def step_of(self, number: int) -> Step:
        """Return the step that makes a value."""
        return next(step for step in self.steps if step.output == number)

    def takers(self, number: int) -> list[Step]:
        """Return the steps that take a value."""
        return [step for step in self.steps if number in step.inputs]

    def macs(self) -> int:
        """Return the multiply-accumulates of one image."""
        return sum(step.operation.macs() for step in self.steps)


@dataclass(eq=False)
class Program:
    """The steps of a network in whole numbers. Value 0 is the image, uint8 (C, H, W).

    ``shapes``: (C, H, W) of each value; ``formats``: what its numbers stand for; ``result``: the logits.
    """

    steps: list[Step]
    shapes: dict[int, tuple[int, int, int]]
    formats: dict[int, Format]
    result: int
    macs: int

    def run(self, pixels: np.ndarray, batch: int = 50) -> np.ndarray:
        """Return scores, int64 (N, classes), of uint8 images (N, C, H, W); × ``step`` they are the logits."""
        return np.concatenate([self._scores(pixels[i : i + batch]) for i in range(0, len(pixels), batch)])

    def _scores(self, pixels):
        image = pixels.transpose(0, 2, 3, 1).astype(np.int64)
        found = values(self.steps, image, lambda step, *maps: step.operation.run(*maps))
        return found[self.result].reshape(len(pixels), -1) - self.formats[self.result].zero

    @property
    def step(self) -> float:
        """The logit that a score of 1 stands for."""
        return self.formats[self.result].scale
