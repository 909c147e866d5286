"""The torch modules of the layers that torch has none of its own for. Imported where a layer is built, not before."""

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """The sum of ``layers`` in sequence and what ``skip`` makes of the same input, then ``activation``.

    ``crop`` pixels are cut off each side of the input first where unpadded layers shrink the map; ``stride``: of both.
    """

    def __init__(self, layers: nn.Sequential, skip: nn.Module, activation: nn.Module, crop: int, stride: int):
        super().__init__()
        self.layers, self.skip, self.activation, self.crop, self.stride = layers, skip, activation, crop, stride

    def forward(self, images):
        """Map (N, C, H, W) to what ``layers`` maps it to in shape."""
        inside = self.layers(images)
        rows, columns = (slice(self.crop, self.crop + (n - 1) * self.stride + 1) for n in inside.shape[2:])
        return self.activation(inside + self.skip(images[:, :, rows, columns]))


class GatedPool(nn.Module):
    """The maximum of each window times a sigmoid of its average, scaled and shifted by channel (2 C parameters).

    After the gated pooling of Lee, Gallagher and Tu 2016, arXiv:1509.08985, section 3.2: there a learned gate mixes
    both pools, here one gates the other.
    """

    def __init__(self, channels: int, size: int, stride: int):
        super().__init__()
        self.size, self.stride = size, stride
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, images):
        """Map (N, C, H, W) to (N, C, H', W')."""
        average = functional.avg_pool2d(images, self.size, self.stride)
        gate = torch.sigmoid(average * self.scale.view(-1, 1, 1) + self.shift.view(-1, 1, 1))
        return functional.max_pool2d(images, self.size, self.stride) * gate


class BlurPool(nn.Module):
    """The maximum over windows one pixel apart, then every ``stride``-th pixel of their binomial average.

    Anti-aliased pooling: Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", arXiv:1904.11486. At the
    border the map is reflected, as there. No parameters.
    """

    def __init__(self, channels: int, size: int, width: int, stride: int):
        super().__init__()
        row = torch.ones(1)
        for _ in range(width - 1):
            row = functional.pad(row, (0, 1)) + functional.pad(row, (1, 0))
        kernel = torch.outer(row, row) / row.sum() ** 2
        self.size, self.stride, self.before, self.after = size, stride, (width - 1) // 2, width // 2
        self.register_buffer("kernel", kernel.expand(channels, 1, width, width).clone(), persistent=False)

    def forward(self, images):
        """Map (N, C, H, W) to (N, C, H', W')."""
        highest = functional.max_pool2d(images, self.size, 1)
        padded = functional.pad(highest, (self.before, self.after) * 2, mode="reflect")
        return functional.conv2d(padded, self.kernel, stride=self.stride, groups=images.shape[1])


class SqueezeExcite(nn.Module):
    """Each channel times a gate computed from the averages of all (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, images):
        """Map (N, C, H, W) to the same shape."""
        average = functional.adaptive_avg_pool2d(images, 1)
        return images * torch.sigmoid(self.expand(functional.relu(self.reduce(average))))
