"""The networks of the first iterations, and one with every kind of layer, for tests."""

from tinycnn.spec import (  # noqa: I001
    Activation, AvgPool, BlurPool, Conv, Depthwise, Dropout, GatedPool, Head, MaxPool, Network, Norm, Pointwise,
    Repeat, Residual, SqueezeExcite,
)  # fmt: skip


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


def built(network, channels=1, size=28, classes=10):
    """Build a network for square images."""
    return network.build((channels, size, size), classes)
