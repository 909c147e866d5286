"""Recipe and layers of separable networks of fewer than 1,000 parameters.

Question  without augmentation, what else do so few parameters gain from?
Fidelity  8 epochs on the 50,000 training images beside the validation split
Analysis  none yet
Run       make sweep SWEEP=smallest (20 min on two cores)
"""

from experiments.record_1k import SPEC as RECORD_1K
from experiments.sweeps.separable import PLAIN, block, network, separable
from tinycnn.spec import Conv, MaxPool, Repeat
from tinycnn.spec.sweep import Sweep

BASE = separable(RECORD_1K, 6, 8, 10, 12).but(augment=PLAIN)

SWEEP = Sweep(
    name="smallest",
    base=BASE,
    arms={
        "shared block": BASE.but(
            model=network(
                Conv(6), *block(8), MaxPool(2), *block(10), Repeat(*block(10), times=2, shared=True),
                MaxPool(2), *block(10),
            )
        ),
        "late pool": BASE.but(
            model=network(Conv(6), *block(8), *block(10), MaxPool(2), *block(10), MaxPool(2), *block(12))
        ),
        "ReLU": {"model.activation": "relu"},
        "lr 0.02": {"optimizer.lr": 0.02},
        "lr 0.08": {"optimizer.lr": 0.08},
        "batch 32": {"train.batch_size": 32},
        "no decay": {"optimizer.weight_decay": 0.0},
    },
    fidelity={"data.validation": True, "train.epochs": 8},
    seeds=4,
)  # fmt: skip
