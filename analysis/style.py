"""The one style of every figure: sizes, colours, marks, axes, and how a figure is saved.

Colours are those of Okabe and Ito (2008, "Color Universal Design"), which every kind of colour vision tells apart. Each
series also has its own mark and dash, so that nothing is lost in grey. Figures are made without ``pyplot`` and begin
from matplotlib's own defaults, whatever the user's ``matplotlibrc`` says: the same frames give the same bytes.
"""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tinycnn.pictures import BLUE, GREEN, GREY, ORANGE, VERMILION

PURPLE, SKY, BLACK, PALE, GRID = "#CC79A7", "#56B4E9", "#000000", "#C4C4C4", "#E4E4E4"
COLUMN, PAGE = 3.5, 7.2
"""Widths in inches: of one column of a paper, and of its page."""

SERIES = (
    {"color": BLUE, "marker": "o", "dashes": ""},
    {"color": VERMILION, "marker": "s", "dashes": (4, 1.5)},
    {"color": GREEN, "marker": "^", "dashes": (1.2, 1.2)},
    {"color": BLACK, "marker": "D", "dashes": (5, 1.5, 1.2, 1.5)},
    {"color": ORANGE, "marker": "v", "dashes": (8, 2)},
    {"color": PURPLE, "marker": "P", "dashes": (3, 1, 1, 1, 1, 1)},
)
"""As many series as one picture can hold and still be read; more get a panel each."""

ERRORS = LinearSegmentedColormap.from_list("errors", ["white", VERMILION])

styled = context(
    [
        "default",
        {
            "axes.axisbelow": True,
            "axes.edgecolor": "#444444",
            "axes.grid": True,
            "axes.labelsize": 8,
            "axes.linewidth": 0.6,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 8,
            "figure.dpi": 100,
            "font.size": 7,
            "grid.color": GRID,
            "grid.linewidth": 0.5,
            "legend.fontsize": 7,
            "legend.frameon": False,
            "legend.handlelength": 2.6,
            "lines.linewidth": 1.2,
            "lines.markersize": 3.2,
            "savefig.dpi": 200,
            "svg.fonttype": "path",
            "svg.hashsalt": "tinycnn",
            "xtick.labelsize": 7,
            "xtick.major.width": 0.6,
            "ytick.labelsize": 7,
            "ytick.major.width": 0.6,
        },
    ]
)
"""Decorates every function that draws or saves: matplotlib looks its settings up at either time."""


def new(width: float, height: float) -> Figure:
    """Return an empty figure of that many inches, whose parts make room for one another."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


@styled
def save(figure: Figure, path) -> tuple[Path, Path]:
    """Write a figure as PNG (200 dots per inch) and SVG beside each other; return their paths.

    ``path``: where, with or without an ending. The same figure gives the same bytes: no date, no program's name.
    """
    stem = Path(path)
    stem = stem.with_suffix("") if stem.suffix in (".png", ".svg") else stem
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    figure.savefig(png, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def short(name: str, most: int = 18) -> str:
    """Return a name of at most so many characters, its middle left out if need be."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - 1 - half]}…{name[-half:]}"


def wrapped(text: str, width: int, lines: int) -> str:
    """Return a text in at most so many lines of so many characters; what does not fit ends in an ellipsis."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))


def nothing(axes: Axes, why: str):
    """Say on empty axes why there is nothing on them."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, wrapped(why, 44, 4), transform=axes.transAxes, ha="center", va="center", color=GREY)


def log_axis(axes: Axes, values, most: int = 7, which: str = "y", formatter=None) -> list[float]:
    """Make an axis logarithmic around positive ``values``, with at most ``most`` round labels; return these.

    A value that is no number, zero or negative is not looked at; without any other the axis stays as it is.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return []
    low, high = values.min() / 1.15, values.max() * 1.15
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for leading in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in leading]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    ticks = ticks[:: -(-len(ticks) // most)] or [float(f"{np.median(values):.2g}")]
    axis = axes.yaxis if which == "y" else axes.xaxis
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(formatter or (lambda value, _: f"{value:g}")))
    return ticks


def error_axis(axes: Axes, errors, most: int = 7, right: bool = True, which: str = "y"):
    """Make an axis one of errors per 10,000 on a logarithmic scale; on the other side stand the accuracies."""
    ticks = log_axis(axes, errors, most, which, lambda value, _: f"{value:,g}")
    axes.set(**{f"{which}label": "errors per 10,000"})
    if not (right and ticks):
        return
    other = axes.secondary_yaxis("right") if which == "y" else axes.secondary_xaxis("top")
    axis = other.yaxis if which == "y" else other.xaxis
    other.set(**{f"{which}label": "accuracy (%)"})
    other.tick_params(length=2)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 - value / 100:.6g}"))


def errors_of(accuracy):
    """Turn accuracies in percent into errors per 10,000; none at all is drawn as half an error: logarithms have no 0."""
    return np.maximum((100 - np.asarray(accuracy, dtype=float)) * 100, 0.5)
