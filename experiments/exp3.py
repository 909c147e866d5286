"""Iteration 3: deeper and narrower, cutout, dropout, Adam, StepLR.

Target    99.4 % in every one of the last five of at most 15 epochs, fewer than 8,000 parameters.
Change    from exp2: seven narrower convolutions in place of four, one max-pool in place of two; more augmentation,
          cutout among it; Adam in place of SGD; the learning rate falls in steps; little dropout, but in every layer.
Analysis  the first drop of the learning rate brings more than anything before it, and the later ones steady the last
          epochs. The layout matters as much: the same parameters spread over more and narrower layers did better on
          validation images than wide early ones. What is left between clean training and test images is so
          little that capacity, no longer regularisation, is what is short; one seed in several still dips below.
Run       make exp3 (2 min)
"""

from experiments.exp2 import SPEC as EXP2
from tinycnn.spec import Adam, Augment, Conv, Head, MaxPool, Network, StepLR

SPEC = EXP2.but(
    name="exp3",
    model=Network(
        Conv(8), Conv(12), Conv(12), MaxPool(2),
        Conv(12), Conv(12), Conv(10), Conv(18), Head(),
        dropout=0.003,
    ),
    augment=Augment(rotation=10.0, shift=2.0, scale=0.1, shear=5.0, cutout=4),
    optimizer=Adam(lr=0.007),
    schedule=StepLR(step_size=5, gamma=0.2),
)
