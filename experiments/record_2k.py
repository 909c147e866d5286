"""The most accurate network of fewer than 2,000 parameters so far.

Target    99.35 % after the last epoch, as a mean over five seeds.
Change    from exp3: SiLU, two pools and widths that grow towards the end, one cycle of AdamW in place of steps, half
          the augmentation without cutout, no dropout.
Analysis  so few parameters cannot even learn the training images, so what would keep them from learning by heart does
          harm: on validation images, in a first look with one seed, less augmentation and a higher rate were better.
Run       make record_2k SEEDS=5 ARGS="--first-seed 1000" (4 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import AdamW, Augment, Conv, Head, MaxPool, Network, OneCycle, Target

SPEC = EXP3.but(
    name="record_2k",
    model=Network(
        Conv(6), Conv(6), MaxPool(2), Conv(6), Conv(7), MaxPool(2), Conv(11), Head(),
        activation="silu",
    ),
    augment=Augment(rotation=4.0, shift=0.7, scale=0.03, shear=2.0),
    optimizer=AdamW(lr=0.04),
    schedule=OneCycle(pct_start=0.2, div_factor=10.0),
    target=Target(parameter_limit=2000, accuracy=99.35, last_epochs=1),
)  # fmt: skip
