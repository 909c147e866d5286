"""An Optuna study over the ranges it searched: two fields as a map, all of them below one another.

For ``trials`` and ``facts`` see ``analysis.figures_studies``. ``facts["ranges"]`` has of each field its kind (float,
int or choice), low, high, log and choices.
"""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.tri import Triangulation

from analysis import figures_axes as axis
from analysis import style
from analysis.figures_studies import complete

_MAP = "cividis"  # evenly darker towards the better, for every kind of colour vision and in grey
_PALE_MAP = ListedColormap(0.55 + 0.45 * colormaps[_MAP](np.linspace(0, 1, 256))[:, :3])
_LEVELS = 8


@style.styled
def contour(trials: pd.DataFrame, facts: dict, x: str, y: str) -> Figure:
    """Draw the objective over two searched fields: complete trials as points, the darker the better, on a map.

    The map is linear between points (a Delaunay triangulation) on the scales on which the fields were searched; trials
    with the same values of both count as their mean. There is none between choices, which have no order. Crosses are
    pruned trials, the star is the best.
    """
    missing = [name for name in (x, y) if name not in trials]
    if missing:
        return axis.empty(f"{' and '.join(missing)}: not searched by this study")
    done, objective = complete(trials.dropna(subset=[x, y]), facts)
    if done.empty:
        return axis.empty("No trial was completed")
    scales = _Scale(trials[x], facts["ranges"].get(x, {})), _Scale(trials[y], facts["ranges"].get(y, {}))
    figure = style.new(style.COLUMN, 2.6)
    axes = figure.subplots()
    norm = _norm(done["value"])
    across, down = scales[0].places(done[x]), scales[1].places(done[y])
    if not any(scale.names for scale in scales):
        _map(axes, across, down, done["value"], norm)
    pruned = trials[trials["state"] == "pruned"].dropna(subset=[x, y])
    axes.plot(scales[0].places(pruned[x]), scales[1].places(pruned[y]), "x", color=style.GREY, markersize=3,
              markeredgewidth=0.7, linestyle="none")  # fmt: skip
    axes.scatter(across, down, c=done["value"], cmap=_MAP, norm=norm, s=14, edgecolors="black", linewidths=0.5,
                 zorder=3)  # fmt: skip
    best = done["value"].to_numpy().argmin()
    axes.plot(across[best], down[best], "*", color="white", markeredgecolor=style.BLACK, markersize=9, zorder=4)
    scales[0].label(axes.xaxis, 5)
    scales[1].label(axes.yaxis, 7)
    axes.set(xlabel=style.short(x, 30), ylabel=style.short(y, 26), xlim=scales[0].edges(), ylim=scales[1].edges())
    axes.grid(visible=False)
    _bar(figure, axes, norm, objective, "right")
    return figure


class _Scale:
    """Where on its axis a searched field's values lie: logarithms on a log range, the number of a choice."""

    def __init__(self, values, facts):
        self.log, self.names = bool(facts.get("log")), []
        known = values.dropna()
        if facts.get("kind") == "choice" or not pd.api.types.is_numeric_dtype(values):
            self.names = [str(choice) for choice in facts.get("choices") or []]
            self.names += sorted(set(known.astype(str)) - set(self.names)) if not facts.get("choices") else []
            self.low, self.high = 0, len(self.names) - 1
            # by its words and by itself: in a column with gaps the choice 8 has become 8.0
            self._places = {name: place for place, name in enumerate(self.names)}
            self._places |= {choice: place for place, choice in enumerate(facts.get("choices") or []) if _plain(choice)}
        else:
            self.low, self.high = (
                fallback if facts.get(end) is None else facts[end]
                for end, fallback in (("low", known.min()), ("high", known.max()))
            )

    def places(self, values) -> np.ndarray:
        """Return where values lie, as floats."""
        if self.names:
            return values.map(self._places).to_numpy(float)
        return np.log10(values.to_numpy(float)) if self.log else values.to_numpy(float)

    def ends(self) -> tuple[float, float]:
        """Return where the range begins and ends."""
        return tuple(np.log10([self.low, self.high])) if self.log else (self.low, self.high)

    def edges(self) -> tuple[float, float]:
        """Return from where to where an axis goes that shows the range and marks at its ends."""
        low, high = self.ends()
        return low - 0.06 * ((high - low) or 1), high + 0.06 * ((high - low) or 1)

    def shares(self, values) -> np.ndarray:
        """Return where values lie between the ends of the range, 0 to 1."""
        low, high = self.ends()
        return (self.places(values) - low) / ((high - low) or 1)

    def words(self) -> str:
        """Return the range in words."""
        if self.names:
            return style.short(", ".join(self.names), 26)
        return f"{self.low:.3g} to {self.high:.3g}" + (", log" if self.log else "")

    def label(self, ticks, most):
        """Write the field's values along an axis."""
        ticks.set_minor_locator(NullLocator())
        if self.names:
            ticks.set_major_locator(FixedLocator(range(len(self.names))))
            ticks.set_major_formatter(FuncFormatter(lambda place, _: style.short(self.names[round(place)], 12)))
        elif self.log:
            values = axis.round_numbers(self.low, self.high, most)
            ticks.set_major_locator(FixedLocator(np.log10(values)))
            ticks.set_major_formatter(FuncFormatter(lambda place, _: f"{10**place:.3g}"))
        else:
            ticks.set_major_locator(MaxNLocator(most))
            ticks.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))


