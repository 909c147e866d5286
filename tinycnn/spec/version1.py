"""Specs of version 1, in which a network was named instead of written in layers, as specs of version 2."""

import hashlib
import json

from tinycnn.errors import SpecError, nearest, shown
from tinycnn.spec.composite import Head
from tinycnn.spec.convolutions import Conv
from tinycnn.spec.layers import MaxPool
from tinycnn.spec.model import Network


def _model_1():
    layers = Conv(16), Conv(32), Conv(32), MaxPool(2), Conv(16, 1), Conv(32), Conv(32), Head(classes_first=True)
    return Network(*layers, norm="none")


def _model_2(padding=0, dropout=0.0):
    layers = Conv(16), Conv(16), MaxPool(2), Conv(16), MaxPool(2), Conv(16), Head()
    return Network(*layers, padding=padding, dropout=dropout)


def _model_3(widths=(8, 12, 12, 12, 12, 10, 18), dropout=0.0):
    convolutions = [Conv(width) for width in widths]
    return Network(*convolutions[:3], MaxPool(2), *convolutions[3:], Head(), dropout=dropout)


def _early_pool(widths=(8, 20, 16, 20), dropout=0.0):
    first, second, third, last = widths
    layers = Conv(first, 5), MaxPool(2), Conv(second), Conv(third), MaxPool(2), Conv(last), Head()
    return Network(*layers, dropout=dropout)


_NETWORKS = {"model_1": _model_1, "model_2": _model_2, "model_3": _model_3, "early_pool": _early_pool}


def converted(values: dict) -> dict:
    """Return the values of a spec of version 1 as version 2 has them. Raises SpecError for an unknown network."""
    arguments = dict(values.get("model") or {})
    name = arguments.pop("name", None)
    if name not in _NETWORKS:
        raise SpecError(f"model.name: {shown(name)} is unknown; {nearest(name, _NETWORKS)}")
    try:
        network = _NETWORKS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise SpecError(f"model: {' '.join(str(error).split())[:200]}") from None
    return values | {
        "version": 2,
        "model": network.model_dump(mode="json"),
        "augment": {"name": "Augment"} | values.get("augment", {}),
        "loss": {"name": "CrossEntropy"} | values.get("loss", {}),
        "train": {"kernels": "torch"} | values.get("train", {}),  # the first specs knew no others
    }


def hash_then(values: dict) -> str:
    """Return the hash that a spec of version 1 had."""
    left_out = ("name", "parent", "notes", "target")
    numbers = {name: dict(v) if isinstance(v, dict) else v for name, v in values.items() if name not in left_out}
    numbers["train"].pop("seed", None)
    if numbers["train"].get("kernels") == "torch":
        del numbers["train"]["kernels"]
    if numbers["data"].get("images", 0) is None:
        del numbers["data"]["images"]
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:12]
