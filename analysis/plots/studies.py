"""An Optuna study in a figure: what was tried, and the best.

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

_TRIAL = {"color": style.BLUE, "marker": "o", "markerfacecolor": "white", "linestyle": "none", "markersize": 3.2,
          "markeredgewidth": 0.8}  # fmt: skip
_BEST = {"color": style.BLACK, "marker": "*", "markersize": 8, "linestyle": "none"}


def draw(result: dict, trials: list[dict]):
    """Yield (name, figure) of a study with a complete trial. Both as ``tinycnn.study.results`` returns them."""
    if result.get("best") is not None:
        yield "slices", slices(pd.DataFrame(trials), result)


def complete(trials: pd.DataFrame, result: dict) -> tuple[pd.DataFrame, str]:
    """Return the trials that have a value, in their order, with ``value`` the lower the better, and its name."""
    done = trials[(trials["state"] == "complete") & trials["value"].notna()].sort_values("number")
    done = done.astype({"value": float})
    objective = str(result.get("objective") or "objective").replace("_", " ")
    if "accuracy" not in objective:
        return done, objective
    return done.assign(value=axis.errors_of(done["value"])), objective.replace("accuracy", "errors per 10,000")


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
