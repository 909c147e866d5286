"""The one style of every figure: sizes, colours, marks, names, and how a figure is saved.

Colours are those of Okabe and Ito (2008, "Color Universal Design"), which can be told apart with every kind of colour
vision. Each series also has its own mark and dash for printing in grey. Figures are made without ``pyplot`` and from
matplotlib's own defaults, whatever the user's ``matplotlibrc`` says: the same frames give the same bytes.
"""

import textwrap
from pathlib import Path

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.style import context

ORANGE, BLUE, GREEN, VERMILION, PURPLE, SKY = "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
BLACK, GREY, PALE, GRID, BACKDROP = "#000000", "#666666", "#C4C4C4", "#E4E4E4", "#EDEDED"
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
"""As many series as one panel can hold and still be read; more get a panel each."""

LIMIT = {"color": BLACK, "linewidth": 0.8, "linestyle": (0, (4, 2))}
TARGET = {"color": BLACK, "linewidth": 0.8, "linestyle": (0, (1, 1.5))}
ERRORS = LinearSegmentedColormap.from_list("errors", ["white", VERMILION])

styled = context(
    [
        "default",
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.labelsize": 8,
            "axes.linewidth": 0.6,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 8,
            "font.size": 7,
            "grid.color": GRID,
            "grid.linewidth": 0.5,
            "legend.frameon": False,
            "legend.handlelength": 2.6,
            "lines.linewidth": 1.2,
            "lines.markersize": 3.2,
            "savefig.dpi": 200,
            "svg.fonttype": "path",
            "svg.hashsalt": "tinycnn",
        },
    ]
)
"""Decorates every function that draws or saves: matplotlib looks its settings up in both."""


def new(width: float, height: float) -> Figure:
    """Return an empty figure of that many inches, whose parts make room for one another."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


@styled
def save(figure: Figure, stem: Path) -> None:
    """Write a figure as PNG (200 dots per inch) and SVG, ``stem`` with these endings; no date, no program's name."""
    figure.savefig(f"{stem}.png", metadata={"Software": None})
    figure.set_layout_engine("none")  # it has been found, which takes as long as drawing
    figure.savefig(f"{stem}.svg", metadata={"Date": None, "Creator": None})


def short(name: str, most: int = 18) -> str:
    """Return a name of at most so many characters, its middle left out if need be.

    Of a layer's field only its index is kept: ``model.layers.3.layers.0.channels`` is ``layer 3.0.channels``.
    """
    if name.startswith("model.layers."):
        name = f"layer {name.removeprefix('model.').replace('layers.', '')}"
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - 1 - half]}…{name[-half:]}"


def wrapped(text: str, width: int, lines: int) -> str:
    """Return a text in at most so many lines of so many characters; what does not fit ends in an ellipsis."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))
