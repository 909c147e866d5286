"""Mistakes in figures: which class is taken for which, and misclassified images. Needs matplotlib only."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.plots import style


@style.styled
def confusion(matrix, totals, classes, suffix: str = "") -> Figure:
    """Draw how often each class is taken for which; correct answers are left blank.

    ``matrix``: counts (true, predicted), or their means over runs, the diagonal ignored; ``totals``: images of each of
    ``classes``. On the right: the share of each class that is wrong. ``suffix``: ends the title.
    """
    matrix, totals = np.array(matrix, dtype=float), np.asarray(totals)
    np.fill_diagonal(matrix, 0)
    figure = style.new(style.COLUMN, 0.75 + 0.24 * len(classes))
    axes = figure.subplots()
    axes.imshow(matrix, cmap=style.ERRORS, vmin=0, vmax=max(1, 1.25 * matrix.max()), aspect="auto")
    digits = 0 if (matrix == matrix.round()).all() or matrix.max() >= 100 else 1
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axes.text(column, row, f"{matrix[row, column]:.{digits}f}", ha="center", va="center", fontsize=6)
    beside = {"textcoords": "offset points", "fontsize": 6.5, "annotation_clip": False}
    for row, total in enumerate(totals):
        axes.add_patch(Rectangle((row - 0.5, row - 0.5), 1, 1, color=style.BACKDROP, linewidth=0))
        share = f"{100 * matrix[row].sum() / total:.2f} %" if total else "-"
        axes.annotate(share, (1, row), (3, 0), xycoords=axes.get_yaxis_transform(), va="center", **beside)
    axes.annotate("wrong", (1, 1), (3, 3), xycoords="axes fraction", color=style.GREY, **beside)
    _class_axes(axes, [style.short(name, 11) for name in classes])
    axes.set_title(f"{matrix.sum():,.{digits}f} of {totals.sum():,} wrong{suffix}", loc="left")
    return figure


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


@style.styled
def always_wrong(images, table, classes, most: int = 40) -> Figure:
    """Show the images that every seed gets wrong, each with its true and its predicted class and its index.

    ``images``: uint8 (N, C, H, W), C 1 or 3, one for each row of ``table``: index, label, predicted. At most so many
    are shown, the first of the table.
    """
    shown = table.head(most)
    titles = _titles(shown["label"], shown["predicted"], classes, [f"no. {index}" for index in shown["index"]])
    header = f"{len(shown)} of {len(table):,}" if len(shown) < len(table) else ""
    return _image_grid(images, titles, style.COLUMN, 4 if titles and titles[0].count("\n") > 1 else 6, header)


@style.styled
def worst_mistakes(images, labels, logits, classes, most: int = 24) -> Figure:
    """Show the misclassified images with the highest cross-entropy loss, the highest first.

    ``images``: uint8 (N, C, H, W), C 1 or 3; ``labels``: integers (N,); ``logits``: (N, classes). Over each image stand
    its true and its predicted class, the probability of the latter, and the image's index. At most ``most`` are shown.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, dtype=float)
    shifted = logits - logits.max(1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    predicted = log_probability.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(log_probability[wrong, labels[wrong]], kind="stable")][:most]
    percent = 100 * np.exp(log_probability[worst, predicted[worst]])
    details = [f"{value:.0f} %, no. {index}" if value < 99.5 else f"> 99 %, no. {index}"
               for value, index in zip(percent, worst, strict=True)]  # fmt: skip
    titles = _titles(labels[worst], predicted[worst], classes, details)
    header = f"worst mistakes, true → predicted: {len(worst)} of {len(wrong):,} in {len(labels):,} images"
    return _image_grid([images[index] for index in worst], titles, style.PAGE, 8, header)


def _titles(labels, predicted, classes, details) -> list[str]:
    """Return a title for each image, all with the same number of lines."""
    names = [[style.short(str(classes[int(c)]), 11) for c in pair] for pair in zip(labels, predicted, strict=True)]
    arrow = " →\n" if any(len(a) + len(b) > 5 for a, b in names) else " → "
    return [f"{a}{arrow}{b}\n{detail}" for (a, b), detail in zip(names, details, strict=True)]


def _image_grid(images, titles, width, columns, header) -> Figure:
    """Show images (C, H, W) under their titles, ``columns`` to a row of a figure of that width in inches."""
    if not titles:
        figure = style.new(style.COLUMN, 1.0)
        figure.text(0.5, 0.5, "No image is wrong", ha="center", va="center", color=style.GREY)
        return figure
    rows, inch = -(-len(titles) // columns), width / columns - 0.1
    figure = style.new(width, 0.17 * bool(header) + (inch + 0.1 * (titles[0].count("\n") + 1) + 0.08) * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, title in zip(panels, images, titles, strict=False):
        axes.imshow(as_rgb(image), interpolation="nearest")
        axes.set_title(title, fontsize=6, pad=2)
    figure.suptitle(header, fontsize=7)
    return figure


def as_rgb(image):
    """Turn (1 or 3, H, W) into (H, W, 3), which ``imshow`` shows as it is."""
    image = np.asarray(image)
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
