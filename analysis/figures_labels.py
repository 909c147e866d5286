"""Labels beside points, none on top of another: a place is looked for around each point, nearest first."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from analysis import style

_DISTANCES = (6, 13, 22, 33, 46, 62)
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 225, 315, 22, 158, 202, 338, 67, 112, 248, 292])


def place(axes, points, texts, taken=(), **options) -> list:
    """Write each text beside its point (x, y), in data coordinates, with a thin line where it is far; return them.

    A text keeps clear of every point, of the other texts, of the boxes ``taken`` (in display units) and of the axes'
    edges. One for which there is no room is left out: the first texts have the first choice. The figure's layout is
    settled by this and must not change after it.
    """
    figure = axes.figure
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    renderer, per_point = canvas.get_renderer(), figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    places = axes.transData.transform(np.asarray(points, dtype=float).reshape(-1, 2))
    marks = [Bbox.from_extents(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    boxes, written = [*taken, *marks], []
    for (x, y), text in zip(places, texts, strict=True):
        note = axes.annotate(
            text, axes.transData.inverted().transform((x, y)), (0, 0), textcoords="offset points", va="center",
            **{"fontsize": 6.5, "ha": "center", "arrowprops": {"arrowstyle": "-", "lw": 0.4, "color": style.GREY,
                                                               "shrinkA": 0, "shrinkB": 2}} | options)  # fmt: skip
        note.arrow_patch.set_visible(False)
        size = note.get_window_extent(renderer)
        offset = _free(x, y, size.width + 2, size.height, boxes, inside, per_point)
        if offset is None:
            note.remove()
            continue
        across, down, far = offset
        note.set_position((across / per_point, down / per_point))
        note.arrow_patch.set_visible(far)
        boxes.append(Bbox.from_bounds(x + across - size.width / 2 - 1, y + down - size.height / 2, size.width + 2,
                                      size.height))  # fmt: skip
        written.append(note)
    return written


def _free(x, y, width, height, boxes, inside, per_point):
    """Return where the middle of a text of that size may stand, from its point, and whether that is far."""
    for distance in _DISTANCES:
        for angle in _ANGLES:
            reach = distance * per_point
            across = np.cos(angle) * (reach + width / 2 if abs(np.cos(angle)) > 0.3 else reach)
            down = np.sin(angle) * (reach + height / 4)
            box = Bbox.from_bounds(x + across - width / 2, y + down - height / 2, width, height)
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if within and not any(box.overlaps(other) for other in boxes):
                return across, down, distance > _DISTANCES[0]
    return None
