"""Real pictures for a report, where they are at hand: for receptive fields, and what every seed gets wrong."""

import functools

import torch

from analysis.receptive import Seen, effective_receptive_field
from tinycnn import models
from tinycnn.data import load
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import UserError

_IMAGES = 8
"""The gradients are averaged over every channel too, so that a few are enough; each costs time."""


@functools.cache
def pictured(data: str) -> tuple:
    """Return a test image, uint8 (C, H, W), some as a network is fed them, float (N, C, H, W), and their name.

    MNIST's are those of mnist5k, which is always at hand. Without the data set they are grey and noise.
    """
    name = "mnist5k" if data in ("mnist", "mnist5k") else data
    try:
        split = load(name, 0.0, offline=True)
    except UserError:
        facts = DATASETS[data]
        shape = facts.channels, facts.size, facts.size
        noise = torch.randn(_IMAGES, *shape, generator=torch.Generator().manual_seed(0))
        return torch.full(shape, 160, dtype=torch.uint8), noise, f"a grey picture ({data} is not here)"
    images = split.evaluation.images[:_IMAGES]
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (split.mean, split.std))
    return images[0], (images / 255 - mean) / std, "a digit of mnist5k" if name == "mnist5k" else f"an image of {name}"


def effective(spec, images) -> list[Seen]:
    """Return the receptive fields of the network of ``spec`` with the first weights of seed 0, which need no run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.build(spec, DATASETS[spec.data.name])
    return effective_receptive_field(network, tuple(images.shape[1:]), images)


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
    except UserError:
        return None
