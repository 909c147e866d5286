"""The layout around exp3: how deep before and after the pool, how wide, and what kind of pool, under 8,000 parameters.

Question  does a layout found by search do better than exp3's, which was found by trying?
Fidelity  5 epochs of one cycle, on 10,000 of the 50,000 training images beside the validation split
Run       make study STUDY=layout (20 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import AvgPool, BlurPool, Conv, GatedPool, Head, MaxPool, Network, OneCycle, Repeat
from tinycnn.study import Choice, Int, Study

BASE = EXP3.but(
    name="layout_base",
    model=Network(
        Conv(8), Repeat(Conv(12), times=2), MaxPool(2),
        Repeat(Conv(12), times=2), Conv(16), Head(),
        dropout=0.003,
    ),
    schedule=OneCycle(),
)  # fmt: skip

STUDY = Study(
    name="layout",
    base=BASE,
    fidelity={"data.images": 10_000, "train.epochs": 5},
    ranges={
        "model.layers.0.channels": Int(4, 16, step=2),
        "model.layers.1.times": Int(1, 4),
        "model.layers.1.layers.0.channels": Int(6, 20, step=2),
        "model.layers.2": Choice(MaxPool(2), AvgPool(2), BlurPool(2), GatedPool(2), MaxPool(3)),
        "model.layers.3.times": Int(1, 5),
        "model.layers.3.layers.0.channels": Int(6, 20, step=2),
        "model.layers.4.channels": Int(8, 24, step=2),
    },
    trials=60,
)
