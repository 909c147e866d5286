"""The small record that is in git -> tidy frames: evidence, specs judged, mistakes, studies, published figures."""

import json
from pathlib import Path

import pandas as pd

from tinycnn import ROOT
from tinycnn.errors import UserError

FOLDER = ROOT / "reports" / "evidence"
JUDGED = "specs_judged.csv"
CLASSES = "classes.csv"
REFERENCES = Path(__file__).with_name("references.csv")
MISTAKES = ["experiment", "data", "seed", "index", "label", "predicted"]


def names() -> list[str]:
    """Return the experiments that there is evidence of, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.csv") if path.name != JUDGED)


def read(name: str) -> pd.DataFrame:
    """Return the committed evidence of an experiment, a row per seed and epoch. Raises UserError without."""
    path = FOLDER / f"{name}.csv"
    if not path.exists():
        raise UserError(f"{name}: no evidence at {path}; make {name}, then make evidence")
    frame = _csv(path)
    numbers = ["seed", "epoch", "test_accuracy", "train_accuracy", "clean_train_accuracy", "learning_rate", "seconds"]
    needed = {"experiment", "spec_hash", "data", "data_digest", "code_hash", "dirty", "parameters", *numbers}
    if missing := needed - set(frame.columns):
        raise UserError(f"{path}: lacks the column {', '.join(sorted(missing))}; make evidence writes it anew")
    if strange := [name for name in numbers if not pd.api.types.is_numeric_dtype(frame[name])]:
        raise UserError(f"{path}: not only numbers in the column {', '.join(strange)}; take it from git again")
    if frame.loc[frame["epoch"] == frame["epoch"].max(), "test_accuracy"].isna().all():
        raise UserError(f"{path}: no test accuracy after the last epoch; take it from git again")
    return frame


def judged() -> pd.DataFrame:
    """Return data, data_digest, experiment and spec_hash of every spec that a test set has judged."""
    path = FOLDER / JUDGED
    columns = ["data", "data_digest", "experiment", "spec_hash"]
    return pd.read_csv(path, dtype=str) if path.exists() else pd.DataFrame(columns=columns, dtype=str)


def looks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return how many specs each test set has judged, data and specs, from rows as of ``judged()``."""
    return frame.groupby("data")["spec_hash"].nunique().rename("specs").reset_index()


def mistakes(name: str) -> pd.DataFrame:
    """Return the committed mistakes of an experiment, a row per run and image; none where nothing was committed."""
    path = FOLDER / "mistakes" / f"{name}.csv"
    return _csv(path) if path.exists() else pd.DataFrame(columns=MISTAKES)


def class_counts() -> dict[str, list[int]]:
    """Return how many test images each class of a data set has, in the classes' order, where that is committed."""
    path = FOLDER / "mistakes" / CLASSES
    if not path.exists():
        return {}
    return {data: part["images"].tolist() for data, part in _csv(path).groupby("data")}


def references() -> pd.DataFrame:
    """Return the published figures: name, source, data, parameters, best, best_epoch, last, min_last5, recipe, note."""
    return pd.read_csv(REFERENCES)


def studies() -> tuple[dict[str, tuple], list[str]]:
    """Return (trials, curves, facts) by study, and a line for each that cannot be read."""
    found, lines = {}, []
    for path in sorted((FOLDER / "studies").glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            curves = path.with_name(f"{path.stem}_epochs.csv")
            found[path.stem] = _csv(path.with_suffix(".csv")), _csv(curves) if curves.exists() else None, facts
        except (OSError, ValueError, UserError) as error:
            lines.append(f"study {path.stem}: cannot be read ({' '.join(str(error).split())}), so it is left out")
    return found, lines


def _csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"spec_hash": str, "code_hash": str})  # 12 digits may look like a number
    except (OSError, ValueError) as error:  # pandas' own are ValueErrors
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); take it from git again") from None
