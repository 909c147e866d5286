"""Specs of version 1, in which a network was named and not laid out: read as the same experiment of version 2.

``python -m tinycnn.spec.version1 EVIDENCE.csv ... SPEC.json ...`` gives the committed evidence of those specs the
hashes that the same specs have now; no number is touched.
"""

import hashlib
import json
import sys
from pathlib import Path

from pydantic import ValidationError

from tinycnn.errors import SpecError, nearest, shown
from tinycnn.spec.blocks import Head
from tinycnn.spec.convolutions import Conv
from tinycnn.spec.layers import MaxPool
from tinycnn.spec.model import Network
from tinycnn.spec.section import explain


def _model_1():
    def plain(channels, kernel=3):
        return Conv(channels, kernel)

    head = Head(classes_first=True)
    return Network(plain(16), plain(32), plain(32), MaxPool(2), plain(16, 1), plain(32), plain(32), head, norm="none")


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
    model = values.get("model") if isinstance(values.get("model"), dict) else {}
    arguments = {name: value for name, value in model.items() if name != "name"}
    if model.get("name") not in _NETWORKS:
        raise SpecError(f"model.name: {shown(model.get('name'))} is unknown; {nearest(model.get('name'), _NETWORKS)}")
    try:
        network = _NETWORKS[model["name"]](**arguments)
    except ValidationError as error:
        raise SpecError(f"model: {explain(error)}") from None
    except (TypeError, ValueError) as error:
        raise SpecError(f"model: {' '.join(str(error).split())[:200]}") from None
    new = values | {"version": 2, "model": network.model_dump(mode="json")}
    for section, kind in (("augment", "Augment"), ("loss", "CrossEntropy")):
        if isinstance(values.get(section), dict):
            new[section] = {"name": kind} | values[section]
    if isinstance(values.get("train"), dict) and "kernels" not in values["train"]:  # when there were only torch's
        new["train"] = values["train"] | {"kernels": "torch"}
    return new


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


def hash_now(text: str, recorded: str) -> str | None:
    """Return the hash now of a spec recorded as JSON under ``recorded``; None where the two do not belong together."""
    from tinycnn.spec import Spec

    try:
        values = json.loads(text)
        if values.get("version") == 1:
            return Spec.from_dict(values).hash if hash_then(values) == recorded else None
        return recorded if Spec.from_dict(values).hash == recorded else None
    except (SpecError, AttributeError, KeyError, TypeError, ValueError):
        return None


def main(paths: list[str]) -> None:
    """Rewrite the hashes in CSV files by the specs in JSON files."""
    hashes = {}
    for path in (Path(each) for each in paths if each.endswith(".json")):
        values = json.loads(path.read_text(encoding="utf-8"))
        hashes[hash_then(values)] = hash_now(json.dumps(values), hash_then(values))
    for path in (Path(each) for each in paths if each.endswith(".csv")):
        text = path.read_text(encoding="utf-8")
        for then, now in hashes.items():
            text = text.replace(f",{then}", f",{now}")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
