"""The ablation of record_8k: one ingredient removed at a time.

Question  which of its ingredients does the network owe its accuracy to?
Fidelity  15 epochs on the 50,000 training images beside the validation split
Analysis  one cycle brings 0.085 over exp3's steps, the augmentation 0.039 over exp3's. What SiLU, the layout and any
          augmentation at all bring, 0.025 to 0.036, eight pairs cannot tell from nothing. Weight decay, which is
          AdamW's default, shows no effect. Nothing that the spec names is known to be idle, so all of it stays
Run       make sweep SWEEP=ablation (75 min on two cores)
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
