"""The most accurate network of fewer than 1,000 parameters so far.

Target    99.0 % after the last epoch, as a mean over five seeds.
Change    from exp3: SiLU, two early pools, one cycle of AdamW in place of steps, half the augmentation without cutout,
          no dropout.
Analysis  where the pools stand decides: with a late one the same parameters stayed two points lower, in a first look on
          validation images with one seed.
Run       make record_1k SEEDS=5 ARGS="--first-seed 1000" (3 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import AdamW, Augment, Conv, Head, MaxPool, Network, OneCycle, Target

SPEC = EXP3.but(
    name="record_1k",
    model=Network(
        Conv(4), Conv(4), MaxPool(2), Conv(5), Conv(5), MaxPool(2), Conv(6), Head(),
        activation="silu",
    ),
    augment=Augment(rotation=4.0, shift=0.7, scale=0.03, shear=2.0),
    optimizer=AdamW(lr=0.04),
    schedule=OneCycle(pct_start=0.2, div_factor=10.0),
    target=Target(parameter_limit=1000, accuracy=99.0, last_epochs=1),
)  # fmt: skip
