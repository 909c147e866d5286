"""Iteration 3: capacity at the front, cutout, dropout in every layer, Adam and StepLR.

Target    99.4 % in every one of the last five of at most 15 epochs, fewer than 8,000 parameters.
Change    from exp2: three convolutions before the only max-pool, four narrower ones after it; more augmentation, cutout
          among it; Adam in place of SGD; the learning rate falls in steps.
Analysis
Run       make exp3
"""

from experiments.exp2 import SPEC as EXP2
from tinycnn.spec import Adam, Augment, Model, StepLR

SPEC = EXP2.but(
    name="exp3",
    model=Model(name="model_3", dropout=0.01),
    augment=Augment(rotation=7.0, shift=1.5, scale=0.05, cutout=4),
    optimizer=Adam(lr=0.01),
    schedule=StepLR(step_size=4, gamma=0.2),
)
