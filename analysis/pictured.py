"""Real pictures for a report, where they are at hand: for receptive fields, and what every seed gets wrong."""

import functools

import torch

from analysis.receptive import Seen, effective_receptive_field
from tinycnn.data.files import load
from tinycnn.errors import UserError

_IMAGES = 8
"""The gradients are averaged over every channel too, so that a few are enough; each costs time."""


@functools.cache
def pictured(data) -> tuple:
    """Return a test image, uint8 (C, H, W), some as a network is fed them, float (N, C, H, W), and their name.

    ``data``: the section of a spec. MNIST's are those of mnist5k, which is always at hand. Without the data set they
    are grey and noise. Raises UserError for files of one's own that are not there.
    """
    name = "mnist5k" if data.name == "mnist" else data.short
    try:
        split = load(name, 0.0, offline=True) if name == "mnist5k" else data.load(offline=True)
    except UserError:
        facts = data.facts()
        shape = facts.channels, facts.size, facts.size
        noise = torch.randn(_IMAGES, *shape, generator=torch.Generator().manual_seed(0))
        return torch.full(shape, 160, dtype=torch.uint8), noise, f"a grey picture ({name} is not here)"
    images = split.evaluation.images[:_IMAGES]
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (split.mean, split.std))
    return images[0], (images / 255 - mean) / std, "a digit of mnist5k" if name == "mnist5k" else f"an image of {name}"


def effective(spec, measured, images) -> list[Seen]:
    """Return the receptive fields of the network of ``spec`` with the first weights of seed 0, which need no run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = spec.model.build(tuple(images.shape[1:]), len(spec.data.facts().classes))
    return effective_receptive_field(network, measured.layers, images)


def wrong_images(data: str, indices, digest: str):
    """Return the test images of these indices, uint8 (N, C, H, W); None where the data set is not here, or another."""
    split = _test_images(data)
    if split is None or split.digest != digest:
        return None
    return split.evaluation.images[torch.tensor([int(index) for index in indices], dtype=torch.long)]


@functools.cache
def _test_images(data: str):
    try:
        return load(data, 0.0, offline=True)
    except UserError:  # also for data of one's own, which are known by name only
        return None
