"""A teacher of three times the parameters for cifar_15.

Question  does a network of fewer than 8,000 parameters learn more from a larger one's outputs than from the labels?
Fidelity  15 epochs on the 45,000 training images beside the validation split, which the teacher has not seen either
Analysis  yes: with half of the loss from the teacher, whose accuracy here is 87.74, each of five seeds is better, on
          average by 2.1 points (1.6 to 2.5); with nine tenths by 1.2 (0.6 to 1.9). On MNIST a teacher brought nothing
          (the sweep `distilled`)
Run       make cifar_22k SET="data.validation=true" (2 h), then make sweep SWEEP=cifar_distilled (2 h)
"""

from experiments.cifar_15 import SPEC as CIFAR_15
from tinycnn.spec import Distillation
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="cifar_distilled",
    base=CIFAR_15,
    arms={
        "teacher": CIFAR_15.but(loss=Distillation("cifar_22k", temperature=4.0)),
        "teacher, half": CIFAR_15.but(loss=Distillation("cifar_22k", temperature=4.0, share=0.5)),
    },
    fidelity={"data.validation": True},
    seeds=5,
)
