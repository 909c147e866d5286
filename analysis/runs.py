"""Runs in the MLflow store -> tidy pandas frames.

A store may also hold runs of others: a run whose record is incomplete is left out, with a line in ``notes``.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pandas as pd

from tinycnn.spec.load import hash_now
from tinycnn.track.address import database

EVERY = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")
EPOCH_METRICS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "test_loss": "test/loss",
    "test_accuracy": "test/accuracy",
    "learning_rate": "train/learning_rate",
    "seconds": "time/seconds",
    "clean_train_accuracy": "train/clean_accuracy",
}
"""The columns of ``epochs`` and the metrics that they are."""
_RUN = ("run_id", "started", "status", "artifacts", "commit")
_REQUIRED = ("experiment", "spec_hash", "seed", "data", "code_hash", "evaluated_on", "fallback")
_FACTS = {name: name for name in (*_REQUIRED, "data_digest", "device", "spec", "settings", "class_counts")}
_FACTS |= {"dirty": "git_dirty", "torch": "version.torch", "threads": "machine.threads"}
_COUNTS = ("parameters", "macs", "images")
MISTAKES = ["experiment", "data", "seed", "index", "label", "predicted"]
_MOST_NOTES = 10


def data_name(name: str, path: str | None) -> str:
    """Return what a data set is called beside others: of your own files, which share a name, also theirs."""
    return f"{name}_{re.sub(r'[^0-9a-zA-Z]+', '_', Path(path).stem)}" if path else name


def read(statuses=("FINISHED",), notes: list | None = None, names: list | None = None) -> pd.DataFrame:
    """Return a row per run of one seed with one of these statuses, the oldest first. A missing store has no rows.

    ``names``: only of these experiments, which spares reading a file for each run of the others.

    Columns: run_id, started, status, artifacts (address of its files), commit, what identifies the run (experiment,
    spec_hash, seed, data, data_digest, code_hash, ...), what made it, parameters, macs and the number of images that it
    was evaluated on. Raises StoreTrouble.
    """
    rows, invalid = [], []
    stored = store()
    seeds = {"tinycnn.role": "seed"}
    wanted = [seeds] if names is None else [seeds | {"tinycnn.experiment": name} for name in dict.fromkeys(names)]
    for entity, facts in (each for tags in wanted for each in stored.with_facts(tags, statuses)) if stored else ():
        info, data = entity.info, entity.data
        commit = data.tags.get("mlflow.source.git.commit")
        row = dict(zip(_RUN, (info.run_id, info.start_time, info.status, info.artifact_uri, commit), strict=True))
        row |= {name: facts.get(fact) for name, fact in _FACTS.items()}
        row |= {name: data.params.get(name, data.metrics.get(name)) for name in _COUNTS}
        if missing := [name for name in _REQUIRED if not row[name]]:
            invalid.append(f"run {info.run_id}: left out, its record has no {', '.join(missing)}.")
            continue
        path = data.params.get("data.path", "None")  # as MLflow writes it
        row["data"] = data_name(row["data"], None if path == "None" else path)
        row["images"] = sum(map(int, row["class_counts"].split())) if row["class_counts"] else None
        row["spec"] = json.dumps(row["spec"])
        now = hash_now(row["spec"], row["spec_hash"])  # that of a spec of version 1 has changed since
        rows.append(row | {"seed": int(row["seed"]), "spec_hash": now or row["spec_hash"]})
    _add_first(invalid, notes)
    frame = pd.DataFrame(rows, columns=[*_RUN, *_FACTS, *_COUNTS])
    facts = frame[[*_FACTS]].astype(object)
    frame[[*_FACTS]] = facts.where(facts.notna(), None)
    for count in _COUNTS:
        frame[count] = pd.to_numeric(frame[count]).round().astype("Int64")
    return frame.astype({"seed": "int64"}).sort_values(["started", "run_id"]).reset_index(drop=True)


def store():
    """Return the store to read from, None where its file is missing: nothing is created."""
    file = database()
    if file and not file.exists():
        return None
    from tinycnn.track.mlflow_store import Store  # importing MLflow takes seconds

    return Store(make=False)


def _add_first(lines: list[str], notes: list | None):
    """Add the first lines to ``notes``, and the number of the others."""
    if notes is not None:
        more = len(lines) - _MOST_NOTES
        notes += lines[:_MOST_NOTES] + [f"{more} more runs in the store were left out for such reasons."] * (more > 0)


def epochs(run_ids: list[str], kind: str = "test") -> pd.DataFrame:
    """Return a row per epoch of each run, the runs in the order given. Raises StoreTrouble.

    Columns: run_id, epoch, losses, accuracies in percent, learning_rate (at the epoch's last step), seconds; NaN where
    the store has no value. With ``kind`` "validation" the columns ``test_...`` are of the validation images.
    """
    metrics = {metric.replace("test/", f"{kind}/"): name for name, metric in EPOCH_METRICS.items()}
    requests = [(run_ids[first : first + 100], name) for name in metrics for first in range(0, len(run_ids), 100)]
    stored = store() if requests else None
    with ThreadPoolExecutor(4) as pool:
        values = [each for part in pool.map(lambda request: stored.histories(*request), requests) for each in part]
    long = pd.DataFrame(values, columns=["run_id", "metric", "epoch", "value", "time"])
    long["metric"] = long["metric"].map(metrics)
    long = long.astype({"epoch": "int64", "value": float}).sort_values("time", kind="stable")
    wide = long.pivot_table("value", ["run_id", "epoch"], "metric", aggfunc="last", dropna=False)
    wide = wide.reindex(columns=[*EPOCH_METRICS]).dropna(how="all").reset_index().rename_axis(columns=None)
    order = wide["run_id"].map({run_id: number for number, run_id in enumerate(run_ids)})
    return wide.assign(order=order).sort_values(["order", "epoch"]).drop(columns="order").reset_index(drop=True)


def mistakes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row per misclassified test image of each run: experiment, data, seed, index, label, predicted.

    ``frame``: rows of ``read()``. Runs that recorded no list of mistakes have no rows.
    """
    from tinycnn.track.mlflow_store import read_file

    with ThreadPoolExecutor(8) as pool:  # a server takes a call for each file
        texts = list(pool.map(lambda artifacts: read_file(artifacts, "mistakes.csv"), frame["artifacts"]))
    parts = [
        pd.read_csv(StringIO(text)).assign(experiment=run.experiment, data=run.data, seed=run.seed)[MISTAKES]
        for run, text in zip(frame.itertuples(), texts, strict=True)
        if text
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=MISTAKES)


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
