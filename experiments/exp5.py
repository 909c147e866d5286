"""exp3 with what the study width found best.

Target    as exp3
Change    from exp3: widths 8-12-12-12-12-10-18 -> 6-10-12-10-10-10-20, model.dropout 0.003 -> 0.00106,
          optimizer.lr 0.007 -> 0.00574, schedule.gamma 0.2 -> 0.285
Source    trial 55 of the study width (validation loss 0.03451, its base's 0.03609; 60 trials with data.images
          10000), 2026-11-24
Analysis  inconclusive against exp3, and so the more interesting: with about a seventh fewer parameters the test
          accuracy is the same as far as five seeds can tell. Under the limit the widths matter little; the study
          found no place where parameters do more good than elsewhere.
Run       make exp5 (2 min)
"""

from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import Conv, Head, MaxPool, Network

SPEC = EXP3.but(
    name="exp5",
    model=Network(
        Conv(6), Conv(10), Conv(12), MaxPool(2),
        Conv(10), Conv(10), Conv(10), Conv(20), Head(),
        dropout=0.00106,
    ),
    optimizer={"lr": 0.00574},
    schedule={"gamma": 0.285},
)
