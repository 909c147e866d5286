"""Dropout and learning-rate steps of exp3.

Question  how much dropout, which learning rate, and when and how far should it drop?
Fidelity  all 15 epochs, on 20,000 of the 50,000 training images beside the validation split
Run       make study STUDY=dropout_lr (40 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.study import Float, Int, Study

STUDY = Study(
    name="dropout_lr",
    base=EXP3,
    fidelity={"data.images": 20_000},
    ranges={
        "model.dropout": Float(0.0, 0.1),
        "optimizer.lr": Float(0.001, 0.03, log=True),
        "schedule.step_size": Int(2, 10),
        "schedule.gamma": Float(0.05, 0.7, log=True),
    },
    trials=60,
)
