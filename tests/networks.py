"""The networks of the first iterations in layers, one of every kind of layer, and random ones, for tests."""

import random

from tinycnn.errors import SpecError
from tinycnn.spec import (
    Activation,
    AvgPool,
    BlurPool,
    Conv,
    Depthwise,
    Dropout,
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


def model_1(**options):
    layers = Conv(16), Conv(32), Conv(32), MaxPool(2), Conv(16, 1), Conv(32), Conv(32), Head(classes_first=True)
    return Network(*layers, norm="none", **options)


def model_2(**options):
    return Network(Conv(16), Conv(16), MaxPool(2), Conv(16), MaxPool(2), Conv(16), Head(), **options)


def model_3(widths=(8, 12, 12, 12, 12, 10, 18), **options):
    convolutions = [Conv(width) for width in widths]
    return Network(*convolutions[:3], MaxPool(2), *convolutions[3:], Head(), **options)


def early_pool(widths=(8, 20, 16, 20), **options):
    first, second, third, last = widths
    return Network(Conv(first, 5), MaxPool(2), Conv(second), Conv(third), MaxPool(2), Conv(last), Head(), **options)


NAMED = {"model_1": model_1, "model_2": model_2, "model_3": model_3, "early_pool": early_pool}


def everything():
    """Return a network with every kind of layer, nested."""
    return Network(
        Norm(), Conv(8, padding="same"),
        Residual(Depthwise(padding="same"), Pointwise(12, groups=2), activation="relu"),
        BlurPool(2), Repeat(Conv(12, padding="same"), times=2, shared=True), GatedPool(2), SqueezeExcite(3),
        Residual(Conv(8), Repeat(Pointwise(8), times=2)), AvgPool(2, stride=1), MaxPool(2, stride=1),
        Activation("gelu"), Dropout(0.1, of="elements"), Head(bias=True),
        activation="prelu",
    )  # fmt: skip


def some(seed, padded=True, size=64):
    """Return a random network that can be built for 1x64x64, its layers nested up to twice."""
    dice = random.Random(f"{seed} {padded}")
    whole = Network(
        Head(reduce=dice.choice(("average", "average", "flatten")), by=dice.choice(("conv", "linear")),
             bias=dice.choice((None, True)), classes_first=dice.random() < 0.3),
        padding=dice.choice((0, 1, "same")) if padded else 0,
        norm=dice.choice(("batch", "batch", "none")),
        activation=dice.choice(("relu", "prelu", "prelu_per_channel", "silu", "gelu", "none")),
        dropout=dice.choice((0.0, 0.1)), dropout_of=dice.choice(("maps", "elements")), bias=dice.random() < 0.2,
    )  # fmt: skip
    layers, shape = [], (1, size, size)
    for _ in range(dice.randint(3, 7)):
        layer, shape = _feasible(dice, whole, shape, padded, 2)
        layers.append(layer)
    return whole.model_copy(update={"layers": (*layers, *whole.layers)})


def _feasible(dice, whole, shape, padded, nested):
    """Draw layers until one can be built for ``shape`` and leaves a map of 3x3 or more; return it and the new shape."""
    from tinycnn.spec.build import output

    while True:
        layer = _drawn(dice, whole, shape, padded, nested)
        try:
            after = output(layer.filled(whole).build(shape), shape)
        except SpecError:
            continue
        if min(after[1:]) >= 3 and after[0] <= 16:
            return layer, after


def _drawn(dice, whole, shape, padded, nested):
    pool = {"size": dice.choice((2, 2, 3)), "stride": dice.choice((None, None, 1, 2))}
    wide = {
        "kernel": dice.choice((1, 2, 3, 3, 3, 5)), "stride": dice.choice((1, 1, 1, 2)),
        "dilation": dice.choice((1, 1, 2)), "padding": dice.choice((None, None, 0, 1, 2, "same")) if padded else None,
    }  # fmt: skip
    own = {"norm": dice.choice((None, None, "none", "batch")), "activation": dice.choice((None, None, "relu", "prelu"))}
    groups = dice.choice([n for n in range(1, shape[0] + 1) if shape[0] % n == 0])
    channels = groups * dice.randint(1, max(1, 8 // groups))
    kinds = [
        lambda: Conv(channels, groups=groups, **wide, **own), lambda: Conv(channels, **wide),
        lambda: Depthwise(multiplier=dice.choice((1, 2)), **wide, **own), lambda: Pointwise(channels, groups=groups),
        lambda: MaxPool(**pool), lambda: AvgPool(**pool), lambda: GatedPool(**pool),
        lambda: Activation(dice.choice(("relu", "prelu", "prelu_per_channel", "silu", "gelu"))), Norm,
        lambda: Dropout(0.1, of=dice.choice(("maps", "elements"))), lambda: SqueezeExcite(dice.randint(1, 4)),
    ]  # fmt: skip
    kinds += [lambda: BlurPool(width=dice.randint(1, 4), **pool)] * padded
    if nested:
        inside = []
        for _ in range(dice.randint(1, 3)):
            layer, shape = _feasible(dice, whole, shape, padded, nested - 1)
            inside.append(layer)
        kinds += 3 * [lambda: Residual(*inside, activation=dice.choice(("none", "relu", "prelu")))]
        kinds += 3 * [lambda: Repeat(*inside, times=dice.randint(1, 3), shared=dice.random() < 0.6)]
    return dice.choice(kinds)()


def built(network, channels=1, size=28, classes=10):
    """Build a network for square pictures."""
    return network.build((channels, size, size), classes)
