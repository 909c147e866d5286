"""CIFAR-10: a network of 270,000 parameters for the small ones to learn from.

Target    as accurate as 30 epochs make it, at little arithmetic: each of its pupils computes it for every batch.
Change    from cifar_15: plain convolutions, five times as wide; pictures are shifted, weights decay, 30 epochs.
Analysis  none yet
Run       make cifar_teacher SEEDS=2
"""

from experiments.cifar_15 import SPEC as CIFAR_15
from tinycnn.spec import AdamW, Augment, Conv, Head, MaxPool, Network, Norm, Target

SPEC = CIFAR_15.but(
    name="cifar_teacher",
    model=Network(
        Norm(), Conv(32), Conv(48), MaxPool(2), Conv(80), Conv(80), MaxPool(2), Conv(112), Conv(80), Head(),
        padding=1, activation="silu",
    ),
    augment=Augment(flip=True, crop=4),
    optimizer=AdamW(lr=0.01, weight_decay=0.05),
    train={"epochs": 30},
    target=Target(parameter_limit=None, accuracy=None),
)  # fmt: skip
