"""Runs in the MLflow store -> tidy pandas frames.

A store may also hold runs of others: a run whose record is incomplete is left out, with a line in ``notes``.
"""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pandas as pd

from tinycnn.errors import StoreTrouble, shown
from tinycnn.spec.load import hash_now
from tinycnn.track.address import database

EVERY = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")
MISTAKES = "mistakes.csv"
EPOCH_METRICS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate", "seconds", "clean_train_accuracy",
)  # fmt: skip
_RUN = ("run_id", "started", "status", "artifacts")
_REQUIRED = ("experiment", "spec_hash", "seed", "data", "code_hash", "evaluated_on", "fallback")
_TAGS = {
    **{name: f"tinycnn.{name}" for name in (*_REQUIRED, "data_digest", "device", "spec", "settings", "class_counts")},
    "commit": "mlflow.source.git.commit",
    "dirty": "tinycnn.git_dirty",
    "torch": "tinycnn.version.torch",
    "threads": "tinycnn.machine.threads",
}
_METRICS = ("test_accuracy", "validation_accuracy", "parameters", "macs")
_MOST_NOTES = 10


def read(statuses=("FINISHED",), notes: list | None = None) -> pd.DataFrame:
    """Return a row per run of one seed with one of these statuses, the oldest first. A missing store has no rows.

    Columns: run_id, started, status, artifacts (address of its files), what identifies the run (experiment, spec_hash,
    seed, data, data_digest, code_hash, ...) and its final metrics, accuracies in percent. Raises StoreTrouble.
    """
    rows, invalid = [], []
    store = _store()
    for entity in store.search({"tinycnn.role": "seed"}, statuses, everywhere=True) if store else ():
        info, tags, metrics = entity.info, entity.data.tags, entity.data.metrics
        row = dict(zip(_RUN, (info.run_id, info.start_time, info.status, info.artifact_uri), strict=True))
        row |= {name: tags.get(tag) for name, tag in _TAGS.items()}
        row |= {name: metrics.get(name) for name in _METRICS}
        if problem := _problem(row):
            invalid.append(f"run {info.run_id}: left out, {problem}.")
        else:
            now = hash_now(row["spec"], row["spec_hash"])  # that of a spec of version 1 has changed since
            rows.append(row | {"seed": int(row["seed"]), "spec_hash": now or row["spec_hash"]})
    _add_first(invalid, notes)
    frame = pd.DataFrame(rows, columns=[*_RUN, *_TAGS, *_METRICS])
    tags = frame[[*_TAGS]].astype(object)
    frame[[*_TAGS]] = tags.where(tags.notna(), None)
    frame[[*_METRICS]] = frame[[*_METRICS]].apply(pd.to_numeric)
    for count in ("parameters", "macs"):
        frame[count] = frame[count].round().astype("Int64")
    return frame.astype({"seed": "int64"}).sort_values(["started", "run_id"]).reset_index(drop=True)


def _store():
    """Return the store to read from, None where its file is missing: nothing is created."""
    file = database()
    if file and not file.exists():
        return None
    from tinycnn.track.mlflow_store import Store  # importing MLflow takes seconds

    return Store(make=False)


def _problem(row: dict) -> str:
    """Return what makes a run's record unusable, "" for a usable one."""
    if missing := [_TAGS[name] for name in _REQUIRED if not row[name]]:
        return f"it has no tag {', '.join(missing)}"
    if not (row["seed"].isascii() and row["seed"].isdigit()):
        return f"its tag tinycnn.seed is {shown(row['seed'])}, not a whole number"
    for name in _METRICS:
        if name.endswith("accuracy") and row[name] is not None and not 0 <= row[name] <= 100:
            return f"its metric {name} is {row[name]:g}, not a percentage"
    last = f"{row['evaluated_on']}_accuracy"
    if row["status"] == "FINISHED" and row.get(last) is None:
        return f"it has finished without a {last}"
    return ""


def _add_first(lines: list[str], notes: list | None):
    """Add the first lines to ``notes``, and the number of the others."""
    if notes is not None:
        more = len(lines) - _MOST_NOTES
        notes += lines[:_MOST_NOTES] + [f"{more} more runs in the store were left out for such reasons."] * (more > 0)


