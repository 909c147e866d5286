"""Runs in a store -> tidy pandas frames, a whole store in a handful of calls.

A store may be anybody's: a run that lacks what identifies it, or holds what it cannot, is left out and named.
"""

import concurrent.futures
import json
from io import StringIO

import pandas as pd

from analysis import stores
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import shown
from tinycnn.spec.version1 import hash_now

_TAGS = {
    "experiment": "tinycnn.experiment",
    "spec_hash": "tinycnn.spec_hash",
    "seed": "tinycnn.seed",
    "data": "tinycnn.data",
    "data_digest": "tinycnn.data_digest",
    "code_hash": "tinycnn.code_hash",
    "evaluated_on": "tinycnn.evaluated_on",
    "fallback": "tinycnn.fallback",
    "commit": "mlflow.source.git.commit",
    "dirty": "tinycnn.git_dirty",
    "torch": "tinycnn.version.torch",
    "threads": "tinycnn.machine.threads",
    "device": "tinycnn.device",
    "spec": "tinycnn.spec",
    "settings": "tinycnn.settings",
    "class_counts": "tinycnn.class_counts",
}
_METRICS = (
    "last_accuracy", "best_accuracy", "best_epoch", "min_last5_accuracy", "train_accuracy",
    "clean_train_accuracy", "test_accuracy", "validation_accuracy", "parameters", "macs",
)  # fmt: skip
_NEEDED = ("experiment", "spec_hash", "seed", "data", "code_hash", "evaluated_on", "fallback")
EPOCH_METRICS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate", "seconds", "clean_train_accuracy",
)  # fmt: skip
MISTAKES = "mistakes.csv"
_MOST = 10
"""Runs, or values, that are named; more of them would hide the rest of the notes."""


def runs(statuses=("FINISHED",), notes: list | None = None) -> pd.DataFrame:
    """Return a row per run of one seed that ended so, the oldest first; accuracies in percent. No store, no rows.

    Columns: run_id, started, status, artifacts (where its files lie), what identifies the run (experiment, spec_hash,
    seed, data, data_digest, code_hash, ...) and its final metrics. Runs that cannot be understood are left out, with a
    line in ``notes``. Raises StoreTrouble.
    """
    rows, bad = [], []
    for row in stores.runs(_TAGS, _METRICS) if statuses else ():
        row = dict.fromkeys((*_TAGS, *_METRICS)) | row
        if row["status"] not in statuses:
            continue
        if wrong := _wrong(row):
            bad.append(f"run {row['run_id']}: left out, {wrong}.")
        else:
            now = hash_now(row["spec"], row["spec_hash"]) if row["spec"] else None  # of a spec of version 1 another
            rows.append(row | {"seed": int(row["seed"]), "spec_hash": now or row["spec_hash"]})
    _tell(bad, notes)
    frame = pd.DataFrame(rows, columns=[*stores.RUN, *_TAGS, *_METRICS])
    words = frame[[*_TAGS]].astype(object)
    frame[[*_TAGS]] = words.where(words.notna(), None)  # the same where a store has a tag on no run at all
    frame[[*_METRICS]] = frame[[*_METRICS]].apply(pd.to_numeric, errors="coerce")
    frame = frame.astype({"seed": "int64", "parameters": "Int64", "macs": "Int64"})
    return frame.sort_values(["started", "run_id"], kind="stable").reset_index(drop=True)


def _wrong(row: dict) -> str:
    """Say what of a run's record cannot be, "" where nothing is wrong."""
    if missing := [f"tinycnn.{name}" for name in _NEEDED if not row[name]]:
        return f"it has no tag {', '.join(missing)}"
    seed, counts = row["seed"], row["class_counts"]
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 10):
        return f"its tag tinycnn.seed is {shown(seed)}, no seed"
    if row["fallback"] not in ("true", "false"):
        return f"its tag tinycnn.fallback is {shown(row['fallback'])}, neither true nor false"
    if row["spec"] is not None and not _is_object(row["spec"]):
        return f"its tag tinycnn.spec is {shown(row['spec'])}, no spec"
    if counts is not None:
        classes = len(DATASETS[row["data"]].classes) if row["data"] in DATASETS else len(counts.split())
        if len(counts.split()) != classes or not counts.replace(" ", "").isdecimal():
            return f"its tag tinycnn.class_counts is {shown(counts)}, not a number for each class"
    for name in ("parameters", "macs"):
        if row[name] is not None and not (_is_number(row[name]) and 0 <= row[name] < 1e15 and row[name] % 1 == 0):
            return f"its metric {name} is {shown(row[name])}, no count"
    for name in (name for name in _METRICS if name.endswith("accuracy")):
        if row[name] is not None and not (_is_number(row[name]) and 0 <= row[name] <= 100):
            return f"its metric {name} is {shown(row[name])}, no percentage"
    last = f"{row['evaluated_on']}_accuracy"
    if row["status"] == "FINISHED" and row.get(last) is None:
        return f"it has finished and has no number as its last {last}"
    return ""


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_number(value) -> bool:
    return isinstance(value, int | float)


