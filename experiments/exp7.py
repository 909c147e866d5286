"""Iteration 7: separable blocks in a layout that a study found, under 1,000 parameters.

Target    more than record_1k: 99.0 % after the last epoch, as a mean over five seeds.
Change    from record_1k: the layout of trial 40 of a study of 60 (`layout_1k`), its third best: separable blocks, each
          a depthwise and a 1×1 convolution with batch norm and SiLU, wide before the first pool and narrow after it;
          no augmentation.
Analysis  on validation images it is 0.38 better (98.56, four seeds, at that trial's rate of 0.0496; record_1k 98.18),
          and 0.25 better than record_1k without augmentation (the sweep `unchanged`). On test images it is not, nor did
          record_2k gain there by leaving augmentation out. So record_1k stays.
          Again: make exp7 SEEDS=4 SET="data.validation=true optimizer.lr=0.0496"
Run       make exp7 SEEDS=5 ARGS="--first-seed 1000" (8 min)
"""

from experiments.record_1k import SPEC as RECORD_1K
from tinycnn.spec import Augment, Conv, Depthwise, Head, MaxPool, Network, Pointwise

SPEC = RECORD_1K.but(
    name="exp7",
    model=Network(
        Conv(7), Depthwise(padding=1), Pointwise(12), MaxPool(2),
        Depthwise(padding=1), Pointwise(6), Depthwise(padding=1), Pointwise(11), MaxPool(2),
        Depthwise(padding=1), Pointwise(8), Head(),
        activation="silu",
    ),
    augment=Augment(),
    optimizer={"lr": 0.05},
)  # fmt: skip
