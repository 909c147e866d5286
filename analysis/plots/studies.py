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


def draw(result: dict, trials: list[dict], curves: list[dict]):
    """Yield (name, figure) of a study. All three as ``tinycnn.study.results`` returns them."""
    for name, plot in plots(pd.DataFrame(trials), result).items():
        yield name, plot()


def plots(trials: pd.DataFrame, result: dict) -> dict:
    """Return by name the functions that draw the figures of a study, those for which there is any data."""
    found = {}
    if len(trials):
        found["history"] = lambda: history(trials, result)
    if result.get("best") is not None:
        found["slices"] = lambda: slices(trials, result)
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
def slices(trials: pd.DataFrame, result: dict) -> Figure:
    """Draw the objective of the complete trials over their parameter count and each searched field; a star is the best.

    The most important field comes first, with its share of the objective's variation. ``result["ranges"]`` has of each
    its kind (float, int or choice), low, high, log and choices.
    """
    done, objective = complete(trials, result)
    counts, shares = done["parameters"].astype(float), result.get("importances") or {}
    ranges = dict(sorted(result["ranges"].items(), key=lambda pair: -shares.get(pair[0], 0)))
    if counts.nunique() > 1:
        high = result.get("limit") or counts.max()
        ranges = {"parameters": {"kind": "int", "low": counts.min(), "high": high}} | ranges
    figure, panels, left, _ = axis.multiples(len(ranges))
    best = done["value"].to_numpy().argmin()
    for number, (axes, (name, searched)) in enumerate(zip(panels, ranges.items(), strict=True)):
        positions = _field_axis(axes, done[name], searched)
        axes.plot(positions, done["value"], **_TRIAL)
        axes.plot(positions[best], done["value"].iloc[best], **_BEST)
        axis.log_axis(axes, done["value"], 4)
        axes.set_ylabel(style.wrapped(objective, 22, 2) if left[number] else "")
        share = f", {100 * shares[name]:.0f} %" if name in shares else ""
        axes.set_title(style.short(name, 20) + share, loc="left", fontsize=7)
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
