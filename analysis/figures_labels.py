"""Labels beside points, none on top of another: a place is looked for around each point, the nearest first."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import style

MOST = 60
"""Points that a name is looked for room for, the first of more."""

_DISTANCES = (5, 11, 19, 28, 39, 52)
"""From the point to the nearest edge of its text, in points; with a line between them from the second on."""

_ANGLES = np.deg2rad([0, 180, 90, 270, 35, 145, 215, 325, 60, 120, 240, 300, 18, 162, 198, 342, 75, 105, 255, 285])
_MARK = 2.6  # half a mark's width in points, which nothing may be written on


def place(axes, labels, segments=()) -> list:
    """Write names beside their points, with a thin line where they stand far off; return the texts.

    ``labels``: (x, y, text, colour) of each point, x and y in data coordinates. ``segments``: lines to keep clear of,
    each (x0, y0, x1, y1). A text also keeps clear of every point, of the other texts and their lines, and of the axes'
    edges. One for which there is no room is left out: the first have the first choice. The figure's layout is settled
    by this and must not change after it.
    """
    labels = [each for each in labels if np.isfinite(each[:2]).all()]
    figure = axes.figure
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    unit, written = figure.dpi / 72, []
    points = axes.transData.transform(np.array([each[:2] for each in labels], dtype=float).reshape(-1, 2))
    room = _Room(axes.get_window_extent().extents, [(x - _MARK * unit, y - _MARK * unit, x + _MARK * unit,
                                                     y + _MARK * unit) for x, y in points])  # fmt: skip
    for x0, y0, x1, y1 in segments:
        room.draw(*axes.transData.transform([(x0, y0), (x1, y1)]))
    for (x, y), (_, _, text, color) in list(zip(points, labels, strict=True))[:MOST]:
        note = axes.annotate(text, (x, y), (x, y), xycoords="figure pixels", textcoords="figure pixels", fontsize=6.2,
                             ha="center", va="center", color=color, annotation_clip=False)  # fmt: skip
        size = note.get_window_extent()
        spot = room.find(np.array([x, y]), size.width + 2 * unit, size.height + 0.5 * unit, unit)
        note.remove()
        if spot is None:
            continue
        middle, end = spot
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": style.GREY, "shrinkA": 0, "shrinkB": 2.5, "relpos": end}
        written.append(
            axes.annotate(
                text,
                axes.transData.inverted().transform((x, y)),
                (middle - (x, y)) / unit,
                color=color,
                textcoords="offset points",
                fontsize=6.2,
                ha="center",
                va="center",
                annotation_clip=False,
                arrowprops=line if end is not None else None,
            )  # fmt: skip
        )
    return written


class _Room:
    """Where on some axes there is room: boxes (x0, y0, x1, y1) in pixels that are taken, and the edges."""

    def __init__(self, edges, boxes):
        self._edges, self._boxes, self._texts = edges, np.array(boxes, dtype=float).reshape(-1, 4), np.empty((0, 4))

    def draw(self, start, end):
        """Take the pixels along a line."""
        places = np.linspace(start, end, 2 + int(np.hypot(*(np.asarray(end) - start)) / 3))
        self._boxes = np.vstack([self._boxes, np.hstack([places - 0.7, places + 0.7])])

    def find(self, point, width, height, unit):
        """Take a box of that size near a point; return its middle and where a line to it ends, None without room.

        The end is in shares of the box's width and height, None where the box is too near for a line.
        """
        half = np.array([width, height]) / 2
        for distance in _DISTANCES:
            for angle in _ANGLES:
                way = np.array([np.cos(angle), np.sin(angle)])
                middle = point + way * distance * unit + half * np.where(np.abs(way) > 0.3, np.sign(way), 0)
                box, far = np.concatenate([middle - half, middle + half]), distance > _DISTANCES[0]
                edge = np.clip(point, box[:2], box[2:])
                if self._free(box) and not (far and self._crossed(point, edge)):
                    self._texts = np.vstack([self._texts, box])
                    if far:
                        self.draw(point, edge)
                    return middle, (edge - box[:2]) / (2 * half) if far else None
        return None

    def _free(self, box):
        inside = (box[:2] >= self._edges[:2]).all() and (box[2:] <= self._edges[2:]).all()
        taken = np.vstack([self._boxes, self._texts])
        return inside and not ((taken[:, :2] < box[2:]) & (taken[:, 2:] > box[:2])).all(1).any()

    def _crossed(self, start, end):
        """Tell whether a line would run over a text."""
        places = np.linspace(start, end, 20)[:, None]
        return ((self._texts[:, :2] < places) & (self._texts[:, 2:] > places)).all(2).any()
