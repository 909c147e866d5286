"""Iteration 1: the set-up, a first network, rotation only.

Target    the set-up: transforms, data, training and test loop; then 99.4 % within 15 epochs. No parameter limit yet.
Change    the first iteration, so nothing to change: 3x3 convolutions without batch norm, SGD at a constant rate,
          a rotation by a few degrees as the only augmentation.
Analysis  it learns slowly and has not finished: without batch norm the first epoch can be lost altogether, and the
          accuracy still rises at the end. Accuracy on clean training images is hardly above that on test images, so
          it underfits for want of steps, not of parameters: it has several times what the next iterations need.
Run       make exp1 (8 min)
"""

from tinycnn.spec import SGD, Augment, Constant, Conv, Data, Head, MaxPool, Network, Spec, Target, Train

SPEC = Spec(
    name="exp1",
    model=Network(
        Conv(16), Conv(32), Conv(32), MaxPool(2),
        Conv(16, kernel=1), Conv(32), Conv(32), Head(classes_first=True),
        norm="none",
    ),
    data=Data(name="mnist"),
    augment=Augment(rotation=7.0),
    optimizer=SGD(lr=0.01, momentum=0.9),
    schedule=Constant(),
    train=Train(epochs=15, batch_size=64),
    target=Target(parameter_limit=None, max_epochs=15, accuracy=99.4, last_epochs=5),
)
