"""The same weights at every depth and every scale, so that few parameters make wide networks.

Question  is one convolution, applied six times at three scales, better than as many parameters in layers of their own?
Fidelity  8 epochs on the 50,000 training images beside the validation split
Analysis  none yet
Run       make sweep SWEEP=shared (40 min on two cores)
"""

from experiments.record_4k import SPEC as RECORD_4K
from experiments.sweeps.separable import PLAIN, RECORD_1K, RECORD_2K
from tinycnn.spec import Conv, Depthwise, Head, MaxPool, Network, Pointwise, Repeat, Residual
from tinycnn.spec.sweep import Sweep


def shared(channels, *block, times=2):
    """A convolution, then at each of three scales ``times`` times the same block."""
    block = block or (Conv(channels, padding=1),)
    scale = (MaxPool(2), Repeat(*block, times=times, shared=True))
    return Network(Conv(channels), Repeat(*scale, times=3, shared=True), Head(), activation="silu")


def separable(channels):
    """The layers of a separable block."""
    return Depthwise(3, padding=1), Pointwise(channels)


SWEEP = Sweep(
    name="shared",
    base=RECORD_1K,
    arms={
        "1k shared": RECORD_1K.but(model=shared(9)),
        "1k shared, no augmentation": RECORD_1K.but(model=shared(9), augment=PLAIN),
        "1k shared, thrice": RECORD_1K.but(model=shared(9, times=3)),
        "1k shared, residual": RECORD_1K.but(model=shared(9, Residual(Conv(9, padding=1)))),
        "1k shared, separable": RECORD_1K.but(model=shared(18, *separable(18))),
        "1k shared, separable, residual": RECORD_1K.but(model=shared(18, Residual(*separable(18)))),
        "2k": RECORD_2K,
        "2k shared": RECORD_2K.but(model=shared(13)),
        "2k shared, separable": RECORD_2K.but(model=shared(29, *separable(29))),
        "4k": RECORD_4K,
        "4k shared": RECORD_4K.but(model=shared(19)),
    },
    fidelity={"data.validation": True, "train.epochs": 8},
    seeds=2,
)
