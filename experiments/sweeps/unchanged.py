"""Images as they are, for networks of fewer than 2,000 parameters, at full length.

Question  are they better off without any than with half the augmentation of the larger records?
Fidelity  15 epochs on the 50,000 training images beside the validation split
Analysis  four pairs: 0.09 and 0.14 better without, neither beyond chance, and not so on test images: record_2k is just
          as accurate without as with, and trains a third faster
Run       make sweep SWEEP=unchanged (30 min on two cores)
"""

from experiments.sweeps.separable import PLAIN, RECORD_1K, RECORD_2K
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="unchanged",
    base=RECORD_2K,
    arms={
        "2k, none": RECORD_2K.but(augment=PLAIN),
        "1k": RECORD_1K,
        "1k, none": RECORD_1K.but(augment=PLAIN),
    },
    fidelity={"data.validation": True},
    seeds=4,
)
