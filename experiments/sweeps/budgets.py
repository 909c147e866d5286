"""Layouts of fewer than 4,000, 2,000 and 1,000 parameters.

Question  are separate weights in every layer better than the same weights in several layers, at each size?
Fidelity  8 epochs on the 50,000 training images beside the validation split
Analysis  one seed of each so far: at 4,000 and 2,000 parameters the same weights in several layers look worse, and the
          smallest cannot afford a late pool (`record_1k` has two early ones)
Run       make sweep SWEEP=budgets (60 min on two cores)
"""

from experiments.sweeps.layouts import arm
from experiments.sweeps.nonlinearities import FIDELITY
from tinycnn.spec import Conv, Depthwise, Head, MaxPool, Repeat
from tinycnn.spec.sweep import Sweep


def shared(early, first, late, second):
    """Layers that are repeated with the same weights, before and after the pool."""
    again = (Repeat(Conv(c, padding=1), times=n, shared=True) for c, n in ((early, first), (late, second)))
    return arm(Conv(early), next(again), MaxPool(2), Conv(late), next(again), Head())


LAST = Depthwise(4, norm="none", activation="none")  # over the whole last map

SWEEP = Sweep(
    name="budgets",
    base=arm(Conv(6), Conv(7), Conv(7), Conv(7), MaxPool(2), Conv(8), Conv(10), Conv(12), Head()),
    arms={
        "4k global": arm(
            Conv(6), Conv(7), Conv(7), Conv(7), MaxPool(2), Conv(8), Conv(10), Conv(10), LAST, Head()
        ),
        "4k shared": shared(10, 3, 13, 2),
        "2k plain": arm(Conv(4), Conv(5), Conv(5), Conv(5), MaxPool(2), Conv(6), Conv(6), Conv(8), Head()),
        "2k global": arm(Conv(4), Conv(5), Conv(5), Conv(5), MaxPool(2), Conv(6), Conv(6), Conv(6), LAST, Head()),
        "2k shared": shared(7, 3, 9, 2),
        "1k plain": arm(Conv(3), Conv(3), Conv(4), Conv(4), MaxPool(2), Conv(4), Conv(4), Conv(5), Head()),
        "1k shared": shared(5, 3, 6, 2),
    },
    fidelity=FIDELITY | {"train.epochs": 8},
    seeds=6,
)  # fmt: skip
