"""Receptive fields in a figure: over a real picture, layer by layer, what could count and what does."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import style

_COLUMNS = 3
_HEAT = LinearSegmentedColormap.from_list("heat", [(0.9, 0.62, 0, 0), (0.9, 0.62, 0, 0.65), (0.84, 0.37, 0, 0.9)])
_HATCHED = {"facecolor": "#F2F2F2", "edgecolor": "#BBBBBB", "hatch": "////", "linewidth": 0}


@style.styled
def receptive_fields(image, layers, effective) -> Figure:
    """Draw over a picture, for each layer where the field grows, its square and how much each pixel in it counts.

    ``image``: uint8 (C, H, W); ``layers``: ``Measured.layers``; ``effective``: ``effective_receptive_field``'s answer
    for the same network. The square is what the middle unit can see; orange is what it does see, by gradients. Hatched
    is padding around the picture; what lies further out than half a picture is cut off.
    """
    sides = [1, *(layer.receptive_field for layer in layers)]
    shown = {layer.name for layer, side in zip(layers, sides, strict=False) if layer.receptive_field > side}
    seen = [each for each in effective if each.name in shown]
    if not seen:
        figure = style.new(style.COLUMN, 1.2)
        style.nothing(figure.subplots(), "No layer sees more than one pixel")
        return figure
    rows = -(-len(seen) // _COLUMNS)
    figure = style.new(style.COLUMN, 0.1 + 1.5 * rows)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    view = _view(np.shape(image)[1:], seen)
    for number, axes in enumerate(panels):
        axes.set_axis_off()
        if number < len(seen):
            _panel(axes, image, seen[number], view)
    return figure


def _view(size, seen):
    """Return left, right, bottom and top of what is drawn of every panel: all squares, to half a picture outside."""
    height, width = size
    left, top = min(0, *(each.left for each in seen)), min(0, *(each.top for each in seen))
    right = max(width, *(each.left + each.side for each in seen))
    bottom = max(height, *(each.top + each.side for each in seen))
    return (max(left, -width / 2) - 0.5, min(right, 1.5 * width) + 0.5,
            min(bottom, 1.5 * height) + 0.5, max(top, -height / 2) - 0.5)  # fmt: skip


def _panel(axes, image, seen, view):
    height, width = np.shape(image)[1:]
    left, right, bottom, top = view
    if min(left, top) < -0.5:
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, **_HATCHED))
    grey = 255 - (255 - np.asarray(image, dtype=float).mean(0)) * 0.45  # pale, so that colours and lines are seen on it
    extent = (0, width, height, 0)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, zorder=2, interpolation="nearest")
    axes.imshow(seen.gradient, cmap=_HEAT, vmin=0, vmax=1, extent=extent, zorder=3, interpolation="nearest")
    axes.add_patch(Rectangle((seen.left, seen.top), seen.side, seen.side, fill=False, edgecolor="black", linewidth=1,
                             zorder=4))  # fmt: skip
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_title(f"{seen.kind}\n{seen.side} × {seen.side}, counts {seen.effective:.1f}", fontsize=6.5, loc="left")
