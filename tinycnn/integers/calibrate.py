"""The range of each value of a graph, from training images."""

import numpy as np
import torch

from tinycnn.integers import operations as ops
from tinycnn.integers.fixed import Format
from tinycnn.integers.steps import Graph

IMAGES = 2000
"""Training images that ranges are taken from, evenly spaced; without augmentation."""
_BINS = 2048
_BATCH = 250
_WIDEST = 256
"""How many times wider the widest channel of a map may be than another: one that is next to dead needs no more."""
_SHARES = np.linspace(1.0, 0.4, 61)


def formats(graph: Graph, pixels: torch.Tensor) -> dict[int, Format]:
    """Return the format of each value as uint8, for pixels (N, C, H, W), uint8, of training images.

    The range is the one with the least mean squared error, which leaves out what is rare and far from all else. Each
    channel has its own where that costs nothing: see ``_apart``.
    """
    step = max(1, len(pixels) // IMAGES)
    batches = pixels[::step][:IMAGES].double().split(_BATCH)
    apart = {step.output for step in graph.steps if _bounded(step.operation) and _apart(graph, step.output)}

    def rows():
        for batch in batches:
            for number, found in graph.values(batch).items():
                yield number, found.transpose(0, 1).flatten(1) if number in apart else found.reshape(1, -1)

    ranges, counts = {}, {}
    for number, each in rows():
        low, high = torch.aminmax(each, dim=1)
        lows, highs = ranges.get(number, (0 * low, 0 * low))  # 0 must be among the numbers: borders and ReLU need it
        ranges[number] = torch.minimum(low, lows), torch.maximum(high, highs)
    for number, (lows, highs) in ranges.items():
        ranges[number] = lows.tolist(), torch.maximum(highs, (highs - lows).max() / _WIDEST).tolist()
    for number, each in rows():
        found = [torch.histc(row, _BINS, *ends) for row, *ends in zip(each, *ranges[number], strict=True)]
        counts[number] = counts.get(number, 0) + torch.stack(found)
    return {
        number: _joined([best(row, *ends) for row, *ends in zip(counts[number].numpy(), *ranges[number], strict=True)])
        for number in ranges
    }


def _bounded(operation) -> bool:
    """Tell whether an operation can make bytes with a format for each channel: a convolution and ReLU or a curve."""
    if not isinstance(operation, ops.Conv) or not operation.activated:
        return False
    return operation.function is not None or not operation.slopes.any()


def _apart(graph: Graph, number: int) -> bool:
    """Tell whether only depthwise convolutions take a value, perhaps after pools that keep its format.

    The weights of each channel then take up its scale. After Nagel et al. 2019, arXiv:1906.04721, section 4.1, which
    makes the channels equal instead.
    """
    takers, channels = graph.takers(number), graph.shape_of(number)[0]
    return bool(takers) and all(
        _apart(graph, step.output)
        if isinstance(step.operation, ops.MaxPool | ops.Blur)
        else isinstance(step.operation, ops.Conv) and step.operation.groups == channels
        for step in takers
    )


def _joined(formats: list[Format]) -> Format:
    """Return the format of a value with these formats of its channels, or this one of all."""
    if len(formats) == 1:
        return formats[0]
    zeros = tuple(each.zero for each in formats)
    return Format(tuple(each.scale for each in formats), zeros if any(zeros) else 0)


def best(counts: np.ndarray, low: float, high: float) -> Format:
    """Return the format of a value with this histogram from ``low`` ≤ 0 to ``high`` ≥ 0."""
    if low == high:
        return Format(1.0)
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
