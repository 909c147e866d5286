"""How well short trainings rank layouts of fewer than 4,000 parameters.

Question  would the layout that is best after two or five epochs also be the best after fifteen?
Fidelity  2, 5 and 15 epochs of one cycle on the 50,000 training images beside the validation split
Analysis  no: Kendall's tau with the order after fifteen is -0.11 after two epochs and -0.18 after five. The eight end
          within 0.1 points, as close as two seeds of one are, so there is hardly an order to foretell; the best after
          two or five ends 0.035 below the best. A short study finds layouts that fail, and no better one among good
Run       make sweep SWEEP=ladder (14 min on two cores)
"""

from experiments.record_4k import SPEC as RECORD_4K
from experiments.sweeps.separable import block
from tinycnn.spec import Conv, Head, MaxPool, Network
from tinycnn.spec.sweep import Sweep

LAYOUTS = {
    "8-9 P 10-10 P 14": RECORD_4K.model.layers,
    "one late pool": (Conv(6), Conv(7), Conv(7), Conv(8), MaxPool(2), Conv(9), Conv(10), Conv(8), Head()),
    "one early pool": (Conv(8), Conv(8), MaxPool(2), Conv(8), Conv(9), Conv(10), Conv(10), Head()),
    "wide stem": (Conv(14), Conv(9), MaxPool(2), Conv(9), Conv(9), MaxPool(2), Conv(12), Head()),
    "narrow stem": (Conv(4), Conv(8), MaxPool(2), Conv(10), Conv(10), MaxPool(2), Conv(18), Head()),
    "5×5 stem": (Conv(8, 5), MaxPool(2), Conv(12), Conv(10), MaxPool(2), Conv(15), Head()),
    "wide end": (Conv(6), Conv(6), MaxPool(2), Conv(8), Conv(10), MaxPool(2), Conv(20), Head()),
    "separable": (Conv(12), *block(16), MaxPool(2), *block(26), *block(26), MaxPool(2), *block(34), Head()),
}
EPOCHS = (2, 5, 15)


def arm(layers, epochs):
    """The record with other layers, trained for less long."""
    return RECORD_4K.but(model=Network(*layers, activation="silu"), train={"epochs": epochs})


_arms = {f"{name}, {epochs} epochs": arm(layers, epochs) for name, layers in LAYOUTS.items() for epochs in EPOCHS}
_arms.pop("8-9 P 10-10 P 14, 15 epochs")  # the base itself

SWEEP = Sweep(name="ladder", base=RECORD_4K, arms=_arms, fidelity={"data.validation": True}, seeds=2)
