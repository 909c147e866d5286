"""Runs in figures: learning curves and seeds. Frames of ``analysis.load`` -> matplotlib figures.

``epochs`` has a row for each experiment, seed and epoch; a row without a test accuracy is left out. Accuracies are in
percent and drawn as errors per 10,000 on a logarithmic axis, where 99.4 and 99.6 are as far apart as 94 and 96.
Experiments on different data sets never share a panel.
"""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis import figures_axes as axis
from analysis import style
from tinycnn.track.statistics import images, mean_interval

MOST = 24
"""Experiments that get a panel or a row; of more, those with the fewest errors do, and the figure says so."""

_TARGET = {"color": style.BLACK, "linewidth": 0.8, "linestyle": (0, (1, 1.5))}
_MEAN = {"color": style.BLACK, "linewidth": 1.4, "solid_capstyle": "butt"}
_ONE_RUN = {"color": style.GREY, "linewidth": 0.9, "linestyle": (0, (2.5, 1))}


@style.styled
def learning_curves(epochs: pd.DataFrame, target: float | None = None) -> Figure:
    """Draw the test errors of each experiment over its epochs: the mean over seeds, and a band from lowest to highest.

    The mean is that of the accuracies. ``target``: an accuracy in percent, drawn where a data set comes near it. More
    experiments than can share a panel get one each, in which the others stand behind in grey.
    """
    runs = _judged(epochs)
    if runs.empty:
        return axis.empty("No finished epoch on a test set")
    if runs["experiment"].nunique() > len(style.SERIES):
        return _many_curves(runs, target)
    groups, names = list(runs.groupby("data", sort=False)), _names(runs)
    figure, panels = axis.column([2.6] * len(groups))
    marks = dict(zip(names, style.SERIES, strict=False))
    for axes, (data, part) in zip(panels, groups, strict=True):
        _curves(axes, part, marks)
        axis.error_axis(axes, _with_target(part["errors"], target), 11)
        _target_line(axes, target)
        axes.set_title(data if len(groups) > 1 else "", loc="left")
        axis.count_axis(axes, part["epoch"])
    entries = [(names[name], axis.line_style(mark)) for name, mark in marks.items()]
    if any(line.get_gid() == "target" for axes in panels for line in axes.lines):
        entries.append((f"target {target:g} %", _TARGET))
    axis.legend(figure, entries)
    return figure


def _judged(epochs) -> pd.DataFrame:
    frame = epochs.dropna(subset=["test_accuracy"])
    return frame.assign(data=frame["data"].astype(str), errors=axis.errors_of(frame["test_accuracy"]))


def _names(runs) -> dict:
    """Return each experiment as a legend names it: with its number of seeds."""
    seeds = runs.groupby("experiment", sort=False)["seed"].nunique()
    return {name: f"{style.short(name)} (n={count})" for name, count in seeds.items()}


def _curves(axes, part, marks):
    options = {key: {name: each[key] for name, each in marks.items()} for key in ("marker", "dashes", "color")}
    seaborn.lineplot(
        part, x="epoch", y="errors", hue="experiment", style="experiment", ax=axes, legend=False,
        palette=options["color"], markers=options["marker"], dashes=options["dashes"],
        errorbar=("pi", 100), err_kws={"alpha": 0.2, "linewidth": 0},
        markersize=3.2 if part["epoch"].nunique() <= 30 else 0, markeredgewidth=0,
    )  # fmt: skip


def _with_target(errors, target):
    """Add the target's errors to those that an axis must hold, where it is within a factor of five of one of them."""
    aim = None if target is None else float(axis.errors_of(target))
    return [*errors, aim] if aim is not None and errors.min() / 5 < aim < errors.max() * 5 else list(errors)


def _target_line(axes, target):
    low, high = axes.get_ylim()
    if target is not None and low <= axis.errors_of(target) <= high:
        axes.axhline(axis.errors_of(target), gid="target", **_TARGET)


