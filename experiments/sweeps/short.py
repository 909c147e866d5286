"""How few epochs of sprint's one cycle are enough?

Question  which of fewer epochs, a higher rate or smaller batches keep sprint's accuracy in less time?
Fidelity  none: the whole training, on the 50,000 images beside the validation split
Analysis  five epochs do as well as seven, at either rate and batch; four are probably a little worse
Run       make sweep SWEEP=short (8 min)
"""

from experiments.sprint import SPEC as SPRINT
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="short",
    base=SPRINT.but(train={"epochs": 7}),
    arms={
        "5 epochs": {"train.epochs": 5},
        "5, lr 0.04": {"train.epochs": 5, "optimizer.lr": 0.04},
        "5, batch 64": {"train.epochs": 5, "train.batch_size": 64, "optimizer.lr": 0.02},
        "4, lr 0.04": {"train.epochs": 4, "optimizer.lr": 0.04},
        "4, batch 64": {"train.epochs": 4, "train.batch_size": 64, "optimizer.lr": 0.02},
    },
    fidelity={"data.validation": True},
    seeds=8,
)
