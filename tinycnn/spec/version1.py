"""Specs of version 1, in which a network was named instead of written in layers, as specs of version 2."""

from tinycnn.errors import SpecError, nearest, shown
from tinycnn.spec.composite import Head
from tinycnn.spec.layers import Conv, MaxPool
from tinycnn.spec.model import Network


def _network(name, widths=None, **options):
    if name == "model_1":
        layers = Conv(16), Conv(32), Conv(32), MaxPool(2), Conv(16, 1), Conv(32), Conv(32), Head(classes_first=True)
        return Network(*layers, norm="none", **options)
    if name == "model_2":
        return Network(Conv(16), Conv(16), MaxPool(2), Conv(16), MaxPool(2), Conv(16), Head(), **options)
    if name == "model_3":
        convolutions = [Conv(width) for width in widths or (8, 12, 12, 12, 12, 10, 18)]
        return Network(*convolutions[:3], MaxPool(2), *convolutions[3:], Head(), **options)
    first, second, third, last = widths or (8, 20, 16, 20)
    return Network(Conv(first, 5), MaxPool(2), Conv(second), Conv(third), MaxPool(2), Conv(last), Head(), **options)


def converted(values: dict) -> dict:
    """Return the values of a spec of version 1 as version 2 has them. Raises SpecError for an unknown network."""
    arguments = dict(values.get("model") or {})
    known = ("model_1", "model_2", "model_3", "early_pool")
    if arguments.get("name") not in known:
        name = arguments.get("name")
        raise SpecError(f"model.name: {shown(name)} is unknown; {nearest(name, known)}")
    return values | {
        "version": 2,
        "model": _network(**arguments).model_dump(mode="json"),
        "augment": {"name": "Augment"} | values.get("augment", {}),
        "loss": {"name": "CrossEntropy"} | values.get("loss", {}),
        "train": {"kernels": "torch"} | values.get("train", {}),  # the first specs knew no others
    }
