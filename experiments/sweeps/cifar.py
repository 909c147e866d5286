"""CIFAR-10 with fewer than 8,000 parameters: layers and recipe, one change at a time.

Question  which kinds of layers, and which part of the recipe, is the accuracy of separable networks due to?
Fidelity  6 epochs on the 45,000 training images beside the validation split
Analysis  none yet
Run       make sweep SWEEP=cifar (4 h on two cores)
"""

from experiments.cifar1 import SPEC as CIFAR1
from experiments.cifar_15 import SPEC as BASE
from tinycnn.spec import Conv, Depthwise, GatedPool, Head, MaxPool, Network, Norm, Pointwise, Repeat, Residual
from tinycnn.spec.sweep import Sweep


def block(channels, kernel=3, **options):
    """A depthwise and a 1×1 convolution, each with batch norm and activation unless the options say otherwise."""
    return Depthwise(kernel, padding=kernel // 2, **options), Pointwise(channels)


def residual(channels):
    """A block beside the identity."""
    return Residual(*block(channels))


def arm(*layers):
    """The base with other layers between the first convolution and the head."""
    return BASE.but(model=Network(Norm(), Conv(12), *layers, Head(), padding=1, activation="silu"))


SWEEP = Sweep(
    name="cifar",
    base=BASE,
    arms={
        "plain convolutions": BASE.but(model=CIFAR1.model.model_copy(update={"activation": "silu"})),
        "16 channels at first": BASE.but(
            model=Network(
                Norm(), Conv(16), *block(24), MaxPool(2), *block(32), *block(32), MaxPool(2), *block(40), *block(40),
                Head(),
                padding=1, activation="silu",
            )
        ),
        "no norm between": arm(
            *block(16, norm="none", activation="none"), *block(24, norm="none", activation="none"), MaxPool(2),
            *block(32, norm="none", activation="none"), *block(32, norm="none", activation="none"), MaxPool(2),
            *block(40, norm="none", activation="none"), *block(40, norm="none", activation="none"),
        ),
        "residual": arm(
            *block(16), *block(24), MaxPool(2), *block(32), residual(32), MaxPool(2), *block(38), residual(38)
        ),
        "shared weights": arm(
            *block(16), *block(24), MaxPool(2), *block(32), Repeat(residual(32), times=2, shared=True), MaxPool(2),
            *block(38), Repeat(residual(38), times=2, shared=True),
        ),
        "gated pools": arm(
            *block(16), *block(24), GatedPool(2), *block(32), *block(32), GatedPool(2), *block(38), *block(36)
        ),
        "5×5 after the first pool": arm(
            *block(16), *block(24), MaxPool(2), *block(26, 5), *block(26, 5), MaxPool(2), *block(32, 5), *block(32, 5)
        ),
        "ReLU": {"model.activation": "relu"},
        "PReLU": {"model.activation": "prelu"},
        "shifted pictures": {"augment.crop": 2},
        "decay 0.01": {"optimizer.weight_decay": 0.01},
        "lr 0.01": {"optimizer.lr": 0.01},
    },
    fidelity={"data.validation": True, "train.epochs": 6},
    seeds=2,
)  # fmt: skip
