"""Runs in a store -> tidy pandas frames, a whole store in a handful of calls."""

import concurrent.futures
from io import StringIO

import pandas as pd

from analysis import stores

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
    "class_counts": "tinycnn.class_counts",
}
_METRICS = (
    "last_accuracy", "best_accuracy", "best_epoch", "min_last5_accuracy", "train_accuracy",
    "clean_train_accuracy", "parameters", "macs",
)  # fmt: skip
EPOCH_METRICS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate", "seconds", "clean_train_accuracy",
)  # fmt: skip
MISTAKES = "mistakes.csv"


def runs(statuses=("FINISHED",)) -> pd.DataFrame:
    """Return a row per run of one seed that ended so, the oldest first; accuracies in percent. No store, no rows.

    Columns: run_id, started, status, artifacts (where its files lie), what identifies the run (experiment, spec_hash,
    seed, data, data_digest, code_hash, ...) and its final metrics. Runs that tell no experiment and no seed are left
    out. Raises StoreTrouble.
    """
    rows = stores.runs(_TAGS, _METRICS) if statuses else []
    frame = pd.DataFrame(rows, columns=[*stores.RUN, *_TAGS, *_METRICS])
    words = frame[[*_TAGS]].astype(object)
    frame[[*_TAGS]] = words.where(words.notna(), None)  # the same where a store has a tag on no run at all
    numbers = ["seed", *_METRICS]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
    frame = frame[frame["status"].isin(statuses) & frame["experiment"].notna() & frame["seed"].notna()]
    frame = frame.astype({"seed": "int64", "parameters": "Int64", "macs": "Int64"})
    return frame.sort_values(["started", "run_id"], kind="stable").reset_index(drop=True)


def epochs(run_ids: list[str]) -> pd.DataFrame:
    """Return a row per epoch of each run, the runs in the order given.

    Columns: run_id, epoch, losses, accuracies in percent, learning_rate (at the epoch's last step), seconds; NaN where
    the store has no value. Raises StoreTrouble.
    """
    values = stores.values(run_ids, EPOCH_METRICS)
    long = pd.DataFrame(values, columns=["run_id", "metric", "epoch", "value", "time"])
    long = long.astype({"epoch": "int64", "value": "float64"}).sort_values("time", kind="stable")
    wide = long.pivot_table("value", ["run_id", "epoch"], "metric", aggfunc="last", dropna=False)
    wide = wide.reindex(columns=EPOCH_METRICS).dropna(how="all").reset_index().rename_axis(columns=None)
    wide["order"] = wide["run_id"].map({run_id: place for place, run_id in enumerate(run_ids)})
    return wide.sort_values(["order", "epoch"]).drop(columns="order").reset_index(drop=True)


def mistakes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row per test image that a run got wrong: experiment, data, seed, index, label, predicted.

    ``frame``: rows of ``runs()``. Runs from before there was such a file have no rows.
    """
    marked = frame[frame["class_counts"].notna()]  # that tag and the file came together: no need to look for it
    if marked.empty:
        return pd.DataFrame(columns=["experiment", "data", "seed", "index", "label", "predicted"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:  # a server takes a call for each
        texts = list(pool.map(lambda place: stores.text(place, MISTAKES), marked["artifacts"]))
    parts = [
        pd.read_csv(StringIO(text)).assign(experiment=run.experiment, data=run.data, seed=run.seed)
        for run, text in zip(marked.itertuples(), texts, strict=True)
        if text
    ]
    columns = ["experiment", "data", "seed", "index", "label", "predicted"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


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
    return mine.drop_duplicates("seed", keep="first").sort_values("seed").reset_index(drop=True)
