"""Runs in figures: learning curves, seeds, schedules. Frames of ``analysis.load`` -> matplotlib figures.

``epochs`` has a row for each experiment, seed and epoch; a row without a test accuracy is left out. Accuracies are in
percent and drawn as errors per 10,000 on a logarithmic axis, where 99.4 and 99.6 are as far apart as 94 and 96.
Experiments on different data sets never share a panel.
"""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from analysis import style


@style.styled
def learning_curves(epochs: pd.DataFrame, target: float | None = None) -> Figure:
    """Draw the test errors of each experiment over its epochs: the mean over seeds, and a band from lowest to highest.

    The mean is that of the accuracies. ``target``: an accuracy in percent, drawn where a data set comes near it. More
    experiments than can share a panel get one each, in which the others stand behind in grey.
    """
    runs = _judged(epochs)
    if runs.empty:
        return _nothing("No finished epoch on a test set")
    runs = runs.assign(errors=style.errors_of(runs["test_accuracy"]))
    if runs["experiment"].nunique() > len(style.SERIES):
        return _many_curves(runs, target)
    groups = _by_data(runs)
    figure = style.new(style.COLUMN, 0.3 + 2.3 * len(groups))
    for axes, (data, part) in zip(_column(figure, len(groups)), groups, strict=True):
        _curves(axes, part, _styles(runs))
        style.error_axis(axes, _with_target(part["errors"], target), 8 if len(groups) == 1 else 6)
        _target_line(axes, target)
        axes.set_title(data, loc="left")
        _epoch_axis(axes, part["epoch"])
    _legend(figure, _names(runs), _styles(runs))
    return figure


def _judged(epochs):
    frame = epochs.dropna(subset=["test_accuracy"])
    return frame.assign(data=frame["data"].astype(str)) if "data" in frame else frame.assign(data="")


def _by_data(runs):
    """Return the parts of each data set, in the order in which they come up."""
    return list(runs.groupby("data", sort=False))


def _column(figure, count):
    return figure.subplots(count, 1, squeeze=False)[:, 0]


def _nothing(why) -> Figure:
    figure = style.new(style.COLUMN, 1.2)
    style.nothing(figure.subplots(), why)
    return figure


def _styles(runs) -> dict:
    return dict(zip(runs["experiment"].unique(), style.SERIES, strict=False))


def _names(runs) -> dict:
    """Return each experiment as it is named in a legend: with its number of seeds."""
    seeds = runs.groupby("experiment", sort=False)["seed"].nunique()
    return {name: f"{style.short(name)} (n={count})" for name, count in seeds.items()}


def _curves(axes, part, styles):
    options = {key: {name: each[key] for name, each in styles.items()} for key in ("marker", "dashes", "color")}
    seaborn.lineplot(
        part, x="epoch", y="errors", hue="experiment", style="experiment", ax=axes, legend=False,
        palette=options["color"], markers=options["marker"], dashes=options["dashes"],
        errorbar=("pi", 100), err_kws={"alpha": 0.18, "linewidth": 0},
        markersize=3.2 if part["epoch"].nunique() <= 30 else 0, markeredgewidth=0,
    )  # fmt: skip


def _with_target(errors, target):
    """Add the target's errors to those that an axis must hold, where it is within a factor of five of one of them."""
    aim = None if target is None else float(style.errors_of(target))
    return [*errors, aim] if aim is not None and errors.min() / 5 < aim < errors.max() * 5 else list(errors)