def _many_curves(runs, target) -> Figure:
    """Draw a panel for each experiment, the means of the others on the same data set behind it."""
    names, means = _names(runs), runs.groupby(["data", "experiment", "epoch"], sort=False)["errors"].mean()
    behind = {
        data: [np.column_stack([line.index.get_level_values("epoch"), line]) for _, line in part.groupby("experiment")]
        for data, part in means.groupby("data")
    }
    shown = _fewest_errors(runs)
    figure, panels, left, bottom = axis.multiples(len(shown))
    for number, (axes, name) in enumerate(zip(panels, shown, strict=True)):
        part = runs[runs["experiment"] == name]
        same = runs[runs["data"] == part["data"].iloc[0]]
        lines = behind[part["data"].iloc[0]]
        axes.add_collection(LineCollection(lines, colors=style.PALE, linewidths=0.6, zorder=1, rasterized=True))
        _curves(axes, part, {name: style.SERIES[0]})
        axis.error_axis(axes, _with_target(same["errors"], target), 5, other=False)
        _target_line(axes, target)
        axes.set_title(names[name], loc="left", fontsize=7)
        axes.set_ylabel("errors per 10,000" if left[number] else "")
        axis.count_axis(axes, same["epoch"], "epoch" if bottom[number] else "")
    notes = [_left_out(shown, runs), "grey: the others", "" if target is None else f"dotted: the target, {target:g} %"]
    figure.suptitle("; ".join(filter(None, notes)), fontsize=7)
    return figure


def _left_out(shown, runs) -> str:
    every = runs["experiment"].nunique()
    return "" if len(shown) == every else f"{len(shown)} of {every} experiments, those with the fewest errors"


def _fewest_errors(runs) -> list:
    """Return at most ``MOST`` experiments, those with the fewest errors at the end, in their own order."""
    names = list(runs["experiment"].unique())
    if len(names) <= MOST:
        return names
    best = _last(runs).groupby("experiment")["errors"].mean().nsmallest(MOST).index
    return [name for name in names if name in best]


def _last(runs) -> pd.DataFrame:
    """Return the last epoch of each run; a run that ended before others of its experiment has none."""
    return runs[runs["epoch"] == runs.groupby("experiment")["epoch"].transform("max")]


@style.styled
def seeds(epochs: pd.DataFrame) -> Figure:
    """Draw the test errors after the last epoch: each seed a point, their mean, its 95 % interval.

    The interval of a mean is Student's t over the seeds; that of a single run, in dashes, is Wilson's over the test
    images and says nothing of other seeds. An arrow means that it goes on beyond the axis.
    """
    runs = _judged(epochs)
    if runs.empty:
        return axis.empty("No finished run on a test set")
    shown, names = _fewest_errors(runs), _names(_last(runs))
    last = _last(runs)[lambda frame: frame["experiment"].isin(shown)]
    groups = list(last.groupby("data", sort=False))
    figure, panels = axis.column([0.75 + 0.22 * part["experiment"].nunique() for _, part in groups])
    for axes, (data, part) in zip(panels, groups, strict=True):
        rows = list(part["experiment"].unique())
        ends = part["errors"].min() / 1.6, part["errors"].max() * 1.6
        axis.error_axis(axes, ends, 6, "x")
        for row, name in enumerate(rows):
            mine = part[part["experiment"] == name].sort_values("seed")["test_accuracy"].to_numpy()
            _seed_row(axes, row, mine, mean_interval(mine, images(data)))
        axis.row_axis(axes, [names[name] for name in rows])
        axes.set_xlabel("errors per 10,000" + (f" ({data})" if len(groups) > 1 else ""))
    seed = {"color": style.BLUE, "marker": "o", "markerfacecolor": "white", "linestyle": "none"}
    counts = last.groupby("experiment")["seed"].nunique()
    entries = [("a seed", seed)]
    if counts.max() > 1:
        entries.append(("mean, 95 % interval", _MEAN | {"marker": "|"}))
    if counts.min() == 1:
        entries.append(("one run, 95 % interval over images", _ONE_RUN))
    axis.legend(figure, entries, _left_out(shown, runs) or None)
    return figure


def _seed_row(axes, row, accuracies, interval):
    count, (first, last) = len(accuracies), axes.get_xlim()
    high, low = axis.errors_of(interval)
    axes.plot([max(low, first), min(high, last)], [row, row], **(_MEAN if count > 1 else _ONE_RUN))
    if count > 1:
        mean = axis.errors_of(accuracies.mean())
        axes.plot(mean, row, "|", color=style.BLACK, markersize=8, markeredgewidth=1.4)
    spread = np.linspace(-0.24, 0.24, count) if count > 1 else np.zeros(1)
    axes.plot(axis.errors_of(accuracies), row + spread, "o", color=style.BLUE, markerfacecolor="white", markersize=2.8,
              markeredgewidth=0.7, linestyle="none")  # fmt: skip
    for beyond, place, arrow in ((low < first, first, "<"), (high > last, last, ">")):
        if beyond:
            axes.plot(place, row, arrow, color=style.BLACK, markersize=4, clip_on=False)
