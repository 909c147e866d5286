"""Experiments against what they cost: accuracy against parameters, published figures beside ours, and against time.

``summary`` has a row for each experiment, ``references`` for each published figure; see ``analysis.load``. Accuracies
are drawn as errors per 10,000 on a logarithmic axis. Experiments on different data sets never share a panel.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from analysis import figures_axes as axis
from analysis import style
from analysis.figures_labels import place

_CROWD = 0.85, 1.03
"""Of the limit: between these many networks lie, and are drawn a second time with more room."""

_OURS = {"color": style.BLUE, "marker": "o", "linewidth": 1}
_THEIRS = {"color": style.GREY, "marker": "s", "markerfacecolor": "white", "linewidth": 0.6, "markeredgewidth": 0.7}
_LIMIT = {"color": style.BLACK, "linewidth": 0.8, "linestyle": (0, (4, 2))}


@style.styled
def accuracy_against_parameters(summary: pd.DataFrame, references: pd.DataFrame | None, limit: int | None) -> Figure:
    """Draw errors against parameters: our means over the last epochs with intervals, published figures, the limit.

    The stepped line is the front of our experiments: none with as few parameters makes fewer errors. Published figures
    are best epochs of one run, picked on the test set, unless their note says otherwise; where the last epoch is known,
    a line leads to it. Where networks crowd below the limit, that part is drawn a second time with more room; a point
    that still has no room for its name has none.
    """
    ours = summary.dropna(subset=["last_mean", "parameters"]).astype({"parameters": float})
    theirs = _published(references)
    sets = list(dict.fromkeys([*ours["data"]])) or list(dict.fromkeys(theirs["data"]))
    if not sets:
        return axis.empty("No finished run on a test set")
    panels = []
    for data in sets:
        mine, others = ours[ours["data"] == data], theirs[theirs["data"] == data]
        crowd = _crowd(pd.concat([mine["parameters"], others["parameters"]]), limit)
        panels += [(data, mine, others, None, crowd), *([(data, mine, others, crowd, None)] if crowd else [])]
    figure, all_axes = axis.column([_height(len(mine)) for _, mine, *_ in panels])
    for axes, (data, mine, others, zoom, _) in zip(all_axes, panels, strict=True):
        _against_parameters(axes, mine, others, limit, zoom)
        axes.set_title(data if len(sets) > 1 and not zoom else "", loc="left")
    _key(figure, len(theirs), limit, [_front(mine) for _, mine, *_ in panels])
    for axes, (_, mine, others, zoom, crowd) in zip(all_axes, panels, strict=True):
        _name(axes, mine, others, limit, zoom, crowd)
    return figure


def _height(count) -> float:
    """Return the inches of a panel with so many names."""
    return 2.2 + 0.06 * min(max(0, count - 6), 25)


def _published(references) -> pd.DataFrame:
    if references is None or references.empty:
        return pd.DataFrame(columns=["name", "data", "parameters", "best", "last"])
    return references.dropna(subset=["best", "parameters"])


def _crowd(parameters, limit):
    """Return from where to where networks crowd around the limit; None where they do not."""
    if not limit:
        return None
    near = parameters[parameters.between(_CROWD[0] * limit, _CROWD[1] * limit)]
    return (near.min() - 0.04 * limit, near.max() + 0.07 * limit) if 5 <= len(near) < len(parameters) else None


def _against_parameters(axes, ours, theirs, limit, zoom):
    if zoom:
        ours, theirs = (part[part["parameters"].between(*zoom)] for part in (ours, theirs))
    last, front = theirs.dropna(subset=["last"]), _front(ours)
    axes.vlines(last["parameters"], axis.errors_of(last["best"]), axis.errors_of(last["last"]), color=style.GREY,
                linewidth=0.6)  # fmt: skip
    axes.plot(theirs["parameters"], axis.errors_of(theirs["best"]), linestyle="none", markersize=3.4, **_THEIRS)
    _with_intervals(axes, ours["parameters"], ours)
    if len(front) > 1 and not zoom:
        axes.step(front["parameters"], axis.errors_of(front["last_mean"]), where="post", color=style.BLUE,
                  linewidth=0.8, zorder=1)  # fmt: skip
    errors = axis.errors_of([*ours["last_mean"], *theirs["best"], *last["last"]])
    axis.error_axis(axes, [errors.min() / 1.2, errors.max() * 1.2], 8)
    if zoom:
        axes.set(xlim=zoom)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    else:
        axis.log_axis(axes, [*ours["parameters"], *theirs["parameters"], *([limit] if limit else [])], 5, "x")
    axes.set_xlabel("parameters" + (", those near the limit" if zoom else ""))
    if limit:
        axes.axvline(limit, **_LIMIT)


def _with_intervals(axes, places, ours):
    """Draw means as points and their 95 % intervals as bars; an interval that is not known is not drawn."""
    known = ours[["last_low", "last_high"]].notna().all(axis=1)
    ends = axis.errors_of(ours.loc[known, "last_high"]), axis.errors_of(ours.loc[known, "last_low"])
    axes.vlines(places[known], *ends, color=style.BLUE, linewidth=1)
    axes.plot(places, axis.errors_of(ours["last_mean"]), "o", color=style.BLUE, linestyle="none", markersize=3.6)


def _front(ours) -> pd.DataFrame:
    """Return the experiments that none with as few parameters or fewer beats, by parameters."""
    ordered = ours.sort_values(["parameters", "last_mean"], ascending=[True, False])
    return ordered[ordered["last_mean"] > ordered["last_mean"].cummax().shift(fill_value=-np.inf)]


def _key(figure, published, limit, fronts):
    entries = [("ours: last epoch, mean, 95 % interval", _OURS)]
    if any(len(front) > 1 for front in fronts):
        entries.append(("our front", {"color": style.BLUE, "linewidth": 0.8}))
    if published:
        entries.append(("published: best epoch of a run, line to its last", _THEIRS))
    if limit:
        entries.append((f"limit {limit:,.0f}", _LIMIT))
    axis.legend(figure, entries)


def _name(axes, ours, theirs, limit, zoom, crowd):
    """Name the points: those in the crowd where that has more room, all others in the whole picture."""
    labels = [
        *((row.parameters, float(axis.errors_of(row.last_mean)), style.short(row.experiment), style.BLACK)
          for row in ours.itertuples()),
        *((row.parameters, float(axis.errors_of(row.best)), style.short(row.name, 22), style.GREY)
          for row in theirs[["name", "parameters", "best"]].itertuples(index=False)),
    ]  # fmt: skip
    if zoom:
        labels = [each for each in labels if zoom[0] <= each[0] <= zoom[1]]
    low, high = axes.get_ylim()
    segments = [(limit, low, limit, high)] if limit else []
    known = ours.dropna(subset=["last_low", "last_high"])
    segments += zip(known["parameters"], np.clip(axis.errors_of(known["last_high"]), low, high), known["parameters"],
                    np.clip(axis.errors_of(known["last_low"]), low, high), strict=True)  # fmt: skip
    if crowd:
        inside = [each[1] for each in labels if crowd[0] <= each[0] <= crowd[1]]
        labels = [each for each in labels if not crowd[0] <= each[0] <= crowd[1]]
        low, high = min(inside) / 1.08, max(inside) * 1.08
        axes.add_patch(Rectangle((crowd[0], low), crowd[1] - crowd[0], high - low, fill=False, linewidth=0.6,
                                 edgecolor=style.GREY))  # fmt: skip
        segments += [(end, low, end, high) for end in crowd]
    place(axes, labels, segments)


_COSTS = {"seconds": "seconds of a training, mean over seeds", "macs": "multiply-accumulates of an image"}


@style.styled
def cost(summary: pd.DataFrame) -> Figure:
    """Draw errors against the seconds of a whole training and the multiply-accumulates of one image."""
    ours = summary.dropna(subset=["last_mean"])
    parts = [
        (data, column, part.dropna(subset=[column]).assign(**{column: part[column].astype(float)}))
        for data, part in ours.groupby("data", sort=False)
        for column in _COSTS
        if part[column].notna().any()
    ]
    if not parts:
        return axis.empty("No finished run with a known cost on a test set")
    figure, panels = axis.column([_height(len(part)) for *_, part in parts])
    for axes, (data, column, part) in zip(panels, parts, strict=True):
        _with_intervals(axes, part[column], part)
        axis.log_axis(axes, [part[column].min() / 1.2, part[column].max() * 1.2], 5, "x", axis.thousands())
        errors = axis.errors_of(part["last_mean"])
        axis.error_axis(axes, [errors.min() / 1.15, errors.max() * 1.15])
        axes.set_xlabel(_COSTS[column])
        axes.set_title(data if ours["data"].nunique() > 1 else "", loc="left")
    axis.legend(figure, [("last epoch, mean over seeds, 95 % interval", _OURS)])
    for axes, (_, column, part) in zip(panels, parts, strict=True):
        where = zip(part[column], axis.errors_of(part["last_mean"]), part["experiment"], strict=True)
        low, high = axes.get_ylim()
        bars = part.dropna(subset=["last_low", "last_high"])
        ends = (np.clip(axis.errors_of(bars[end]), low, high) for end in ("last_high", "last_low"))
        segments = [(x, a, x, b) for x, a, b in zip(bars[column], *ends, strict=True)]
        place(axes, [(x, float(y), style.short(name), style.BLACK) for x, y, name in where], segments)
    return figure
