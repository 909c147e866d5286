"""The range of each value of a graph, from training images."""

import numpy as np
import torch

from tinycnn.integers.fixed import Format
from tinycnn.integers.steps import Graph

IMAGES = 2000
"""Training images that ranges are taken from, evenly spaced; without augmentation."""
_BINS = 2048
_BATCH = 250
_SHARES = np.linspace(1.0, 0.4, 61)


def formats(graph: Graph, pixels: torch.Tensor) -> dict[int, Format]:
    """Return the format of each value as uint8, for pixels (N, C, H, W), uint8, of training images.

    The range is the one with the least mean squared error, which leaves out what is rare and far from all else.
    """
    step = max(1, len(pixels) // IMAGES)
    batches = pixels[::step][:IMAGES].double().split(_BATCH)
    ranges, counts = {}, {}
    for batch in batches:
        for number, found in graph.values(batch).items():
            low, high = (float(each) for each in torch.aminmax(found))
            before = ranges.get(number, (0.0, 0.0))  # 0 must be among the numbers: borders and ReLU need it
            ranges[number] = min(low, before[0]), max(high, before[1])
    for batch in batches:
        for number, found in graph.values(batch).items():
            count = torch.histc(found, _BINS, *ranges[number]) if ranges[number][1] > ranges[number][0] else None
            counts[number] = count if number not in counts or count is None else counts[number] + count
    return {
        number: Format(1.0) if counts[number] is None else best(counts[number].numpy(), *ranges[number])
        for number in ranges
    }


def best(counts: np.ndarray, low: float, high: float) -> Format:
    """Return the format of a value with this histogram from ``low`` ≤ 0 to ``high`` ≥ 0."""
    width = (high - low) / len(counts)
    centres = low + width * (np.arange(len(counts)) + 0.5)

    def error(low, high):
        made = between(low, high)
        return np.dot(counts, (made.scale * (made.nearest(centres) - made.zero) - centres) ** 2)

    for _ in range(2):  # each end in turn
        high = min((high * share for share in _SHARES), key=lambda each: error(low, each))
        low = min((low * share for share in _SHARES), key=lambda each: error(each, high)) if low < 0 else low
    return between(low, high)


def between(low: float, high: float) -> Format:
    """Return the format that covers ``low`` ≤ 0 to ``high`` ≥ 0 with 256 numbers, of which one is 0."""
    scale = (high - low) / 255
    return Format(scale, int(np.clip(np.rint(-low / scale), 0, 255)))
