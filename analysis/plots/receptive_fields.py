"""Receptive fields in a figure: over a picture, layer by layer, what could count and what does."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.plots import axes as axis
from analysis.plots import style

_COLUMNS = 3
_HEAT = LinearSegmentedColormap.from_list(
    "heat", [(0, (*to_rgb(style.ORANGE), 0)), (0.4, (*to_rgb(style.ORANGE), 0.55)), (1, (*to_rgb("#8A3200"), 0.95))]
)
_HATCHED = {"facecolor": "#F2F2F2", "edgecolor": "#BBBBBB", "hatch": "////", "linewidth": 0}


@style.styled
def receptive_fields(image, fields) -> Figure:
    """Draw over a picture, for each layer where the field grows, its square and how much each pixel in it counts.

    ``image``: uint8 (C, H, W); ``fields``: as ``analysis.receptive_field.receptive_fields`` returns them. The square is
    what the middle unit can depend on; the darker a pixel's orange, the more it counts. The picture is pale, a dark one
    a negative, so that both can be seen. Padding is hatched; what lies further out than half a picture is cut off.
    """
    sides = np.maximum.accumulate([1, *(field.side for field in fields)])
    grown = [field for field, before in zip(fields, sides, strict=False) if field.side > before]
    if not grown:
        return axis.empty("No layer sees more than one pixel")
    left, right, bottom, top = _view(np.shape(image)[1:], grown)
    rows, inch = -(-len(grown) // _COLUMNS), (style.COLUMN - 0.2) / _COLUMNS
    figure = style.new(style.COLUMN, rows * (0.33 + inch * (bottom - top) / (right - left)))
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    for axes, field in zip(panels, grown, strict=False):
        _panel(axes, _pale(image), field, padded=min(left, top) < -1)
        axes.set(xlim=(left, right), ylim=(bottom, top))
    return figure


def _view(size, fields):
    """Return left, right, bottom and top of every panel: all squares, to half a picture outside."""
    height, width = size
    left, top = min(0, *(field.left for field in fields)), min(0, *(field.top for field in fields))
    right = max(width, *(field.left + field.side for field in fields))
    bottom = max(height, *(field.top + field.side for field in fields))
    return (max(left, -width / 2) - 0.5, min(right, 1.5 * width) + 0.5,
            min(bottom, 1.5 * height) + 0.5, max(top, -height / 2) - 0.5)  # fmt: skip


def _pale(image) -> np.ndarray:
    """Return a picture in light greys, (H, W); of a dark picture the negative."""
    grey = np.asarray(image, dtype=float).mean(0)
    return 255 - (grey if grey.mean() < 128 else 255 - grey) * 0.5


def _panel(axes, grey, field, padded):
    (height, width), far = grey.shape, 3 * max(grey.shape)
    if padded:
        axes.add_patch(Rectangle((-far, -far), 3 * far, 3 * far, **_HATCHED))
    extent = (0, width, height, 0)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, zorder=2, interpolation="nearest")
    axes.imshow(field.gradient, cmap=_HEAT, vmin=0, vmax=1, extent=extent, zorder=3, interpolation="nearest")
    frame = {"fill": False, "linewidth": 0.5, "edgecolor": style.GREY, "zorder": 4}
    axes.add_patch(Rectangle((0, 0), width, height, **frame))
    square = frame | {"linewidth": 1.1, "edgecolor": style.BLACK}
    axes.add_patch(Rectangle((field.left, field.top), field.side, field.side, **square))
    kind, *details = field.kind.split(", ")
    if details and len(kind) + len(details[0]) < 22:
        kind = f"{kind}, {details[0]}"  # e.g. conv 3×3, 16 of one with BN and ReLU
    title = f"{style.short(kind, 24)}\n{field.side}×{field.side}, effective {field.effective:.1f}"
    axes.set_title(title, fontsize=6.2, loc="left", pad=2)
