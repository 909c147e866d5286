"""Runs in figures: learning curves, losses, time, seeds. Of the experiments of one data set.

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
from tinycnn.track.statistics import mean_interval

_MEAN = {"color": style.BLACK, "linewidth": 1.4, "solid_capstyle": "butt"}
_BEHIND = {"color": style.PALE, "linewidth": 0.7, "zorder": 1}
_LOSSES = {
    "train_loss": ("training loss, as it ran", {"color": style.VERMILION, "marker": "s", "linestyle": (0, (4, 1.5))}),
    "test_loss": ("test loss", {"color": style.BLUE, "marker": "o"}),
}
_ONE_RUN = {"color": style.GREY, "linewidth": 0.9, "linestyle": (0, (2.5, 1))}


@style.styled
def learning_curves(epochs: pd.DataFrame, target: float | None = None, words: str = "target") -> Figure:
    """Draw the test errors of each experiment over its epochs: the mean over seeds, and a band from lowest to highest.

    ``target``: an accuracy in percent, called ``words`` in the legend, drawn where the errors come near it; below, its
    neighbourhood is drawn again, larger and without bands. Of more experiments than can be told apart the last ones are
    grey, and means only.
    """
    runs = _with_errors(epochs)
    names, means = _names(runs), runs.groupby(["experiment", "epoch"])["errors"].mean().reset_index()
    wanted = _target_errors(runs["errors"], target)
    near = means[means["errors"] < 2 * wanted[0]] if wanted else means[:0]
    figure, (axes, *zoom) = axis.column(2.4, *[2.0] * (len(near) > 0))
    series = dict(zip(names, style.SERIES, strict=False))
    behind = [part[["epoch", "errors"]].to_numpy() for name, part in means.groupby("experiment") if name not in series]
    runs, means = (frame[frame["experiment"].isin(series)] for frame in (runs, means))
    _curves(axes, runs, series)
    axis.error_axis(axes, [*runs["errors"], *wanted], 9)
    axis.count_axis(axes, runs["epoch"])
    for axes in zoom:
        _curves(axes, means, series)
        axis.error_axis(axes, [near["errors"].min(), *wanted, 1.6 * wanted[0]], 7)
        axis.count_axis(axes, near["epoch"], "epoch, near the target")
    entries = [(names[name], axis.line_style(each)) for name, each in series.items()]
    for axes in [figure.axes[0], *zoom] if behind else ():
        axes.add_collection(LineCollection(behind, **_BEHIND))
    entries += [(f"{len(behind)} others", _BEHIND)] * bool(behind)
    for errors in wanted:
        for axes in figure.axes:
            axes.axhline(errors, **style.TARGET)
        entries.append((f"{words} {target:g} %", style.TARGET))
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


@style.styled
def losses(epochs: pd.DataFrame) -> Figure:
    """Draw training and test loss of each experiment over its epochs, means over seeds, a panel for each."""
    means = epochs.groupby(["experiment", "epoch"], sort=False)[["train_loss", "test_loss"]].mean().dropna()
    names = means.index.unique(0)
    figure, panels, left, bottom = axis.multiples(len(names))
    for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
        for column, (_, options) in _LOSSES.items():
            axes.plot(means.loc[name, column], markersize=2.4, **options)
        axis.log_axis(axes, means, 5)
        axes.set_title(style.short(name), loc="left", fontsize=7)
        axes.set_ylabel("loss" if left[number] else "")
        axis.count_axis(axes, epochs["epoch"], "epoch" if bottom[number] else "")
    axis.legend(figure, [*_LOSSES.values()])
    return figure


@style.styled
def training_time(lines: dict, reached: list[float], target: float) -> Figure:
    """Draw test errors against the seconds of training.

    ``lines``: by name, seconds and accuracies after each epoch; ``reached``: the seconds in which each training of a
    plain loop first reached ``target``, an accuracy in percent.
    """
    figure, (axes,) = axis.column(2.3)
    entries = [(name, axis.line_style(each)) for name, each in zip(lines, style.SERIES, strict=False)]
    for (seconds, accuracies), (_, options) in zip(lines.values(), entries, strict=True):
        axes.plot(seconds, axis.errors_of(accuracies), markersize=3, **options)
    wanted, cross = float(axis.errors_of(target)), {"color": style.GREY, "marker": "x", "linestyle": "none"}
    axes.plot(reached, [wanted] * len(reached), markersize=5, **cross)
    axes.axhline(wanted, **style.TARGET)
    seconds, accuracies = (np.concatenate(each) for each in zip(*lines.values(), strict=True))
    axis.log_axis(axes, [*seconds, *reached], 6, "x")
    axis.error_axis(axes, [*axis.errors_of(accuracies), wanted])
    axes.set_xlabel("seconds of training")
    entries += [("a plain loop at the target", cross), (f"target {target:g} %", style.TARGET)]
    axis.legend(figure, entries)
    return figure


@style.styled
def seeds(last: pd.DataFrame) -> Figure:
    """Draw the test errors after the last epoch: each seed a point, their mean, its 95 % interval.

    ``last``: a row for each run, ``images`` in it is of how many its accuracy is. The interval of a mean is Student's t
    over the seeds; that of a single run, in dashes, is Wilson's over these images and does not cover other seeds. Of
    two seeds none is drawn.
    """
    runs = _with_errors(last)
    names = _names(runs)
    figure, (axes,) = axis.column(0.75 + 0.22 * len(names))
    axis.error_axis(axes, [runs["errors"].min() / 1.6, runs["errors"].max() * 1.6], 6, "x")
    for row, name in enumerate(names):
        mine = runs[runs["experiment"] == name].sort_values("seed")
        accuracies = mine["test_accuracy"].to_numpy()
        _seed_row(axes, row, accuracies, mean_interval(accuracies, int(mine["images"].iloc[0])))
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
    count = len(accuracies)
    high, low = axis.errors_of(interval)
    if count == 1 or count >= axis.FEWEST:
        axes.plot([low, high], [row, row], **(_MEAN if count > 1 else _ONE_RUN))
    if count > 1:
        mean = axis.errors_of(accuracies.mean())
        axes.plot(mean, row, "|", color=style.BLACK, markersize=8, markeredgewidth=1.4)
    spread = np.linspace(-0.24, 0.24, count) if count > 1 else np.zeros(1)
    axes.plot(axis.errors_of(accuracies), row + spread, "o", color=style.BLUE, markerfacecolor="white", markersize=2.8,
              markeredgewidth=0.7, linestyle="none")  # fmt: skip
