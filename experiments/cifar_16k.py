"""CIFAR-10 in 60 epochs with fewer than 16,000 parameters: accuracy against parameters.

Target    none.
Change    twice the parameters of record_cifar, its channels by one and a half; shifts and decay are those of cifar_22k.
Analysis  four points above record_cifar, one below cifar_22k.
Run       make cifar_16k SEEDS=3 ARGS="--first-seed 1000" (2.5 h)
"""

from experiments.cifar2 import separable
from experiments.record_cifar import SPEC as RECORD_CIFAR
from tinycnn.spec import AdamW, Augment, Conv, Head, MaxPool, Network, Norm, Target

SPEC = RECORD_CIFAR.but(
    name="cifar_16k",
    model=Network(
        Norm(), Conv(18), *separable(24), *separable(36), MaxPool(2),
        *separable(48), *separable(48), MaxPool(2), *separable(60), *separable(54), Head(),
        padding=1, activation="silu",
    ),
    augment=Augment(flip=True, crop=2),
    optimizer=AdamW(lr=0.02, weight_decay=0.05),
    target=Target(parameter_limit=16000, max_epochs=60, accuracy=None),
)  # fmt: skip
