"""The most accurate network of fewer than 4,000 parameters so far.

Target    99.50 % after the last epoch, as a mean over five seeds.
Change    from exp3: SiLU, two pools, one cycle of AdamW in place of steps, milder augmentation without cutout, no
          dropout.
Analysis  on validation images, in a first look with one seed, two early pools and a wide end did as well as one late
          pool at two thirds of the arithmetic.
Run       make record_4k SEEDS=5 ARGS="--first-seed 1000" (5 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import AdamW, Augment, Conv, Head, MaxPool, Network, OneCycle, Target

SPEC = EXP3.but(
    name="record_4k",
    model=Network(
        Conv(8), Conv(9), MaxPool(2), Conv(10), Conv(10), MaxPool(2), Conv(14), Head(),
        activation="silu",
    ),
    augment=Augment(rotation=8.0, shift=1.2, scale=0.06, shear=5.0),
    optimizer=AdamW(lr=0.03),
    schedule=OneCycle(pct_start=0.2, div_factor=10.0),
    target=Target(parameter_limit=4000, accuracy=99.5, last_epochs=1),
)  # fmt: skip