def _tell(lines: list[str], notes: list | None):
    """Add the first lines to ``notes``, and how many more there are."""
    if notes is not None:
        rest = len(lines) - _MOST
        notes += lines[:_MOST] + [f"{rest} more were left out of what the store holds for such reasons."] * (rest > 0)


def epochs(run_ids: list[str], notes: list | None = None, kind: str = "test") -> pd.DataFrame:
    """Return a row per epoch of each run, the runs in the order given.

    Columns: run_id, epoch, losses, accuracies in percent, learning_rate (at the epoch's last step), seconds; NaN where
    the store has no value, or one that cannot be, which is a line in ``notes``. With ``kind`` "validation" what is
    called test is of the validation images. Raises StoreTrouble.
    """
    own = {name.replace("test_", f"{kind}_"): name for name in EPOCH_METRICS}
    values = stores.values(run_ids, tuple(own))
    long = pd.DataFrame(values, columns=["run_id", "metric", "epoch", "value", "time"])
    numbers = pd.to_numeric(long["value"], errors="coerce").astype(float)
    percent = ~long["metric"].str.endswith("accuracy") | numbers.between(0, 100)
    strange = long[long["value"].notna() & ~(numbers.abs().lt(1e300) & percent)]
    rows = strange.itertuples()
    _tell([f"run {r.run_id}: its {r.metric} of epoch {r.epoch} is {shown(r.value)}, left out." for r in rows], notes)
    long["metric"] = long["metric"].map(own)
    long["value"] = numbers.drop(strange.index)
    long = long.astype({"epoch": "int64"}).sort_values("time", kind="stable")
    wide = long.pivot_table("value", ["run_id", "epoch"], "metric", aggfunc="last", dropna=False)
    wide = wide.reindex(columns=EPOCH_METRICS).dropna(how="all").reset_index().rename_axis(columns=None)
    wide["order"] = wide["run_id"].map({run_id: place for place, run_id in enumerate(run_ids)})
    return wide.sort_values(["order", "epoch"]).drop(columns="order").reset_index(drop=True)


def mistakes(frame: pd.DataFrame, notes: list | None = None) -> pd.DataFrame:
    """Return a row per test image that a run got wrong: experiment, data, seed, index, label, predicted.

    ``frame``: rows of ``runs()``. Runs from before there was such a file have no rows, and those whose file holds
    something else none but a line in ``notes``.
    """
    marked = frame[frame["class_counts"].notna()]  # that tag and the file came together: no need to look for it
    columns, parts, bad = ["experiment", "data", "seed", "index", "label", "predicted"], [], []
    if marked.empty:
        return pd.DataFrame(columns=columns)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:  # a server takes a call for each
        texts = list(pool.map(lambda place: stores.text(place, MISTAKES), marked["artifacts"]))
    for run, text in zip(marked.itertuples(), texts, strict=True):
        part = None if text is None else _wrong_images(text, [int(count) for count in run.class_counts.split()])
        if part is not None:
            parts.append(part.assign(experiment=run.experiment, data=run.data, seed=run.seed))
        elif text is not None:
            bad.append(f"run {run.run_id}: its {MISTAKES} is left out, it is no list of images of its test set.")
    _tell(bad, notes)
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _wrong_images(text: str, counts: list[int]) -> pd.DataFrame | None:
    """Return the rows of a run's mistakes on a test set of so many images a class, None where they cannot be that."""
    names = ["index", "label", "predicted"]
    try:
        found = pd.read_csv(StringIO(text), dtype=dict.fromkeys(names, "int64"))[names]
    except (ValueError, KeyError):  # pandas' own are ValueErrors
        return None
    ends = pd.Series([sum(counts), len(counts), len(counts)], names)
    return found if (found.ge(0) & found.lt(ends)).all(axis=None) else None


def of_spec(frame: pd.DataFrame, spec) -> pd.DataFrame:
    """Return the runs that speak for ``spec``: on its own data set's test images, one for each seed.

    Runs on a fallback data set and runs of another spec never count. Where the code that changes numbers has been
    altered since, only the runs of the latest code do; where a seed was run twice, the first run does, not the best.
    """
    mine = frame[
        (frame["experiment"] == spec.name)
        & (frame["spec_hash"] == spec.hash)
        & (frame["fallback"] == "false")
        & (frame["evaluated_on"] == ("validation" if spec.data.validation else "test"))
    ]
    return of_latest_code(mine)


def of_latest_code(mine: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the latest code among runs of the same numbers, the first of each seed."""
    if len(mine):
        mine = mine[mine["code_hash"] == mine["code_hash"].iloc[-1]]
        digests = mine["data_digest"].fillna("")
        mine = mine[digests == digests.iloc[-1]]  # a file of one's own may have changed
    return mine.drop_duplicates("seed", keep="first").sort_values("seed").reset_index(drop=True)
