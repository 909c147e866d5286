"""The networks: a function each; its name is the network's name, its keyword arguments are the spec's ``model.*``.

Every function takes what the data set decides (channels, size in pixels, classes) and returns an ``nn.Sequential`` of
named blocks that maps float images (N, channels, size, size) to logits (N, classes). The layouts of the three
iterations are re-derived: the document they come from states parameter counts and a few facts, and these fit all.
"""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

Dropout = Annotated[float, Field(ge=0, lt=1, description="probability that a whole feature map is dropped")]
Padding = Annotated[int, Field(ge=0, le=1, description="zero pixels around the input of each 3x3 convolution, 0 or 1")]
Width = Annotated[int, Field(ge=1, le=256)]
SevenWidths = Annotated[
    tuple[Width, ...], Field(min_length=7, max_length=7, description="channels of the seven 3x3 convolutions")
]
FourWidths = Annotated[tuple[Width, ...], Field(min_length=4, max_length=4, description="channels of the convolutions")]

NETWORKS = {}
"""Name -> function, for every network below."""


def network(function):
    """Register a network under its function's name."""
    NETWORKS[function.__name__] = function
    return function


def build(spec, facts) -> nn.Sequential:
    """Build the network of ``spec`` for a data set described by ``facts`` (channels, size, classes)."""
    arguments = spec.model.model_dump(exclude={"name"})
    return NETWORKS[spec.model.name](facts.channels, facts.size, len(facts.classes), **arguments)


def block(inputs, outputs, *, kernel=3, padding=0, batch_norm=True, dropout=0.0):
    """Convolution without bias, then batch norm, ReLU and dropout where asked for.

    Dropout takes whole feature maps (``Dropout2d``; Tompson et al. 2015, arXiv:1411.4280), since neighbouring pixels
    say the same. It also is the cheaper kind: drawing a number per activation took a quarter of the training time.
    """
    layers = [nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(outputs))
    layers.append(nn.ReLU())
    if dropout:
        layers.append(nn.Dropout2d(dropout))
    return nn.Sequential(*layers)


def head(inputs, classes):
    """Global average over the map, then a 1x1 convolution to the classes."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, classes, 1, bias=False), nn.Flatten())


@network
def model_1(channels, size, classes):
    """Iteration 1: 3x3 convolutions to 32 channels and a global average over 7x7; no batch norm."""
    return nn.Sequential(
        block(channels, 16, batch_norm=False),
        block(16, 32, batch_norm=False),
        block(32, 32, batch_norm=False),
        nn.MaxPool2d(2),
        block(32, 16, kernel=1, batch_norm=False),
        block(16, 32, batch_norm=False),
        block(32, 32, batch_norm=False),
        nn.Sequential(nn.Conv2d(32, classes, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


@network
def model_2(channels, size, classes, *, padding: Padding = 0, dropout: Dropout = 0.0):
    """Iteration 2: four 3x3 convolutions of 16 channels, two max-pools, batch norm, a layer after the 3x3 average."""
    options = {"padding": padding, "dropout": dropout}
    return nn.Sequential(
        block(channels, 16, **options),
        block(16, 16, **options),
        nn.MaxPool2d(2),
        block(16, 16, **options),
        nn.MaxPool2d(2),
        block(16, 16, **options),
        head(16, classes),
    )


@network
def model_3(channels, size, classes, *, widths: SevenWidths = (8, 12, 12, 12, 12, 10, 18), dropout: Dropout = 0.0):
    """Iteration 3: three 3x3 convolutions before the one max-pool, four after it, a layer after the 3x3 average.

    ``widths`` are those of the layout with the seed's 7,872 parameters that did best on MNIST's validation split;
    another with the same count is 16-16-16-8-8-8-8. To see both: ``make exp3 SET="data.validation=true"``, and the
    same with ``model.widths=[16,16,16,8,8,8,8]`` added.
    """
    blocks = [block(inputs, outputs, dropout=dropout) for inputs, outputs in pairwise((channels, *widths))]
    return nn.Sequential(*blocks[:3], nn.MaxPool2d(2), *blocks[3:], head(widths[-1], classes))


@network
def early_pool(channels, size, classes, *, widths: FourWidths = (8, 20, 16, 20), dropout: Dropout = 0.0):
    """For speed: a 5x5 convolution and at once a max-pool, so that little is computed on large maps.

    A third of the multiply-accumulates of ``model_3`` with as many parameters. ``widths`` and where to pool were chosen
    on MNIST's validation split, among layouts of one to two seconds an epoch.
    """
    first, second, third, last = widths
    return nn.Sequential(
        block(channels, first, kernel=5, dropout=dropout),
        nn.MaxPool2d(2),
        block(first, second, dropout=dropout),
        block(second, third, dropout=dropout),
        nn.MaxPool2d(2),
        block(third, last, dropout=dropout),
        head(last, classes),
    )
