"""What a network sees of the picture: the square a unit could see, and what in it counts, by gradients."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tinycnn.network.profile import describe, grow_receptive_field


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
def effective_receptive_field(network: nn.Module, shape, images=None, count: int = 32, seed: int = 0) -> list[Seen]:
    """Return, for each layer of a network of layers in sequence, what the middle unit of its output sees.

    ``shape``: (C, H, W) of a picture. ``images``: float (N, C, H, W) as the network is fed them; without, ``count``
    pictures of normal noise, drawn with ``seed``. The gradient of the unit with respect to each pixel is taken in
    evaluation mode; its root mean square over images and over the channels of either side is what counts, since the
    mean cancels where weights have either sign (Luo, Li, Urtasun and Zemel 2016, "Understanding the Effective Receptive
    Field in Deep Convolutional Neural Networks", NeurIPS, section 2 and figure 1). The network is left as it was.
    """
    if images is None:
        images = torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))
    picture = images.detach().clone().to(next(network.parameters(), images).dtype).requires_grad_()
    seen, side, jump, start = [], 1, 1, (0, 0)
    for name, (module, before, output) in _layers(network, picture).items():
        start = _start(start, jump, module)
        side, jump = grow_receptive_field(side, jump, module, before)
        places = tuple(length // 2 for length in output.shape[2:])
        top, left = (first + place * jump for first, place in zip(start, places or (0, 0), strict=True))
        gradient = _gradient(output, places, picture)
        effective = float((gradient > SHARE * gradient.max()).sum()) ** 0.5 if gradient.max() > 0 else 0.0
        seen.append(Seen(name, describe(module), side, left, top, gradient / (gradient.max() or 1), effective))
    return seen


def _layers(network, picture) -> dict:
    """Return, by name, each layer, the shape (C, H, W) of what it gets and the output (N, ...) it gives."""
    found, hooks, training = {}, [], network.training
    for name, module in network.named_modules():
        if not list(module.children()):
            hooks.append(
                module.register_forward_hook(
                    lambda m, args, output, n=name: found.update({n: (m, args[0].shape[1:], output)})
                )
            )
    try:
        network.eval()(picture)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return found


def _start(start, jump, module):
    """Return where the square of the first unit after ``module`` begins: padding moves it out by so many jumps.

    A recurrence like that of ``grow_receptive_field``: s' = s - p j (Araujo, Norris and Sim 2019, Distill).
    """
    padding = getattr(module, "padding", 0) if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) else 0
    down, across = padding if isinstance(padding, tuple) else (padding, padding)
    return start[0] - down * jump, start[1] - across * jump


def _gradient(output, places, picture) -> np.ndarray:
    """Return the root mean square of the gradients of one unit of every channel, (H, W)."""
    total = torch.zeros(picture.shape[2:], dtype=torch.float64)
    for channel in range(output.shape[1]):
        unit = output[(slice(None), channel, *places)].sum()  # of other images: their gradients stay apart
        (gradient,) = torch.autograd.grad(unit, picture, retain_graph=True)
        total += gradient.double().pow(2).mean((0, 1))
    return (total / output.shape[1]).sqrt().numpy()