def _target_line(axes, target):
    if target is None:
        return
    errors, (low, high) = float(style.errors_of(target)), sorted(axes.get_ylim())
    if low <= errors <= high:
        axes.axhline(errors, color=style.BLACK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.annotate(f"target {target:g} %", (1, errors), (-2, 1.5), ha="right", va="bottom", color=style.BLACK, fontsize=6.5,
                      xycoords=axes.get_yaxis_transform(), textcoords="offset points")  # fmt: skip


def _epoch_axis(axes, epochs, label="epoch"):
    axes.set(xlabel=label, xlim=(epochs.min() - 0.5, epochs.max() + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def _legend(figure, names, styles):
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=styles[name]["color"], marker=styles[name]["marker"], markeredgewidth=0,
               linestyle=(0, styles[name]["dashes"]) if styles[name]["dashes"] else "-", label=label)
        for name, label in names.items()
    ]  # fmt: skip
    columns = max(1, min(len(lines), 4, int(50 / (max(map(len, names.values())) + 6))))
    figure.legend(handles=lines, loc="outside upper center", ncols=columns)


def _many_curves(runs, target) -> Figure:
    """Draw a panel for each experiment, the means of the others on the same data set behind it."""
    names, means = _names(runs), runs.groupby(["data", "experiment", "epoch"], sort=False)["errors"].mean()
    columns = 4
    figure = style.new(style.PAGE, 0.4 + 1.25 * -(-len(names) // columns))
    grid = figure.subplots(-(-len(names) // columns), columns, squeeze=False)
    for number, axes in enumerate(grid.flat):
        if number >= len(names):
            axes.set_axis_off()
            continue
        name = list(names)[number]
        part = runs[runs["experiment"] == name]
        same = runs[runs["data"] == part["data"].iloc[0]]
        for other, line in means[part["data"].iloc[0]].groupby("experiment", sort=False):
            if other != name:
                axes.plot(line.droplevel(0).index, line, color=style.PALE, linewidth=0.6)
        _curves(axes, part, {name: style.SERIES[0]})
        style.error_axis(axes, _with_target(same["errors"], target), 5, right=False)
        aim = float(style.errors_of(target)) if target is not None else None
        if aim and axes.get_ylim()[0] <= aim <= axes.get_ylim()[1]:
            axes.axhline(aim, color=style.BLACK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_title(names[name], loc="left", fontsize=7)
        axes.set_ylabel("errors per 10,000" if number % columns == 0 else "")
        _epoch_axis(axes, same["epoch"], "epoch" if number + columns >= len(names) else "")
    return figure


@style.styled
def seeds(epochs: pd.DataFrame) -> Figure:
    """Draw the test errors after the last epoch: each seed a point, their mean, its 95 % interval.

    The interval is Student's t over the seeds, at least two; without, there is the point alone.
    """
    runs = _judged(epochs)
    if runs.empty:
        return _nothing("No finished run on a test set")
    last = runs[runs["epoch"] == runs.groupby("experiment")["epoch"].transform("max")]
    groups = _by_data(last)
    rows = [part["experiment"].nunique() for _, part in groups]
    figure = style.new(style.COLUMN, 0.3 + sum(0.75 + 0.22 * count for count in rows))
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[0.6 + 0.22 * n for n in rows])[:, 0]
    for axes, (data, part) in zip(panels, groups, strict=True):
        names, held = _names(part), list(style.errors_of(part["test_accuracy"]))
        for row, name in enumerate(names):
            accuracies = part.loc[part["experiment"] == name].sort_values("seed")["test_accuracy"].to_numpy()
            held += _seed_row(axes, row, accuracies)
        style.error_axis(axes, held, 6, which="x")
        axes.set_yticks(range(len(names)), names.values())
        axes.set(ylim=(len(names) - 0.4, -0.6), title="" if len(groups) == 1 else data)
        axes.tick_params(axis="y", length=0)
    return figure


def _seed_row(axes, row, accuracies) -> list[float]:
    """Draw a row of points, the mean and its interval; return the ends of what was drawn, in errors."""
    spread = np.linspace(-0.22, 0.22, len(accuracies)) if len(accuracies) > 1 else [0]
    axes.plot(style.errors_of(accuracies), row + np.asarray(spread), "o", color=style.BLUE, markerfacecolor="white",
              markersize=3, markeredgewidth=0.7, linestyle="none")  # fmt: skip
    if len(accuracies) < 2:
        return []
    mean, error = accuracies.mean(), stats.sem(accuracies)
    ends = stats.t.interval(0.95, len(accuracies) - 1, mean, error) if error else (mean, mean)
    high, low = style.errors_of(np.minimum(ends, 100))
    axes.plot([low, high], [row, row], color=style.BLACK, linewidth=1.6, solid_capstyle="butt", zorder=3)
    axes.plot(style.errors_of(mean), row, "|", color=style.BLACK, markersize=9, markeredgewidth=1.6, zorder=3)
    return [low, high]


@style.styled
def schedules(epochs: pd.DataFrame) -> Figure:
    """Draw the learning rate of each experiment at the last step of its epochs; equal ones share a line."""
    frame = epochs.dropna(subset=["learning_rate"])
    if frame.empty:
        return _nothing("No learning rate was recorded")
    rates = frame.groupby(["experiment", "epoch"], sort=False)["learning_rate"].first()
    shared = {}
    for name, line in rates.groupby("experiment", sort=False):
        shared.setdefault(tuple(line.droplevel(0).sort_index().items()), []).append(name)
    columns = 1 if len(shared) <= len(style.SERIES) else 4
    if columns == 1:
        figure = style.new(style.COLUMN, 2.4)
        panels = [figure.subplots()] * len(shared)
    else:
        height = -(-len(shared) // columns)
        figure = style.new(style.PAGE, 0.3 + 1.25 * height)
        panels = figure.subplots(height, columns, squeeze=False).flatten()
        for axes in panels[len(shared):]:
            axes.set_axis_off()
    styles, names = {}, {}
    for number, (line, experiments) in enumerate(shared.items()):
        axes, mark = panels[number], style.SERIES[number if columns == 1 else 0]
        label = style.short(experiments[0]) + (f" and {len(experiments) - 1} more" if len(experiments) > 2 else
                                         f", {style.short(experiments[1])}" if len(experiments) == 2 else "")
        styles[number], names[number] = mark, label
        axes.plot(*zip(*line, strict=True), color=mark["color"], marker=mark["marker"], markeredgewidth=0,
                  linestyle=(0, mark["dashes"]) if mark["dashes"] else "-", markersize=3)
        if columns > 1:
            axes.set_title(label, loc="left", fontsize=7)
        style.log_axis(axes, rates if columns == 1 else [rate for _, rate in line], 6)
        _epoch_axis(axes, frame["epoch"], "epoch" if columns == 1 or number + columns >= len(shared) else "")
        axes.set_ylabel("learning rate" if columns == 1 or number % columns == 0 else "")
    if columns == 1:
        _legend(figure, names, styles)
    return figure
