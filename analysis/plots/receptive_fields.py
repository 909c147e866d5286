"""Receptive fields in a figure: over a picture, layer by layer, what could count and what does."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.plots import style

_COLUMNS = 4
_HEAT = LinearSegmentedColormap.from_list(
    "heat", [(0, (*to_rgb(style.ORANGE), 0)), (0.4, (*to_rgb(style.ORANGE), 0.55)), (1, (*to_rgb("#8A3200"), 0.95))]
)


@style.styled
def receptive_fields(image, fields) -> Figure:
    """Draw over a picture, for each layer where the field grows, its square and how much each pixel in it counts.

    ``image``: uint8 (C, H, W); ``fields``: as ``analysis.receptive_field.receptive_fields`` returns them. The square is
    what the middle unit can depend on, cut off where it ends outside of the picture; the darker a pixel's orange, the
    more it counts. The picture is pale, a dark one a negative, so that both can be seen.
    """
    sides = np.maximum.accumulate([1, *(field.side for field in fields)])
    grown = [field for field, before in zip(fields, sides, strict=False) if field.side > before]
    rows, inch = -(-len(grown) // _COLUMNS), (style.COLUMN - 0.2) / _COLUMNS
    figure = style.new(style.COLUMN, rows * (0.33 + inch))
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    grey = np.asarray(image, dtype=float).mean(0)
    grey = 255 - (grey if grey.mean() < 128 else 255 - grey) * 0.5
    height, width = grey.shape
    for axes, field in zip(panels, grown, strict=False):
        extent = (0, width, height, 0)
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        axes.imshow(field.gradient, cmap=_HEAT, vmin=0, vmax=1, extent=extent, interpolation="nearest")
        frame = {"fill": False, "linewidth": 0.5, "edgecolor": style.GREY}
        axes.add_patch(Rectangle((0, 0), width, height, **frame))
        square = frame | {"linewidth": 1.1, "edgecolor": style.BLACK}
        axes.add_patch(Rectangle((field.left, field.top), field.side, field.side, **square))
        axes.set(xlim=(-0.5, width + 0.5), ylim=(height + 0.5, -0.5))
        kind = style.wrapped(field.kind.split(", ")[0], 17, 1)
        title = f"{kind}\n{field.side}×{field.side}, eff. {field.effective:.0f}"
        axes.set_title(title, fontsize=6, loc="left", pad=2)
    for axes in panels:
        axes.set_axis_off()
    return figure
