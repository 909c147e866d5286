"""A network whose weights and maps are rounded as its program's are, for training.

Jacob et al. 2018, arXiv:1712.05877, section 3: computed in floating point, and gradients pass the rounding straight
through, but for what is clipped. Weights are rounded anew in every pass; the formats of maps stay as they are.
"""

import copy
from dataclasses import replace

import torch
from torch import nn

from tinycnn.integers import operations as ops
from tinycnn.integers.fixed import Format
from tinycnn.integers.quantise import program_of
from tinycnn.integers.rules import graph_of
from tinycnn.integers.steps import values


class Rounded(nn.Module):
    """Maps normalised images (N, C, H, W) to the logits (N, classes) of ``network``'s program, nearly.

    ``pixels``: uint8 training images that formats are taken from. Batch norm has its running statistics, as in the
    program, and keeps them: those of batches rounded anew would move the biases that training fits to the rounding
    (Krishnamoorthi 2018, arXiv:1806.08342). There is no dropout. Raises SpecError where a module has no rule.
    """

    def __init__(self, network: nn.Module, shape, classes: int, mean, std, pixels: torch.Tensor):
        super().__init__()
        self.network, self.facts = network, (shape, classes, mean, std)
        self.formats = program_of(graph_of(copy.deepcopy(network).cpu(), *self.facts), pixels.cpu()).formats

    def forward(self, images):
        _, _, mean, std = self.facts
        with torch.device(images.device), torch.autocast(images.device.type, enabled=False):
            mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (mean, std))
            pixels = ((images.float() * std + mean) * 255).round()
            graph = graph_of(self.network, *self.facts, learning=True)
            return values(graph.steps, pixels, self._rounded)[graph.result].flatten(1)

    def _rounded(self, step, *maps):
        """Compute a step, its weights and its output rounded."""
        operation = step.operation
        if isinstance(operation, ops.Conv):
            operation = replace(operation, weight=rounded_weights(operation))
        return rounded_map(operation.forward(*maps), self.formats[step.output])


def rounded_weights(conv: ops.Conv) -> torch.Tensor:
    """Return the weights of a convolution that its int8 numbers stand for: see ``fixed.quantised_weights``."""
    units = 1 if conv.affine is None else conv.by_input(conv.affine[0])
    real = conv.weight * units
    largest = real.detach().abs().flatten(1).amax(1)
    steps = torch.where(largest > 0, largest, 1) / 127
    zeros = torch.zeros(len(steps), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(real, steps, zeros, 0, -127, 127) / units


def rounded_map(maps: torch.Tensor, made: Format) -> torch.Tensor:
    """Return the values that the bytes of a map stand for; those of 32 bits are as good as real ones."""
    if made.wide:
        return maps
    if not isinstance(made.scale, tuple):
        return torch.fake_quantize_per_tensor_affine(maps, made.scale, made.zero, 0, 255)
    scales = torch.tensor(made.scale)
    zeros = torch.broadcast_to(torch.tensor(made.zero, dtype=torch.int32), scales.shape)
    return torch.fake_quantize_per_channel_affine(maps, scales, zeros, 1, 0, 255)
