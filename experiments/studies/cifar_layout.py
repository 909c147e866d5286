"""CIFAR-10: the widths of cifar_15 under 8,000 parameters, with its learning rate.

Question  before which pool do the channels do most good?
Fidelity  5 epochs on 10,000 of the 45,000 training images beside the validation split
Run       make study STUDY=cifar_layout (30 min)
"""

from experiments.cifar_15 import SPEC as CIFAR_15
from tinycnn.study import Float, Int, Study

WIDTHS = {1: (8, 24), 3: (12, 32), 5: (16, 48), 8: (20, 52), 10: (20, 52), 13: (24, 60), 15: (24, 72)}  # by layer

STUDY = Study(
    name="cifar_layout",
    base=CIFAR_15,
    fidelity={"data.images": 10_000, "train.epochs": 5},
    ranges={f"model.layers.{layer}.channels": Int(low, high, step=4) for layer, (low, high) in WIDTHS.items()}
    | {"optimizer.lr": Float(0.005, 0.04, log=True)},
    trials=60,
)
