"""The committed record in ``reports/evidence/`` <-> pandas frames.

A CSV per experiment, its mistakes, the list of specs evaluated on a test set, the studies, and the published figures;
``analysis.device`` writes what C programs come to.
"""

import contextlib
import json
import sys
from pathlib import Path

import pandas as pd

from analysis import runs
from tinycnn import ROOT
from tinycnn.errors import UserError, visible
from tinycnn.spec import load as experiments

FOLDER = ROOT / "reports" / "evidence"
EVALUATED, DEVICE = "specs_evaluated.csv", "device.csv"
CLASSES = "classes.csv"
REFERENCES, OF_BYTES = (Path(__file__).with_name(name) for name in ("references.csv", "references_bytes.csv"))
_ORIGIN = (
    "commit", "dirty", "code_hash", "torch", "device", "threads", "data", "data_digest", "images", "parameters", "macs",
    "run_id",
)  # fmt: skip
_NUMBERS = ["seed", "epoch", "test_accuracy", "train_accuracy", "clean_train_accuracy", "learning_rate", "seconds"]
_REQUIRED = {"experiment", "spec_hash", "data", "data_digest", "code_hash", "dirty", "parameters", *_NUMBERS}


def names() -> list[str]:
    """Return the experiments that there is evidence of, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.csv") if path.name not in (EVALUATED, DEVICE))


def read(name: str) -> pd.DataFrame:
    """Return the evidence of an experiment, a row per seed and epoch. Raises UserError for missing or damaged files."""
    path = FOLDER / f"{name}.csv"
    if not path.exists():
        raise UserError(f"{name}: no evidence at {path}; make {name}, then make evidence")
    frame = read_csv(path)
    if missing := _REQUIRED - set(frame.columns):
        raise UserError(f"{path}: the column {', '.join(sorted(missing))} is missing; make evidence writes it again")
    numeric = all(pd.api.types.is_numeric_dtype(frame[column]) for column in _NUMBERS)
    if not numeric or frame.loc[frame["epoch"] == frame["epoch"].max(), "test_accuracy"].isna().all():
        raise UserError(f"{path}: is damaged (a number is missing); restore it from git")
    return frame


def read_csv(path: Path) -> pd.DataFrame:
    """Return a table of the evidence as it is. Raises UserError where it is damaged."""
    with _damage(path):
        return pd.read_csv(path, dtype={"spec_hash": str, "code_hash": str})  # 12 digits may look like a number


def read_json(path: Path) -> dict:
    """Return a result in the evidence as it is. Raises UserError where it is damaged."""
    with _damage(path):
        return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def _damage(path):
    try:
        yield
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); restore it from git") from None


def save(frame: pd.DataFrame, path: Path) -> Path:
    """Write a file of the evidence, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, lineterminator="\n", float_format="%.8g")
    return path


def mistakes(name: str) -> pd.DataFrame:
    """Return the committed mistakes of an experiment, a row per run and image, as ``runs.mistakes`` does."""
    path = FOLDER / "mistakes" / f"{name}.csv"
    return read_csv(path) if path.exists() else pd.DataFrame(columns=runs.MISTAKES)


def class_counts() -> dict[str, list[int]]:
    """Return the number of test images of each class, in the classes' order, by data set."""
    path = FOLDER / "mistakes" / CLASSES
    return {data: part["images"].tolist() for data, part in read_csv(path).groupby("data")} if path.exists() else {}


def references() -> pd.DataFrame:
    """Return the published figures, as in ``references.csv``; those of the original document have an ``experiment``."""
    return pd.read_csv(REFERENCES)


def references_of_bytes() -> pd.DataFrame:
    """Return published figures of networks on devices: name, source, data, bytes of weights, n, best, last, note."""
    return pd.read_csv(OF_BYTES)


def studies() -> dict[str, tuple]:
    """Return (trials, result) by study, as ``analysis.studies`` wrote them. Raises UserError for a damaged file."""
    results = {path.stem: (path, read_json(path)) for path in sorted((FOLDER / "studies").glob("*.json"))}
    return {name: (read_csv(path.with_suffix(".csv")), result) for name, (path, result) in results.items()}


def evaluated(frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return data, data_digest, experiment and spec_hash of each spec evaluated on a test set.

    The committed list, with that of the runs in ``frame``, if given.
    """
    path, columns = FOLDER / EVALUATED, ["data", "data_digest", "experiment", "spec_hash"]
    known = pd.read_csv(path, dtype=str) if path.exists() else pd.DataFrame(columns=columns, dtype=str)
    if frame is None:
        return known
    both = pd.concat([known, frame.loc[frame["evaluated_on"] == "test", columns]])
    return both.drop_duplicates().sort_values(columns)


def evaluations(frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return how many different specs each test set has evaluated, of the rows of ``evaluated(frame)``: data, specs."""
    return evaluated(frame).groupby("data")["spec_hash"].nunique().rename("specs").reset_index()


def write(experiment_names: list[str] | None = None) -> list[Path]:
    """Write the CSVs of each experiment with finished runs in the store, and the list of specs evaluated.

    A CSV of more seeds than the store has is replaced only for an experiment that is named. Notes go to stderr.
    Returns the files written. Raises UserError for an experiment that is named but has no runs.
    """
    notes, written = [], []
    every = runs.read(runs.EVERY, notes)
    for name in experiment_names or experiments.names():
        spec = experiments.load(name)
        if experiment_names and spec.data.validation:
            raise UserError(f"{name}: holds out validation images (data.validation); evidence is of test images")
        mine = runs.of_spec(every[every["status"] == "FINISHED"], spec)
        path = FOLDER / f"{spec.name}.csv"
        if mine.empty and experiment_names:
            raise UserError(f"{name}: no finished runs of this spec in the store; make {name} makes one")
        if mine.empty or spec.data.validation:  # evidence is of test sets
            continue
        if not experiment_names and path.exists() and read(path.stem)["seed"].nunique() > len(mine):
            continue
        written += [save(of_runs(mine), path), *_write_mistakes(mine, spec)]
    written.append(save(evaluated(every), FOLDER / EVALUATED))
    for note in notes:
        print(f"note: {visible(note)}", file=sys.stderr)
    return written


def of_runs(mine: pd.DataFrame) -> pd.DataFrame:
    """Return a row per epoch of each run in rows of ``runs.read()``: its numbers, and where they come from.

    All runs were evaluated on images of the same kind.
    """
    who = mine[["experiment", "spec_hash", "seed", *_ORIGIN]]
    frame = runs.epochs(mine["run_id"].tolist(), mine["evaluated_on"].iloc[0]).merge(who, on="run_id", how="left")
    return frame[["experiment", "spec_hash", "seed", "epoch", *runs.EPOCH_METRICS, *_ORIGIN]]


def _write_mistakes(mine: pd.DataFrame, spec) -> list[Path]:
    """Write the misclassified images of each run, and how many test images each class of the data set has."""
    recorded, folder = mine["class_counts"].dropna(), FOLDER / "mistakes"
    if recorded.empty:
        return []
    data = mine["data"].iloc[0]
    sizes = pd.DataFrame({"data": data, "images": recorded.iloc[0].split()})
    path = folder / CLASSES
    if path.exists():
        known = read_csv(path)
        sizes = pd.concat([known[known["data"] != data], sizes]).sort_values("data", kind="stable")
    return [save(runs.mistakes(mine), folder / f"{spec.name}.csv"), save(sizes, path)]
