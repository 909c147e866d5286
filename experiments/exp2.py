"""Iteration 2: within 8,000 parameters, with batch norm and dropout.

Target    fewer than 8,000 parameters, a 3x3 map before the global average, a layer after it; 99.4 % within 15 epochs.
Change    from exp1: four narrow convolutions of 16 channels with two max-pools in place of 28,624 parameters; batch
          norm and dropout after each of them.
Analysis  a quarter of the parameters does better from the first epoch on: batch norm is what the first network lacked.
          The gap to clean training accuracy has opened, so regularisation would now have something to do; and with a
          constant rate the test accuracy jumps from epoch to epoch to the very end, so the rate should fall.
Run       make exp2 (2 min)
"""

from experiments.exp1 import SPEC as EXP1
from tinycnn.spec import Conv, Head, MaxPool, Network, Target

SPEC = EXP1.but(
    name="exp2",
    model=Network(Conv(16), Conv(16), MaxPool(2), Conv(16), MaxPool(2), Conv(16), Head(), dropout=0.02),
    target=Target(parameter_limit=8000),
)
