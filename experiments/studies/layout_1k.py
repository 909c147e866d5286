"""Separable layouts of fewer than 1,000 parameters: widths, depth, weights shared across depth, and the learning rate.

Question  how are so few parameters best shared out, if most layers are separable blocks?
Fidelity  6 epochs on the 50,000 training images beside the validation split, without augmentation
Run       make study STUDY=layout_1k (25 min)
"""

from experiments.sweeps.separable import RECORD_1K
from tinycnn.spec import Augment, Conv, Depthwise, Head, MaxPool, Network, Pointwise, Repeat
from tinycnn.study import Choice, Float, Int, Study


def blocks(channels):
    """A separable block, which may be repeated."""
    return Repeat(Depthwise(3, padding=1), Pointwise(channels), times=1)


STUDY = Study(
    name="layout_1k",
    base=RECORD_1K.but(
        name="layout_1k_base",
        model=Network(
            Conv(6), blocks(8), MaxPool(2), blocks(10), blocks(10), MaxPool(2), blocks(12), Head(), activation="silu"
        ),
        augment=Augment(),
    ),
    fidelity={"train.epochs": 6},
    ranges={
        "model.layers.0.channels": Int(4, 10),
        "model.layers.1.layers.1.channels": Int(5, 12),
        "model.layers.3.layers.1.channels": Int(6, 14),
        "model.layers.4.layers.1.channels": Int(6, 14),
        "model.layers.4.times": Int(1, 3),
        "model.layers.4.shared": Choice(False, True),
        "model.layers.6.layers.1.channels": Int(8, 18),
        "optimizer.lr": Float(0.01, 0.1, log=True),
    },
    trials=60,
)
