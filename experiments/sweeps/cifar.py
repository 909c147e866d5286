"""The ablation of cifar_15, and other layers in its place: one change at a time.

Question  which ingredients of cifar_15, taken away one at a time, does the network owe its accuracy to, and which other
          kinds of layers would add to it?
Fidelity  6 epochs on the 45,000 training images beside the validation split
Analysis  separable blocks bring 7 points, one cycle nearly 4 against steps, SiLU 2 against ReLU. Weights shared across
          depth add 0.8, with an interval that begins at 0.02; gated pools perhaps 0.9 (-0.3 to 2.1). Of the others no
          interval leaves out zero: what the study found is as good as the base, and neither the norms of the image and
          between the two convolutions nor flips are known to help in six epochs
Run       make sweep SWEEP=cifar (2 h on two cores)
"""

from experiments.cifar1 import SPEC as CIFAR1
from experiments.cifar_15 import SPEC as BASE
from tinycnn.spec import Conv, Depthwise, GatedPool, Head, MaxPool, Network, Norm, Pointwise, Repeat, Residual, StepLR
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
        "no norm of the image": BASE.but(model={"layers": BASE.model.layers[1:]}),
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
        "as the study cifar_layout found": arm(
            *block(12), *block(36), MaxPool(2), *block(24), *block(36), MaxPool(2), *block(36), *block(24)
        ),
        "ReLU": {"model.activation": "relu"},
        "PReLU": {"model.activation": "prelu"},
        "not flipped": {"augment.flip": False},
        "shifted pictures": {"augment.crop": 2},
        "steps": BASE.but(schedule=StepLR(2, 0.1)),
        "decay 0.01": {"optimizer.weight_decay": 0.01},
    },
    fidelity={"data.validation": True, "train.epochs": 6},
    seeds=5,
)  # fmt: skip
