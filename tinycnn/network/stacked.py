"""Several networks of one spec as one network, for a device that one of them leaves idle.

Every tensor of the layers is the concatenation of theirs along its first dimension, and every convolution has S times
as many groups, so channels ``s * C`` to ``(s + 1) * C - 1`` of a map belong to network ``s``. Batch norm, pools,
activations and dropout work channel by channel or number by number, so they need no change.
"""

import copy

import torch
from torch import nn
from torch.nn import functional

from tinycnn.spec import modules as own

_KNOWN = {
    nn.Sequential, nn.Identity, nn.Flatten, nn.ReLU, nn.SiLU, nn.GELU, nn.PReLU, nn.Dropout, nn.Dropout2d,
    nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
    own.Residual, own.GatedPool, own.BlurPool, own.SqueezeExcite,
}  # fmt: skip
"""The modules that are right for several networks once their tensors and groups are, or that ``stacked`` replaces."""


def without_rule(network: nn.Module) -> str:
    """Return the name of a module of ``network`` that ``stacked`` may not be right for; "" where there is none."""
    return next((type(module).__name__ for module in network.modules() if type(module) not in _KNOWN), "")


def side_by_side(images: torch.Tensor, count: int) -> torch.Tensor:
    """Return images (count * N, C, H, W), network by network, as (N, count * C, H, W)."""
    return images.unflatten(0, (count, -1)).transpose(0, 1).flatten(1, 2).contiguous()


def stacked(networks: list[nn.Module], dense=False) -> nn.Module:
    """Return one network that maps ``side_by_side`` images to the logits of all, (N, S * classes).

    Parameters that layers share stay shared. Its modules have the same names as those of each network. ``dense``
    computes convolutions ungrouped, with weights that are zero between networks.
    """
    whole, count, merged = copy.deepcopy(networks[0]), len(networks), {}
    for name, module in list(whole.named_modules()):
        parts = [network.get_submodule(name) for network in networks]
        for key, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if tensor.dim():
                together = torch.cat([getattr(part, key).detach() for part in parts]).contiguous()
                if isinstance(tensor, nn.Parameter):
                    together = merged.setdefault(tensor, nn.Parameter(together))
                setattr(module, key, together)
        if isinstance(module, nn.Conv2d):
            if dense and module.groups == 1:
                whole.set_submodule(name, _Dense(count, module))
            else:
                module.groups *= count
        elif isinstance(module, nn.PReLU | nn.Linear):
            kind = _PReLU if isinstance(module, nn.PReLU) else _Linear
            whole.set_submodule(name, kind(count, module.weight, getattr(module, "bias", None)))
    return whole


class _Dense(nn.Module):
    """The convolutions of several networks as one without groups.

    cuDNN's kernels for groups of so few channels take 2.2 times as long as these, which have ten times the products
    but use tensor cores (ten networks like exp3, batches of 128, one H100).
    """

    def __init__(self, count, convolution):
        super().__init__()
        self.count, self.weight, self.bias = count, convolution.weight, convolution.bias
        self.options = {name: getattr(convolution, name) for name in ("stride", "padding", "dilation")}

    def forward(self, maps):
        own_block = torch.eye(self.count, dtype=self.weight.dtype, device=self.weight.device)
        weights = self.weight.unflatten(0, (self.count, -1)).unsqueeze(2)  # (S, outputs, 1, inputs, height, width)
        blocks = weights * own_block.view(self.count, 1, -1, 1, 1, 1)
        return functional.conv2d(maps, blocks.flatten(2, 3).flatten(0, 1), self.bias, **self.options)


class _Linear(nn.Module):
    """The linear layers of several networks: (N, count * inputs) to (N, count * outputs)."""

    def __init__(self, count, weight, bias):
        super().__init__()
        self.count, self.weight, self.bias = count, weight, bias

    def forward(self, values):
        return functional.conv1d(values.unsqueeze(2), self.weight.unsqueeze(2), self.bias, groups=self.count).squeeze(2)


class _PReLU(_Linear):
    """PReLU of several networks, whether they have one slope each or one for each channel."""

    def forward(self, maps):
        return functional.prelu(maps, self.weight.repeat_interleave(maps.shape[1] // len(self.weight)))
