"""What a network sees of the picture: the square a unit could see, and what in it counts, by gradients."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Seen:
    """What the middle unit of a layer's output sees of the picture.

    ``side``, ``left`` and ``top``: its theoretical square in pixels, which may begin before 0 in the padding.
    ``gradient``: float64 (H, W), how much each pixel counts, 1 at most. ``effective``: the side of a square of as many
    pixels as count for more than ``SHARE`` of the most.
    """

    name: str
    kind: str
    side: int
    left: int
    top: int
    gradient: np.ndarray
    effective: float


SHARE = 1 - 0.9545
"""Luo et al. count a pixel in whose gradient is more than this share of the middle's, their largest."""


@torch.enable_grad()
def effective_receptive_field(network: nn.Module, layers, images) -> list[Seen]:
    """Return, for each layer of a network, what the middle unit of its output sees.

    ``layers``: ``Measured.layers`` of the network. ``images``: float (N, C, H, W) as the network is fed them. The
    gradient of the unit with respect to each pixel is taken in evaluation mode; its root mean square over images and
    over the channels of either side is what counts, since the mean cancels where weights have either sign (Luo, Li,
    Urtasun and Zemel 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
    NeurIPS, section 2 and figure 1). The network is left as it was.
    """
    picture = images.detach().clone().requires_grad_()
    outputs, seen = _outputs(network, [layer.name for layer in layers], picture), []
    for layer in layers:
        output = outputs.get(layer.name)
        if output is None or not output.requires_grad:
            continue
        places = tuple(length // 2 for length in output.shape[2:])
        if layer.jump is None:  # of a network of one's own: around the middle of the picture
            top, left = (length // 2 - layer.receptive_field // 2 for length in picture.shape[2:])
        else:
            top, left = (layer.start + place * layer.jump for place in places or (0, 0))
        gradient = _gradient(output, places, picture)
        effective = float((gradient > SHARE * gradient.max()).sum()) ** 0.5 if gradient.max() > 0 else 0.0
        scaled = gradient / (gradient.max() or 1)
        seen.append(Seen(layer.name, layer.kind, layer.receptive_field, left, top, scaled, effective))
    return seen


def _outputs(network, names, picture) -> dict:
    """Return the outputs (N, ...) of some modules by their names; of one that is called again, the first."""
    found, hooks, training = {}, [], network.training
    for name in dict.fromkeys(names):
        hooks.append(
            network.get_submodule(name).register_forward_hook(
                lambda module, args, output, name=name: found.setdefault(name, output)
            )
        )
    try:
        network.eval()(picture)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return found


def _gradient(output, places, picture) -> np.ndarray:
    """Return the root mean square of the gradients of one unit of every channel, (H, W)."""
    total = torch.zeros(picture.shape[2:], dtype=torch.float64)
    for channel in range(output.shape[1]):
        unit = output[(slice(None), channel, *places)].sum()  # of other images: their gradients stay apart
        (gradient,) = torch.autograd.grad(unit, picture, retain_graph=True)
        total += gradient.double().pow(2).mean((0, 1))
    return (total / output.shape[1]).sqrt().numpy()
