"""Steps of the learning rate and averaged weights, in place of one cycle.

Question  does what steadies the last epochs of exp6 also raise the accuracy of a smaller network?
Fidelity  all 15 epochs on the 50,000 training images beside the validation split
Analysis  no: with 4,000 parameters they are as good as one cycle, as far as four seeds can tell
Run       make sweep SWEEP=steady (10 min on two cores)
"""

from experiments.record_4k import SPEC as RECORD_4K
from tinycnn.spec import AdamW, Average, StepLR
from tinycnn.spec.sweep import Sweep

STEPS = RECORD_4K.but(optimizer=AdamW(lr=0.01), schedule=StepLR(step_size=5, gamma=0.2), average=Average(decay=0.998))

SWEEP = Sweep(
    name="steady",
    base=RECORD_4K,
    arms={"steps, averaged": STEPS},
    fidelity={"data.validation": True},
    seeds=4,
)
