"""Which record speaks for an experiment: its runs in the store, or the committed evidence.

A record of the spec as it is now comes before one of another spec, more seeds before fewer, and of two equals the
committed one is taken. Runs on a fallback data set are used only where there is nothing else.
"""

from dataclasses import dataclass

import pandas as pd

from analysis import evidence, runs, statistics
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments

MOST_VARIANTS = 20
"""Variants that are shown: the latest, since the best would be selected on the test set."""

_ENDED = {"FAILED": "failed", "KILLED": "killed", "RUNNING": "still running", "SCHEDULED": "not started"}
_OTHER_SPEC = "of another spec than the current one, so not judged"
_VARIANT = ["data", "experiment", "spec_hash"]


@dataclass
class Record:
    """A record of ``n`` seeds: either rows of ``runs.read()`` in ``runs``, or committed ``epochs``.

    ``current``: whether it is of the spec as it is now; ``spec``: what was run, None where that is not known;
    ``source``: in words; ``not_judged``: why it cannot be judged, "" where it can.
    """

    n: int
    current: bool
    spec: Spec | None
    source: str
    not_judged: str = ""
    runs: pd.DataFrame | None = None
    epochs: pd.DataFrame | None = None


def current_spec(name: str, notes: list[str]) -> Spec | None:
    """Return the spec of that name as it is now; None where its file is missing, or cannot be loaded."""
    if name not in experiments.names():
        return None
    try:
        return experiments.load(name)
    except UserError as error:
        notes.append(f"{name}: its file cannot be loaded ({error}).")
        return None


def record_of(name: str, spec: Spec | None, mine: pd.DataFrame, notes: list[str]) -> Record | None:
    """Return the better record of store and evidence for one experiment, None without either.

    ``mine``: the experiment's rows of ``runs.read()``, with any status.
    """
    found = [record for record in (_committed(name, spec, notes), _stored(spec, mine)) if record]
    _note_what_is_left_out(name, mine, notes)
    best = max(found, key=lambda record: (record.current, record.n), default=None)  # of equals the first
    if best and best.not_judged:
        now = f"; its spec is now {spec.hash}" if spec else ""
        notes.append(f"{name}: {best.not_judged} ({best.source}{now}).")
    return best


def _committed(name, spec, notes) -> Record | None:
    if name not in evidence.names():
        return None
    try:
        epochs = evidence.read(name)
    except UserError as error:
        notes.append(f"{name}: {error}.")
        return None
    hashes = sorted(set(epochs["spec_hash"]))
    own, source = bool(spec and hashes == [spec.hash]), f"reports/evidence/{name}.csv, spec {' '.join(hashes)}"
    seeds = epochs["seed"].nunique()
    return Record(seeds, own, spec if own else None, source, "" if own else _OTHER_SPEC, epochs=epochs)


def _stored(spec, mine) -> Record | None:
    """Return the store's best record: of the current spec, or else of the latest other one, or on fallback data."""
    finished = mine[(mine["status"] == "FINISHED") & (mine["evaluated_on"] == "test")]
    if finished.empty:
        return None
    rows = runs.of_spec(finished, spec) if spec else finished[:0]
    if len(rows):
        return Record(len(rows), True, spec, f"the store, spec {spec.hash}", runs=rows)
    real = finished[finished["fallback"] != "true"]
    latest = (real if len(real) else finished).iloc[-1]
    same = (finished["spec_hash"] == latest["spec_hash"]) & (finished["fallback"] == latest["fallback"])
    rows, run_spec = runs.of_latest_code(finished[same]), recorded_spec(latest)
    not_judged = _OTHER_SPEC if spec else ""
    if real.empty:
        not_judged = f"trained on the fallback data set {latest['data']}, so not judged"
    return Record(len(rows), False, run_spec, f"the store, spec {latest['spec_hash']}", not_judged, runs=rows)


def recorded_spec(run) -> Spec | None:
    """Return the spec that a run recorded, None where it is missing or today's code would hash it differently."""
    try:
        spec = Spec.from_json(run["spec"])
    except (SpecError, TypeError, ValueError):
        return None
    return spec if spec.hash == run["spec_hash"] else None


def _note_what_is_left_out(name, mine, notes):
    counts = mine["status"].value_counts()
    words = [f"{counts[status]} {ended}" for status, ended in _ENDED.items() if status in counts]
    finished = mine[mine["status"] == "FINISHED"]
    if fallback := int((finished["fallback"] == "true").sum()):
        words.append(f"{fallback} on a fallback data set, never compared with the real one")
    if validation := int((finished["evaluated_on"] == "validation").sum()):
        words.append(f"{validation} on validation images")
    if words:
        notes.append(f"{name}: of its runs in the store {'; '.join(words)}.")


def variants(frame: pd.DataFrame, selected: dict[str, Record], specs: dict, notes: list[str]) -> pd.DataFrame:
    """Return the runs that have an experiment's name but another spec than its record: made with --set, or earlier.

    A row per spec, as ``statistics.summarise`` returns it, with its ``settings`` in words. ``frame``: rows of
    ``runs.read()``; ``specs``: the current ones. Runs on validation images or on a fallback data set are left out.
    """
    shown = set()
    for name, record in selected.items():
        hashes = (record.epochs if record.runs is None else record.runs)["spec_hash"]
        shown |= {(name, spec_hash) for spec_hash in hashes.unique()}
    mine = frame[(frame["status"] == "FINISHED") & (frame["evaluated_on"] == "test") & (frame["fallback"] == "false")]
    mine = mine[mine["experiment"].isin(selected) & ~mine.set_index(_VARIANT[1:]).index.isin(shown)]
    groups = [runs.of_latest_code(part) for _, part in mine.groupby(_VARIANT, sort=False)]
    groups.sort(key=lambda part: part["started"].max(), reverse=True)
    if len(groups) > MOST_VARIANTS:
        notes.append(f"Only the latest {MOST_VARIANTS} of {len(groups)} variants are shown.")
    chosen, rows = groups[:MOST_VARIANTS], []
    epochs = dict(list(evidence.of_runs(pd.concat(chosen)).groupby(_VARIANT))) if chosen else {}
    for run in (part.iloc[0] for part in chosen):
        part = epochs.get(tuple(run[_VARIANT]))
        if part is not None and statistics.runs_of(part):
            settings = _settings(run, specs.get(run["experiment"]))
            rows.append(statistics.summarise(part) | {"settings": settings, "spec_hash": run["spec_hash"]})
    found = pd.DataFrame(rows, columns=None if rows else _VARIANT)
    return found.sort_values("experiment", key=lambda names: names.map([*specs].index), kind="stable")


def _settings(run, spec) -> str:
    """Return what a run's spec has that ``spec`` has not: as typed, or else by comparing them, a dash if not known."""
    recorded = recorded_spec(run)
    text = run["settings"] or (statistics.difference_in_words(recorded, spec) if recorded and spec else "-")
    return text if len(text) <= 60 else f"{text[:58]} …"
