"""Runs in the store -> tidy pandas frames."""

import pandas as pd

from tinycnn.tracking import Store

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
}
_METRICS = (
    "last_accuracy", "best_accuracy", "best_epoch", "min_last5_accuracy", "train_accuracy",
    "clean_train_accuracy", "parameters", "macs",
)  # fmt: skip
_EPOCH_METRICS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate", "seconds", "clean_train_accuracy",
)  # fmt: skip


def runs(store: Store | None = None, statuses=("FINISHED",)) -> pd.DataFrame:
    """Return a row per run of one seed that ended so, the oldest first; accuracies in percent.

    Columns: run_id, started, what identifies the run (experiment, spec_hash, seed, data, data_digest, code_hash, ...)
    and its final metrics.
    """
    rows = []
    for entity in (store or Store()).search({"tinycnn.role": "seed"}, statuses):
        row = {"run_id": entity.info.run_id, "started": entity.info.start_time}
        row |= {column: entity.data.tags.get(tag) for column, tag in _TAGS.items()}
        row |= {name: entity.data.metrics.get(name) for name in _METRICS}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=["run_id", "started", *_TAGS, *_METRICS])
    frame = frame.astype({"seed": "int64", "parameters": "Int64", "macs": "Int64"})
    return frame.sort_values("started", kind="stable").reset_index(drop=True)


def epochs(run_id: str, store: Store) -> pd.DataFrame:
    """Return a row per epoch of one run: epoch, losses, accuracies in percent, learning rate, seconds."""
    histories = {name: pd.Series(store.history(run_id, name), dtype="float64") for name in _EPOCH_METRICS}
    return pd.DataFrame(histories).rename_axis("epoch").reset_index()


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
    if len(mine):
        mine = mine[mine["code_hash"] == mine["code_hash"].iloc[-1]]
    return mine.drop_duplicates("seed", keep="first").sort_values("seed").reset_index(drop=True)
