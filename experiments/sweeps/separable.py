"""Separable blocks in place of plain convolutions, at each size.

Question  a depthwise and a 1×1 convolution, each with batch norm and SiLU, carried CIFAR-10: do they carry MNIST too?
Fidelity  8 epochs on the 50,000 training images beside the validation split
Analysis  two seeds of each: as good as plain layers at 4,000 parameters and without augmentation; at 2,000 and with it
          0.17 better. What helped as much, at 1,000 and 2,000 parameters, was to leave the augmentation out
Run       make sweep SWEEP=separable (60 min on two cores)
"""

from experiments.record_2k import SPEC as RECORD
from experiments.record_4k import SPEC as RECORD_4K
from tinycnn.spec import Augment, Conv, Depthwise, GatedPool, Head, MaxPool, Network, Pointwise
from tinycnn.spec.sweep import Sweep

PLAIN = Augment()  # none at all
MILD = Augment(rotation=4.0, shift=0.7, scale=0.03, shear=2.0)


def block(channels, kernel=3):
    """A depthwise and a 1×1 convolution, each with batch norm and activation."""
    return Depthwise(kernel, padding=kernel // 2), Pointwise(channels)


def network(*layers):
    """Layers with SiLU, the first of them a convolution, and a head."""
    return Network(*layers, Head(), activation="silu")


# the records as they were at the time
RECORD_2K = RECORD.but(augment=MILD)
RECORD_1K = RECORD_2K.but(
    model=network(Conv(4), Conv(4), MaxPool(2), Conv(5), Conv(5), MaxPool(2), Conv(6)),
    target={"parameter_limit": 1000, "accuracy": 99.0},
)


def separable(base, stem, early, late, last, pool=MaxPool):
    """Three separable blocks between two pools and after them."""
    layers = (Conv(stem), *block(early), pool(2), *block(late), *block(late), pool(2), *block(last))
    return base.but(model=network(*layers))


SWEEP = Sweep(
    name="separable",
    base=RECORD_1K,
    arms={
        "1k, no augmentation": RECORD_1K.but(augment=PLAIN),
        "1k separable": separable(RECORD_1K, 6, 8, 10, 12),
        "1k separable, no augmentation": separable(RECORD_1K, 6, 8, 10, 12).but(augment=PLAIN),
        "1k separable, deeper": RECORD_1K.but(
            model=network(Conv(6), *block(6), *block(8), MaxPool(2), *block(8), *block(10), MaxPool(2), *block(10))
        ),
        "1k separable, 5×5": RECORD_1K.but(
            model=network(Conv(6), *block(8), MaxPool(2), *block(9, 5), MaxPool(2), *block(10, 5))
        ),
        "1k separable, gated": separable(RECORD_1K, 6, 8, 10, 10, GatedPool),
        "2k": RECORD_2K,
        "2k, no augmentation": RECORD_2K.but(augment=PLAIN),
        "2k separable": separable(RECORD_2K, 10, 12, 16, 20),
        "2k separable, no augmentation": separable(RECORD_2K, 10, 12, 16, 20).but(augment=PLAIN),
        "2k separable, deeper": RECORD_2K.but(
            model=network(Conv(8), *block(10), *block(12), MaxPool(2), *block(14), *block(14), MaxPool(2), *block(18))
        ),
        "4k": RECORD_4K,
        "4k separable": separable(RECORD_4K, 12, 16, 26, 34),
        "4k separable, half the augmentation": separable(RECORD_4K, 12, 16, 26, 34).but(augment=MILD),
    },
    fidelity={"data.validation": True, "train.epochs": 8},
    seeds=2,
)
