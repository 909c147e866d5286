"""What a few seeds can say: means with their intervals, differences, and the summary of an experiment.

Accuracies are in percent. Intervals are of 95 %.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import stats

from tinycnn import verdict
from tinycnn.data.catalog import DATASETS

LEVEL = 0.95
SUMMARY = (
    "experiment", "parent", "data", "parameters", "macs", "receptive_field", "n", "last_mean", "last_std", "last_min",
    "last_low", "last_high", "best_median", "best_epoch_median", "min_last5", "clean_train", "seconds", "verdict",
    "target_accuracy", "limit",
)  # fmt: skip


def images(data: str) -> int:
    """Return how many test images a data set has; 10,000 for one that is not known here."""
    return DATASETS[data].test if data in DATASETS else 10_000


def wilson(accuracy: float, count: int) -> tuple[float, float]:
    """Return the interval of one run's accuracy over ``count`` test images (Wilson 1927, scipy's ``binomtest``).

    It says what other images would have given, not what another seed would have.
    """
    right = min(count, max(0, round(accuracy * count / 100)))
    found = stats.binomtest(right, count).proportion_ci(LEVEL, method="wilson")
    return 100 * found.low, 100 * found.high


def mean_interval(accuracies, count: int = 10_000) -> tuple[float, float]:
    """Return the interval of the mean over seeds by Student's t; of a single run, Wilson's over its ``count`` images.

    Seeds that all came out the same show no spread to estimate from: then too it is that of one run.
    """
    values = np.asarray(accuracies, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    if len(values) == 1 or np.ptp(values) == 0:
        return wilson(values[0], count)
    low, high = stats.t.interval(LEVEL, len(values) - 1, values.mean(), stats.sem(values))
    return max(low, 0.0), min(high, 100.0)


def difference(ours: pd.Series, theirs: pd.Series) -> dict:
    """Return what the mean of ``ours`` is above that of ``theirs``: difference, low, high, n, paired.

    Both: last accuracies by seed. Two or more shared seeds are compared seed by seed (paired t), and the others left
    out; without, the means of all (Welch's t). An interval takes two seeds a side, and is NaN below that.
    """
    ours, theirs = ours.dropna(), theirs.dropna()
    shared = ours.index.intersection(theirs.index)
    if len(shared) >= 2:
        each = ours[shared] - theirs[shared]
        low = high = np.nan
        if np.ptp(each) > 0:
            low, high = stats.ttest_1samp(each, 0).confidence_interval(LEVEL)
        return {"difference": each.mean(), "low": low, "high": high, "n": len(shared), "paired": True}
    found = {"difference": ours.mean() - theirs.mean(), "low": np.nan, "high": np.nan}
    if min(len(ours), len(theirs)) >= 2 and max(np.ptp(ours), np.ptp(theirs)) > 0:
        interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(LEVEL)
        found |= {"low": interval.low, "high": interval.high}
    return found | {"n": min(len(ours), len(theirs)), "paired": False}


def runs_needed(distance: float, deviation: float) -> int:
    """Return how many seeds a side show a difference of means, 8 times in 10 and at 5 % (two-sided, normal).

    n = 2 (z_0.975 + z_0.8)^2 (deviation / distance)^2.
    """
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    return int(np.ceil(2 * (z * deviation / distance) ** 2))


def last_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each experiment's last epoch; a run whose record ends before it has none."""
    return epochs[epochs["epoch"] == epochs.groupby("experiment")["epoch"].transform("max")]


def summarise(epochs: pd.DataFrame, spec=None, measured=None, barred: str = "") -> dict:
    """Return one experiment's row of the summary, with the columns SUMMARY, and the verdict's ``reason``.

    ``spec``: what was run, None where it is not known as it was; ``measured``: its network; ``barred``: why it cannot
    be judged, "" where it can.
    """
    data, accuracies = str(epochs["data"].iloc[0]), last_epochs(epochs)
    last, runs = accuracies["test_accuracy"], epochs.groupby("seed", sort=False)
    best = epochs.loc[epochs.dropna(subset=["test_accuracy"]).groupby("seed")["test_accuracy"].idxmax()]
    low, high = mean_interval(last, images(data))
    word, reason = (verdict.NOT_JUDGED, barred) if barred else judge(epochs, spec)
    target = spec.target if spec else None
    return dict(
        zip(
            SUMMARY,
            (
                epochs["experiment"].iloc[0], spec.parent if spec else None, data,
                _known(epochs, "parameters", measured), _known(epochs, "macs", measured),
                measured.receptive_field if measured else None, int(last.notna().sum()),
                last.mean(), last.std(), last.min(), low, high,
                best["test_accuracy"].median(), best["epoch"].median(),
                epochs[epochs["epoch"] > epochs["epoch"].max() - 5].groupby("seed")["test_accuracy"].min().median(),
                accuracies["clean_train_accuracy"].mean(), runs["seconds"].sum(min_count=1).mean(), word,
                target.accuracy if target else None, target.parameter_limit if target else None,
            ),
            strict=True,
        )
    ) | {"reason": reason}  # fmt: skip


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
    summaries = []
    for _, run in epochs.sort_values("epoch").groupby("seed"):
        if len(run) < spec.train.epochs or run["test_accuracy"].isna().any():
            return verdict.NOT_JUDGED, "the record of an epoch is missing"
        history = [
            SimpleNamespace(
                epoch=row.epoch, accuracy=row.test_accuracy, train_accuracy=row.train_accuracy,
                clean_train_accuracy=row.clean_train_accuracy,
            )
            for row in run.itertuples()
        ]  # fmt: skip
        summaries.append(verdict.summarise(history, spec.target))
    return verdict.judge(spec, summaries, kind="test", fallback=False)


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
    return pd.DataFrame(rows, columns=columns)


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
