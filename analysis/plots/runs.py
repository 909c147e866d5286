"""Runs in figures: learning curves, seeds, learning rates. Of the experiments of one data set.

``epochs`` has a row for each experiment, seed and epoch; a row without a test accuracy is left out. Accuracies are in
percent and drawn as errors per 10,000 on a logarithmic axis, where 99.4 and 99.6 are as far apart as 94 and 96.
"""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis.plots import axes as axis
from analysis.plots import style
from tinycnn.track.statistics import images, mean_interval

_MEAN = {"color": style.BLACK, "linewidth": 1.4, "solid_capstyle": "butt"}
_ONE_RUN = {"color": style.GREY, "linewidth": 0.9, "linestyle": (0, (2.5, 1))}


@style.styled
def learning_curves(epochs: pd.DataFrame, target: float | None = None) -> Figure:
    """Draw the test errors of each experiment over its epochs: the mean over seeds, and a band from lowest to highest.

    ``target``: an accuracy in percent, drawn where the errors come near it. More experiments than can share a panel
    get one each, with the others behind it in grey.
    """
    runs = _with_errors(epochs)
    names = _names(runs)
    if len(names) > len(style.SERIES):
        return _many_curves(runs, names, target)
    figure, (axes,) = axis.column(2.6)
    series = dict(zip(names, style.SERIES, strict=False))
    _curves(axes, runs, series)
    wanted = _target_errors(runs["errors"], target)
    axis.error_axis(axes, [*runs["errors"], *wanted], 11)
    axis.count_axis(axes, runs["epoch"])
    entries = [(names[name], axis.line_style(each)) for name, each in series.items()]
    for errors in wanted:
        axes.axhline(errors, **style.TARGET)
        entries.append((f"target {target:g} %", style.TARGET))
    axis.legend(figure, entries)
    return figure


def _with_errors(epochs) -> pd.DataFrame:
    frame = epochs.dropna(subset=["test_accuracy"])
    return frame.assign(errors=axis.errors_of(frame["test_accuracy"]))


def _names(runs) -> dict:
    """Return each experiment as a legend names it: with its number of seeds."""
    seeds = runs.groupby("experiment", sort=False)["seed"].nunique()
    return {name: f"{style.short(name)} (n={count})" for name, count in seeds.items()}


def _curves(axes, runs, series):
    options = {key: {name: each[key] for name, each in series.items()} for key in ("marker", "dashes", "color")}
    seaborn.lineplot(
        runs, x="epoch", y="errors", hue="experiment", style="experiment", ax=axes, legend=False,
        palette=options["color"], markers=options["marker"], dashes=options["dashes"],
        errorbar=("pi", 100), err_kws={"alpha": 0.2, "linewidth": 0},
        markersize=3.2 if runs["epoch"].nunique() <= 30 else 0, markeredgewidth=0,
    )  # fmt: skip


def _target_errors(errors, target) -> list[float]:
    """Return the target's errors where they are within a factor of five of one of ``errors``, [] elsewhere."""
    wanted = [] if target is None else [float(axis.errors_of(target))]
    return [each for each in wanted if errors.min() / 5 < each < errors.max() * 5]


def _many_curves(runs, names, target) -> Figure:
    """Draw a panel for each experiment, the means of all behind it."""
    means = runs.groupby(["experiment", "epoch"], sort=False)["errors"].mean().reset_index()
    behind = [part[["epoch", "errors"]].to_numpy() for _, part in means.groupby("experiment")]
    figure, panels, left, bottom = axis.multiples(len(names))
    wanted = _target_errors(runs["errors"], target)
    for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.add_collection(LineCollection(behind, colors=style.PALE, linewidths=0.6, zorder=1, rasterized=True))
        _curves(axes, runs[runs["experiment"] == name], {name: style.SERIES[0]})
        axis.error_axis(axes, [*runs["errors"], *wanted], 5, accuracies=False)
        for errors in wanted:
            axes.axhline(errors, **style.TARGET)
        axes.set_title(names[name], loc="left", fontsize=7)
        axes.set_ylabel("errors per 10,000" if left[number] else "")
        axis.count_axis(axes, runs["epoch"], "epoch" if bottom[number] else "")
    figure.suptitle("grey: the others" + (f"; dotted: target {target:g} %" if wanted else ""), fontsize=7)
    return figure


@style.styled
def seeds(last: pd.DataFrame) -> Figure:
    """Draw the test errors after the last epoch: each seed a point, their mean, its 95 % interval.

    ``last``: a row for each run. The interval of a mean is Student's t over the seeds; that of a single run, in dashes,
    is Wilson's over the test images and does not cover other seeds. An arrow means that it goes on beyond the axis.
    """
    runs = _with_errors(last)
    names = _names(runs)
    figure, (axes,) = axis.column(0.75 + 0.22 * len(names))
    axis.error_axis(axes, [runs["errors"].min() / 1.6, runs["errors"].max() * 1.6], 6, "x")
    for row, name in enumerate(names):
        mine = runs[runs["experiment"] == name].sort_values("seed")
        accuracies = mine["test_accuracy"].to_numpy()
        _seed_row(axes, row, accuracies, mean_interval(accuracies, images(str(mine["data"].iloc[0]))))
    axis.row_axis(axes, names.values())
    seed = {"color": style.BLUE, "marker": "o", "markerfacecolor": "white", "linestyle": "none"}
    counts, entries = runs["experiment"].value_counts(), [("a seed", seed)]
    if counts.max() > 1:
        entries.append(("mean, 95 % interval", _MEAN | {"marker": "|"}))
    if counts.min() == 1:
        entries.append(("one run, 95 % interval over images", _ONE_RUN))
    axis.legend(figure, entries)
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
    for beyond, edge, arrow in ((low < first, first, "<"), (high > last, last, ">")):
        if beyond:
            axes.plot(edge, row, arrow, color=style.BLACK, markersize=4, clip_on=False)


@style.styled
def schedules(epochs: pd.DataFrame) -> Figure:
    """Draw the learning rate of each experiment at the last step of its epochs; equal schedules share a line.

    Rates of less than a thousandth of the largest are off the axis. Of many schedules the first have a name.
    """
    frame = epochs.dropna(subset=["learning_rate"])
    rates, shared = frame.groupby(["experiment", "epoch"], sort=False)["learning_rate"].first(), {}
    for name, line in rates.groupby("experiment", sort=False):
        shared.setdefault(tuple(line.droplevel(0).sort_index().items()), []).append(name)
    figure, (axes,) = axis.column(2.2)
    entries = [
        (_shared_name(names), axis.line_style(each)) for names, each in zip(shared.values(), style.SERIES, strict=False)
    ]
    entries += [("others", {"color": style.PALE, "zorder": 1})] * (len(shared) > len(entries))
    for number, line in enumerate(shared):
        axes.plot(*zip(*line, strict=True), markersize=3, **entries[min(number, len(entries) - 1)][1])
    axis.log_axis(axes, np.maximum(rates, rates.max() / 1000), 6)
    axis.count_axis(axes, frame["epoch"])
    axes.set_ylabel("learning rate")
    axis.legend(figure, entries)
    return figure


def _shared_name(names) -> str:
    if len(names) == 1 or sum(map(len, names)) <= 20:
        return style.short(", ".join(names), 22)
    return f"{style.short(names[0], 11)} and {len(names) - 1} more"
