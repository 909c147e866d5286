"""How one network of fewer than 8,000 parameters is trained: rates, decay, augmentation, averages.

Question  which change of the recipe raises the accuracy of 8-10-10-10 channels, a pool and 12-14-16, with SiLU?
Fidelity  12 epochs on the 50,000 training images beside the validation split
Analysis  none; more decay and smoothed labels are worse, and less augmentation probably is
Run       make sweep SWEEP=recipes DEVICE=cuda (5 min; 4 h on two cores)
"""

from experiments.sweeps.layouts import BASE
from experiments.sweeps.nonlinearities import FIDELITY
from tinycnn.spec import Augment
from tinycnn.spec.sweep import Sweep

SWEEP = Sweep(
    name="recipes",
    base=BASE,
    arms={
        "lr 0.03": {"optimizer.lr": 0.03},
        "lr 0.012": {"optimizer.lr": 0.012},
        "decay 0.1": {"optimizer.weight_decay": 0.1},
        "smoothed labels": {"loss.label_smoothing": 0.1},
        "more augmentation": BASE.but(augment=Augment(rotation=12.0, shift=2.0, scale=0.1, shear=8.0)),
        "less augmentation": BASE.but(augment=Augment(rotation=5.0, shift=0.8, scale=0.04, shear=3.0)),
        "cutout": {"augment.cutout": 4},
        "faded augmentation": {"augment.fade": 3},
    },
    fidelity=FIDELITY,
    seeds=8,
)
