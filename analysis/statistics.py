"""Epochs -> the summary of each experiment, what each change brought, and what is misclassified.

Means, intervals and differences over seeds are those of ``tinycnn.track.statistics``, verdicts those of
``tinycnn.track.verdict``. Frames of epochs are as ``analysis.evidence`` describes them.
"""

import math
from statistics import NormalDist

import numpy as np
import pandas as pd

from analysis.runs import data_name
from tinycnn.track import verdict
from tinycnn.track.statistics import difference, images

BUDGETS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
"""Numbers of parameters that networks are compared under."""


def seeds_needed(distance: float, deviation: float) -> int:
    """Return how many seeds a side detect a difference of means, with power 0.8 at 5 % (two-sided, normal).

    n = 2 (z_0.975 + z_0.8)^2 (deviation / distance)^2.
    """
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    return math.ceil(2 * (z * deviation / distance) ** 2)


def last_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each experiment's last epoch; a run whose record ends before it has none."""
    return epochs[epochs["epoch"] == epochs.groupby("experiment")["epoch"].transform("max")]


def runs_of(epochs: pd.DataFrame, target=None) -> dict:
    """Return ``verdict.summarise`` of each run of one experiment by its seed; of complete runs only.

    An epoch without a test accuracy is skipped.
    """
    found, end = {}, epochs["epoch"].max()
    known = epochs.dropna(subset=["test_accuracy"]).sort_values(["seed", "epoch"])
    clean = known["clean_train_accuracy"].astype(object)
    known = known.assign(accuracy=known["test_accuracy"], clean_train_accuracy=clean.where(clean.notna(), None))
    for seed, run in known.groupby("seed"):
        if run["epoch"].iloc[-1] == end:
            found[seed] = verdict.summarise([*run.itertuples()], target)
    return found


def summarise(epochs: pd.DataFrame, spec=None, measured=None, not_judged: str = "") -> dict:
    """Return one experiment's row of the summary: what ``verdict.total`` returns, and the columns below.

    Accuracies in percent, what is not known NaN or None. ``spec``: what was run, None where that is not known;
    ``measured``: its network; ``not_judged``: why it cannot be judged, "" where it can. At least one run must have an
    accuracy after the last epoch.
    """
    data = str(epochs["data"].iloc[0])
    found = verdict.total([*runs_of(epochs).values()], images_of(epochs))
    word, reason = (verdict.NOT_JUDGED, not_judged) if not_judged else judge(epochs, spec)
    return {
        "experiment": epochs["experiment"].iloc[0],
        "data": data,
        "parameters": _recorded(epochs, "parameters", measured),
        "macs": _recorded(epochs, "macs", measured),
        **{name: np.nan if value is None else value for name, value in found.items()},
        "verdict": word,
        "reason": reason,
        "target_accuracy": _target(spec, data) if spec else None,
    }


def _target(spec, data: str) -> float | None:
    own = data == data_name(spec.data.short, spec.data.path)
    return verdict.asked(spec.target, spec.data.short if own else data)


def images_of(epochs: pd.DataFrame) -> int:
    """Return how many images one experiment's accuracies are of: as recorded, or as many as its data set has."""
    return int(_recorded(epochs, "images", None) or images(str(epochs["data"].iloc[0])))


def front(costs: pd.Series, accuracies: pd.Series) -> pd.Index:
    """Return the labels of those that none of as low a cost surpasses, by rising cost."""
    ordered = pd.DataFrame({"cost": costs, "error": -accuracies}).sort_values(["cost", "error"])
    return ordered.index[ordered["error"] < ordered["error"].cummin().shift(fill_value=np.inf)]


def under_budgets(summary: pd.DataFrame, references: pd.DataFrame) -> list[tuple]:
    """Return (data, budget, ours, published): the best network of fewer parameters than each budget, as rows or None.

    ``ours``: of the highest mean over two seeds or more, of one seed where there is nothing else. Budgets under which
    neither is another than under the one before are left out.
    """
    ranked = summary.sort_values("last", kind="stable").sort_values("n", key=lambda n: n > 1, kind="stable")
    theirs = references.assign(shown=references["last"].fillna(references["best"])).sort_values("shown", kind="stable")
    rows = []
    for data in dict.fromkeys(summary["data"]):
        before = None
        for budget in BUDGETS:
            pair = [
                next(frame[(frame["data"] == data) & (frame["parameters"] < budget)][::-1].itertuples(), None)
                for frame in (ranked, theirs)
            ]
            if any(pair) and (names := [row and row.Index for row in pair]) != before:
                rows.append((data, budget, *pair))
                before = names
    return rows


