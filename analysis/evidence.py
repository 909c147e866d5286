"""The store's runs -> the small record in git: a CSV per spec, its mistakes, and the list of specs judged."""

import sys
from pathlib import Path

import pandas as pd

from analysis import committed, load, readme, stores
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import UserError, visible
from tinycnn.spec import load as experiments

_RECORD = ("commit", "dirty", "code_hash", "torch", "device", "threads", "data", "data_digest", "parameters", "macs",
           "run_id")  # fmt: skip


def write(names: list[str] | None = None) -> list[Path]:
    """Write the CSVs of each experiment that has finished runs, the list of specs judged, and the README's part.

    A CSV of more seeds than the store has is replaced only where its experiment is named. What had to be left out is
    said on stderr.

    Return the files written. Raises UserError for an experiment that is named but has no runs.
    """
    notes = []
    every = load.runs(stores.EVERY, notes)
    frame = every[every["status"] == "FINISHED"]
    written = []
    committed.FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or experiments.names():
        spec = experiments.load(name)
        mine = load.of_spec(frame, spec)
        if mine.empty:
            if names:
                raise UserError(f"{name}: no finished runs of this spec in the store; make {name} makes one")
            continue
        path = committed.FOLDER / f"{spec.name}.csv"
        if spec.data.validation or _loses_seeds(path, mine, named=bool(names)):
            continue  # evidence is of test sets; and less is not to take the place of more unasked
        written += [_save(of_runs(mine, notes), path), *_write_mistakes(mine, spec, notes)]
    written.append(_write_judged(every))
    for note in notes:
        print(f"note: {visible(note)}", file=sys.stderr)
    return [*written, *readme.write()]


def _loses_seeds(path: Path, mine: pd.DataFrame, named: bool) -> bool:
    return not named and path.exists() and committed.read(path.stem)["seed"].nunique() > len(mine)


def of_runs(mine: pd.DataFrame, notes: list | None = None) -> pd.DataFrame:
    """Return a row per run and epoch of rows of ``load.runs()``: the numbers, and where they come from.

    All of them were evaluated on images of the same kind. What had to be left out is said in ``notes``.
    """
    who = mine[["run_id", "experiment", "spec_hash", "seed", *(c for c in _RECORD if c != "run_id")]]
    numbers = load.epochs(mine["run_id"].tolist(), notes, mine["evaluated_on"].iloc[0])
    frame = numbers.merge(who, on="run_id", how="left")
    first = ["experiment", "spec_hash", "seed", "epoch", *load.EPOCH_METRICS]
    return frame[[*first, *_RECORD]]


def _save(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, lineterminator="\n", float_format="%.8g")
    return path


def _write_mistakes(mine: pd.DataFrame, spec, notes) -> list[Path]:
    """Write which images each run got wrong and how many the classes have; of runs that do not tell, nothing."""
    wrong, folder = load.mistakes(mine, notes), committed.FOLDER / "mistakes"
    told = mine["class_counts"].dropna()
    if told.empty:
        return []
    counts = committed.class_counts() | {spec.data.short: [int(count) for count in told.iloc[0].split()]}
    rows = [
        {"data": data, "class": name, "images": images}
        for data in sorted(counts)
        for name, images in zip(_classes(data, spec, len(counts[data])), counts[data], strict=True)
    ]
    return [_save(wrong, folder / f"{spec.name}.csv"), _save(pd.DataFrame(rows), folder / committed.CLASSES)]


def _classes(data: str, spec, count: int) -> tuple[str, ...]:
    """Return the names of a data set's classes; of one's own that is not at hand, their numbers."""
    if data in DATASETS:
        return DATASETS[data].classes
    return spec.data.facts().classes if data == spec.data.short else tuple(map(str, range(count)))


def _write_judged(frame: pd.DataFrame) -> Path:
    """Add to the list of specs that each test set has judged; what an earlier store held stays on it."""
    both = with_judged(frame)
    path = committed.FOLDER / committed.JUDGED
    both.to_csv(path, index=False, lineterminator="\n")
    return path


def with_judged(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the committed list of specs judged together with those of the runs in ``frame``."""
    known = committed.judged()
    now = frame[frame["evaluated_on"] == "test"][known.columns]
    return pd.concat([known, now]).drop_duplicates().sort_values([*known.columns])
