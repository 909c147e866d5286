"""Learning-rate schedules in a figure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import figures_axes as axis
from analysis import style

MOST = 24
"""Different schedules that get a panel, the first of more."""


@style.styled
def schedules(epochs: pd.DataFrame) -> Figure:
    """Draw the learning rate of each experiment at the last step of its epochs; equal ones share a line.

    Rates of less than a thousandth of the largest run off the axis.
    """
    frame = epochs.dropna(subset=["learning_rate"])
    if frame.empty:
        return axis.empty("No learning rate was recorded")
    rates, shared = frame.groupby(["experiment", "epoch"], sort=False)["learning_rate"].first(), {}
    for name, line in rates.groupby("experiment", sort=False):
        shared.setdefault(tuple(line.droplevel(0).sort_index().items()), []).append(name)
    lines = [(_shared_name(names), line) for line, names in list(shared.items())[:MOST]]
    together = len(lines) <= len(style.SERIES)
    if together:
        figure, panels = axis.column([2.2])
        panels, left, bottom = panels * len(lines), [True] * len(lines), [True] * len(lines)
        marks = style.SERIES
    else:
        figure, panels, left, bottom = axis.multiples(len(lines))
        marks = style.SERIES[:1] * len(lines)
    for number, (name, line) in enumerate(lines):
        axes, values = panels[number], rates.to_numpy() if together else np.array([rate for _, rate in line])
        axes.plot(*zip(*line, strict=True), markersize=3, **axis.line_style(marks[number]))
        axis.log_axis(axes, np.maximum(values, values.max() / 1000), 6)
        axis.count_axis(axes, frame["epoch"], "epoch" if bottom[number] else "")
        axes.set_ylabel("learning rate" if left[number] else "")
        axes.set_title("" if together else name, loc="left", fontsize=7)
    if together:
        axis.legend(figure, [(name, axis.line_style(mark)) for (name, _), mark in zip(lines, marks, strict=False)])
    return figure


def _shared_name(names) -> str:
    if len(names) == 2 and len(names[0]) + len(names[1]) <= 20:
        return f"{names[0]}, {names[1]}"
    return style.short(names[0]) if len(names) == 1 else f"{style.short(names[0], 11)} and {len(names) - 1} more"
