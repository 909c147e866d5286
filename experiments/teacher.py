"""A network of 100,000 parameters for the small ones to learn from.

Target    as accurate as 15 epochs make it, at little arithmetic: each of its pupils computes it for every batch.
Change    from exp3: sprint's layout four times as wide, SiLU; the augmentation, optimizer and schedule of the records;
          more weight decay and dropout, which so many parameters need.
Analysis  its pupils were no better than without it, and the smallest worse (the sweep `distilled`).
Run       make teacher (6 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import AdamW, Augment, Conv, Head, MaxPool, Network, OneCycle, Target

SPEC = EXP3.but(
    name="teacher",
    model=Network(
        Conv(32, kernel=5), MaxPool(2), Conv(72), Conv(64), MaxPool(2), Conv(72), Head(),
        activation="silu", dropout=0.03,
    ),
    augment=Augment(rotation=8.0, shift=1.2, scale=0.06, shear=5.0),
    optimizer=AdamW(lr=0.01, weight_decay=0.02),
    schedule=OneCycle(pct_start=0.2, div_factor=10.0),
    target=Target(parameter_limit=None, accuracy=None),
)  # fmt: skip