def epochs(run_ids: list[str], kind: str = "test") -> pd.DataFrame:
    """Return a row per epoch of each run, the runs in the order given. Raises StoreTrouble.

    Columns: run_id, epoch, losses, accuracies in percent, learning_rate (at the epoch's last step), seconds; NaN where
    the store has no usable value. With ``kind`` "validation" the columns ``test_...`` are of the validation images.
    """
    metrics = {name.replace("test_", f"{kind}_"): name for name in EPOCH_METRICS}
    requests = [(run_ids[first : first + 100], name) for name in metrics for first in range(0, len(run_ids), 100)]
    store = _store() if requests else None
    with ThreadPoolExecutor(4) as pool:
        values = [each for part in pool.map(lambda request: store.histories(*request), requests) for each in part]
    long = pd.DataFrame(values, columns=["run_id", "metric", "epoch", "value", "time"])
    long["metric"] = long["metric"].map(metrics)
    long = long.astype({"epoch": "int64", "value": float}).sort_values("time", kind="stable")
    long["value"] = long["value"].mask(long["metric"].str.endswith("accuracy") & ~long["value"].between(0, 100))
    wide = long.pivot_table("value", ["run_id", "epoch"], "metric", aggfunc="last", dropna=False)
    wide = wide.reindex(columns=EPOCH_METRICS).dropna(how="all").reset_index().rename_axis(columns=None)
    order = wide["run_id"].map({run_id: number for number, run_id in enumerate(run_ids)})
    return wide.assign(order=order).sort_values(["order", "epoch"]).drop(columns="order").reset_index(drop=True)


def mistakes(frame: pd.DataFrame, notes: list | None = None) -> pd.DataFrame:
    """Return a row per misclassified test image of each run: experiment, data, seed, index, label, predicted.

    ``frame``: rows of ``read()``. Runs that recorded no list of mistakes have no rows.
    """
    columns, parts, invalid = ["experiment", "data", "seed", "index", "label", "predicted"], [], []
    listed = frame[frame["class_counts"].notna()]  # the tag is set where the file was stored
    with ThreadPoolExecutor(8) as pool:  # a server takes a call for each file
        texts = list(pool.map(_mistakes_file, listed["artifacts"]))
    for run, text in zip(listed.itertuples(), texts, strict=True):
        try:
            part = pd.read_csv(StringIO(text or ",".join(columns)), dtype=dict.fromkeys(columns[3:], "int64"))
            parts.append(part.assign(experiment=run.experiment, data=run.data, seed=run.seed)[columns])
        except (ValueError, KeyError):
            invalid.append(f"run {run.run_id}: its {MISTAKES} cannot be read and is left out.")
    _add_first(invalid, notes)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _mistakes_file(artifacts: str) -> str | None:
    """Return the text of a run's list of mistakes, None where it cannot be had any more."""
    from tinycnn.track.mlflow_store import read_file

    try:
        return read_file(f"{artifacts.rstrip('/')}/{MISTAKES}")
    except StoreTrouble:
        return None


def of_spec(frame: pd.DataFrame, spec) -> pd.DataFrame:
    """Return the rows of ``read()`` that count for ``spec``: on its own data set, one for each seed.

    Runs on a fallback data set and runs of another spec never count.
    """
    return of_latest_code(
        frame[
            (frame["experiment"] == spec.name)
            & (frame["spec_hash"] == spec.hash)
            & (frame["fallback"] == "false")
            & (frame["evaluated_on"] == ("validation" if spec.data.validation else "test"))
        ]
    )


def of_latest_code(mine: pd.DataFrame) -> pd.DataFrame:
    """Return, of runs of one spec, those of the latest code and data, one for each seed: the first, not the best."""
    if len(mine):
        digests = mine["data_digest"].fillna("")
        mine = mine[(mine["code_hash"] == mine["code_hash"].iloc[-1]) & (digests == digests.iloc[-1])]
    return mine.drop_duplicates("seed", keep="first").sort_values("seed").reset_index(drop=True)
