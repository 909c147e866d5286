"""Experiments against what they cost (parameters, seconds, multiply-accumulates), and what each change brought.

``summary`` has a row for each experiment of one data set, as ``analysis.statistics.summarise`` returns it,
``references`` for each published figure, ``changes`` for each experiment with a parent. Accuracies are drawn as errors
per 10,000 on a logarithmic axis.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator, StrMethodFormatter

from analysis.plots import axes as axis
from analysis.plots import style
from analysis.plots.labels import label_points

_CROWD = 0.85, 1.03
"""Times the limit: networks between these are many, and are drawn a second time with more room."""

_OWN = {"color": style.BLUE, "marker": "o", "linewidth": 1}
_COSTS = {"seconds": "seconds of a training, mean over seeds", "macs": "multiply-accumulates of an image"}
_LINE = 0.115  # inches: a line of text beside a change
_PAIRED = {"color": style.BLUE, "marker": "o", "linewidth": 1.4}
_UNPAIRED = _PAIRED | {"markerfacecolor": "white"}
_FRONT = {"color": style.BLUE, "linewidth": 0.8}
_PUBLISHED = {"color": style.GREY, "marker": "s", "markerfacecolor": "white", "linewidth": 0.6, "markeredgewidth": 0.7}


@style.styled
def accuracy_against_parameters(summary: pd.DataFrame, references: pd.DataFrame, limit: int | None) -> Figure:
    """Draw errors against parameters: means of the last epoch with intervals, published figures, the limit.

    The stepped line is the Pareto front of the experiments: none with as few parameters makes fewer errors. Published
    figures are best epochs of one run, selected on the test set, unless their note says otherwise; where the last epoch
    is known, a line leads to it. Where networks crowd below the limit, that part is drawn a second time with more room.
    """
    own = summary.dropna(subset=["parameters"]).astype({"parameters": float})
    crowd = _crowd(pd.concat([own["parameters"], references["parameters"]]), limit)
    parts = [(own, references)]
    if crowd:
        parts.append(tuple(part[part["parameters"].between(*crowd)] for part in (own, references)))
    figure, panels = axis.column(*[_height(own)] * len(parts))
    for axes, part, zoom in zip(panels, parts, (None, crowd), strict=False):
        _against_parameters(axes, *part, limit, zoom)
    entries = [("tinycnn: last epoch, mean, 95 % interval", _OWN)]
    entries += [("its Pareto front", _FRONT)] if len(_front(own)) > 1 else []
    entries += [("published: best epoch of a run, line to its last", _PUBLISHED)] if len(references) else []
    entries += [(f"limit {limit:,.0f}", style.LIMIT)] if limit else []
    axis.legend(figure, entries)
    for axes, part, excluded in zip(panels, parts, (crowd, None), strict=False):
        _label(axes, *part, limit, excluded)
    return figure


def _height(own) -> float:
    """Return the inches of a panel with so many names."""
    return 2.2 + 0.06 * min(max(0, len(own) - 6), 25)


def _crowd(parameters, limit):
    """Return the ends of the range around the limit where networks crowd; None where they do not."""
    if not limit:
        return None
    near = parameters[parameters.between(_CROWD[0] * limit, _CROWD[1] * limit)]
    return (near.min() - 0.04 * limit, near.max() + 0.07 * limit) if 5 <= len(near) < len(parameters) else None


def _against_parameters(axes, own, published, limit, zoom):
    last, front = published.dropna(subset=["last"]), _front(own)
    axes.vlines(last["parameters"], axis.errors_of(last["best"]), axis.errors_of(last["last"]), color=style.GREY,
                linewidth=0.6)  # fmt: skip
    axes.plot(published["parameters"], axis.errors_of(published["best"]), linestyle="none", markersize=3.4,
              **_PUBLISHED)  # fmt: skip
    _points_with_intervals(axes, own, "parameters")
    if len(front) > 1 and not zoom:
        axes.step(front["parameters"], axis.errors_of(front["last"]), where="post", zorder=1, **_FRONT)
    errors = axis.errors_of([*own["last"], *published["best"], *last["last"]])
    axis.error_axis(axes, [errors.min() / 1.2, errors.max() * 1.2], 8)
    if zoom:
        axes.set(xlim=zoom)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    else:
        axis.log_axis(axes, [*own["parameters"], *published["parameters"], *([limit] if limit else [])], 5, "x")
    axes.set_xlabel("parameters" + (", those near the limit" if zoom else ""))
    if limit:
        axes.axvline(limit, **style.LIMIT)


def _points_with_intervals(axes, own, column):
    """Draw means as points and their 95 % intervals, where known, as bars."""
    known = own.dropna(subset=["last_low", "last_high"])
    axes.vlines(known[column], axis.errors_of(known["last_high"]), axis.errors_of(known["last_low"]), color=style.BLUE,
                linewidth=1)  # fmt: skip
    axes.plot(own[column], axis.errors_of(own["last"]), "o", color=style.BLUE, linestyle="none", markersize=3.6)


def _front(own) -> pd.DataFrame:
    """Return the experiments that none with as few parameters or fewer beats, by parameters."""
    ordered = own.sort_values(["parameters", "last"], ascending=[True, False])
    return ordered[ordered["last"] > ordered["last"].cummax().shift(fill_value=-np.inf)]


def _label(axes, own, published, limit, crowd):
    """Name the points, those in the crowd only where that has more room."""
    labels = _own_labels(own, "parameters")
    labels += [
        (row.parameters, float(axis.errors_of(row.best)), style.short(row.name, 22), style.GREY)
        for row in published[["name", "parameters", "best"]].itertuples(index=False)
    ]
    low, high = axes.get_ylim()
    segments = _interval_segments(axes, own, "parameters") + ([(limit, low, limit, high)] if limit else [])
    if crowd:
        inside = [each[1] for each in labels if crowd[0] <= each[0] <= crowd[1]]
        labels = [each for each in labels if not crowd[0] <= each[0] <= crowd[1]]
        low, high = min(inside) / 1.08, max(inside) * 1.08
        axes.add_patch(Rectangle((crowd[0], low), crowd[1] - crowd[0], high - low, fill=False, linewidth=0.6,
                                 edgecolor=style.GREY))  # fmt: skip
        segments += [(end, low, end, high) for end in crowd]
    label_points(axes, labels, segments)


def _own_labels(own, column) -> list[tuple]:
    rows = zip(own[column], axis.errors_of(own["last"]), own["experiment"], strict=True)
    return [(x, float(y), style.short(name), style.BLACK) for x, y, name in rows]


def _interval_segments(axes, own, column) -> list[tuple]:
    """Return the bars of the intervals, as far as they are inside the axes, as (x, y0, x, y1)."""
    known = own.dropna(subset=["last_low", "last_high"])
    ends = (np.clip(axis.errors_of(known[end]), *axes.get_ylim()) for end in ("last_high", "last_low"))
    return [(x, a, x, b) for x, a, b in zip(known[column], *ends, strict=True)]


@style.styled
def cost(summary: pd.DataFrame) -> Figure:
    """Draw errors against the seconds of a whole training and the multiply-accumulates of one image, if known."""
    parts = {column: summary.dropna(subset=[column]).astype({column: float}) for column in _COSTS}
    parts = {column: part for column, part in parts.items() if len(part)}
    figure, panels = axis.column(*[_height(summary)] * len(parts))
    for axes, (column, part) in zip(panels, parts.items(), strict=True):
        _points_with_intervals(axes, part, column)
        values, errors = part[column], axis.errors_of(part["last"])
        axis.log_axis(axes, [values.min() / 1.2, values.max() * 1.2], 5, "x", EngFormatter(sep=""))
        axis.error_axis(axes, [errors.min() / 1.15, errors.max() * 1.15])
        axes.set_xlabel(_COSTS[column])
    axis.legend(figure, [("last epoch, mean over seeds, 95 % interval", _OWN)])
    for axes, (column, part) in zip(panels, parts.items(), strict=True):
        label_points(axes, _own_labels(part, column), _interval_segments(axes, part, column))
    return figure


@style.styled
def changes(changes: pd.DataFrame) -> Figure:
    """Draw what each experiment gained on its parent, in points of the last epoch's accuracy, with a 95 % interval.

    A filled point is paired by seed, a hollow one is not; a difference without an interval is of one seed a side. An
    interval that includes 0 is grey.
    """
    fields = [style.wrapped(text, 78, 3) for text in changes["fields"]]
    depths = [_LINE * (2.6 + text.count("\n")) + 0.17 for text in fields]
    figure = style.new(style.COLUMN, 0.68 + sum(depths))
    axes = figure.subplots()
    for row, top, text in zip(changes.itertuples(), np.cumsum([0, *depths]), fields, strict=False):
        _change(axes, row, top, text)
    axes.set(ylim=(sum(depths), -0.02), yticks=[], xlabel="change of accuracy (points)")
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    axes.margins(x=0.06)
    pairs = changes["paired"].astype(bool)
    kinds = (pairs.any(), ("paired by seed", _PAIRED)), (not pairs.all(), ("not paired", _UNPAIRED))
    axis.legend(figure, [entry for drawn, entry in kinds if drawn])
    return figure


def _change(axes, row, top, text):
    """Draw a change below its name and its fields; ``top``: its upper edge, in inches below that of the first."""
    below = top + _LINE * (2.1 + text.count("\n")) + 0.1
    known = np.isfinite([row.low, row.high]).all()
    color = style.GREY if not known or row.low <= 0 <= row.high else style.BLUE
    axes.plot([0, 0], [below - 0.06, below + 0.06], color=style.BLACK, linewidth=0.8, zorder=1)
    if known:
        axes.plot([row.low, row.high], [below, below], color=color, linewidth=1.4, solid_capstyle="butt")
    axes.plot(row.difference, below, "o", color=color, markersize=4, markeredgewidth=1,
              markerfacecolor=color if row.paired else "white")  # fmt: skip
    name = f"{style.short(row.experiment, 22)} from {style.short(row.parent, 22)}"
    for lines, depth, options in ((f"{name}, n={row.n:g}: {row.difference:+.2f}", top, {"fontsize": 6.8}),
                                  (text, top + _LINE, {"fontsize": 5.6, "color": style.GREY})):  # fmt: skip
        axes.text(0, depth, lines, transform=axes.get_yaxis_transform(), va="top", linespacing=1.25,
                  in_layout=False, **options)  # fmt: skip
