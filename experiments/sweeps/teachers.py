"""Learning from a network of 100,000 parameters.

Question  does a teacher raise the accuracy of the base of `layouts`, and at which temperature?
Fidelity  8 epochs on the 50,000 training images beside the validation split, as the teacher
Run       make teacher SET=data.validation=true, then make sweep SWEEP=teachers (60 min on two cores)
"""

from experiments.sweeps.layouts import BASE
from experiments.sweeps.nonlinearities import FIDELITY
from tinycnn.spec import Distillation
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="teachers",
    base=BASE,
    arms={
        "T 4": BASE.but(loss=Distillation("teacher")),
        "T 2": BASE.but(loss=Distillation("teacher", temperature=2.0)),
        "half": BASE.but(loss=Distillation("teacher", share=0.5)),
    },
    fidelity=FIDELITY | {"train.epochs": 8},
    seeds=6,
)
