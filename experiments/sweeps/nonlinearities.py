"""Activation functions and pools in one layout of fewer than 8,000 parameters.

Question  does a smooth activation, a slope that is learned or a gate do more than ReLU and the plain maximum?
Fidelity  12 epochs on the 50,000 training images beside the validation split
Analysis  no difference is beyond chance; smooth functions may gain 0.03
Run       make sweep SWEEP=nonlinearities DEVICE=cuda (4 min; 3 h on two cores)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import AdamW, Augment, BlurPool, Conv, GatedPool, Head, MaxPool, Network, OneCycle
from tinycnn.spec.sweep import Sweep


def network(pool, **options):
    """Four convolutions before the pool, three after it."""
    return Network(Conv(8), Conv(10), Conv(10), Conv(10), pool, Conv(12), Conv(14), Conv(16), Head(), **options)


BASE = EXP3.but(
    model=network(MaxPool(2)),
    augment=Augment(rotation=8.0, shift=1.2, scale=0.06, shear=5.0),
    optimizer=AdamW(lr=0.02),
    schedule=OneCycle(pct_start=0.2, div_factor=10.0),
)
FIDELITY = {"data.validation": True, "train.epochs": 12}

SWEEP = Sweep(
    name="nonlinearities",
    base=BASE,
    arms={
        "SiLU": {"model.activation": "silu"},
        "SiLU, gated pool": BASE.but(model=network(GatedPool(2), activation="silu")),
        "GELU": {"model.activation": "gelu"},
        "PReLU": {"model.activation": "prelu_per_channel"},
        "gated pool": BASE.but(model=network(GatedPool(2))),
        "SiLU, blur pool": BASE.but(model=network(BlurPool(2), activation="silu")),
    },
    fidelity=FIDELITY,
    seeds=8,
)
