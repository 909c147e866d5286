"""One late pool or two early ones, at 8,000 parameters.

Question  record_4k reaches with two early pools and a higher rate nearly what record_8k does: is that what it lacks?
Fidelity  none: the whole training, on the 50,000 images beside the validation split
Analysis  no: with as many parameters two early pools come out as one late pool does, at two thirds of the arithmetic,
          and the higher rate is no better with either
Run       make sweep SWEEP=pools (20 min on two cores)
"""

from experiments.record_8k import SPEC as RECORD
from tinycnn.spec import Conv, Head, MaxPool, Network
from tinycnn.spec.sweep import Sweep

FASTER = {"optimizer.lr": 0.03}
EARLY = Network(
    Conv(10), Conv(12), MaxPool(2), Conv(14), Conv(16), MaxPool(2), Conv(20), Head(), activation="silu"
)  # fmt: skip

SWEEP = Sweep(
    name="pools",
    base=RECORD,
    arms={
        "lr 0.03": FASTER,
        "two pools": RECORD.but(model=EARLY),
        "two pools, lr 0.03": RECORD.but(model=EARLY).with_values(FASTER),
    },
    fidelity={"data.validation": True},
    seeds=4,
)
