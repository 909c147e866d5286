"""CIFAR-10 in 15 epochs with fewer than 2,000 parameters: a point of the front.

Target    no accuracy is asked for: accuracy against parameters, all else the same.
Change    a quarter of the parameters of cifar_15: its channels by a half.
Analysis  none yet
Run       make cifar_2k SEEDS=3 ARGS="--first-seed 1000" (15 min)
"""

from experiments.cifar2 import separable
from experiments.cifar_15 import SPEC as CIFAR_15
from tinycnn.spec import Conv, Head, MaxPool, Network, Norm, Target

SPEC = CIFAR_15.but(
    name="cifar_2k",
    model=Network(
        Norm(), Conv(6), *separable(8), *separable(10), MaxPool(2),
        *separable(12), *separable(12), MaxPool(2), *separable(16), *separable(14), Head(),
        padding=1, activation="silu",
    ),
    target=Target(parameter_limit=2000, max_epochs=15, accuracy=None),
)  # fmt: skip
