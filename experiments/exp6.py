"""Iteration 6: steps of the learning rate, and averaged weights.

Target    99.4 % in every one of the last five of at most 15 epochs, in nine of ten seeds.
Change    from record_8k: the learning rate falls in two steps, after five and ten epochs, in place of one cycle, and
          half as high; the weights are averaged over some 500 batches.
Analysis  one cycle is still too high five epochs before its end, where its weights swing about a good network. Lower
          rates from the sixth epoch on, and the average, give up little of the last accuracy and steady the epochs
          before it.
Run       make exp6 SEEDS=10 ARGS="--first-seed 1000" (20 min)
"""

from experiments.record_8k import SPEC as RECORD_8K
from tinycnn.spec import Average, StepLR

SPEC = RECORD_8K.but(
    name="exp6",
    optimizer={"lr": 0.01},
    schedule=StepLR(step_size=5, gamma=0.2),
    average=Average(decay=0.998),
)
