"""CIFAR-10: separable blocks, and batch norm on the images.

Target    more than cifar1 with as many parameters; no accuracy is asked for yet.
Change    from cifar1: after the first convolution each is split into a depthwise and a 1×1 convolution. That is a
          quarter of the weights, which pays for three more layers and more than twice the channels.
Analysis  the network was what cifar1 was short of. It still underfits: training and test accuracy end close together.
Run       make cifar2 (8 min)
"""

from experiments.cifar1 import SPEC as CIFAR1
from tinycnn.spec import Conv, Depthwise, Head, MaxPool, Network, Norm, Pointwise


def separable(channels):
    """A depthwise and a 1×1 convolution, each with batch norm and activation."""
    return Depthwise(3), Pointwise(channels)


SPEC = CIFAR1.but(
    name="cifar2",
    model=Network(
        Norm(), Conv(12), *separable(16), *separable(24), MaxPool(2),
        *separable(32), *separable(32), MaxPool(2), *separable(40), *separable(36), Head(),
        padding=1,
    ),
)  # fmt: skip
