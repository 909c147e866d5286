"""A teacher for networks of fewer than 2,000 parameters.

Question  does a small network learn more from a large one's outputs than from the labels alone?
Fidelity  10 epochs on the 50,000 training images beside the validation split, which the teacher has not seen either
Analysis  none yet
Run       make teacher SET="data.validation=true", then make sweep SWEEP=distilled (40 min on two cores)
"""

from experiments.sweeps.separable import RECORD_2K, separable
from tinycnn.spec import Distillation
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="distilled",
    base=separable(RECORD_2K, 10, 12, 16, 20),
    arms={
        "T 2": {"loss": Distillation("teacher", temperature=2.0)},
        "T 4": {"loss": Distillation("teacher", temperature=4.0)},
        "T 4, half": {"loss": Distillation("teacher", temperature=4.0, share=0.5)},
    },
    fidelity={"data.validation": True, "train.epochs": 10},
    seeds=4,
)
