"""The ablation of record_8k: one ingredient removed at a time.

Question  which of its ingredients does the network owe its accuracy to?
Fidelity  15 epochs on the 50,000 training images beside the validation split
Analysis  none yet
Run       make sweep SWEEP=ablation (80 min on two cores)
"""

from experiments.exp3 import SPEC as EXP3
from experiments.record_8k import SPEC as RECORD_8K
from tinycnn.spec import Augment
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="ablation",
    base=RECORD_8K,
    arms={
        "ReLU": {"model.activation": "relu"},
        "exp3's layout": RECORD_8K.but(model={"layers": EXP3.model.layers}),
        "exp3's steps": RECORD_8K.but(optimizer=EXP3.optimizer, schedule=EXP3.schedule),
        "exp3's augmentation": RECORD_8K.but(augment=EXP3.augment),
        "no augmentation": RECORD_8K.but(augment=Augment()),
        "no weight decay": {"optimizer.weight_decay": 0.0},
    },
    fidelity={"data.validation": True},
    seeds=8,
)
