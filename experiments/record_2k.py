"""The most accurate network of fewer than 2,000 parameters so far.

Target    99.35 % after the last epoch, as a mean over five seeds.
Change    from exp3: SiLU, two pools and widths that grow towards the end, one cycle of AdamW in place of steps, neither
          augmentation nor dropout.
Analysis  so few parameters cannot even learn the training images, so what would keep them from learning by heart does
          no good: without the mild augmentation of record_1k, validation images came out 0.09 better in four pairs of
          seeds, which may be chance (the sweep `unchanged`), and 0.15 after half the epochs (`separable`). On test
          images it made no difference, 99.254 both, and an epoch takes a third less. Separable blocks were as good;
          SGD, Muon and other batches changed nothing beyond chance (`optimizers`), nor did convolutions that are
          expanded while they are trained (`expanded`).
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
    augment=Augment(),
    optimizer=AdamW(lr=0.04),
    schedule=OneCycle(pct_start=0.2, div_factor=10.0),
    target=Target(parameter_limit=2000, accuracy=99.35, last_epochs=1),
)  # fmt: skip
