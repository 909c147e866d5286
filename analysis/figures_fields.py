"""Receptive fields in a figure: over a real picture, layer by layer, what could count and what does."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import figures_axes as axis
from analysis import style

_COLUMNS = 3
_HEAT = LinearSegmentedColormap.from_list(
    "heat", [(0, (*to_rgb(style.ORANGE), 0)), (0.4, (*to_rgb(style.ORANGE), 0.55)), (1, (*to_rgb("#8A3200"), 0.95))]
)
_HATCHED = {"facecolor": "#F2F2F2", "edgecolor": "#BBBBBB", "hatch": "////", "linewidth": 0}


@style.styled
def receptive_fields(image, layers, effective) -> Figure:
    """Draw over a picture, for each layer where the field grows, its square and how much each pixel in it counts.

    ``image``: uint8 (C, H, W); ``layers``: ``Measured.layers``; ``effective``: ``effective_receptive_field``'s answer
    for the same network. The square is what the middle unit can see; the darker a pixel's orange, the more it counts.
    The picture is pale, and a dark one a negative, so that both are seen. Hatched is padding around the picture; what
    lies further out than half a picture is cut off.
    """
    sides = [1, *(layer.receptive_field for layer in layers)]
    grown = {layer.name for layer, side in zip(layers, sides, strict=False) if layer.receptive_field > side}
    seen = [each for each in effective if each.name in grown]
    if not seen:
        return axis.empty("No layer sees more than one pixel")
    left, right, bottom, top = _view(np.shape(image)[1:], seen)
    rows, inch = -(-len(seen) // _COLUMNS), (style.COLUMN - 0.2) / _COLUMNS
    figure = style.new(style.COLUMN, rows * (0.33 + inch * (bottom - top) / (right - left)))
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    for axes, each in zip(panels, seen, strict=False):
        _panel(axes, _pale(image), each, padded=min(left, top) < -1)
        axes.set(xlim=(left, right), ylim=(bottom, top))
    return figure


def _view(size, seen):
    """Return left, right, bottom and top of what is drawn of every panel: all squares, to half a picture outside."""
    height, width = size
    left, top = min(0, *(each.left for each in seen)), min(0, *(each.top for each in seen))
    right = max(width, *(each.left + each.side for each in seen))
    bottom = max(height, *(each.top + each.side for each in seen))
    return (max(left, -width / 2) - 0.5, min(right, 1.5 * width) + 0.5,
            min(bottom, 1.5 * height) + 0.5, max(top, -height / 2) - 0.5)  # fmt: skip


def _pale(image) -> np.ndarray:
    """Return a picture in light greys, (H, W), in which little is dark: of a dark picture the negative."""
    grey = np.asarray(image, dtype=float).mean(0)
    return 255 - (grey if grey.mean() < 128 else 255 - grey) * 0.5


def _panel(axes, grey, seen, padded):
    (height, width), view = grey.shape, 3 * max(grey.shape)
    if padded:
        axes.add_patch(Rectangle((-view, -view), 3 * view, 3 * view, **_HATCHED))
    extent = (0, width, height, 0)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, zorder=2, interpolation="nearest")
    axes.imshow(seen.gradient, cmap=_HEAT, vmin=0, vmax=1, extent=extent, zorder=3, interpolation="nearest")
    frame = {"fill": False, "linewidth": 0.5, "edgecolor": style.GREY, "zorder": 4}
    axes.add_patch(Rectangle((0, 0), width, height, **frame))
    square = frame | {"linewidth": 1.1, "edgecolor": style.BLACK}
    axes.add_patch(Rectangle((seen.left, seen.top), seen.side, seen.side, **square))
    title = f"{_brief(seen.kind)}\n{seen.side}×{seen.side}, effective {seen.effective:.1f}"
    axes.set_title(title, fontsize=6.2, loc="left", pad=2)


def _brief(kind) -> str:
    """Return as much of what a layer is as fits over a panel, e.g. ``conv 3×3, 16`` of one with BN and ReLU."""
    first, *rest = kind.split(", ")
    return style.short(f"{first}, {rest[0]}" if rest and len(first) + len(rest[0]) < 22 else first, 24)
