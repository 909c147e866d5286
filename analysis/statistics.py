"""Epochs -> the summary of each experiment and what each change brought, by the figures of ``tinycnn``."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import stats

from tinycnn.track import verdict
from tinycnn.track.statistics import difference, images

SUMMARY = (
    "experiment", "parent", "data", "parameters", "macs", "receptive_field", "n", "last_mean", "last_std", "last_min",
    "last_low", "last_high", "best_mean", "best_epoch_median", "min_last5", "clean_train", "seconds", "verdict",
    "target_accuracy", "limit",
)  # fmt: skip


def runs_needed(distance: float, deviation: float) -> int:
    """Return how many seeds a side show a difference of means, 8 times in 10 and at 5 % (two-sided, normal).

    n = 2 (z_0.975 + z_0.8)^2 (deviation / distance)^2.
    """
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    return int(np.ceil(2 * (z * deviation / distance) ** 2))


def last_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each experiment's last epoch; a run whose record ends before it has none."""
    return epochs[epochs["epoch"] == epochs.groupby("experiment")["epoch"].transform("max")]


def runs_of(epochs: pd.DataFrame, target=None) -> dict:
    """Return ``verdict.summarise`` of each run of one experiment by its seed, those without a last accuracy left out.

    An epoch without a test accuracy is passed over.
    """
    found, end = {}, epochs["epoch"].max()
    known = epochs.dropna(subset=["test_accuracy"]).sort_values(["seed", "epoch"])
    for seed, run in known.groupby("seed"):
        if run["epoch"].iloc[-1] == end:
            history = [
                SimpleNamespace(
                    epoch=row.epoch, accuracy=float(row.test_accuracy), train_accuracy=row.train_accuracy,
                    clean_train_accuracy=None if pd.isna(row.clean_train_accuracy) else row.clean_train_accuracy,
                )
                for row in run.itertuples()
            ]  # fmt: skip
            found[seed] = verdict.summarise(history, target)
    return found


def summarise(epochs: pd.DataFrame, spec=None, measured=None, barred: str = "") -> dict:
    """Return one experiment's row of the summary, with the columns SUMMARY, and the verdict's ``reason``.

    ``spec``: what was run, None where it is not known as it was; ``measured``: its network; ``barred``: why it cannot
    be judged, "" where it can. At least one run has an accuracy after the last epoch.
    """
    data, target = str(epochs["data"].iloc[0]), spec.target if spec else None
    found = verdict.total([*runs_of(epochs).values()], images(data))
    word, reason = (verdict.NOT_JUDGED, barred) if barred else judge(epochs, spec)
    return dict(
        zip(
            SUMMARY,
            (
                epochs["experiment"].iloc[0], spec.parent if spec else None, data,
                _known(epochs, "parameters", measured), _known(epochs, "macs", measured),
                measured.receptive_field if measured else None, found["n"],
                found["last"], _or_nan(found["last_std"]), found["last_min"], found["last_low"], found["last_high"],
                found["best"], found["best_epoch"], found["min_last5"], _or_nan(found["clean_train"]),
                epochs.groupby("seed")["seconds"].sum(min_count=1).mean(), word,
                target.accuracy if target else None, target.parameter_limit if target else None,
            ),
            strict=True,
        )
    ) | {"reason": reason}  # fmt: skip


def _or_nan(value) -> float:
    return np.nan if value is None else value


def _known(epochs, column, measured):
    """Return what the runs recorded of their network, or else what is measured of it now."""
    recorded = epochs[column].dropna() if column in epochs else ()
    return float(recorded.iloc[0]) if len(recorded) else getattr(measured, column, None)


def judge(epochs: pd.DataFrame, spec) -> tuple[str, str]:
    """Return the verdict on the runs of ``epochs`` by the acceptance rule, and its reason in words."""
    if spec is None:
        return verdict.NOT_JUDGED, "made by a spec that is not here as it was then"
    if spec.data.short != epochs["data"].iloc[0]:
        return verdict.NOT_JUDGED, f"trained on the fallback data set {epochs['data'].iloc[0]}"
    if (epochs.groupby("seed")["test_accuracy"].count() < spec.train.epochs).any():
        return verdict.NOT_JUDGED, "the record of an epoch is missing"
    return verdict.judge(spec, [*runs_of(epochs, spec.target).values()], kind="test", fallback=False)


def changes(epochs: pd.DataFrame, specs: dict) -> pd.DataFrame:
    """Return a row per experiment whose parent was run on the same data: what it changed and what that brought."""
    rows, last = [], {name: part.set_index("seed")["test_accuracy"] for name, part in _by_name(last_epochs(epochs))}
    data = epochs.groupby("experiment", sort=False)["data"].first()
    for name in last:
        parent = specs[name].parent if specs.get(name) else None
        if parent in last and specs.get(parent) and data[parent] == data[name]:
            fields = difference_in_words(specs[name], specs[parent])
            rows.append({"experiment": name, "parent": parent, "fields": fields} | difference(last[name], last[parent]))
    columns = ["experiment", "parent", "fields", "difference", "low", "high", "n", "paired"]
    return pd.DataFrame(rows, columns=columns).astype({"low": float, "high": float})


def _by_name(frame):
    return frame.groupby("experiment", sort=False)


def difference_in_words(spec, parent) -> str:
    """Return what a spec changes of its parent but for the target, e.g. ``optimizer.lr 0.01 → 0.007``."""
    found = {n: pair for n, pair in spec.difference(parent).items() if not n.startswith("target.")}
    return "; ".join(f"{name} {plain(old)} → {plain(new)}" for name, (old, new) in found.items())


def plain(value) -> str:
    """Return a field's value as a table shows it; absent is a dash."""
    if isinstance(value, list | tuple):
        return " ".join(map(plain, value))
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
