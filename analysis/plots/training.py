"""The figures of one run, and of its augmentation. Needs matplotlib only; arrays are NumPy's, or tensors on the CPU."""

import numpy as np
from matplotlib.figure import Figure

from analysis.plots import axes as axis
from analysis.plots import style
from analysis.plots.mistakes import as_rgb, confusion, worst_mistakes
from analysis.plots.style import BLUE, GREEN, GREY, VERMILION


def draw(history, split, logits, measured, target: float | None):
    """Yield (file name, figure) of a finished run: learning curves, confusion matrix, worst mistakes.

    ``history``: EpochResults, at least one; ``split``: the ``tinycnn.data.files.Split``; ``logits``: (N, classes) of
    its evaluation images; ``measured``: the network's ``Measured``; ``target``: an accuracy in percent, or None.
    """
    images, labels = split.evaluation.images, np.asarray(split.evaluation.labels)
    yield "curves.png", curves(history, target, split.kind, len(labels), measured)
    count, predicted = len(split.classes), np.asarray(logits).argmax(1)
    matrix = np.bincount(labels * count + predicted, minlength=count**2).reshape(count, count)
    yield "confusion.png", confusion(matrix, matrix.sum(1), split.classes)
    yield "worst_mistakes.png", worst_mistakes(images, labels, logits, split.classes)


@style.styled
def curves(history, target=None, kind="test", evaluated=10_000, measured=None) -> Figure:
    """Draw error (100 - accuracy, in percent), loss and learning rate over the epochs of ``history``.

    ``kind``: of the ``evaluated`` images, "test" or "validation". The axes are logarithmic and have no zero: errors
    below half an evaluated image are drawn at half an image.
    """
    epochs, floor = [result.epoch for result in history], 50 / evaluated
    figure = style.new(style.PAGE, 6)
    error, loss, rate = panels = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 1])
    size = 3.2 if len(epochs) <= 30 else 0
    series = (VERMILION, "s--", "training, as it ran", "train_"), (BLUE, "o-", kind, "")
    for color, mark, label, prefix in series:
        wrong = [max(100 - getattr(result, f"{prefix}accuracy"), floor) for result in history]
        error.plot(epochs, wrong, mark, color=color, label=label, markersize=size)
        losses = [max(getattr(result, f"{prefix}loss"), 1e-6) for result in history]
        loss.plot(epochs, losses, mark, color=color, markersize=size)
    if (clean := history[-1].clean_train_accuracy) is not None:
        label = "training, clean images (last epoch)"
        error.plot(epochs[-1], max(100 - clean, floor), "D", color=GREEN, markerfacecolor="white", label=label)
    if target is not None:
        error.axhline(max(100 - target, floor), label=f"target {target:g} %", **style.TARGET)
    rate.plot(epochs, [result.learning_rate for result in history], "o-", color=GREY, markersize=size / 2)
    if min(min(line.get_ydata()) for line in error.lines) == floor:
        error.set_title(f"{floor:g} %, half an image, stands for 0", fontsize=7, color=GREY, loc="right")
    if measured:
        error.set_title(f"{measured.parameters:,} parameters", loc="left")
    for axes, label, most in zip(panels, ("error (%)", "loss", "learning rate"), (9, 6, 3), strict=True):
        axis.log_axis(axes, np.concatenate([line.get_ydata() for line in axes.lines]), most)
        axes.set_ylabel(label)
    figure.legend(*error.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    axis.count_axis(rate, epochs, "epoch (learning rate: at its last step)")
    figure.align_ylabels()
    return figure


@style.styled
def contact_sheet(originals, augmented, inch: float = 0.8) -> Figure:
    """Show images above what augmentation made of them, each ``inch`` wide.

    ``originals``: float (K, C, H, W) in [0, 1], C 1 or 3, the first row; ``augmented``: (R, K, C, H, W), R rows.
    """
    rows = np.concatenate([np.asarray(originals)[None], np.asarray(augmented)]).clip(0, 1)
    figure = style.new(inch * rows.shape[1] + 0.6, inch * rows.shape[0])
    panels = figure.subplots(*rows.shape[:2], squeeze=False)
    for number, (line, row) in enumerate(zip(panels, rows, strict=True)):
        for axes, image in zip(line, row, strict=True):
            axes.imshow(as_rgb(image), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        name = f"draw {number}" if number else "original"
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure
