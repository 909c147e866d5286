"""What each change brought, and how many specs each test set has evaluated."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.plots import axes as axis
from analysis.plots import style

_LINE = 0.115  # inches: a line of text of this figure
_PAIRED = {"color": style.BLUE, "marker": "o", "linewidth": 1.4}
_UNPAIRED = _PAIRED | {"markerfacecolor": "white"}


@style.styled
def changes(changes: pd.DataFrame) -> Figure:
    """Draw what each experiment gained on its parent, in points of the last epoch's accuracy, with a 95 % interval.

    A filled point is paired by seed, a hollow one is not; a difference without an interval is of one seed a side. An
    interval that includes 0 is grey.
    """
    rows = changes.dropna(subset=["difference"])
    if rows.empty:
        return axis.empty("No experiment has a parent that was run too")
    fields = [style.wrapped(text, 78, 3) for text in rows["fields"]]
    depths = [_LINE * (2.6 + text.count("\n")) + 0.17 for text in fields]
    figure = style.new(style.COLUMN, 0.68 + sum(depths))
    axes = figure.subplots()
    for row, top, text in zip(rows.itertuples(), np.cumsum([0, *depths]), fields, strict=False):
        _change(axes, row, top, text)
    axes.set(ylim=(sum(depths), -0.02), yticks=[], xlabel="change of accuracy (points)")
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    axes.margins(x=0.06)
    kinds = (True, ("paired by seed", _PAIRED)), (False, ("not paired", _UNPAIRED))
    axis.legend(figure, [entry for paired, entry in kinds if (rows["paired"].astype(bool) == paired).any()])
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


@style.styled
def evaluations(specs: pd.DataFrame) -> Figure:
    """Draw how many specs each test set has evaluated. ``specs``: data, specs."""
    if specs.empty:
        return axis.empty("No test set has been used")
    figure = style.new(style.COLUMN, 0.5 + 0.24 * len(specs))
    axes = figure.subplots()
    axis.bars(axes, [style.short(name) for name in specs["data"]], specs["specs"], "{:,}")
    axes.set_xlabel("specs evaluated on the test set")
    return figure
