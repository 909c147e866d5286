"""A record of the zoo: its files, the SHA-256 of each, and whether they are as accurate as its card states."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from tinycnn.errors import DataMissing, OtherNumbers, UserError, one_line

CARD, TEXT, PROGRAM, WEIGHTS, CHECKSUMS = "card.json", "card.md", "program.json", "weights.safetensors", "checksums"
TOLERANCE = 0.05
"""Percentage points: how far the accuracy of a file that computes in floating point may be from its card's.

Other processors round otherwise. Files that compute in whole numbers have none.
"""


def seal(folder: Path) -> None:
    """Write the SHA-256 of every file of a record into ``checksums``, as ``sha256sum`` does."""
    files = sorted(path for path in folder.iterdir() if path.name != CHECKSUMS)
    lines = [f"{_digest(path)}  {path.name}\n" for path in files]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="ascii")


def check(folder: Path) -> None:
    """Raise UserError, which names the file, unless every file of a record is there and as it was written."""
    listed = {}
    for line in _read(folder / CHECKSUMS).splitlines():
        found = re.fullmatch(r"([0-9a-f]{64})  ([\w.-]+)", line)
        if not found:
            raise UserError(f"{folder / CHECKSUMS}: damaged, {line[:80]!r} is no checksum; {_restore(folder)}")
        listed[found[2]] = found[1]
    for name in dict.fromkeys((CARD, PROGRAM, WEIGHTS, "spec.json", *listed)):
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: is missing; {_restore(folder)}")
        if name not in listed:
            raise UserError(f"{path}: has no line in {CHECKSUMS}; {_restore(folder)}")
        if _digest(path) != listed[name]:
            raise UserError(f"{path}: damaged, its SHA-256 is not that in {CHECKSUMS}; {_restore(folder)}")


def card(folder: Path) -> dict:
    """Return the facts of a record that was checked, as ``make`` wrote them."""
    return json.loads(_read(folder / CARD))


def program(folder: Path):
    """Return the ``Program`` in whole numbers of a record that was checked."""
    from tinycnn.export.program_file import unpacked

    return unpacked(json.loads(_read(folder / PROGRAM)))


def verify(folder: Path) -> dict:
    """Try each file of a record on the whole test set, where that is on this machine; nothing is downloaded.

    Returns the ``images``, 0 without the data; the ``accuracy`` of each file in percent; and the ``compiler`` whose
    program gave the scores of the reference in whole numbers bit for bit, None without one. Raises UserError for a
    damaged file and where a score differs, OtherNumbers for an accuracy that is not that of the card.
    """
    from tinycnn.export import subject

    check(folder)
    stated, found = card(folder), replace(subject.load(folder, offline=True), on_test=True)
    try:
        data = found.data
    except DataMissing:
        return {"images": 0, "accuracy": {}, "compiler": None}
    accuracy, compiler = _measured(folder, stated["name"], found, data)
    for name, value in accuracy.items():
        tolerance = 0 if name.endswith(".c") else TOLERANCE
        if not abs(value - stated["accuracy"][name]) <= tolerance + 1e-9:
            raise OtherNumbers(
                f"{folder / name}: {value:.3f} % of {len(data.evaluation.labels):,} test images right here, "
                f"and {stated['accuracy'][name]:.3f} by its card"
            )
    return {"images": len(data.evaluation.labels), "accuracy": accuracy, "compiler": compiler}


def _measured(folder, name, found, data) -> tuple[dict, str | None]:
    """Return the accuracy of each file, and the compiler that the C was tried with."""
    from tinycnn.export import export, onnx_file

    images = data.evaluation.images.numpy()
    scores = program(folder).run(images)
    logits = {WEIGHTS: export.network_logits(found, data)}
    for each in (f"{name}.onnx", f"{name}.int8.onnx"):
        try:
            logits[each] = onnx_file.logits(folder / each, images)
        except ModuleNotFoundError as error:
            raise UserError(f"{folder / each}: needs the package {error.name}: make setup") from None
    logits[f"{name}.c"] = scores
    compiler = export.c_run(folder, name, scores, images)["compiler"]
    return {file: export.accuracy(each, data) for file, each in logits.items()}, compiler


def _restore(folder: Path) -> str:
    return f"restore it: git checkout -- {folder}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); {_restore(path.parent)}") from None
