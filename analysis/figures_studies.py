"""Optuna studies in figures: what was tried, in what order, and what it came to. Frames -> matplotlib figures.

``trials`` has a row for each trial; ``value`` is the study's objective, the less the better, and only a complete trial
has one. ``facts`` are the study's: its ``objective``, ``limit``, ``ranges``, ``importances`` and ``best`` trial.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import style

STATES = {
    "complete": {"color": style.BLUE, "marker": "o"},
    "pruned": {"color": style.VERMILION, "marker": "x"},
    "over_limit": {"color": style.GREY, "marker": "^"},
    "failed": {"color": style.BLACK, "marker": "s"},
    "interrupted": {"color": style.BLACK, "marker": "D"},
}
_WORDS = {"over_limit": "over the limit"}


def objective(facts) -> str:
    """Return the study's objective as an axis says it."""
    return style.wrapped(str(facts.get("objective") or "objective"), 34, 2)


def complete(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that have a value, in their order."""
    return trials[(trials["state"] == "complete") & trials["value"].notna()].sort_values("number")


def empty(why: str) -> Figure:
    """Return a figure that says why there is style.nothing on it."""
    figure = style.new(style.COLUMN, 1.2)
    style.nothing(figure.subplots(), why)
    return figure


@style.styled
def history(trials: pd.DataFrame, facts: dict) -> Figure:
    """Draw the value of each trial in the order of their numbers, the best until then, and below the others by state."""
    done = complete(trials)
    others = [state for state in STATES if state != "complete" and (trials["state"] == state).any()]
    if trials.empty:
        return empty("A study without a trial")
    figure = style.new(style.COLUMN, 2.5 + 0.17 * len(others))
    if others:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.0, 0.17 * len(others) + 0.05])
    else:
        axes = below = figure.subplots()
    if done.empty:
        style.nothing(axes, "No trial was completed")
    else:
        axes.plot(done["number"], done["value"], "o", color=style.BLUE, markersize=3, markerfacecolor="white",
                  markeredgewidth=0.8, linestyle="none", label="a complete trial")  # fmt: skip
        axes.step([*done["number"], trials["number"].max()], [*done["value"].cummin(), done["value"].min()],
                  where="post", color=style.BLACK, linewidth=1, label="the best so far")  # fmt: skip
        style.log_axis(axes, done["value"], 7)
        axes.set_ylabel(objective(facts))
        figure.legend(loc="outside upper center", ncols=2)
    if others:
        _states_below(below, trials, others)
    below.set(xlabel="trial", xlim=(trials["number"].min() - 1, trials["number"].max() + 1))
    below.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    return figure


def _states_below(axes, trials, others):
    for row, state in enumerate(others):
        numbers = trials.loc[trials["state"] == state, "number"]
        mark = STATES[state]
        axes.plot(numbers, np.full(len(numbers), row), mark["marker"], color=mark["color"], markersize=3,
                  markeredgewidth=0.8, linestyle="none")  # fmt: skip
    names = [f"{_WORDS.get(s, s)} ({(trials['state'] == s).sum()})" for s in others]
    axes.set_yticks(range(len(others)), names, fontsize=6.5)
    axes.set_ylim(len(others) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


@style.styled
def importances(facts: dict) -> Figure:
    """Draw how much of the objective's variation each searched field accounts for, the most first; shares add to 1."""
    shares = sorted((facts.get("importances") or {}).items(), key=lambda pair: (-pair[1], pair[0]))
    if not shares:
        return empty("No importances: too few complete trials, or one value for all")
    figure = style.new(style.COLUMN, 0.45 + 0.2 * len(shares))
    axes = figure.subplots()
    bars = axes.barh(range(len(shares)), [share for _, share in shares], color=style.SKY, edgecolor=style.BLUE, linewidth=0.6)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for _, share in shares], padding=2, fontsize=6.5)
    axes.set_yticks(range(len(shares)), [style.short(name, 22) for name, _ in shares])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set(ylim=(len(shares) - 0.5, -0.5), xlim=(0, 1.15 * max(shares[0][1], 1e-9)), xticks=[],
             xlabel="share of the objective's variation")  # fmt: skip
    return figure


@style.styled
def feasibility(trials: pd.DataFrame, facts: dict) -> Figure:
    """Draw the parameters of each trial against the limit: infeasible ones were stopped before data was read."""
    known = trials.dropna(subset=["parameters"]).sort_values("number")
    if known.empty:
        return empty("No trial's parameters are known")
    limit, over = facts.get("limit"), known["excess"] > 0
    figure = style.new(style.COLUMN, 2.5)
    axes = figure.subplots()
    for part, mark, label in (
        (known[~over], {"marker": "o", "color": style.BLUE, "markerfacecolor": "white"}, f"feasible ({(~over).sum()})"),
        (known[over], {"marker": "x", "color": style.VERMILION}, f"over the limit ({over.sum()})"),
    ):
        axes.plot(part["number"], part["parameters"], linestyle="none", markersize=3.2, markeredgewidth=0.8,
                  label=label, **mark)  # fmt: skip
    best = known[known["number"] == facts.get("best")]
    axes.plot(best["number"], best["parameters"], "*", color=style.BLACK, markersize=8, linestyle="none", label="the best")
    style.log_axis(axes, [*known["parameters"], *([limit] if limit else [])], 7, "y", lambda value, _: f"{value:,g}")
    if limit:
        axes.axhline(limit, color=style.BLACK, linewidth=0.8, linestyle=(0, (4, 2)), label=f"limit {limit:,}")
    axes.set(xlabel="trial", ylabel="parameters", xlim=(known["number"].min() - 1, known["number"].max() + 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


@style.styled
def pruned_curves(curves: pd.DataFrame, trials: pd.DataFrame) -> Figure:
    """Draw the validation loss of each trial over its epochs, mean over seeds; a cross where one was pruned."""
    frame = curves.dropna(subset=["validation_loss"])
    if frame.empty:
        return empty("No trial has trained an epoch")
    means = frame.groupby(["trial", "epoch"])["validation_loss"].mean()
    done = complete(trials)
    best = done.loc[done["value"].idxmin(), "number"] if len(done) else None
    states = trials.set_index("number")["state"]
    figure = style.new(style.COLUMN, 2.8)
    axes = figure.subplots()
    for trial, line in means.groupby("trial"):
        line, pruned = line.droplevel(0), states.get(trial) == "pruned"
        if trial == best:
            continue
        axes.plot(line.index, line, color=style.VERMILION if pruned else style.PALE, linewidth=0.7, zorder=1.5 if pruned else 1,
                  linestyle=(0, (3, 1)) if pruned else "-")  # fmt: skip
        if pruned:
            axes.plot(line.index[-1], line.iloc[-1], "x", color=style.VERMILION, markersize=4, zorder=3)
    if best in means.index.get_level_values(0):
        axes.plot(means[best].index, means[best], color=style.BLACK, linewidth=1.6, zorder=4)
    style.log_axis(axes, means, 7)
    counts = states[states.index.isin(means.index.get_level_values(0))].value_counts()
    axes.plot([], [], color=style.PALE, label=f"complete ({counts.get('complete', 0)})")
    axes.plot([], [], color=style.VERMILION, linestyle=(0, (3, 1)), marker="x", label=f"pruned ({counts.get('pruned', 0)})")
    if best is not None:
        axes.plot([], [], color=style.BLACK, linewidth=1.6, label="the best")
    axes.set(xlabel="epoch", ylabel="validation loss")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    figure.legend(loc="outside upper center", ncols=3)
    return figure
