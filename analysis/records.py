"""Which record speaks for an experiment: its runs in the store, or the committed evidence.

That of the spec as it is now comes before one of an earlier spec, more seeds come before fewer, and of two as good the
committed one is taken. Runs on a fallback data set are shown only where there is nothing else, and stand apart: their
data set is another. Whatever is not as one would expect is said in a line of ``notes``.
"""

from dataclasses import dataclass

import pandas as pd

from analysis import committed, load
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments

_ENDED = {"FAILED": "failed", "KILLED": "was killed", "RUNNING": "has not ended", "SCHEDULED": "has not begun"}
_OLDER, _CURRENT = range(2)


@dataclass
class Record:
    """A record of ``n`` seeds: ``rows`` of ``load.runs()``, or the ``epochs`` that were committed.

    ``spec`` is what was run, None where that is not known; ``barred`` says why it cannot be judged, "" where it can;
    the higher ``rank`` is the better.
    """

    rank: int
    n: int
    spec: object
    source: str
    barred: str = ""
    rows: pd.DataFrame | None = None
    epochs: pd.DataFrame | None = None

    @property
    def hashes(self) -> list[str]:
        """Return of which specs it is."""
        return sorted(set((self.epochs if self.rows is None else self.rows)["spec_hash"].astype(str)))


def current(name, notes):
    """Return the spec of that name as it is now; None where there is no file of it, or a broken one."""
    if name not in experiments.names():
        return None
    try:
        return experiments.load(name)
    except UserError as error:
        notes.append(f"{name}: its file cannot be loaded ({error}).")
        return None


def of_experiment(name, spec, mine, notes) -> Record | None:
    """Return the better of store and evidence for one experiment, None without either.

    ``mine``: the experiment's rows of ``load.runs()``, however they ended.
    """
    found = [record for record in (_committed(name, spec, notes), _stored(spec, mine)) if record]
    _tell_what_is_left_out(name, mine, notes)
    best = max(found, key=lambda record: (record.rank, record.n), default=None)  # of equals the first
    if best and best.barred:
        now = f"; its spec is now {spec.hash}" if spec else ""
        notes.append(f"{name}: {best.barred} ({best.source}{now}).")
    return best


def _committed(name, spec, notes) -> Record | None:
    if name not in committed.names():
        return None
    try:
        epochs = committed.read(name)
    except UserError as error:
        notes.append(f"{name}: {error}.")
        return None
    hashes = sorted(set(epochs["spec_hash"].astype(str)))
    own = spec is not None and hashes == [spec.hash]
    source = f"reports/evidence/{name}.csv, spec {' '.join(hashes)}"
    barred = "" if own else "of a spec that is not here as it was then, so not judged"
    return Record(int(own), epochs["seed"].nunique(), spec if own else None, source, barred, epochs=epochs)


def _stored(spec, mine) -> Record | None:
    """Return the store's best record: of the spec as it is, or else the latest of another one, or on fallback data."""
    finished = mine[(mine["status"] == "FINISHED") & (mine["evaluated_on"] == "test")]
    if finished.empty:
        return None
    rows = load.of_spec(finished, spec) if spec else finished[:0]
    if len(rows):
        return Record(_CURRENT, len(rows), spec, f"the store, spec {spec.hash}", rows=rows)
    own = finished[finished["fallback"] != "true"]
    latest = (own if len(own) else finished).iloc[-1]
    same = finished
    for column in ("spec_hash", "data_digest", "fallback"):
        same = same[same[column].eq(latest[column]) | (same[column].isna() & pd.isna(latest[column]))]
    rows = load.of_latest_code(same)
    barred, made_by = "", recorded(latest)
    if own.empty:
        barred = f"trained on the fallback data set {latest['data']}, so not judged"
    elif spec or made_by is None:
        barred = "of a spec that is not here as it was then, so not judged"
    return Record(_OLDER, len(rows), made_by, f"the store, spec {latest['spec_hash']}", barred, rows)


def recorded(run) -> Spec | None:
    """Return the spec as a run recorded it, None where it means something else, or nothing, to the code of now."""
    try:
        spec = Spec.from_json(run["spec"])
    except (SpecError, TypeError, ValueError):
        return None
    return spec if spec.hash == run["spec_hash"] else None


def _tell_what_is_left_out(name, mine, notes):
    counts = mine["status"].value_counts()
    told = [f"{counts[status]} {words}" for status, words in _ENDED.items() if status in counts]
    finished = mine[mine["status"] == "FINISHED"]
    if fallback := int((finished["fallback"] == "true").sum()):
        told.append(f"{fallback} on a fallback data set, never compared with the real one")
    if validation := int((finished["evaluated_on"] == "validation").sum()):
        told.append(f"{validation} on validation images")
    if told:
        notes.append(f"{name}: of its runs in the store {'; '.join(told)}.")
