"""A run in pictures: arrays -> matplotlib figures, 150 dots per inch, to be saved with ``figure.savefig(path)``.

Colours are those of Okabe and Ito (2008, "Color Universal Design"), which every kind of colour vision tells apart; a
shape, a place or a number always says the same, so that nothing is lost in grey. The figures are made without
``pyplot``: no window system, no global state. Arrays may be NumPy's, or tensors in main memory.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from scipy.special import log_softmax
from sklearn.metrics import confusion_matrix

ORANGE, BLUE, GREEN, VERMILION, GREY = "#E69F00", "#0072B2", "#009E73", "#D55E00", "#666666"
_ERRORS = LinearSegmentedColormap.from_list("errors", ["white", VERMILION])
_BACKDROP = "#EDEDED"
_SQUARES = (BLUE, VERMILION, GREEN, "black")


def _figure(width, height, **options):
    return Figure(figsize=(width, height), dpi=150, facecolor="white", **options)


def _canvas(width, height):
    """Return a figure and axes that fill it, in inches from the upper left corner, nothing on them."""
    figure = _figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def _shown(image):
    """Turn (1 or 3, H, W) into (H, W, 3), which ``imshow`` shows as it is."""
    image = np.asarray(image)
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)


def curves(history, target=None, kind="test", evaluated=10_000) -> Figure:
    """Draw error (100 - accuracy, in percent), loss and learning rate over the epochs of ``history``.

    ``history``: EpochResults in order, at least one; ``target``: an accuracy in percent; ``kind``: what the
    ``evaluated`` images are, "test" or "validation". Errors are on a logarithmic axis, where 99.4 and 99.6 are as far
    apart as 94 and 96. Such an axis has no zero: errors below half an evaluated image are drawn at half an image.
    """
    epochs, floor = [result.epoch for result in history], 50 / evaluated
    figure = _figure(7, 6.4, layout="constrained")
    error, loss, rate = panels = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 1])
    styles = ((ORANGE, "s--", "training, as it ran", "train_"), (BLUE, "o-", kind, ""))
    size = 4 if len(epochs) <= 30 else 0
    for color, style, label, prefix in styles:
        wrong = [max(100 - getattr(result, f"{prefix}accuracy"), floor) for result in history]
        error.plot(epochs, wrong, style, color=color, label=label, markersize=size)
        losses = [max(getattr(result, f"{prefix}loss"), 1e-6) for result in history]
        loss.plot(epochs, losses, style, color=color, markersize=size)
    if (clean := history[-1].clean_train_accuracy) is not None:
        label = "training, as in a test (last epoch)"
        error.plot(epochs[-1], max(100 - clean, floor), "D", color=GREEN, markerfacecolor="white", label=label)
    if target is not None:
        error.axhline(max(100 - target, floor), color="black", linestyle=":", label=f"target {target:g} % right")
    rate.plot(epochs, [result.learning_rate for result in history], "o-", color=GREY, markersize=size / 2)
    if min(min(line.get_ydata()) for line in error.lines) == floor:
        error.set_title(f"{floor:g} %, half an image, stands for 0", fontsize=8, color=GREY, loc="right")
    for axes, label, most in zip(panels, ("error (%)", "loss", "learning rate"), (9, 6, 3), strict=True):
        _log_axis(axes, most)
        axes.set_ylabel(label)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*error.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    rate.set(xlabel="epoch (learning rate: at its last step)", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    rate.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    figure.align_ylabels()
    return figure


def _log_axis(axes, most):
    """Make the vertical axis logarithmic, from and to one of 1, 2, 5, 10 ..., with at most ``most`` labels."""
    values = np.concatenate([line.get_ydata() for line in axes.lines]).astype(float)
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):  # nothing that a logarithm can show, e.g. a learning rate of 0
        return
    low, high = values.min(), values.max()
    decades = np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 2)

    def round_numbers(*leading):
        return np.array([float(f"{digit}e{decade:.0f}") for decade in decades for digit in leading])

    coarse = round_numbers(1, 2, 5)
    low, high = coarse[coarse < low / 1.02].max(), coarse[coarse > high * 1.02].min()
    for leading in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = round_numbers(*leading)
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= most:
            break
    ticks = ticks[:: -(-len(ticks) // most)]
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def confusion(labels, predictions, classes) -> Figure:
    """Draw how often each class was taken for which; coloured are the mistakes only.

    ``labels``, ``predictions``: integers (N,), indices into the names ``classes``. On the right: each row's mistakes.
    """
    count = len(classes)
    matrix = confusion_matrix(np.asarray(labels), np.asarray(predictions), labels=range(count))
    mistakes = matrix * (1 - np.eye(count, dtype=int))
    names = [name.replace(" ", "\n") for name in classes]
    longest = max(len(part) for name in names for part in name.split("\n"))
    width, height, left, bottom = count * max(0.5, 0.085 * longest), count * 0.46, 0.5 + 0.08 * longest, 0.7  # inches
    size = left + width + 1.15, bottom + height + 0.55
    figure = _figure(*size)
    axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
    axes.imshow(mistakes, cmap=_ERRORS, vmin=0, vmax=max(1, mistakes.max()), aspect="auto")
    for row, column in zip(*np.nonzero(matrix), strict=True):
        right = row == column
        if right:
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=_BACKDROP))
        axes.text(column, row, f"{matrix[row, column]}", ha="center", va="center", color=GREY if right else "black")
    for row, (wrong, total) in enumerate(zip(mistakes.sum(1), matrix.sum(1), strict=True)):
        axes.text(count - 0.4, row, f"{wrong} of {total}", va="center", fontsize=9, gid="wrong")
    axes.text(count - 0.4, -0.6, "wrong", va="bottom", fontsize=9, color=GREY)
    axes.set_xticks(range(count), names, fontsize=9)
    axes.set_yticks(range(count), names, fontsize=9)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#DDDDDD", linewidth=0.7)
    axes.tick_params(which="both", length=0)
    wrong, total = mistakes.sum(), matrix.sum()
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(f"{wrong:,} of {total:,} images wrong ({100 * wrong / max(1, total):.2f} %)", loc="left", pad=12)
    return figure


def worst_mistakes(images, labels, logits, classes, count=24) -> Figure:
    """Show the wrongly classified images with the highest cross-entropy loss, the highest first.

    ``images``: uint8 (N, C, H, W), C 1 or 3; ``labels``: integers (N,); ``logits``: (N, classes). Over each image stand
    its true and its predicted class, the probability given to the latter, and the image's index. At most ``count``.
    """
    labels = np.asarray(labels)
    log_probability = log_softmax(np.asarray(logits, dtype=float), axis=1)
    predictions, everyone = log_probability.argmax(1), np.arange(len(labels))
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(log_probability[everyone, labels][wrong], kind="stable")][:count]
    titles = [f"{classes[labels[i]]} → {classes[predictions[i]]}" for i in worst]
    side, height, head = 0.95, 1.42, 0.35  # inches: an image, its cell, the line above all
    width = max([1.15, *(0.078 * len(title) for title in titles)])
    rows = -(-len(worst) // max(1, int(10 / width)))
    columns = -(-len(worst) // max(1, rows))
    figure, axes = _canvas(max(5, columns * width), head + rows * height)
    which = f"Worst mistakes, true → predicted: {len(worst)} of {len(wrong):,}" if len(worst) else "No mistake"
    axes.text(0.1, head / 2, f"{which} in {len(labels):,} images", va="center", fontsize=9)
    for place, (index, title) in enumerate(zip(worst, titles, strict=True)):
        row, column = divmod(place, columns)
        middle, top = (column + 0.5) * width, head + row * height + 0.4
        axes.imshow(_shown(images[index]), extent=(middle - side / 2, middle + side / 2, top + side, top))
        probability = 100 * np.exp(log_probability[index, predictions[index]])
        sure = f"{probability:.0f} %" if probability < 99.5 else "> 99 %"
        axes.text(middle, top - 0.04, f"{title}\n{sure}  no. {index}", ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))  # imshow narrows them
    return figure


def receptive_field(image, layers) -> Figure:
    """Draw over ``image``, uint8 (C, H, W), the square that one unit sees after each of ``layers`` where it grows.

    ``layers``: ``Measured.layers``. The squares lie around the middle of the picture; a real unit's lies there to
    within its layer's jump, as a map with an even number of units has none in its middle. Beyond the picture is
    padding; squares of more than twice the picture's side are in the table only.
    """
    fields = [1, *(layer.receptive_field for layer in layers)]
    grown = [layer for layer, before in zip(layers, fields, strict=False) if layer.receptive_field > before]
    height, width = np.shape(image)[1:]
    side = max(height, width)
    view = min(max(fields[-1], side), 2 * side) + 1
    inches = max(4.6, 0.27 * len(grown) + 1)
    figure = _figure(inches + 3.6, inches)
    axes = figure.add_axes((0.02, 0.03, inches * 0.94 / (inches + 3.6), 0.94))
    left, top = (width - view) / 2, (height - view) / 2
    padded = fields[-1] > min(height, width)
    if padded:
        axes.add_patch(Rectangle((left, top), view, view, facecolor=_BACKDROP, edgecolor="#BBBBBB", hatch="///", lw=0))
    pale = 255 - (255 - _shown(image).astype(float)) * 0.6  # so that lines are seen on black and on white
    axes.imshow(pale.astype(np.uint8), extent=(0, width, height, 0), zorder=2)
    axes.set(xlim=(left, left + view), ylim=(top + view, top))
    axes.set_axis_off()
    for number, layer in enumerate(grown):
        if layer.receptive_field <= view:
            _square(axes, number, layer.receptive_field, width / 2, height / 2)
    table = figure.add_axes(((inches + 0.1) / (inches + 3.6), 0.03, 3.3 / (inches + 3.6), 0.94))
    _field_table(table, grown, view, padded)
    return figure


def _square(axes, number, field, x, y):
    """Draw a field around (x, y), its number on the corners in turn, for neighbours may be half a pixel apart."""
    color, half = _SQUARES[number % len(_SQUARES)], field / 2
    halo = [withStroke(linewidth=3.5, foreground="white")]
    axes.add_patch(
        Rectangle((x - half, y - half), field, field, fill=False, edgecolor=color, lw=1.8, path_effects=halo, zorder=3)
    )
    across, down = ((-1, -1), (1, 1), (1, -1), (-1, 1))[number % 4]
    _badge(axes, x + across * half, y + down * half, number)


def _badge(axes, x, y, number):
    box = {"boxstyle": "round,pad=0.2", "facecolor": _SQUARES[number % len(_SQUARES)], "edgecolor": "white"}
    style = {"fontsize": 7, "color": "white", "ha": "center", "va": "center"}
    axes.text(x, y, f"{number + 1}", bbox=box, zorder=4 + number, **style)


def _field_table(axes, grown, view, padded):
    """List number, layer and field of the layers in ``grown``; say which are not drawn, and what lies outside."""
    axes.set(xlim=(0, 1), ylim=(max(len(grown), 12) + 1.5, -0.5))
    axes.set_axis_off()
    axes.text(0.12, 0, "after", color=GREY, va="center")
    axes.text(1, 0, "a unit sees", color=GREY, va="center", ha="right")
    for number, layer in enumerate(grown):
        field = layer.receptive_field
        _badge(axes, 0.04, number + 1, number)
        axes.text(0.12, number + 1, ", ".join(layer.kind.split(", ")[:2])[:30], va="center", fontsize=9)
        where = "" if field <= view else "(not drawn) "
        axes.text(1, number + 1, f"{where}{field} × {field}", va="center", ha="right", fontsize=9)
    if padded:
        axes.text(0.04, len(grown) + 1, "hatched: padding around the picture", va="center", fontsize=9, color=GREY)


def contact_sheet(originals, augmented) -> Figure:
    """Show images above what augmentation made of them.

    ``originals``: float (K, C, H, W) in [0, 1], C 1 or 3, the first row; ``augmented``: (R, K, C, H, W), R rows.
    """
    rows = np.concatenate([np.asarray(originals)[None], np.asarray(augmented)])
    draws, columns, _, height, width = rows.shape
    gap = 2  # pixels of white around each image
    sheet = np.ones((draws * (height + gap) + gap, columns * (width + gap), 3), np.float32)
    tops = [row * (height + gap) + gap * (row > 0) for row in range(draws)]  # a double gap under the originals
    for row, top in enumerate(tops):
        for column in range(columns):
            left = column * (width + gap)
            sheet[top : top + height, left : left + width] = _shown(rows[row, column]).clip(0, 1)
    inches = 0.8 / width  # per pixel
    size = sheet.shape[1] * inches + 0.8, sheet.shape[0] * inches + 0.1
    figure = _figure(*size)
    axes = figure.add_axes((0.75 / size[0], 0, 1 - 0.8 / size[0], 1 - 0.1 / size[1]))
    axes.imshow(sheet, interpolation="nearest")
    names = ["original", *(f"draw {row}" for row in range(1, draws))]
    axes.set_yticks([top + height / 2 - 0.5 for top in tops], names, fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def draw(history, split, logits, measured, target):
    """Yield (file name, figure) of what a training came to."""
    images, labels = split.evaluation.images, split.evaluation.labels
    yield "curves.png", curves(history, target, kind=split.kind, evaluated=len(labels))
    yield "confusion.png", confusion(labels, logits.argmax(1), split.classes)
    yield "worst_mistakes.png", worst_mistakes(images, labels, logits, split.classes)
