"""Mistakes in figures: which classes are taken for which, and the images that no seed gets right."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import style


@style.styled
def confusion(mistakes: pd.DataFrame, counts_per_class, classes) -> Figure:
    """Draw how often a run of one experiment takes each class for which, on average over its seeds.

    ``mistakes``: a row for each wrong image of a run; ``counts_per_class``: how many test images each of ``classes``
    has. On the right stands each class's share of wrong images.
    """
    count, runs = len(classes), max(1, mistakes["seed"].nunique())
    matrix = np.zeros((count, count))
    np.add.at(matrix, (mistakes["label"].to_numpy(int), mistakes["predicted"].to_numpy(int)), 1 / runs)
    figure = style.new(style.COLUMN, 0.75 + 0.24 * count)
    axes = figure.subplots()
    axes.imshow(matrix, cmap=style.ERRORS, vmin=0, vmax=max(1, matrix.max()), aspect="auto")
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axes.text(column, row, _number(matrix[row, column]), ha="center", va="center", fontsize=6)
    for row, total in enumerate(np.asarray(counts_per_class)):
        axes.add_patch(Rectangle((row - 0.5, row - 0.5), 1, 1, color="#EDEDED", linewidth=0))
        share = 100 * matrix[row].sum() / total if total else 0
        axes.annotate(f"{share:.2f} %", (1, row), (3, 0), xycoords=axes.get_yaxis_transform(), va="center",
                      textcoords="offset points", fontsize=6.5, annotation_clip=False)  # fmt: skip
    axes.annotate("wrong", (1, 1), (3, 3), xycoords="axes fraction", textcoords="offset points", color=style.GREY,
                  fontsize=6.5, annotation_clip=False)  # fmt: skip
    names = [style.short(name, 11) for name in classes]
    longest = max(map(len, names))
    axes.set_xticks(range(count), names, rotation=0 if longest < 3 else 90)
    axes.set_yticks(range(count), names)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor")
    axes.tick_params(which="both", length=0)
    axes.set(xlabel="predicted", ylabel="true")
    total = int(np.sum(counts_per_class))
    axes.set_title(f"{_number(matrix.sum())} of {total:,} wrong, mean of n={runs}", loc="left")
    return figure


def _number(value) -> str:
    return f"{value:.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def wrong_for_every_seed(mistakes: pd.DataFrame) -> pd.DataFrame:
    """Return the images that every run of an experiment gets wrong: index, label, predicted, seeds.

    ``mistakes``: of one experiment. ``predicted`` is what most runs say, the smallest class where several do;
    ``seeds`` how many runs say so.
    """
    runs = mistakes["seed"].nunique()
    votes = mistakes.groupby(["index", "label", "predicted"]).size().rename("seeds").reset_index()
    always = votes[votes.groupby("index")["seeds"].transform("sum") == runs]
    first = always.sort_values(["index", "seeds", "predicted"], ascending=[True, False, True])
    return first.drop_duplicates("index").reset_index(drop=True)


@style.styled
def always_wrong(images, table: pd.DataFrame, classes=None, most: int = 40) -> Figure:
    """Show the images that every seed gets wrong, each with its true and its predicted class.

    ``images``: uint8 (N, C, H, W), C 1 or 3, one for each row of ``table``: index, label, predicted. ``classes``: their
    names; without, the numbers stand. At most so many are shown, the first of the table.
    """
    if not len(table):
        figure = style.new(style.COLUMN, 0.8)
        style.nothing(figure.subplots(), "No image is wrong for every seed")
        return figure
    shown = table.head(most)
    titles = [_title(row, classes) for row in shown.itertuples()]
    wide = max(map(len, titles)) > 8
    columns = min(len(shown), 4 if wide else 6)
    rows = -(-len(shown) // columns)
    figure = style.new(style.COLUMN, (0.15 if len(shown) < len(table) else 0.05) + (0.98 if wide else 0.78) * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, title in zip(panels, images, titles, strict=False):
        image = np.asarray(image)
        axes.imshow(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0), interpolation="nearest")
        axes.set_title(title, fontsize=6, pad=2)
    if len(shown) < len(table):
        figure.suptitle(f"{len(shown)} of {len(table)}", fontsize=7, x=0.01, ha="left")
    return figure


def _title(row, classes) -> str:
    label, predicted = (style.short(classes[int(c)], 9) if classes else str(int(c)) for c in (row.label, row.predicted))
    return f"{label} → {predicted}\nno. {row.index}" if len(label + predicted) < 6 else f"{label} →\n{predicted}"
