"""Augmentation and weight decay at 22,000 parameters.

Question  does a network of three times the parameters have a use for what record_cifar underfits too much to need?
Fidelity  none: 60 epochs, on the 45,000 training images beside the validation split
Analysis  yes: shifted by two pixels and with decay both seeds are better, by 1.06 and 1.20; shifts of four pixels bring
          less than those of two
Run       make sweep SWEEP=cifar_22k (16 core hours; its evidence: 6 min of an H100)
"""

from experiments.cifar_22k import SPEC as CIFAR_22K
from experiments.record_cifar import SPEC as RECORD_CIFAR
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="cifar_22k",
    base=RECORD_CIFAR.but(model={"layers": CIFAR_22K.model.layers}, target=CIFAR_22K.target),
    arms={
        "shifted by 2": {"augment.crop": 2},
        "shifted by 4": {"augment.crop": 4},
        "shifted by 2, decay 0.05": {"augment.crop": 2, "optimizer.weight_decay": 0.05},
    },
    fidelity={"data.validation": True},
    seeds=2,
)
