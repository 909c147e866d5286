"""Receptive fields of a network: the square that a unit can depend on, and by gradients what in it counts."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tinycnn.data.files import load
from tinycnn.errors import UserError

SHARE = 1 - 0.9545
"""Luo et al. count a pixel with a gradient of more than this share of the largest."""

_IMAGES = 8
"""The gradients are also averaged over every channel, so that a few images are enough; each costs time."""


@dataclass(frozen=True)
class Field:
    """The receptive field of the middle unit of a layer's output.

    ``side``, ``left`` and ``top``: its theoretical square in pixels, which may begin before 0, in the padding.
    ``gradient``: float64 (H, W), how much each pixel counts, 1 at most. ``effective``: the side of a square of as many
    pixels as count for more than ``SHARE`` of the largest.
    """

    name: str
    kind: str
    side: int
    left: int
    top: int
    gradient: np.ndarray
    effective: float


@functools.cache
def data_here(name: str):
    """Return the ``Split`` of a published data set that is on this machine, None for one that is not."""
    try:
        return load(name, 0.0, offline=True)
    except UserError:
        return None


@functools.cache
def example_of(data):
    """Return a ``Split`` to take images from, None without one; for MNIST mnist5k, which is packaged.

    ``data``: the section of a spec.
    """
    try:
        return data_here("mnist5k") if data.name == "mnist" else data.load(offline=True)
    except UserError:
        return None


def of_spec(spec, measured) -> tuple[torch.Tensor, list[Field]]:
    """Return a test image, uint8 (C, H, W), and the receptive fields of the network of ``spec`` over it.

    The network has the initial weights of seed 0, so that no run is needed. ``measured``: its ``Measured``. The data
    must be here, see ``example_of``.
    """
    split = example_of(spec.data)
    images = split.evaluation.images[:_IMAGES]
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (split.mean, split.std))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = spec.model.build(tuple(images.shape[1:]), len(spec.data.facts().classes))
    return images[0], receptive_fields(network, measured.layers, (images / 255 - mean) / std)


@torch.enable_grad()
def receptive_fields(network: nn.Module, layers, images) -> list[Field]:
    """Return the receptive field of the middle unit of each layer's output.

    ``layers``: ``Measured.layers`` of the network. ``images``: float (N, C, H, W) as the network is fed them. The
    gradient of the unit with respect to each pixel is taken in evaluation mode; its root mean square over images and
    over the channels of both is what counts, since in the mean weights of either sign cancel (Luo, Li, Urtasun and
    Zemel 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS, section 2
    and figure 1).
    """
    images, outputs, fields = images.detach().clone().requires_grad_(), {}, []

    def keep(name, module, inputs, output):  # of a module that is called again the first output
        outputs.setdefault(name, output)

    hooks = [
        network.get_submodule(each.name).register_forward_hook(functools.partial(keep, each.name)) for each in layers
    ]
    network.eval()(images)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        output = outputs.get(layer.name)
        if output is None or not output.requires_grad:
            continue
        unit = tuple(length // 2 for length in output.shape[2:])
        if layer.jump is None:  # of a module of the user's own: around the middle of the picture
            top, left = (length // 2 - layer.receptive_field // 2 for length in images.shape[2:])
        else:
            top, left = (layer.start + position * layer.jump for position in unit or (0, 0))
        gradient = _gradient(output, unit, images)
        gradient = gradient / (gradient.max() or 1)
        effective = float((gradient > SHARE).sum()) ** 0.5
        fields.append(Field(layer.name, layer.kind, layer.receptive_field, left, top, gradient, effective))
    return fields


def _gradient(output, unit, images) -> np.ndarray:
    """Return the root mean square of the gradients of one unit of every channel, (H, W)."""
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    for channel in range(output.shape[1]):
        value = output[(slice(None), channel, *unit)].sum()  # a sum over images: their gradients stay apart
        (gradient,) = torch.autograd.grad(value, images, retain_graph=True)
        total += gradient.double().pow(2).mean((0, 1))
    return (total / output.shape[1]).sqrt().numpy()
