"""Optuna studies in figures: what was tried, in what order, and what it came to. Frames -> matplotlib figures.

``trials`` has a row for each trial; only a complete one has a ``value``, the study's objective. ``facts`` are the
study's: its ``objective``, ``limit``, ``ranges``, ``importances`` and ``best`` trial. A loss is drawn as it is, an
accuracy in percent as errors per 10,000: the less the better in either case, on a logarithmic axis.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import figures_axes as axis
from analysis import style
from analysis.figures_changes import counted_bars

_OTHERS = {
    "pruned": ("pruned", {"color": style.VERMILION, "marker": "x"}),
    "over_limit": ("over the limit", {"color": style.GREY, "marker": "^"}),
    "failed": ("failed", {"color": style.BLACK, "marker": "s"}),
    "interrupted": ("interrupted", {"color": style.BLACK, "marker": "D"}),
    "running": ("running", {"color": style.GREEN, "marker": "o"}),
}
"""States of trials without a value: what they are called and how they are drawn."""

_DOTS = {"linestyle": "none", "markersize": 3.2, "markeredgewidth": 0.8}
_TRIAL = {"color": style.BLUE, "marker": "o", "markerfacecolor": "white", **_DOTS}
_BEST = {"color": style.BLACK, "linewidth": 1.2}
_CURVES = {
    "other": {"color": style.PALE, "linewidth": 0.7, "zorder": 1},
    "pruned": {"color": style.VERMILION, "linewidth": 0.7, "linestyle": (0, (3, 1)), "marker": "x", "zorder": 2},
    "the best": {"color": style.BLACK, "linewidth": 1.6, "zorder": 3},
}


def complete(trials: pd.DataFrame, facts: dict) -> tuple[pd.DataFrame, str]:
    """Return the trials that have a value, in their order, with ``value`` the less the better, and its name."""
    done = trials[(trials["state"] == "complete") & trials["value"].notna()].sort_values("number")
    objective = str(facts.get("objective") or "objective").replace("_", " ")
    if "accuracy" not in objective:
        return done, style.wrapped(objective, 34, 2)
    errors = axis.errors_of(done["value"])
    return done.assign(value=errors), objective.replace("accuracy", "errors per 10,000")


@style.styled
def history(trials: pd.DataFrame, facts: dict) -> Figure:
    """Draw the value of each trial by its number and the best until then; below them the trials without a value."""
    if trials.empty:
        return axis.empty("A study without a trial")
    done, name = complete(trials, facts)
    others = [state for state in _OTHERS if (trials["state"] == state).any()]
    heights = [2.3, 0.35 + 0.17 * len(others)] if others else [2.5]
    figure, panels = axis.column(heights)
    above, below = panels[0], panels[-1]
    if done.empty:
        axis.nothing(above, "No trial was completed")
    else:
        best = [*done["value"].cummin(), done["value"].min()]
        above.step([*done["number"], trials["number"].max()], best, where="post", **_BEST)
        above.plot(done["number"], done["value"], **_TRIAL)
        axis.log_axis(above, done["value"], 8)
        above.set_ylabel(name)
        axis.legend(figure, [(f"a complete trial ({len(done)})", _TRIAL), ("the best so far", _BEST)])
    if others:
        _without_value(below, trials, others)
        above.tick_params(labelbottom=False)
        axis.count_axis(above, trials["number"], "")
    axis.count_axis(below, trials["number"], "trial")
    return figure


def _without_value(axes, trials, states):
    names = []
    for row, state in enumerate(states):
        numbers = trials.loc[trials["state"] == state, "number"]
        axes.plot(numbers, np.full(len(numbers), row), **_DOTS, **_OTHERS[state][1])
        names.append(f"{_OTHERS[state][0]} ({len(numbers)})")
    axis.row_axis(axes, names, 6.5)


@style.styled
def importances(facts: dict) -> Figure:
    """Draw how much of the objective's variation each searched field accounts for, the most first."""
    shares = sorted((facts.get("importances") or {}).items(), key=lambda pair: (-pair[1], pair[0]))
    if not shares:
        return axis.empty("No importances: too few complete trials, or all with one value")
    figure = style.new(style.COLUMN, 0.45 + 0.2 * len(shares))
    axes = figure.subplots()
    counted_bars(axes, [style.short(name, 22) for name, _ in shares], [100 * share for _, share in shares], "{:.0f} %")
    axes.set_xlabel("share of the objective's variation")
    return figure


@style.styled
def feasibility(trials: pd.DataFrame, facts: dict) -> Figure:
    """Draw the parameters of each trial against the limit; those over it were never trained."""
    known = trials.dropna(subset=["parameters"])
    if known.empty:
        return axis.empty("No trial's parameters are known")
    limit, over = facts.get("limit"), known["excess"].astype(float) > 0
    figure = style.new(style.COLUMN, 2.4)
    axes = figure.subplots()
    cross = {"color": style.VERMILION, "marker": "x", **_DOTS}
    star = {"color": style.BLACK, "marker": "*", "markersize": 8, "linestyle": "none"}
    line = {"color": style.BLACK, "linewidth": 0.8, "linestyle": (0, (4, 2))}
    best = known[known["number"] == facts.get("best")]
    entries = []
    for part, options, name in (
        (known[~over], _TRIAL, f"feasible ({(~over).sum()})"),
        (known[over], cross, f"over the limit ({over.sum()})"),
        (best, star, "the best"),
    ):
        if len(part):
            axes.plot(part["number"], part["parameters"], **options)
            entries.append((name, options))
    if limit:
        axes.axhline(limit, **line)
        entries.append((f"limit {limit:,}", line))
    axis.log_axis(axes, [*known["parameters"], *([limit] if limit else [])], 9)
    axes.set_ylabel("parameters")
    axis.count_axis(axes, known["number"], "trial")
    axis.legend(figure, entries)
    return figure


@style.styled
def pruned_curves(curves: pd.DataFrame, trials: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Draw the validation loss of each trial over its epochs, the mean over its seeds; a cross where it was pruned."""
    frame = curves.dropna(subset=["validation_loss"])
    if frame.empty:
        return axis.empty("No trial has trained an epoch")
    means = frame.groupby(["trial", "epoch"])["validation_loss"].mean()
    done, _ = complete(trials, facts or {})
    best = done.loc[done["value"].idxmin(), "number"] if len(done) else None
    pruned = set(trials.loc[trials["state"] == "pruned", "number"])
    figure = style.new(style.COLUMN, 2.5)
    axes, counts = figure.subplots(), dict.fromkeys(_CURVES, 0)
    for trial, line in means.groupby("trial"):
        epochs = line.index.get_level_values("epoch")
        kind = "the best" if trial == best else "pruned" if trial in pruned else "other"
        counts[kind] += 1
        axes.plot(epochs, line, markevery=[-1], **_CURVES[kind])
    axis.log_axis(axes, means, 8)
    axes.set_ylabel("validation loss")
    axis.count_axis(axes, frame["epoch"])
    names = {kind: kind if kind == "the best" else f"{kind} ({count})" for kind, count in counts.items() if count}
    axis.legend(figure, [(name, _CURVES[kind]) for kind, name in names.items()])
    return figure
