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


def of_spec(spec, measured) -> tuple[torch.Tensor, str, list[Field]]:
    """Return a picture, uint8 (C, H, W), its name, and the receptive fields of the network of ``spec`` over it.

    The network has the initial weights of seed 0, so that no run is needed; ``measured``: its ``Measured``.
    """
    picture, name, images = _pictures(spec.data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = spec.model.build(tuple(images.shape[1:]), len(spec.data.facts().classes))
    return picture, name, receptive_fields(network, measured.layers, images)


@functools.cache
def _pictures(data) -> tuple[torch.Tensor, str, torch.Tensor]:
    """Return a test image, uint8 (C, H, W), its name, and some images as a network is fed them, float (N, C, H, W).

    ``data``: the section of a spec. For MNIST they are from mnist5k, which is packaged. Without the data set they are
    grey and noise.
    """
    name = "mnist5k" if data.name == "mnist" else data.short
    try:
        split = load(name, 0.0, offline=True) if name == "mnist5k" else data.load(offline=True)
    except UserError:
        facts = data.facts()
        shape = facts.channels, facts.size, facts.size
        noise = torch.randn(_IMAGES, *shape, generator=torch.Generator().manual_seed(0))
        return torch.full(shape, 160, dtype=torch.uint8), f"a grey picture ({name} is not here)", noise
    images = split.evaluation.images[:_IMAGES]
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (split.mean, split.std))
    return images[0], f"an image of {name}", (images / 255 - mean) / std


@torch.enable_grad()
def receptive_fields(network: nn.Module, layers, images) -> list[Field]:
    """Return the receptive field of the middle unit of each layer's output.

    ``layers``: ``Measured.layers`` of the network. ``images``: float (N, C, H, W) as the network is fed them. The
    gradient of the unit with respect to each pixel is taken in evaluation mode; its root mean square over images and
    over the channels of both is what counts, since in the mean weights of either sign cancel (Luo, Li, Urtasun and
    Zemel 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS, section 2
    and figure 1). The network is left as it was.
    """
    images = images.detach().clone().requires_grad_()
    outputs, fields = _outputs(network, [layer.name for layer in layers], images), []
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
        effective = float((gradient > SHARE * gradient.max()).sum()) ** 0.5 if gradient.max() > 0 else 0.0
        scaled = gradient / (gradient.max() or 1)
        fields.append(Field(layer.name, layer.kind, layer.receptive_field, left, top, scaled, effective))
    return fields


def _outputs(network, names, images) -> dict:
    """Return the outputs (N, ...) of some modules by their names; the first of one that is called again."""
    found, hooks, training = {}, [], network.training
    for name in dict.fromkeys(names):
        hooks.append(
            network.get_submodule(name).register_forward_hook(
                lambda module, args, output, name=name: found.setdefault(name, output)
            )
        )
    try:
        network.eval()(images)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return found


def _gradient(output, unit, images) -> np.ndarray:
    """Return the root mean square of the gradients of one unit of every channel, (H, W)."""
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    for channel in range(output.shape[1]):
        value = output[(slice(None), channel, *unit)].sum()  # a sum over images: their gradients stay apart
        (gradient,) = torch.autograd.grad(value, images, retain_graph=True)
        total += gradient.double().pow(2).mean((0, 1))
    return (total / output.shape[1]).sqrt().numpy()
