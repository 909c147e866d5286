"""What each change brought, and how often each test set has been looked at."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import figures_axes as axis
from analysis import style

MOST = 24
"""Changes that get a row, the largest of more."""

_LINE = 0.115  # inches: a line of text of this figure


@style.styled
def changes(changes: pd.DataFrame) -> Figure:
    """Draw what each experiment gained on its parent, in points of the last epoch's accuracy, with a 95 % interval.

    A filled point is paired by seed, a hollow one is not; a difference without an interval is of one seed a side. An
    interval that holds 0 is grey.
    """
    every = changes.dropna(subset=["difference"])
    if every.empty:
        return axis.empty("No experiment has a parent that was run too")
    rows = every.loc[every["difference"].abs().sort_values(ascending=False, kind="stable").index[:MOST].sort_values()]
    fields = [style.wrapped(str(text), 78, 3) for text in rows["fields"]]
    depths = [_LINE * (2.6 + text.count("\n")) + 0.17 for text in fields]
    figure = style.new(style.COLUMN, 0.68 + sum(depths))
    axes = figure.subplots()
    for row, top, text in zip(rows.itertuples(), np.cumsum([0, *depths]), fields, strict=False):
        _change(axes, row, top, text)
    axes.set(ylim=(sum(depths), -0.02), yticks=[], xlabel="change of accuracy (points)")
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    axes.margins(x=0.06)
    mark = {"color": style.BLUE, "marker": "o", "linewidth": 1.4}
    kinds = {True: ("paired by seed", mark), False: ("not paired", mark | {"markerfacecolor": "white"})}
    note = f"the {len(rows)} largest of {len(every)} changes" if len(rows) < len(every) else None
    axis.legend(figure, [kinds[kind] for kind in (True, False) if (rows["paired"].astype(bool) == kind).any()], note)
    return figure


def _change(axes, row, top, text):
    """Draw a change below its name and its fields; ``top``: where it begins, in inches from the first."""
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


@style.styled
def looks(looks: pd.DataFrame) -> Figure:
    """Draw how many specs each test set has judged. ``looks``: data, specs."""
    if looks.empty:
        return axis.empty("No test set has been looked at")
    figure = style.new(style.COLUMN, 0.5 + 0.24 * len(looks))
    axes = figure.subplots()
    counted_bars(axes, [style.short(name) for name in looks["data"]], looks["specs"], "{:,}")
    axes.set_xlabel("specs judged on the test set")
    return figure


def counted_bars(axes, names, values, words):
    """Draw a bar for each name from the top down, its value behind it in ``words``; no axis is needed then."""
    bars = axes.barh(range(len(names)), values, color=style.SKY, edgecolor=style.BLUE, linewidth=0.6, height=0.62)
    axes.bar_label(bars, [words.format(value) for value in values], padding=2, fontsize=6.5)
    axis.row_axis(axes, names)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set(xticks=[], xlim=(0, 1.15 * max(*values, 1e-9)))
