"""Networks for the tests of ``export``, with weights and running statistics as training leaves them."""

import functools

import networks
import torch
from torch import nn

from tinycnn.export import emit
from tinycnn.integers.quantise import program_of
from tinycnn.integers.rules import graph_of
from tinycnn.spec import (
    Activation,
    AvgPool,
    BlurPool,
    Conv,
    Depthwise,
    GatedPool,
    Head,
    MaxPool,
    Network,
    Norm,
    Pointwise,
    Repeat,
    Residual,
    SqueezeExcite,
)
from tinycnn.train.device import normalise

MEAN, STD = (0.3, 0.4, 0.5), (0.3, 0.2, 0.25)

LAYERED = {
    **networks.NAMED,
    "every layer": networks.everything,
    "residual": lambda: Network(Conv(6), Residual(Conv(6), Conv(6), activation="relu"), MaxPool(2), Head()),
    "residual with a projection": lambda: Network(
        Conv(6), Residual(Conv(8), Conv(8, stride=2), activation="prelu"), Residual(Pointwise(4), norm="none"), Head()
    ),
    "residual of the image": lambda: Network(Residual(Norm(), Conv(4, padding="same"), Conv(1, padding=1)), Head()),
    "residual after which the input is needed": lambda: Network(
        Conv(4, activation="none"), Residual(Norm(), Activation("relu"), Conv(4, padding=1, activation="none")),
        Residual(Activation("relu"), norm="none"), SqueezeExcite(2), Residual(Activation("none")), Head(),
    ),
    "depthwise": lambda: Network(Conv(4), Depthwise(multiplier=2, stride=2), Pointwise(6, groups=2), Head()),
    "prelu": lambda: Network(Conv(4), Conv(6, activation="prelu_per_channel"), MaxPool(2), Head(), activation="prelu"),
    "separable": lambda: Network(
        Conv(4), MaxPool(2), Depthwise(padding=1), Pointwise(6), BlurPool(2), Depthwise(multiplier=2), Pointwise(6),
        Depthwise(activation="relu"), Head(),
        activation="silu",
    ),
    "tables": lambda: Network(Conv(4, activation="silu"), Conv(6), Head(), activation="gelu"),
    "gated pooling": lambda: Network(Conv(4), GatedPool(2), Conv(6, activation="none"), GatedPool(3, stride=2), Head()),
    "blurred pooling": lambda: Network(
        Conv(4), BlurPool(2), Conv(6), BlurPool(2, width=4), BlurPool(1, width=7, stride=2), Head()
    ),
    "shared repeats": lambda: Network(Conv(6), Repeat(Conv(6, padding=1), times=3, shared=True), MaxPool(2), Head()),
    "squeeze and excite": lambda: Network(Conv(6), SqueezeExcite(3), Conv(4), SqueezeExcite(2), Head(bias=True)),
    "strides, dilations, groups, padding": lambda: Network(
        Conv(4, 5, stride=2, padding=3), Conv(8, 3, dilation=2, padding="same"), Conv(8, 2, groups=4, padding=1),
        Conv(6, 3, stride=3, padding=2, norm="none", bias=True, activation="none"), Head(),
    ),
    "linear head": lambda: Network(
        Conv(4), AvgPool(3, stride=2), MaxPool(2, stride=1), Head(reduce="flatten", bias=True)
    ),
    "norm of the image": lambda: Network(Norm(), Conv(4, padding="same"), Head(by="linear", classes_first=True)),
}  # fmt: skip
PLAIN = {
    "kernels that are not square": lambda: nn.Sequential(
        nn.Conv2d(1, 4, (1, 5), stride=(2, 1), padding=(0, 2)), nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, (3, 2), dilation=(1, 3)),
        nn.Hardswish(), nn.Softsign(), nn.AvgPool2d((2, 3), stride=(1, 2)), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Flatten(), nn.Dropout(), nn.LazyLinear(8), nn.BatchNorm1d(8), nn.PReLU(8), nn.Linear(8, 10),
    ),
    "a module that is used three times": lambda: used_again(nn.PReLU(), nn.MaxPool2d([2, 2])),
    "depthwise convolutions after curves": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU6(),
        nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6), nn.Softplus(),
        nn.Conv2d(6, 6, 3, groups=6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10),
    ),
    "a linear layer alone": lambda: nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10)),
    "logits after an activation": lambda: nn.Sequential(nn.Conv2d(1, 10, 28), nn.ReLU(), nn.Flatten()),
    "logits that are averages": lambda: nn.Sequential(
        nn.Conv2d(1, 10, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
}  # fmt: skip
NAMES = [*LAYERED, *PLAIN]


def used_again(function, pool):
    """Return a network that uses modules several times."""
    twice = nn.Conv2d(1, 4, 3), function, pool, nn.Conv2d(4, 6, 3), function, pool
    return nn.Sequential(*twice, function, nn.Flatten(), nn.Linear(150, 10))


@functools.cache
def trained(name: str, channels: int = 1) -> nn.Module:
    """Return a network in evaluation mode, with norms, slopes and gates that are not those it starts with."""
    torch.manual_seed(1)
    network = networks.built(LAYERED[name](), channels) if name in LAYERED else PLAIN[name]()
    for each in network.modules():
        for parameter in each.parameters(recurse=False):
            if not isinstance(each, nn.Conv2d | nn.Linear | nn.LazyLinear):
                nn.init.normal_(parameter, 0.3)  # factors below 0 among them
    for _ in range(3):
        network(normalised(images(16, channels), channels))
    return network.eval().requires_grad_(False)


def images(count: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Return uint8 images (N, C, 28, 28): smooth, with all of black and all of white among them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 7, 7, generator=generator)
    pixels = nn.functional.interpolate(coarse, size=(28, 28), mode="bilinear") * 255
    pixels[:1], pixels[1:2] = 0, 255
    return pixels.round().to(torch.uint8)


class Normalisation:
    """What training normalises images with."""

    def __init__(self, channels):
        self.mean, self.std = MEAN[:channels], STD[:channels]


def normalised(pixels, channels: int = 1) -> torch.Tensor:
    """Return images as a network takes them in training."""
    return normalise(pixels.float() / 255, Normalisation(channels))


def graph(network, channels: int = 1, shape=(28, 28)):
    """Return the graph of a network."""
    return graph_of(network, (channels, *shape), 10, MEAN[:channels], STD[:channels])


def program(network, channels: int = 1):
    """Return the graph of a network and its program in whole numbers."""
    made = graph(network, channels)
    return made, program_of(made, images(64, channels))


@functools.cache
def named_program(name: str, channels: int = 1):
    """Return the graph and the program of a network above."""
    return program(trained(name, channels), channels)


def written(folder, made, program):
    """Write the C of a graph and its program; return the program, and ``emit.Files``."""
    files = emit.files("net", made, program, "0123456789", "a test")
    (folder / "net.h").write_text(files.header)
    (folder / "net.c").write_text(files.source)
    return program, files
