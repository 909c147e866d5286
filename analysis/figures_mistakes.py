"""Mistakes in figures: which classes are taken for which, and the images that no seed gets right."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import figures_axes as axis
from analysis import style


@style.styled
def confusion(mistakes: pd.DataFrame, counts_per_class, classes, runs: int | None = None) -> Figure:
    """Draw how often a run of one experiment takes each class for which, on average over its runs.

    ``mistakes``: a row for each wrong image of a run; ``counts_per_class``: how many test images each of ``classes``
    has; ``runs``: how many runs there are, without it those in ``mistakes``. On the right: each class's share of wrong.
    """
    count, totals = len(classes), np.asarray(counts_per_class)
    runs = runs or max(1, mistakes["seed"].nunique())
    matrix = np.zeros((count, count))
    np.add.at(matrix, (mistakes["label"].to_numpy(int), mistakes["predicted"].to_numpy(int)), 1 / runs)
    figure = style.new(style.COLUMN, 0.75 + 0.24 * count)
    axes = figure.subplots()
    axes.imshow(matrix, cmap=style.ERRORS, vmin=0, vmax=max(1, 1.25 * matrix.max()), aspect="auto")
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axes.text(column, row, _number(matrix[row, column]), ha="center", va="center", fontsize=6)
    beside = {"textcoords": "offset points", "fontsize": 6.5, "annotation_clip": False}
    for row, total in enumerate(totals):
        axes.add_patch(Rectangle((row - 0.5, row - 0.5), 1, 1, color="#E8E8E8", linewidth=0))
        share = f"{100 * matrix[row].sum() / total:.2f} %" if total else "-"
        axes.annotate(share, (1, row), (3, 0), xycoords=axes.get_yaxis_transform(), va="center", **beside)
    axes.annotate("wrong", (1, 1), (3, 3), xycoords="axes fraction", color=style.GREY, **beside)
    _class_axes(axes, [style.short(name, 11) for name in classes])
    axes.set_title(f"{_number(matrix.sum())} of {totals.sum():,} wrong, mean of n={runs}", loc="left")
    return figure


def _number(value) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def _class_axes(axes, names):
    count = len(names)
    axes.set_xticks(range(count), names, rotation=0 if max(map(len, names)) < 3 else 90)
    axes.set_yticks(range(count), names)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor")
    axes.tick_params(which="both", length=0)
    axes.set(xlabel="predicted", ylabel="true")


def wrong_for_every_seed(mistakes: pd.DataFrame, runs: int | None = None) -> pd.DataFrame:
    """Return the images that every run of an experiment gets wrong: index, label, predicted, seeds.

    ``mistakes``: of one experiment; ``runs``: how many runs there are, without it those in ``mistakes``. ``predicted``
    is what most runs say, the smallest class where several do; ``seeds`` how many runs say so.
    """
    runs = runs or mistakes["seed"].nunique()
    votes = mistakes.groupby(["index", "label", "predicted"]).size().rename("seeds").reset_index()
    always = votes[votes.groupby("index")["seeds"].transform("sum") == runs]
    first = always.sort_values(["index", "seeds", "predicted"], ascending=[True, False, True])
    return first.drop_duplicates("index").reset_index(drop=True)


@style.styled
def always_wrong(images, table: pd.DataFrame, classes=None, most: int = 40) -> Figure:
    """Show the images that every seed gets wrong, each with its true and its predicted class and its index.

    ``images``: uint8 (N, C, H, W), C 1 or 3, one for each row of ``table``: index, label, predicted. ``classes``: their
    names; without, the numbers stand. At most so many are shown, the first of the table.
    """
    if not len(table):
        return axis.empty("No image is wrong for every seed")
    shown = table.head(most)
    names = [[style.short(classes[int(c)], 11) if classes else str(int(c)) for c in pair]
             for pair in zip(shown["label"], shown["predicted"], strict=True)]  # fmt: skip
    wide = max(len(label) + len(predicted) for label, predicted in names) > 5
    columns, lines = (4, 3) if wide else (6, 2)
    rows, inch = -(-len(shown) // columns), style.COLUMN / columns - 0.1
    figure = style.new(style.COLUMN, 0.17 * (len(shown) < len(table)) + (inch + 0.1 * lines + 0.08) * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, (label, predicted), index in zip(panels, images, names, shown["index"], strict=False):
        image = np.asarray(image)
        axes.imshow(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0), interpolation="nearest")
        arrow = " →\n" if wide else " → "
        axes.set_title(f"{label}{arrow}{predicted}\nno. {index}", fontsize=6, pad=2)
    if len(shown) < len(table):
        figure.suptitle(f"{len(shown)} of {len(table):,}", fontsize=7)
    return figure
