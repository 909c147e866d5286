"""What there is, in words and as plain values: experiments, layers, data sets, and one spec in full."""

import inspect
import os
import textwrap
from dataclasses import asdict

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, UserError, visible
from tinycnn.network.check import check
from tinycnn.spec import Layer
from tinycnn.spec import load as library
from tinycnn.study import definition as study
from tinycnn.track import tables
from tinycnn.track.description import parse_notes


def experiments() -> list[dict]:
    """Return a row per experiment; one that cannot be loaded has its problem under ``error``."""
    rows = []
    for name in library.names():
        row = {
            "name": name,
            "title": "",
            "network": None,
            "data": None,
            "parameters": None,
            "epochs": None,
            "error": None,
        }
        try:
            spec = library.load(name)
            row |= {"title": parse_notes(spec.notes)["title"], "network": spec.model.describe(), "data": spec.data.short}
            row |= {"epochs": spec.train.epochs, "parameters": check(spec)[0].parameters}
        except UserError as error:
            row["error"] = str(error)
        rows.append(row)
    return rows


def studies() -> dict[str, str]:
    """Return the first line of each study's docstring, or what is wrong with its file, by its name."""
    found = {}
    for name in study.names():
        try:
            found[name] = parse_notes(study.load(name).notes)["title"]
        except UserError as error:
            found[name] = str(error)
    return found


def layers() -> dict[str, str]:
    """Return the first line of each kind of layer's docstring by its name."""
    return {name: inspect.getdoc(kind).splitlines()[0] for name, kind in Layer.kinds().items()}


def data_sets() -> dict[str, dict]:
    """Return the facts of each data set by its name."""
    return {name: asdict(facts) for name, facts in DATASETS.items()}


def text(rows: list[dict]) -> str:
    """Put experiments, studies, layers and data sets into lines for the terminal."""
    lines = ["Experiments (python -m tinycnn show NAME, make NAME)"]
    for row in rows:
        facts = row["error"] or f"{row['parameters']:,} parameters, {row['data']}, {row['epochs']} epochs"
        lines += [_entry(row["name"], row["title"] or "-"), _entry("", facts)]
    lines += ["", "Studies (make study STUDY=NAME)", *(_entry(name, words) for name, words in studies().items())]
    lines += ["", "Layers (tinycnn.spec)", *(_entry(name, words) for name, words in layers().items())]
    lines += ["", "Data sets (data.name)"]
    for name, facts in DATASETS.items():
        size = f"{facts.channels}x{facts.size}x{facts.size}, {len(facts.classes)} classes"
        lines.append(_entry(name, f"{facts.train:,} / {facts.test:,} images of {size}; {facts.source}"))
    return "\n".join(lines)


def _entry(name: str, words: str) -> str:
    """Put a name and its explanation into lines of at most 80 columns."""
    return textwrap.fill(visible(words), 80, initial_indent=f"  {visible(name):<14}", subsequent_indent=" " * 16)


def show(spec) -> dict:
    """Return all there is to know about a spec without data. Raises SpecError or OverLimit."""
    measured, notices = check(spec)
    return {
        "name": spec.name,
        "parent": spec.parent,
        "hash": spec.hash,
        "parameters": measured.parameters,
        "parameter_limit": spec.target.parameter_limit,
        "macs": measured.macs,
        "receptive_field": measured.receptive_field,
        "layers": [asdict(layer) for layer in measured.layers],
        "difference": {name: {"from": old, "to": new} for name, (old, new) in difference_from_parent(spec).items()},
        "notices": notices,
        "spec": spec.model_dump(mode="json"),
    }


def difference_from_parent(spec) -> dict:
    """Return what the spec changes of its parent; of an underived spec, or one without its parent at hand, nothing.

    A spec changed by ``--set`` keeps its parent, and differs from it by those settings too.
    """
    try:
        return spec.difference(library.load(spec.parent)) if spec.parent in library.names() else {}
    except SpecError:
        return {}


def show_text(spec, shown: dict) -> str:
    """Put what ``show`` returns into Markdown for the terminal."""
    words = {name: visible(text) for name, text in parse_notes(spec.notes).items()}
    lines = [f"# {spec.name}: {words['title']}".rstrip(": "), ""]
    lines += [textwrap.fill(f"{n}: {words[n]}", 80) for n in ("Target", "Change", "Source", "Analysis") if words.get(n)]
    lines += ["", f"Spec {spec.hash}" + (f", derived from {spec.parent}" if spec.parent else "")]
    changes = shown["difference"]
    for name, value in spec.flat().items():
        if name.startswith("model.layers."):
            continue  # in the table below
        was = f"   ({spec.parent}: {_plain(changes[name]['from'])})" if name in changes else ""
        lines.append(f"  {name:<24}{_plain(value)}{was}")
    inside = {name: change for name, change in changes.items() if name == "model" or name.startswith("model.layers")}
    for name, change in inside.items():
        words = f"{name}: {_plain(change['to'])}   ({spec.parent}: {_plain(change['from'])})"
        lines.append(textwrap.fill(words, 80, initial_indent="  ", subsequent_indent="    "))
    gone = [name for name in changes if name not in spec.flat() and name not in inside]
    lines += [f"  ({spec.parent} also has {', '.join(gone)})"] if gone else []
    totals = shown["parameters"], shown["macs"]
    lines += ["", tables.layer_table(check(spec)[0].layers, totals), ""]
    lines += [f"note: {notice}" for notice in shown["notices"]]
    limit = shown["parameter_limit"]
    allowed = "no limit" if limit is None else f"at most {limit:,}"
    lines.append(f"{shown['parameters']:,} parameters ({allowed}), {shown['macs']:,} multiply-accumulates a picture")
    return "\n".join(lines)


def _plain(value) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def draw_augmented(spec, path: str, *, offline: bool = False, columns: int = 10, rows: int = 6):
    """Draw training images as they are and, below, as a spec augments them, into the PNG file ``path``."""
    import torch

    from analysis.plots import training as pictures

    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for ever
        raise UserError(f"{path}: cannot be written (no regular file); give the name of a PNG file")
    data = spec.data.load(offline=offline)
    originals = data.train.images[:columns].float() / 255
    generator = torch.Generator().manual_seed(spec.train.seed)
    labels = data.train.labels[:columns]
    augmented = torch.stack([spec.augment.apply(originals, labels, generator, data)[0] for _ in range(rows)])
    try:
        pictures.contact_sheet(originals, augmented).savefig(path, format="png", dpi=120)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written ({reason}); give the name of a PNG file") from None
