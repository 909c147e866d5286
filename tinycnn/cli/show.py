"""What ``list`` and ``show`` print: what can be used, and one spec in full. ``everything`` imports no torch."""

import csv
import inspect
from dataclasses import asdict
from types import SimpleNamespace

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Layer, load, sweep
from tinycnn.study import definition
from tinycnn.track import tables
from tinycnn.track.description import parse_notes

EVIDENCE = ROOT / "reports" / "evidence"


def experiments() -> list[dict]:
    """Return a row per experiment; one that cannot be loaded has its problem under ``error``."""
    rows = []
    for name in load.names():
        row = dict.fromkeys(("network", "data", "parameters", "epochs", "error")) | {"name": name, "title": ""}
        try:
            spec = load.load(name)
            row |= {"title": parse_notes(spec.notes)["title"], "network": spec.model.describe()}
            row |= {"data": spec.data.short, "epochs": spec.train.epochs, "parameters": _recorded_parameters(spec)}
        except UserError as error:
            row["error"] = str(error)
        rows.append(row)
    return rows


def _recorded_parameters(spec) -> int | None:
    """Return the parameters of a spec that the evidence is of, None for another: to count them takes torch."""
    path = EVIDENCE / f"{spec.name}.csv"
    if not path.exists():
        return None
    with path.open(newline="") as file:
        first = next(csv.DictReader(file), {})
    return int(first["parameters"]) if first.get("spec_hash") == spec.hash else None


def everything() -> dict:
    """Return experiments, studies, sweeps, layers and data sets, each with what it is."""
    return {
        "experiments": experiments(),
        "studies": {name: _title(definition, name) for name in definition.names()},
        "sweeps": {name: _title(sweep, name) for name in sweep.names()},
        "layers": {name: inspect.getdoc(kind).splitlines()[0] for name, kind in Layer.kinds().items()},
        "data": {name: asdict(facts) for name, facts in DATASETS.items()},
    }


def _title(kind, name: str) -> str:
    try:
        return (kind.load(name).notes or "-").strip().splitlines()[0]
    except UserError as error:
        return str(error)


def list_text(found: dict) -> str:
    """Return what ``everything`` found as lines."""
    named = (name for kind in ("studies", "sweeps", "layers", "data") for name in found[kind])
    width = max(map(len, (*named, *(row["name"] for row in found["experiments"])))) + 2
    lines = ["Experiments (`python -m tinycnn show NAME`, `make NAME`)"]
    for row in found["experiments"]:
        count = "- parameters (show counts them)" if row["parameters"] is None else f"{row['parameters']:,} parameters"
        facts = row["error"] or f"{count}, {row['data']}, {row['epochs']} epochs"
        lines += [f"  {row['name']:<{width}}{row['title'] or '-'}", f"  {'':<{width}}{facts}"]
    titles = {"studies": "Studies (`make study STUDY=NAME`)", "sweeps": "Sweeps (`make sweep SWEEP=NAME`)"}
    for kind, title in {**titles, "layers": "Layers (tinycnn.spec)"}.items():
        lines += ["", title, *(f"  {name:<{width}}{words}" for name, words in found[kind].items())]
    lines += ["", "Data sets (data.name)"]
    for name, facts in DATASETS.items():
        size = f"{facts.channels}x{facts.size}x{facts.size}, {len(facts.classes)} classes"
        lines.append(f"  {name:<{width}}{facts.train:,} / {facts.test:,} images of {size}; {facts.source}")
    return "\n".join(lines)


def describe(spec) -> dict:
    """Return all that is known about a spec without its data. Raises SpecError or OverLimit."""
    from tinycnn.network.check import check

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
        "difference": {name: {"from": old, "to": new} for name, (old, new) in _difference(spec).items()},
        "notices": notices,
        "spec": spec.model_dump(mode="json"),
    }


def _difference(spec) -> dict:
    """Return what a spec, --set included, changes of its parent, where that is an experiment at hand."""
    try:
        return spec.difference(load.load(spec.parent)) if spec.parent in load.names() else {}
    except SpecError:
        return {}


def spec_text(spec, found: dict) -> str:
    """Return what ``describe`` found of a spec as Markdown for the terminal."""
    notes = parse_notes(spec.notes)
    lines = [f"# {spec.name}: {notes['title']}".rstrip(": "), ""]
    lines += [f"{name}: {notes[name]}" for name in ("Target", "Change", "Source", "Analysis") if notes.get(name)]
    lines += ["", f"Spec {spec.hash}" + (f", derived from {spec.parent}" if spec.parent else "")]
    fields = {name: value for name, value in spec.flat().items() if not name.startswith("model.layers.")}
    changes = found["difference"]
    names = (*fields, *(name for name in changes if name not in fields))
    width = max(map(len, names)) + 2
    for name in names:  # the layers are in the table below
        parent = f"   ({spec.parent}: {_plain(changes[name]['from'])})" if name in changes else ""
        value = changes[name]["to"] if name in changes else fields[name]
        lines.append(f"  {name:<{width}}{_plain(value)}{parent}")
    counts = {name: found[name] for name in ("parameters", "macs")}
    measured = SimpleNamespace(layers=[SimpleNamespace(**row) for row in found["layers"]], **counts)
    lines += ["", tables.layer_table(measured), ""]
    lines += [f"note: {notice}" for notice in found["notices"]]
    limit = "no limit" if found["parameter_limit"] is None else f"at most {found['parameter_limit']:,}"
    lines.append(f"{found['parameters']:,} parameters ({limit}), {found['macs']:,} multiply-accumulates an image")
    return "\n".join(lines)


def _plain(value) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def draw_augmented(spec, path: str, *, offline: bool):
    """Draw training images as they are and, below, as the spec augments them, into the PNG file ``path``."""
    import torch

    from analysis.plots import training

    data = spec.data.load(offline=offline)
    originals, labels = data.train.images[:10].float() / 255, data.train.labels[:10]
    generator = torch.Generator().manual_seed(spec.train.seed)
    augmented = torch.stack([spec.augment.apply(originals, labels, generator, data)[0] for _ in range(6)])
    try:
        training.contact_sheet(originals, augmented).savefig(path, format="png", dpi=120)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give the name of a PNG file") from None
