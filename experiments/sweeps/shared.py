"""The same weights at every depth and every scale, so that few parameters make wide networks.

Question  is one convolution, applied six times at three scales, better than as many parameters in layers of their own?
Fidelity  8 epochs on the 50,000 training images beside the validation split
Analysis  no: at no size is it better than layers of their own. With 2,000 parameters all four pairs of seeds are worse,
          by 0.08 to 0.22. A layer more at each scale, or the identity beside it, makes it worse still
Run       make sweep SWEEP=shared (40 min on two cores; its evidence: 1 min of an H100)
"""

from experiments.record_4k import SPEC as RECORD_4K
from experiments.sweeps.separable import PLAIN, RECORD_1K, RECORD_2K, block
from tinycnn.spec import Conv, Head, MaxPool, Network, Repeat, Residual
from tinycnn.spec.sweep import Sweep


def shared(channels, *layers, times=2):
    """A convolution, then at each of three scales ``times`` times the same layers."""
    layers = layers or (Conv(channels, padding=1),)
    scale = (MaxPool(2), Repeat(*layers, times=times, shared=True))
    return Network(Conv(channels), Repeat(*scale, times=3, shared=True), Head(), activation="silu")


SWEEP = Sweep(
    name="shared",
    base=RECORD_1K,
    arms={
        "1k shared": RECORD_1K.but(model=shared(9)),
        "1k shared, no augmentation": RECORD_1K.but(model=shared(9), augment=PLAIN),
        "1k shared, thrice": RECORD_1K.but(model=shared(9, times=3)),
        "1k shared, residual": RECORD_1K.but(model=shared(9, Residual(Conv(9, padding=1)))),
        "1k shared, separable": RECORD_1K.but(model=shared(18, *block(18))),
        "1k shared, separable, residual": RECORD_1K.but(model=shared(18, Residual(*block(18)))),
        "2k": RECORD_2K,
        "2k shared": RECORD_2K.but(model=shared(13)),
        "2k shared, separable": RECORD_2K.but(model=shared(29, *block(29))),
        "4k": RECORD_4K,
        "4k shared": RECORD_4K.but(model=shared(19)),
    },
    fidelity={"data.validation": True, "train.epochs": 8},
    seeds=2,
)
