"""Widths of exp3's seven convolutions, with its dropout and learning rate, under 8,000 parameters.

Question  where do the parameters do most good? Most of the widths searched are over the limit.
Fidelity  all 15 epochs, on 10,000 of the 50,000 training images beside the validation split
Run       make study STUDY=width (20 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.study import Float, Int, Study

HIGHEST = {0: 16, 1: 20, 2: 20, 4: 20, 5: 20, 6: 20, 7: 24}  # by layer; layer 3 is the pool

STUDY = Study(
    name="width",
    base=EXP3,
    fidelity={"data.images": 10_000},
    ranges={f"model.layers.{layer}.channels": Int(4, high, step=2) for layer, high in HIGHEST.items()}
    | {
        "model.dropout": Float(0.0, 0.05),
        "optimizer.lr": Float(0.002, 0.02, log=True),
        "schedule.step_size": Int(3, 9),
        "schedule.gamma": Float(0.05, 0.5, log=True),
    },
    trials=60,
)
