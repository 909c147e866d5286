"""The page of the zoo, ``index.html``: one file in which the networks of digits read what is drawn."""

import base64
import json
from pathlib import Path

import numpy as np

from tinycnn.errors import UserError
from tinycnn.export.program_file import packed
from tinycnn.integers.steps import Program
from tinycnn.zoo import layers, names, record

NAME = "index.html"
DIGITS = "mnist", "mnist5k"
"""The data sets whose images a drawing is prepared as."""
_EACH = 10  # test digits of each class


def write(folder: Path, *, offline: bool = False) -> list[Path]:
    """Write the page of all networks of digits in a zoo, the largest first, and return its path; [] without any.

    Raises UserError for a damaged record, DataMissing without the data set that the test digits are taken from.
    """
    from tinycnn.data.files import load

    found = []
    for name in names(folder):
        record.check(folder / name)
        card = record.card(folder / name)
        if card["data"]["name"] in DIGITS:
            found.append((card, record.program(folder / name)))
    if not found:
        return []
    found.sort(key=lambda pair: -pair[0]["parameters"])
    data = load(found[0][0]["data"]["name"], offline=offline)
    images, labels = first_of_each(data.evaluation.images.numpy(), data.evaluation.labels.numpy())
    path = folder / NAME
    try:
        path.write_text(text([network(*each) for each in found], images, labels), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); choose another --folder") from None
    return [path]


def first_of_each(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ten images of each class, in the order of the data set, and their labels."""
    places = np.sort(np.concatenate([np.flatnonzero(labels == each)[:_EACH] for each in np.unique(labels)]))
    return images[places], labels[places]


def network(card: dict, program: Program) -> dict:
    """Return what the page has of a network, as plain values; ``card``: the facts of its record."""
    sees = layers.seen(program)
    shown = [step for step in program.steps if step.output != program.result]
    return {
        **{key: card[key] for key in ("name", "experiment", "parameters", "images", "classes")},
        "accuracy": card["accuracy"][f"{card['name']}.c"],
        "step": program.step,
        "program": packed(program),
        "layers": [
            {"value": step.output, "words": layers.words(step, program)}
            | dict(zip(("rows", "columns"), sees[step.output], strict=True))
            for step in shown
        ],
    }


def text(networks: list[dict], images: np.ndarray, labels: np.ndarray) -> str:
    """Return the page with these networks and test digits, uint8 (N, 1, 28, 28)."""
    here = Path(__file__).parent
    numbers = base64.b64encode(_without_zeros(images)).decode("ascii")
    data = {"networks": networks, "digits": {"base64": numbers, "labels": labels.tolist()}}
    as_json = json.dumps(data, separators=(",", ":")).replace("<", r"\u003c")  # nothing may end the script's element
    script = "".join((here / name).read_text(encoding="utf-8") for name in ("integer.js", "page.js"))
    template = (here / "page.html").read_text(encoding="utf-8")
    return template.replace("{data}", as_json).replace("{script}", script)


def _without_zeros(images: np.ndarray) -> bytes:
    """Return the bytes of images, each run of zeros as 0 and its length, up to 255."""
    packed, run = bytearray(), 0
    for number in [*images.tobytes(), None]:
        if run and (number != 0 or run == 255):
            packed += bytes((0, run))
            run = 0
        if number == 0:
            run += 1
        elif number is not None:
            packed.append(number)
    return bytes(packed)
