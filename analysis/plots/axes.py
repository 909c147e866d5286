"""What the figures' axes share: errors on a logarithmic scale, epochs, names in rows, and legends."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from analysis.plots import style

_LEADING = ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
_COLUMNS = 4

FEWEST = 3
"""Seeds that an interval is drawn of at least: Student's t of two would cover the whole figure."""


def errors_of(accuracy):
    """Turn accuracies in percent into errors per 10,000; none become half an error, since logarithms have no 0."""
    return np.maximum((100 - np.asarray(accuracy, dtype=float)) * 100, 0.5)


def log_axis(axes: Axes, values, most: int = 7, which: str = "y", formatter=None) -> list[float]:
    """Make an axis logarithmic around the positive ``values``, with at most ``most`` round labels; return these.

    Without a positive value the axis stays as it is.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return []
    low, high = values.min() / 1.15, values.max() * 1.15
    ticks = round_numbers(low, high, most)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    set_ticks(axes.yaxis if which == "y" else axes.xaxis, ticks, formatter or (lambda value: f"{value:,.7g}"))
    return ticks


def set_ticks(axis, ticks, formatter):
    """Label an axis at these positions, each by ``formatter(position)``."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: formatter(value)))


def round_numbers(low, high, most) -> list[float]:
    """Return at most ``most`` round numbers for a logarithmic axis from ``low`` to ``high``."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for leading in _LEADING:
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in leading]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    if len(ticks) < 3:  # less than a factor of two: even steps are as good
        even = MaxNLocator(max(2, most - 3), steps=[1, 2, 5, 10]).tick_values(low, high)
        ticks = [float(tick) for tick in even if low <= tick <= high]
    return ticks[:: -(-len(ticks) // most)]


def error_axis(axes: Axes, errors, most: int = 7, which: str = "y", accuracies: bool = True):
    """Make an axis one of errors per 10,000 on a logarithmic scale, with the accuracies on the opposite side."""
    ticks = log_axis(axes, errors, most, which)
    axes.set(**{f"{which}label": "errors per 10,000"})
    if accuracies and ticks:
        side = axes.secondary_yaxis("right") if which == "y" else axes.secondary_xaxis("top")
        side.set(**{f"{which}label": "accuracy (%)"})
        side.tick_params(length=2)
        set_ticks(side.yaxis if which == "y" else side.xaxis, ticks, lambda value: f"{100 - value / 100:.6g}")


def count_axis(axes: Axes, values, label: str = "epoch"):
    """Make the horizontal axis one of whole numbers around ``values``."""
    axes.set(xlabel=label, xlim=(np.min(values) - 0.5, np.max(values) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def row_axis(axes: Axes, names, size: float = 7):
    """Make the vertical axis a list of names from the top down, without ticks and grid."""
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(len(names) - 0.4, -0.6)


def line_style(series: dict) -> dict:
    """Return one of ``style.SERIES`` as the options of a plotted line."""
    dashes = (0, series["dashes"]) if series["dashes"] else "-"
    return {"color": series["color"], "marker": series["marker"], "linestyle": dashes, "markeredgewidth": 0}


def legend(figure: Figure, entries: list[tuple[str, dict]]):
    """Put a legend above the axes, and make the figure higher by it. ``entries``: names, each with line options."""
    handles = [Line2D([], [], label=label, **options) for label, options in entries]
    widest = max(len(label) for label, _ in entries)
    columns = max(1, min(len(entries), 4, int(16 * figure.get_figwidth() / (widest + 7))))
    figure.set_figheight(figure.get_figheight() + 0.145 * -(-len(entries) // columns))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)


def column(*heights) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as a column and its axes below one another, of these heights in inches."""
    figure = style.new(style.COLUMN, 0.1 + sum(heights))
    return figure, list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])


def multiples(count: int) -> tuple[Figure, list[Axes], list[bool], list[bool]]:
    """Return a figure as wide as a page with so many small axes, and which of them stand left and at the bottom."""
    rows = -(-count // _COLUMNS)
    figure = style.new(style.PAGE, 0.3 + 1.3 * rows)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    for axes in panels[count:]:
        axes.set_axis_off()
    numbers = range(count)
    return figure, panels[:count], [n % _COLUMNS == 0 for n in numbers], [n + _COLUMNS >= count for n in numbers]