def _recorded(epochs, column, measured):
    """Return what the runs recorded of their network, or else what is measured of it now."""
    recorded = epochs[column].dropna() if column in epochs else ()
    return float(recorded.iloc[0]) if len(recorded) else getattr(measured, column, None)


def judge(epochs: pd.DataFrame, spec) -> tuple[str, str]:
    """Return the verdict on the runs of ``epochs`` by the acceptance rule, and its reason in words."""
    if spec is None:
        return verdict.NOT_JUDGED, "the spec of these runs is not known"
    if data_name(spec.data.short, spec.data.path) != epochs["data"].iloc[0]:
        return verdict.NOT_JUDGED, f"trained on the fallback data set {epochs['data'].iloc[0]}"
    if (epochs.groupby("seed")["test_accuracy"].count() < spec.train.epochs).any():
        return verdict.NOT_JUDGED, "the record of an epoch is missing"
    return verdict.judge(spec, [*runs_of(epochs, spec.target).values()], kind="test", fallback=False)


def changes(epochs: pd.DataFrame, specs: dict) -> pd.DataFrame:
    """Return a row per experiment whose parent was run on the same data: what it changed and what that brought.

    Columns: experiment, parent, fields (in words), difference, low and high (of its 95 % interval), n, paired.
    """
    rows, data = [], epochs.groupby("experiment", sort=False)["data"].first()
    groups = last_epochs(epochs).groupby("experiment", sort=False)
    last = {name: part.set_index("seed")["test_accuracy"] for name, part in groups}
    for name in last:
        parent = specs[name].parent if specs.get(name) else None
        if parent not in last or not specs.get(parent) or data[parent] != data[name]:
            continue
        if specs[parent].data.path == specs[name].data.path:  # all own data have the same name
            fields = difference_in_words(specs[name], specs[parent])
            rows.append({"experiment": name, "parent": parent, "fields": fields} | difference(last[name], last[parent]))
    columns = ["experiment", "parent", "fields", "difference", "low", "high", "n", "paired"]
    return pd.DataFrame(rows, columns=columns).astype({"low": float, "high": float})


def changed_fields(spec, parent) -> dict[str, tuple]:
    """Return (old, new) of each field that a spec changes of its parent; the target, which alters no number, is not."""
    return {name: pair for name, pair in spec.difference(parent).items() if not name.startswith("target.")}


def difference_in_words(spec, parent) -> str:
    """Return what a spec changes of its parent, e.g. ``optimizer.lr 0.01 → 0.007``."""
    fields = changed_fields(spec, parent).items()
    return "; ".join(f"{name} {as_text(old)} → {as_text(new)}" for name, (old, new) in fields)


def as_text(value) -> str:
    """Return a field's value as a table shows it; a missing one is a dash."""
    if isinstance(value, list | tuple):
        return " ".join(map(as_text, value))
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def difference_as_text(found: dict) -> str:
    """Return a difference, as ``tinycnn.track.statistics.difference`` returns it, in words."""
    pairs = f"{found['n']} seeds, paired" if found["paired"] else f"at least {found['n']} seeds a side, not paired"
    text, low, high = f"{found['difference']:+.3f} points ({pairs})", found["low"], found["high"]
    if low is None or math.isnan(low):
        return f"{text}, no interval from so few seeds"
    return f"{text}, 95 % interval {low:+.3f} to {high:+.3f}" + (": not significant" if low <= 0 <= high else "")


def confusion(mistakes: pd.DataFrame, classes: int) -> np.ndarray:
    """Return how often a run takes each class for which, on average over the seeds: float64 (true, predicted)."""
    counts = pd.crosstab(mistakes["label"], mistakes["predicted"])
    counts = counts.reindex(index=range(classes), columns=range(classes), fill_value=0)
    return counts.to_numpy() / max(1, mistakes["seed"].nunique())


def wrong_for_every_seed(mistakes: pd.DataFrame) -> pd.DataFrame:
    """Return the images that every run of one experiment gets wrong: index, label, predicted, seeds.

    ``predicted`` is what most runs say, the smallest class in a tie; ``seeds``: how many say so.
    """
    votes = mistakes.groupby(["index", "label", "predicted"]).size().rename("seeds").reset_index()
    always = votes[votes.groupby("index")["seeds"].transform("sum") == mistakes["seed"].nunique()]
    first = always.sort_values(["index", "seeds", "predicted"], ascending=[True, False, True])
    return first.drop_duplicates("index").reset_index(drop=True)