def _plain(choice) -> bool:
    return isinstance(choice, str | int | float)


def _norm(values):
    low, high = values.min(), values.max()
    if low == high:
        return Normalize(0.9 * low, 1.1 * high or 1)
    return LogNorm(low, high) if low > 0 else Normalize(low, high)


def _bar(figure, axes, norm, objective, side):
    bar = figure.colorbar(ScalarMappable(norm, _MAP), ax=axes, label=objective, pad=0.02, location=side,
                          aspect=25 if side == "right" else 45)  # fmt: skip
    ticks = np.geomspace(norm.vmin, norm.vmax, 5) if norm.vmin > 0 else np.linspace(norm.vmin, norm.vmax, 5)
    along = bar.ax.yaxis if side == "right" else bar.ax.xaxis
    along.set_minor_locator(NullLocator())
    along.set_major_locator(FixedLocator(ticks))
    along.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.outline.set_linewidth(0.4)


def _map(axes, across, down, values, norm):
    """Fill the map between at least three points that do not lie on a line."""
    points = pd.DataFrame({"x": across, "y": down, "value": values.to_numpy(float)})
    points = points.groupby(["x", "y"], as_index=False)["value"].mean()
    spread = points[["x", "y"]] - points[["x", "y"]].mean()
    scaled = spread / spread.abs().max().replace(0, 1)
    if len(points) < 3 or np.linalg.matrix_rank(scaled, tol=1e-6) < 2:
        return
    triangles = Triangulation(scaled["x"], scaled["y"]).triangles
    steps = np.geomspace if norm.vmin > 0 and isinstance(norm, LogNorm) else np.linspace
    axes.tricontourf(Triangulation(points["x"], points["y"], triangles), points["value"], cmap=_PALE_MAP, norm=norm,
                     levels=steps(norm.vmin, norm.vmax, _LEVELS + 1), extend="both")  # fmt: skip


@style.styled
def parallel(trials: pd.DataFrame, facts: dict) -> Figure:
    """Draw each complete trial as a line through its value of every searched field, the darker the better.

    The fields lie below one another, the most important first, each over its range; the best trial has the dots.
    """
    done, objective = complete(trials, facts)
    weights = facts.get("importances") or {}
    fields = [name for name in facts["ranges"] if name in done and done[name].notna().any()]
    fields.sort(key=lambda name: -weights.get(name, 0))
    if not fields:
        return axis.empty("No trial was completed")
    scales = [_Scale(trials[name], facts["ranges"][name]) for name in fields]
    figure = style.new(style.COLUMN, 0.75 + 0.36 * len(fields))
    axes = figure.subplots()
    norm, rows = _norm(done["value"]), np.arange(len(fields))
    places = np.array([scale.shares(done[name]) for name, scale in zip(fields, scales, strict=True)])
    order = done["value"].to_numpy().argsort(kind="stable")[::-1]
    lines = LineCollection([np.column_stack([places[:, trial], rows]) for trial in order], cmap=_MAP, norm=norm,
                           array=done["value"].to_numpy()[order], linewidths=0.8)  # fmt: skip
    axes.add_collection(lines)
    axes.plot(places[:, order[-1]], rows, color=style.BLACK, linewidth=1.6, marker="o", markersize=4,
              markeredgecolor="white")  # fmt: skip
    axes.hlines(rows, 0, 1, color=style.PALE, linewidth=0.8, zorder=0)
    names = [f"{style.short(name, 22)}\n{scale.words()}" for name, scale in zip(fields, scales, strict=True)]
    axis.row_axis(axes, names, 6.2)
    axes.set(xlim=(-0.03, 1.03), xticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    _bar(figure, axes, norm, objective, "bottom")
    return figure
