"""Labels beside points, none on top of another: each gets the nearest free position around its point."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.plots import style

_DISTANCES = (5, 11, 19, 28, 39, 52)
"""From the point to the nearest edge of its text, in points; with a line between them from the second on."""

_ANGLES = np.deg2rad([0, 180, 90, 270, 35, 145, 215, 325, 60, 120, 240, 300, 18, 162, 198, 342, 75, 105, 255, 285])
_MARK = 2.6  # half a mark's width in points, kept free of text


def label_points(axes, labels, segments=()):
    """Write names beside their points, with a thin line to those further away.

    ``labels``: (x, y, text, colour) of each point, x and y in data coordinates, text "" for one without a name.
    ``segments``: lines to avoid, each (x0, y0, x1, y1). A text also avoids every point, the other texts and their
    lines, and the axes' edges. One for which there is no room is left out: the first have priority. The figure's layout
    is fixed by this and must not change afterwards.
    """
    labels = [each for each in labels if np.isfinite(each[:2]).all()]
    figure = axes.figure
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    unit = figure.dpi / 72
    points = axes.transData.transform(np.array([each[:2] for each in labels], dtype=float).reshape(-1, 2))
    space = _Space(axes.get_window_extent().extents, np.hstack([points - _MARK * unit, points + _MARK * unit]))
    for x0, y0, x1, y1 in segments:
        space.occupy_line(*axes.transData.transform([(x0, y0), (x1, y1)]))
    for point, (x, y, text, color) in ((p, each) for p, each in zip(points, labels, strict=True) if each[2]):
        options = {"textcoords": "offset points", "fontsize": 6.2, "ha": "center", "va": "center", "color": color}
        note = axes.annotate(text, (x, y), (0, 0), annotation_clip=False, **options)
        size = note.get_window_extent()
        note.remove()
        found = space.occupy(point, np.array([size.width + 2 * unit, size.height + 0.5 * unit]), unit)
        if found is None:
            continue
        middle, end = found
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": style.GREY, "shrinkA": 0, "shrinkB": 2.5, "relpos": end}
        line = None if end is None else line
        axes.annotate(text, (x, y), (middle - point) / unit, annotation_clip=False, arrowprops=line, **options)


class _Space:
    """The free space on some axes: the edges and the occupied boxes, each (x0, y0, x1, y1) in pixels."""

    def __init__(self, edges, boxes):
        self._edges, self._boxes, self._texts, self._lines = edges, boxes, np.empty((0, 4)), []

    def occupy_line(self, start, end):
        """Occupy the pixels along a line."""
        steps = np.linspace(start, end, 2 + int(np.hypot(*(np.asarray(end) - start)) / 3))
        self._boxes = np.vstack([self._boxes, np.hstack([steps - 0.7, steps + 0.7])])

    def occupy(self, point, size, unit):
        """Occupy a box of that size near a point; return its middle and where a line to it ends, None without room.

        The end is in shares of the box's width and height, None where the box is too near for a line.
        """
        for distance in _DISTANCES:
            for angle in _ANGLES:
                way = np.array([np.cos(angle), np.sin(angle)])
                middle = point + way * distance * unit + size / 2 * np.where(np.abs(way) > 0.3, np.sign(way), 0)
                box, far = np.concatenate([middle - size / 2, middle + size / 2]), distance > _DISTANCES[0]
                edge = np.clip(point, box[:2], box[2:])
                if self._is_free(box) and not (far and self._crosses(point, edge)):
                    self._texts = np.vstack([self._texts, box])
                    if far:
                        self.occupy_line(point, edge)
                        self._lines.append((point, edge))
                    return middle, (edge - box[:2]) / size if far else None
        return None

    def _is_free(self, box):
        inside = (box[:2] >= self._edges[:2]).all() and (box[2:] <= self._edges[2:]).all()
        taken = np.vstack([self._boxes, self._texts])
        return inside and not ((taken[:, :2] < box[2:]) & (taken[:, 2:] > box[:2])).all(1).any()

    def _crosses(self, start, end):
        """Tell whether a line would cross a text, or the line to one."""
        steps = np.linspace(start, end, 20)[:, None]
        if ((self._texts[:, :2] < steps) & (self._texts[:, 2:] > steps)).all(2).any():
            return True

        def side(a, b, c):
            return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])

        return any(
            side(a, b, start) != side(a, b, end) and side(start, end, a) != side(start, end, b) for a, b in self._lines
        )
