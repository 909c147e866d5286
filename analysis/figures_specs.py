"""Experiments side by side: accuracy against parameters and cost, what each change brought, looks at the test sets.

``summary`` has a row for each experiment, ``references`` for each published figure; see ``analysis.load``. Accuracies
are drawn as errors per 10,000 on a logarithmic axis. Experiments on different data sets never share a panel.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import style
from analysis.figures_labels import place


@style.styled
def accuracy_against_parameters(summary: pd.DataFrame, references: pd.DataFrame | None, limit: int | None) -> Figure:
    """Draw errors against parameters: our means over the last epochs with intervals, published figures, the limit.

    The stepped line is the front of our experiments: none with as few parameters makes fewer errors. Published figures
    are best epochs of one run, picked on the test set; where their last epoch is known a line leads to it.
    """
    ours = summary.dropna(subset=["last_mean", "parameters"])
    sets = list(dict.fromkeys(ours["data"]))
    theirs = _published(references)
    if not sets:
        sets = list(dict.fromkeys(theirs["data"]))
    if not sets:
        return _nothing("No finished run on a test set")
    figure = style.new(style.COLUMN, 0.45 + 2.6 * len(sets))
    panels = figure.subplots(len(sets), 1, squeeze=False)[:, 0]
    for axes, data in zip(panels, sets, strict=True):
        _against_parameters(axes, ours[ours["data"] == data], theirs[theirs["data"] == data], limit)
        axes.set_title(data if len(sets) > 1 else "", loc="left")
    handles = [Line2D([], [], color=style.BLUE, marker="o", label="ours: last epoch, mean, 95 % interval")]
    if len(theirs):
        handles.append(Line2D([], [], color=style.GREY, marker="s", markerfacecolor="white", linewidth=0.6,
                              label="published: best epoch, one run (to its last)"))  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center")
    for axes, data in zip(panels, sets, strict=True):
        _label(axes, ours[ours["data"] == data], theirs[theirs["data"] == data])
    return figure


def _published(references):
    if references is None or references.empty:
        return pd.DataFrame(columns=["name", "data", "parameters", "best", "last"])
    return references.dropna(subset=["best", "parameters"])


def _nothing(why) -> Figure:
    figure = style.new(style.COLUMN, 1.2)
    style.nothing(figure.subplots(), why)
    return figure


def _against_parameters(axes, ours, theirs, limit):
    last = theirs.dropna(subset=["last"])
    axes.vlines(last["parameters"], style.errors_of(last["best"]), style.errors_of(last["last"]), color=style.GREY, linewidth=0.6)
    axes.plot(theirs["parameters"], style.errors_of(theirs["best"]), "s", color=style.GREY, markerfacecolor="white", markersize=3.5,
              markeredgewidth=0.7, linestyle="none")  # fmt: skip
    _with_intervals(axes, ours["parameters"], ours)
    sizes = [*ours["parameters"], *theirs["parameters"], *([limit] if limit else [])]
    front = _front(ours)
    if len(front) > 1:
        axes.step(front["parameters"], style.errors_of(front["last_mean"]), where="post", color=style.BLUE, linewidth=0.8, zorder=1)
    style.log_axis(axes, sizes, 5, "x", lambda value, _: f"{value:,g}")
    errors = style.errors_of([*ours["last_mean"], *theirs["best"], *last["last"]])
    style.error_axis(axes, [*errors, errors.min() / 1.3])
    axes.set_xlabel("parameters")
    if limit:
        axes.axvline(limit, color=style.BLACK, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.text(limit, 0.985, f"limit {limit:,} ", ha="right", va="top", fontsize=6.5,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _with_intervals(axes, places, ours):
    """Draw means as points and their 95 % intervals as bars; an interval that is not known is not drawn."""
    low, high = style.errors_of(ours["last_high"]), style.errors_of(ours["last_low"])
    axes.vlines(places, np.nan_to_num(low, nan=1), np.nan_to_num(high, nan=1), color=style.BLUE, linewidth=1,
                alpha=np.isfinite(low).astype(float))  # fmt: skip
    axes.plot(places, style.errors_of(ours["last_mean"]), "o", color=style.BLUE, linestyle="none", markersize=4)


def _front(ours) -> pd.DataFrame:
    """Return the experiments that none with as few parameters or fewer beats, by parameters."""
    ordered = ours.sort_values(["parameters", "last_mean"], ascending=[True, False])
    return ordered[ordered["last_mean"] > ordered["last_mean"].cummax().shift(fill_value=-np.inf)]


def _label(axes, ours, theirs):
    where = [*zip(ours["parameters"], style.errors_of(ours["last_mean"]), strict=True),
             *zip(theirs["parameters"], style.errors_of(theirs["best"]), strict=True)]  # fmt: skip
    taken = [text.get_window_extent() for text in axes.texts]
    names = [*(style.short(name) for name in ours["experiment"]), *(style.short(name, 22) for name in theirs["name"])]
    for note in place(axes, where, names, taken):
        if note.get_text() in names[len(ours):]:
            note.set(color=style.GREY, fontsize=6)


@style.styled
def cost(summary: pd.DataFrame) -> Figure:
    """Draw errors against the seconds of a whole training and the multiply-accumulates of one image."""
    columns = {"seconds": "seconds of a training (mean over seeds)", "macs": "multiply-accumulates of an image"}
    ours = summary.dropna(subset=["last_mean"])
    sets = list(dict.fromkeys(ours["data"]))
    shown = [(data, column) for data in sets for column in columns if ours[column].notna().any()]
    if not shown:
        return _nothing("No finished run with a time on a test set")
    figure = style.new(style.COLUMN, 0.2 + 2.2 * len(shown))
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, (data, column) in zip(panels, shown, strict=True):
        part = ours[(ours["data"] == data) & ours[column].notna()]
        _with_intervals(axes, part[column].astype(float), part)
        style.log_axis(axes, part[column], 5, "x", lambda value, _: f"{value:,g}")
        style.error_axis(axes, style.errors_of(part["last_mean"]))
        axes.set_xlabel(columns[column])
        axes.set_title(data if len(sets) > 1 else "", loc="left")
    for axes, (data, column) in zip(panels, shown, strict=True):
        part = ours[(ours["data"] == data) & ours[column].notna()]
        where = list(zip(part[column].astype(float), style.errors_of(part["last_mean"]), strict=True))
        place(axes, where, [style.short(name) for name in part["experiment"]])
    return figure


@style.styled
def changes(changes: pd.DataFrame) -> Figure:
    """Draw what each experiment gained on its parent, in points of the last epoch's accuracy, with a 95 % interval.

    A filled point is paired by seed, a hollow one is not; a difference without an interval is of one seed a side.
    """
    rows = changes.dropna(subset=["difference"]).reset_index(drop=True)
    if rows.empty:
        return _nothing("No experiment with a parent that has runs too")
    texts = [style.wrapped(str(fields), 58, 2) for fields in rows["fields"]]
    figure = style.new(style.COLUMN, 0.6 + 0.46 * len(rows))
    axes = figure.subplots()
    for row, change in rows.iterrows():
        color = style.VERMILION if change["difference"] < 0 else style.BLUE
        axes.plot([change["low"], change["high"]], [row, row], color=color, linewidth=1.4, solid_capstyle="butt")
        axes.plot(change["difference"], row, "o", color=color, markersize=4.5, markeredgewidth=1,
                  markerfacecolor=color if change["paired"] else "white")  # fmt: skip
        axes.annotate(texts[row], (0, row), (2, 6), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                      va="bottom", fontsize=6, color=style.GREY)  # fmt: skip
    axes.axvline(0, color=style.BLACK, linewidth=0.8, zorder=1)
    names = [f"{style.short(c.experiment)}\nfrom {style.short(c.parent)}, n={c.n:g}" for c in rows.itertuples()]
    axes.set_yticks(range(len(rows)), names, fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set(ylim=(len(rows) - 0.5, -0.75), xlabel="change of accuracy (points)")
    return figure


@style.styled
def looks(looks: pd.DataFrame) -> Figure:
    """Draw how many specs each test set has judged. ``looks``: data, specs."""
    if looks.empty:
        return _nothing("No test set has been looked at")
    figure = style.new(style.COLUMN, 0.5 + 0.24 * len(looks))
    axes = figure.subplots()
    bars = axes.barh(range(len(looks)), looks["specs"], color=style.SKY, edgecolor=style.BLUE, linewidth=0.6, height=0.62)
    axes.bar_label(bars, [f"{count:,}" for count in looks["specs"]], padding=2)
    axes.set_yticks(range(len(looks)), [style.short(name) for name in looks["data"]])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set(ylim=(len(looks) - 0.5, -0.5), xticks=[], xlabel="specs judged on the test set",
             xlim=(0, 1.12 * looks["specs"].max()))  # fmt: skip
    return figure
