"""Convolutions that are two while they are trained: more weights to learn with, and none more to keep.

A convolution into four times the channels and a 1×1 convolution, with nothing between them, are one convolution
(ExpandNets, Guo et al. 2020, arXiv:1811.10495). `parameters` counts both; folded, each arm has those of its base.

Question  does record_2k learn more with expanded convolutions, as a network of 15,050 parameters did on CIFAR-10?
Fidelity  none: the whole training, on the 50,000 images beside the validation split
Analysis  no: over eight seeds the means come out alike, with intervals that end within 0.07 points, at either rate
Run       make sweep SWEEP=expanded (20 min on two cores)
"""

from experiments.record_2k import SPEC as RECORD_2K
from tinycnn.spec import Conv, Network, Pointwise
from tinycnn.spec.sweep import Sweep

NOTHING = {"norm": "none", "activation": "none"}


def expanded(layers, times=4):
    """The layers with each convolution in two."""
    for layer in layers:
        if isinstance(layer, Conv):
            yield Conv(times * layer.channels, layer.kernel, **NOTHING)
            yield Pointwise(layer.channels)
        else:
            yield layer


EXPANDED = RECORD_2K.but(
    model=Network(*expanded(RECORD_2K.model.layers), activation="silu"), target={"parameter_limit": None}
)

SWEEP = Sweep(
    name="expanded",
    base=RECORD_2K,
    arms={"expanded": EXPANDED, "expanded, half the rate": EXPANDED.but(optimizer={"lr": 0.02})},
    fidelity={"data.validation": True},
    seeds=8,
)
