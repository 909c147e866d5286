"""Where fewer than 8,000 parameters go: depth before and after the pool, blocks, and the last map.

Question  which layout is the best, with SiLU throughout and the same training?
Fidelity  8 epochs on the 50,000 training images beside the validation split
Analysis  two seeds of each so far: no layout stands out, the residual one may be worse
Run       make sweep SWEEP=layouts (90 min on two cores)
"""

from experiments.sweeps.nonlinearities import BASE as RELU
from experiments.sweeps.nonlinearities import FIDELITY
from tinycnn.spec import Conv, Depthwise, Head, MaxPool, Network, Residual
from tinycnn.spec.sweep import Sweep

BASE = RELU.but(model={"activation": "silu"})


def arm(*layers):
    """The base with other layers."""
    return BASE.but(model=Network(*layers, activation="silu"))


def residual(channels):
    """Two padded convolutions beside the identity."""
    second = Conv(channels, padding=1, activation="none")
    return Residual(Conv(channels, padding=1), second, activation="silu")


SWEEP = Sweep(
    name="layouts",
    base=BASE,
    arms={
        "global depthwise": arm(
            Conv(8), Conv(10), Conv(10), Conv(10), MaxPool(2), Conv(12), Conv(14), Conv(14),
            Depthwise(4, norm="none", activation="none"), Head(),
        ),
        "8-12-12 P 14-14-14": arm(Conv(8), Conv(12), Conv(12), MaxPool(2), Conv(14), Conv(14), Conv(14), Head()),
        "deep after": arm(
            Conv(8), Conv(10), Conv(10), MaxPool(2), Conv(12), Conv(12), Conv(14), Conv(14), Head()
        ),
        "5×5 stem": arm(Conv(10, 5), Conv(10), Conv(12), MaxPool(2), Conv(14), Conv(14), Conv(16), Head()),
        "two pools": arm(
            Conv(8), Conv(10), MaxPool(2), Conv(12, padding=1), Conv(14, padding=1), MaxPool(2), Conv(14), Conv(14),
            Head(),
        ),
        "residual": arm(Conv(11), residual(11), MaxPool(2), Conv(14), residual(14), Head()),
    },
    fidelity=FIDELITY | {"train.epochs": 8},
    seeds=6,
)  # fmt: skip
