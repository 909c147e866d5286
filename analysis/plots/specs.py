"""Experiments against what they cost, and what each change brought.

``summary`` has a row for each experiment, as ``analysis.statistics.summarise`` returns it, ``references`` for each
published figure, ``changes`` for each experiment with a parent. Accuracies are drawn as errors per 10,000 on a
logarithmic axis.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from analysis.plots import axes as axis
from analysis.plots import style
from analysis.plots.labels import label_points
from analysis.statistics import front

_MOST_NAMES = 12
"""Experiments that are all named; of more only those on the front, since names would lie on one another."""

_OWN = {"color": style.BLUE, "marker": "o", "markersize": 4.4, "markeredgecolor": "white", "markeredgewidth": 0.5}
_PUBLISHED = {"color": style.GREY, "markeredgewidth": 0.8, "markersize": 3.6}
_LAST = _PUBLISHED | {"marker": "s", "markerfacecolor": "white", "linestyle": "none"}
_BEST = _PUBLISHED | {"marker": "x", "linestyle": "none"}
_MEAN = _PUBLISHED | {"marker": "D", "linestyle": "none"}
_FRONT = {"color": style.SKY, "linewidth": 2.4}
_PUBLISHED_FRONT = {"color": style.GREY, "linewidth": 0.8, "linestyle": (0, (3, 1.5))}
_PAIRED = {"color": style.BLUE, "marker": "o", "linewidth": 1.4, "markersize": 4}
_UNPAIRED = _PAIRED | {"markerfacecolor": "white"}


_FORMATS = {"macs": EngFormatter(sep=""), "bytes": EngFormatter("B")}
"""How the ticks of a cost are written, where not as plain numbers."""


@style.styled
def accuracy_against_parameters(summary: pd.DataFrame, references: pd.DataFrame, budgets=()) -> Figure:
    """Draw errors against parameters, a panel for each data set: ours, published ones, and the front of each.

    On a front are the networks that none of as few parameters surpasses. ``budgets``: the labels of the axis. What a
    published figure is (a mean over seeds, the last epoch of one run, or an epoch selected on the test set) its mark
    says; of a run that is known by both epochs the last one is drawn.
    """
    sets, panels = list(dict.fromkeys(summary["data"])), []
    figure = style.new(style.PAGE, 0.2 + 2.4 * len(sets))
    grid = figure.add_gridspec(len(sets), 5)
    for row, data in enumerate(sets):
        parts = own, published = [frame[frame["data"] == data] for frame in (summary, references)]
        crowd = _crowd(pd.concat([own["parameters"], published["parameters"]]), budgets)
        axes = overview = figure.add_subplot(grid[row, : 3 if crowd else 5])
        labels, lines = _points(axes, *parts, "parameters", accuracies=not crowd)
        low, high = axes.get_xlim()
        if ticks := [budget for budget in budgets if low < budget < high]:
            axis.set_ticks(axes.xaxis, ticks, lambda value: f"{value:,.0f}")
        axes.set(xlabel="parameters")
        axes.set_title(data, loc="left")
        if crowd:
            axes.axvspan(*crowd, color=style.BACKDROP, zorder=0)
            labels = [(x, y, "" if crowd[0] < x < crowd[1] else text, color) for x, y, text, color in labels]
            axes = figure.add_subplot(grid[row, 3:])
            panels.append((axes, *_points(axes, *parts, "parameters", crowd)))
            axes.set(xlabel="parameters, the grey part", ylabel="")
        panels.append((overview, labels, lines))
    entries = [("tinycnn: mean of the last epoch, 95 % interval", _OWN), ("its front", _FRONT)]
    shown = references[references["data"].isin(sets)]
    entries += [(f"published: {words}", mark) for words, mark, part in _kinds(shown) if len(part)]
    axis.legend(figure, entries + [("front of the published", _PUBLISHED_FRONT)] * bool(len(shown)))
    for axes, labels, lines in panels:
        label_points(axes, labels, lines)
    return figure


def _crowd(parameters, budgets) -> tuple[float, float] | None:
    """Return the range below a budget in which most networks are, None where they are few."""
    ranges = [(0.8 * budget, 1.06 * budget) for budget in budgets]
    most = max(ranges, key=lambda ends: parameters.between(*ends).sum(), default=(0, 0))
    return most if 5 <= parameters.between(*most).sum() < len(parameters) else None


@style.styled
def accuracy_against(summary: pd.DataFrame, references: pd.DataFrame, cost: str, label: str) -> Figure:
    """Draw errors of one data set against the column ``cost``; ``references``: the published, or no rows."""
    figure, (axes,) = axis.column(2.7)
    points = _points(axes, summary, references, cost)
    axes.set_xlabel(label)
    entries = [("mean over seeds, 95 % interval", _OWN), ("front", _FRONT)]
    entries += [("published, of one run", _BEST), ("front of the published", _PUBLISHED_FRONT)] * bool(len(references))
    axis.legend(figure, entries)
    label_points(axes, *points)
    return figure


def _points(axes, own, published, column, crowd=None, accuracies=True) -> tuple[list, list]:
    """Draw the points of one panel, with their fronts; return what ``label_points`` takes.

    Intervals are drawn where there are enough seeds. Of points of equal cost the best stays, and the others are moved
    to its left. ``crowd``: the ends of the axis, where that is not to hold all; ``accuracies``: whether these stand on
    the right.
    """
    own = own.dropna(subset=[column]).astype({column: float})
    shown = published["last"].fillna(published["best"]) if len(published) else own["last"][:0]
    costs, values = pd.concat([own[column], published[column]]), pd.concat([own["last"], shown])
    low, high = crowd or (costs.min(), costs.max())
    errors, margin = axis.errors_of(values[costs.between(low, high)]), 1 / 1.15 if crowd else 1.1
    axis.log_axis(axes, [low / margin, high * margin], 5, "x", _FORMATS.get(column))
    axis.error_axis(axes, [errors.min() / 1.2, errors.max() * 1.2], 7, accuracies=accuracies)
    left, right = axes.get_xlim()

    ours = front(own[column], own["last"])
    lines = _front_line(axes, own.loc[ours, column], own.loc[ours, "last"], _FRONT)
    labels = []
    if len(published):
        theirs = front(published[column], shown)
        lines += _front_line(axes, published.loc[theirs, column], shown[theirs], _PUBLISHED_FRONT)
        for _, mark, part in _kinds(published):
            axes.plot(part[column], axis.errors_of(shown[part.index]), **mark)
        named = published["name"].where(published.index.isin(theirs), "")
        labels = _labels(published[[column]].assign(name=named), shown, style.GREY)
    own = own.sort_values("last", ascending=False, kind="stable")
    equal = own.groupby(column)[column]
    place = equal.cumcount() / equal.transform("size")
    own = own.assign(**{column: own[column] * (left / right) ** (0.03 * place)})
    known = own[own["n"] >= axis.FEWEST].dropna(subset=["last_low", "last_high"])
    bars = axis.errors_of(known["last_high"]), axis.errors_of(known["last_low"])
    axes.vlines(known[column], *bars, color=_OWN["color"], linewidth=1)
    axes.plot(own[column], axis.errors_of(own["last"]), **_OWN | {"linestyle": "none"})
    named = own["experiment"].where(own.index.isin(ours) | (len(own) <= _MOST_NAMES), "")
    labels = _labels(own[[column]].assign(name=named), own["last"], style.BLACK) + labels
    lines += [(x, low, x, high) for x, low, high in zip(known[column], *bars, strict=True)]
    lines = [(max(a, left), b, min(c, right), d) for a, b, c, d in lines if a < right and c > left]
    return [each for each in labels if left < each[0] < right], lines


def _labels(points, accuracies, color) -> list[tuple]:
    """Return what ``label_points`` takes. ``points``: cost and name."""
    rows = zip(points.itertuples(index=False), axis.errors_of(accuracies), strict=True)
    return [(x, float(y), style.short(name, 22), color) for (x, name), y in rows]


def _kinds(published) -> list[tuple]:
    """Return (words, mark, rows) for each kind of published figure."""
    several, last = published["n"] > 1, published["last"].notna()
    return [
        ("mean over seeds", _MEAN, published[several]),
        ("last epoch of one run", _LAST, published[~several & last]),
        ("selected epoch or run", _BEST, published[~several & ~last]),
    ]


def _front_line(axes, costs, accuracies, options) -> list[tuple]:
    """Draw a front as steps, to the end of the axis, since who may spend more can use the same network; return them."""
    x, y = [*costs, 1e12], [*axis.errors_of(accuracies), axis.errors_of(accuracies.iloc[-1])]
    axes.step(x, y, where="post", zorder=1, **options)
    corners = [each for a, b, c, d in zip(x, y, x[1:], y[1:], strict=False) for each in ((a, b, c, b), (c, b, c, d))]
    return corners[:-1]


@style.styled
def changes(changes: pd.DataFrame) -> Figure:
    """Draw what each experiment gained on its parent, in points of the last epoch's accuracy, with a 95 % interval.

    A filled point is paired by seed, a hollow one is not. Intervals are drawn where there are enough seeds. A parent
    that all have in common is named once.
    """
    figure, (axes,) = axis.column(0.75 + 0.22 * len(changes))
    interval = ", 95 % interval" * bool((changes["n"] >= axis.FEWEST).any())
    kinds = {True: (f"paired by seed{interval}", _PAIRED), False: (f"not paired{interval}", _UNPAIRED)}
    parents = changes["parent"].unique()
    for row, change in enumerate(changes.itertuples()):
        options = kinds[bool(change.paired)][1]
        if change.n >= axis.FEWEST:
            axes.plot([change.low, change.high], [row, row], **options | {"marker": ""})
        axes.plot(change.difference, row, **options)
    axes.axvline(0, **style.LIMIT)
    names = [
        f"{style.short(row.experiment, 26)} (n={row.n:g})" if len(parents) == 1 else
        f"{style.short(row.experiment, 12)} – {style.short(row.parent, 12)} (n={row.n:g})"
        for row in changes.itertuples()
    ]  # fmt: skip
    axis.row_axis(axes, names, 6.5)
    axes.margins(x=0.08)
    axes.set_xlabel("points of accuracy" + (f" against {style.short(parents[0])}" if len(parents) == 1 else ""))
    axis.legend(figure, [kinds[kind] for kind in (True, False) if kind in set(changes["paired"].astype(bool))])
    return figure
