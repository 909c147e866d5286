"""An Optuna study in figures: what was tried, in what order, and the result.

``trials`` has a row for each trial; only a complete one has a ``value``, the study's objective. ``result`` is the
study's: its ``objective``, ``limit``, ``ranges``, ``importances`` and ``best`` trial. A loss is drawn as it is, an
accuracy in percent as errors per 10,000: lower is better for either, on a logarithmic axis.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.plots import axes as axis
from analysis.plots import style

_DOTS = {"linestyle": "none", "markersize": 3.2, "markeredgewidth": 0.8}
_WITHOUT_VALUE = {
    "pruned": {"color": style.VERMILION, "marker": "x"},
    "over_limit": {"color": style.GREY, "marker": "^"},
    "failed": {"color": style.BLACK, "marker": "s"},
    "interrupted": {"color": style.BLACK, "marker": "D"},
    "running": {"color": style.GREEN, "marker": "o"},
}
_TRIAL = {"color": style.BLUE, "marker": "o", "markerfacecolor": "white", **_DOTS}
_BEST = {"color": style.BLACK, "marker": "*", "markersize": 8, "linestyle": "none"}
_BEST_LINE = {"color": style.BLACK, "linewidth": 1.2}
_CURVES = {
    "other": {"color": style.PALE, "linewidth": 0.7, "zorder": 1},
    "pruned": {"color": style.VERMILION, "linewidth": 0.7, "linestyle": (0, (3, 1)), "marker": "x", "zorder": 2},
    "the best": {"color": style.BLACK, "linewidth": 1.6, "zorder": 3},
}


def draw(result: dict, trials: list[dict], curves: list[dict]):
    """Yield (name, figure) of a study. All three as ``tinycnn.study.results`` returns them."""
    for name, plot in plots(pd.DataFrame(trials), pd.DataFrame(curves), result).items():
        yield name, plot()


def plots(trials: pd.DataFrame, curves: pd.DataFrame, result: dict) -> dict:
    """Return by name the functions that draw the figures of a study, those for which there is any data."""
    found = {}
    if len(trials):
        found["history"] = lambda: history(trials, result)
    if result.get("importances"):
        found["importances"] = lambda: importances(result)
    if result.get("best") is not None:
        found["slices"] = lambda: slices(trials, result)
    if len(curves):
        found["curves"] = lambda: learning_curves(curves, trials, result)
    return found


def complete(trials: pd.DataFrame, result: dict) -> tuple[pd.DataFrame, str]:
    """Return the trials that have a value, in their order, with ``value`` the lower the better, and its name."""
    done = trials[(trials["state"] == "complete") & trials["value"].notna()].sort_values("number")
    done = done.astype({"value": float})
    objective = str(result.get("objective") or "objective").replace("_", " ")
    if "accuracy" not in objective:
        return done, objective
    return done.assign(value=axis.errors_of(done["value"])), objective.replace("accuracy", "errors per 10,000")


@style.styled
def history(trials: pd.DataFrame, result: dict) -> Figure:
    """Draw the value of each trial by its number and the best so far; below them the trials without a value."""
    done, name = complete(trials, result)
    states = [state for state in _WITHOUT_VALUE if (trials["state"] == state).any()]
    figure, panels = axis.column(2.3, 0.35 + 0.17 * len(states)) if states else axis.column(2.5)
    above, below = panels[0], panels[-1]
    if done.empty:
        above.set(yticks=[], ylabel="no complete trial")
    else:
        best = [*done["value"].cummin(), done["value"].min()]
        above.step([*done["number"], trials["number"].max()], best, where="post", **_BEST_LINE)
        above.plot(done["number"], done["value"], **_TRIAL)
        axis.log_axis(above, done["value"], 8)
        above.set_ylabel(name)
        axis.legend(figure, [(f"a complete trial ({len(done)})", _TRIAL), ("the best so far", _BEST_LINE)])
    if states:
        numbers = [trials.loc[trials["state"] == state, "number"] for state in states]
        for row, (state, of_state) in enumerate(zip(states, numbers, strict=True)):
            below.plot(of_state, np.full(len(of_state), row), **_DOTS, **_WITHOUT_VALUE[state])
        names = [f"{state.replace('_', ' the ')} ({len(each)})" for state, each in zip(states, numbers, strict=True)]
        axis.row_axis(below, names, 6.5)
        above.tick_params(labelbottom=False)
        axis.count_axis(above, trials["number"], "")
    axis.count_axis(below, trials["number"], "trial")
    return figure


@style.styled
def importances(result: dict) -> Figure:
    """Draw how much of the objective's variation each searched field accounts for, the largest first."""
    shares = pd.Series(result["importances"]).mul(100).sort_values(ascending=False)
    figure, (axes,) = axis.column(0.35 + 0.2 * len(shares))
    bars = axes.barh(range(len(shares)), shares, color=style.SKY, edgecolor=style.BLUE, linewidth=0.6, height=0.62)
    axes.bar_label(bars, [f"{share:.0f} %" for share in shares], padding=2, fontsize=6.5)
    axis.row_axis(axes, [style.short(name, 22) for name in shares.index])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set(xticks=[], xlim=(0, 1.15 * max(shares.max(), 1)), xlabel="share of the objective's variation")
    return figure


