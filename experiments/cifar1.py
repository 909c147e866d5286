"""CIFAR-10: a plain baseline within 8,000 parameters.

Target    a first figure to beat; no accuracy is asked for yet. Fewer than 8,000 parameters, at most 15 epochs.
Change    the network of exp2 with padded convolutions, so that a 32x32 picture is still 8x8 before the global average;
          colour pictures, flipped and shifted; Nesterov momentum and one cycle of the learning rate.
Analysis  training and test accuracy end close together: it underfits, and augmentation is not what it is short of.
Run       make cifar1 (3 min)
"""

from tinycnn.spec import SGD, Augment, Conv, Data, Head, MaxPool, Network, OneCycle, Spec, Target, Train

SPEC = Spec(
    name="cifar1",
    model=Network(Conv(16), Conv(16), MaxPool(2), Conv(16), MaxPool(2), Conv(16), Head(), padding=1),
    data=Data(name="cifar10"),
    augment=Augment(crop=2, flip=True),
    optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
    schedule=OneCycle(),
    train=Train(epochs=15, batch_size=64),
    target=Target(parameter_limit=8000, max_epochs=15, accuracy=None),
)
