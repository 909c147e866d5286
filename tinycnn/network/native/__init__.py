"""This project's own CPU kernels (``kernels.cpp``): the same network, several times as fast, in float32.

``Native(network)`` is called in place of the network. It works on the network's own parameters and running statistics,
and leaves gradients where the network would. The kernels compute every layer of ``tinycnn.spec`` and torch's modules of
these kinds in nested ``nn.Sequential``; torch computes the others, and the kernels go on after them. ``augmented``
returns what the network is given of a batch.

They are compiled for this processor at their first use. Without a compiler ``missing()`` says so, and torch computes
everything.
"""

import torch
from torch import nn

from tinycnn.network.native import plan
from tinycnn.network.native.augment import augmented
from tinycnn.network.native.buffers import Buffers
from tinycnn.network.native.layers import hooked, parts
from tinycnn.network.native.library import PROCESSOR, load, missing

__all__ = ["Native", "augmented", "coverage", "missing"]


def coverage(network) -> tuple[int, int, str]:
    """Return the number of layers that the kernels compute, of all, and the kind of the first that they cannot."""
    taken, total, first = 0, 0, ""
    for native, layers in parts(network):
        layers = [each for each in layers if type(each) not in (nn.Flatten, nn.Identity)]
        total += len(layers)
        taken += len(layers) if native else 0
        if not native and not first:
            first = f"{type(layers[0]).__name__}{' with hooks' if hooked(layers[0]) else ''}"
    return taken, total, first


class Native:
    """A network that computes with the kernels; call it with images (N, C, H, W), float32, on the CPU.

    In training mode the running statistics are updated and ``backward`` of the output gives the parameters their
    gradients, as with the network itself: one ``backward`` for each call, before the next.
    """

    def __init__(self, network: nn.Module, processor: tuple[str, ...] = PROCESSOR):
        # the kernels read weights row by row
        self.network = network.to(memory_format=torch.contiguous_format)
        kernels = load(processor)[0]
        self.parts = [_Part(layers, kernels) if native else nn.Sequential(*layers) for native, layers in parts(network)]
        self.train, self.eval = network.train, network.eval

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            images = part(images, self.network.training) if isinstance(part, _Part) else part(images)
        return images


class _Part:
    """Layers in sequence that the kernels compute."""

    def __init__(self, layers, kernels):
        self.layers, self.kernels, self.buffers = nn.Sequential(*layers), kernels, {}

    def __call__(self, images, training):
        if images.dtype != torch.float32 or not len(images):
            return self.layers(images)
        images = images.contiguous()
        buffers = self.buffers_for(images, training)
        if buffers is None:
            return self.layers(images)
        if training:
            return _Training.apply(buffers, images, *buffers.parameters())
        return buffers.evaluate(images)

    def buffers_for(self, images, training) -> Buffers | None:
        """Return the buffers for batches like ``images``, None where the kernels cannot take them."""
        wanted = training and images.requires_grad
        key = Buffers.key(self.kernels, images, training, wanted)
        if self.buffers.get(training, (None,))[0] != key:  # one of each, since they are large
            try:
                steps = plan.Plan(self.layers, images.shape[1:], wanted)
            except plan.Unplannable:
                return None
            self.buffers[training] = key, Buffers(self.kernels, steps, images, training)
        return self.buffers[training][1]


class _Training(torch.autograd.Function):
    """The layers of a part as one autograd function."""

    @staticmethod
    def forward(ctx, buffers, images, *parameters):
        ctx.buffers, ctx.parameters, ctx.shape = buffers, parameters, images.shape
        return buffers.forward(images)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out):
        d_images = d_out.new_empty(ctx.shape) if ctx.needs_input_grad[1] else None
        gradients = ctx.buffers.backward(ctx.parameters, d_out.contiguous(), d_images)
        return None, d_images, *gradients