@style.styled
def slices(trials: pd.DataFrame, result: dict) -> Figure:
    """Draw the objective of the complete trials over their parameter count and each searched field; a star is the best.

    The most important field comes first. ``result["ranges"]`` has of each its kind (float, int or choice), low, high,
    log and choices.
    """
    done, objective = complete(trials, result)
    counts = done["parameters"].astype(float)
    ranges = {"parameters": {"kind": "int", "low": counts.min(), "high": result.get("limit") or counts.max()}}
    weights = result.get("importances") or {}
    ranges |= dict(sorted(result["ranges"].items(), key=lambda pair: -weights.get(pair[0], 0)))
    figure, panels, left, _ = axis.multiples(len(ranges))
    best = done["value"].to_numpy().argmin()
    for number, (axes, (name, searched)) in enumerate(zip(panels, ranges.items(), strict=True)):
        positions = _field_axis(axes, done[name], searched)
        axes.plot(positions, done["value"], **_TRIAL)
        axes.plot(positions[best], done["value"].iloc[best], **_BEST)
        axis.log_axis(axes, done["value"], 4)
        axes.set_ylabel(style.wrapped(objective, 22, 2) if left[number] else "")
        axes.set_title(style.short(name, 26), loc="left", fontsize=7)
    return figure


def _field_axis(axes, values, searched) -> np.ndarray:
    """Make the horizontal axis that of a searched field; return the positions of ``values`` on it."""
    if searched["kind"] == "choice":
        choices = [choice if isinstance(choice, int | float) else str(choice) for choice in searched["choices"]]
        axes.set_xlim(-0.5, len(choices) - 0.5)
        axis.set_ticks(axes.xaxis, range(len(choices)), lambda number: style.short(str(choices[round(number)]), 12))
        axes.tick_params(axis="x", rotation=90)
        known = {choice: number for number, choice in enumerate(choices)}
        return values.map(lambda value: known.get(value, known.get(str(value), np.nan))).to_numpy(float)
    if searched.get("log"):
        axis.log_axis(axes, [searched["low"], searched["high"]], 4, "x", lambda value: f"{value:g}")
    else:
        margin = 0.06 * (searched["high"] - searched["low"]) or 0.5
        axes.set_xlim(searched["low"] - margin, searched["high"] + margin)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=searched["kind"] == "int"))
    return values.to_numpy(float)


@style.styled
def learning_curves(curves: pd.DataFrame, trials: pd.DataFrame, result: dict) -> Figure:
    """Draw the validation loss of each trial over its epochs, the mean over its seeds; a cross where it was pruned."""
    frame = curves.dropna(subset=["validation_loss"])
    means = frame.groupby(["trial", "epoch"])["validation_loss"].mean()
    pruned = set(trials.loc[trials["state"] == "pruned", "number"])
    figure, (axes,) = axis.column(2.4)
    counts = dict.fromkeys(_CURVES, 0)
    for trial, line in means.groupby("trial"):
        kind = "the best" if trial == result.get("best") else "pruned" if trial in pruned else "other"
        counts[kind] += 1
        axes.plot(line.index.get_level_values("epoch"), line, markevery=[-1], **_CURVES[kind])
    axis.log_axis(axes, means, 8)
    axes.set_ylabel("validation loss")
    axis.count_axis(axes, frame["epoch"])
    names = {kind: kind if kind == "the best" else f"{kind} ({count})" for kind, count in counts.items() if count}
    axis.legend(figure, [(name, _CURVES[kind]) for kind, name in names.items()])
    return figure
