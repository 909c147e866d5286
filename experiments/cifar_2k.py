"""CIFAR-10 in 60 epochs with fewer than 2,000 parameters: accuracy against parameters.

Target    none; all but the parameters is that of record_cifar.
Change    a quarter of the parameters of record_cifar: its channels by a half.
Analysis  a quarter of the parameters cost eleven points, and seeds differ by more: 70.06 to 72.47.
Run       make cifar_2k SEEDS=3 ARGS="--first-seed 1000" (30 min)
"""

from experiments.cifar2 import separable
from experiments.record_cifar import SPEC as RECORD_CIFAR
from tinycnn.spec import Conv, Head, MaxPool, Network, Norm, Target

SPEC = RECORD_CIFAR.but(
    name="cifar_2k",
    model=Network(
        Norm(), Conv(6), *separable(8), *separable(10), MaxPool(2),
        *separable(12), *separable(12), MaxPool(2), *separable(16), *separable(14), Head(),
        padding=1, activation="silu",
    ),
    target=Target(parameter_limit=2000, max_epochs=60, accuracy=None),
)  # fmt: skip
