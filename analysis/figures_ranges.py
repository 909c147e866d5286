"""An Optuna study over the ranges it searched: two fields as a map, all of them side by side."""

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.tri import Triangulation

from analysis import style
from analysis.figures_studies import complete, empty, objective

_MAP = "cividis"  # evenly darker towards the better, for every kind of colour vision and in grey


@style.styled
def contour(trials: pd.DataFrame, facts: dict, x: str, y: str) -> Figure:
    """Draw the objective over two searched fields: complete trials as points on a map between them.

    The map is linear between points (a Delaunay triangulation), the fields on the scales they were searched on; trials
    with the same values of both count as their mean. Crosses are trials that were not completed.
    """
    missing = [name for name in (x, y) if name not in trials]
    if missing:
        return empty(f"{' and '.join(missing)}: not searched by this study")
    done = complete(trials).dropna(subset=[x, y])
    if done.empty:
        return empty("No trial was completed")
    figure = style.new(style.COLUMN, 2.7)
    axes = figure.subplots()
    norm = _norm(done["value"])
    across, down = (_positions(done[name], facts["ranges"].get(name, {})) for name in (x, y))
    _fill(axes, across, down, done["value"], norm)
    other = trials[trials["state"].isin(["pruned", "over_limit"])].dropna(subset=[x, y])
    if len(other):
        axes.plot(*(_positions(other[name], facts["ranges"].get(name, {})) for name in (x, y)), "x", color=style.GREY,
                  markersize=3, markeredgewidth=0.7, linestyle="none")  # fmt: skip
    axes.scatter(across, down, c=done["value"], cmap=_MAP, norm=norm, s=16, edgecolors="black", linewidths=0.6, zorder=3)
    best = done["value"].to_numpy().argmin()
    axes.plot(across[best], down[best], "*", color="white", markeredgecolor=style.BLACK, markersize=9, zorder=4)
    for name, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        _range_axis(axis, trials[name], facts["ranges"].get(name, {}))
    axes.set(xlabel=style.short(x, 30), ylabel=style.short(y, 26))
    axes.grid(visible=False)
    _bar(figure, axes, norm, done["value"], objective(facts))
    return figure


def _norm(values):
    low, high = values.min(), values.max()
    if low == high:
        return Normalize(low - 1, high + 1)
    return LogNorm(low, high) if low > 0 else Normalize(low, high)


def _bar(figure, axes, norm, values, label):
    bar = figure.colorbar(ScalarMappable(norm, _MAP), ax=axes, label=label, pad=0.02)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    ticks = np.geomspace(norm.vmin, norm.vmax, 5) if norm.vmin > 0 else np.linspace(norm.vmin, norm.vmax, 5)
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks if values.nunique() > 1 else [values.iloc[0]]))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.outline.set_linewidth(0.4)


def _choices(values, facts) -> list:
    known = [str(choice) for choice in facts.get("choices") or []]
    return known + sorted(set(values.dropna().astype(str)) - set(known))


def _positions(values, facts) -> np.ndarray:
    """Return where values lie on their range's axis: logarithms of log ranges, the number of a choice."""
    if facts.get("kind") == "choice" or not pd.api.types.is_numeric_dtype(values):
        places = {choice: place for place, choice in enumerate(_choices(values, facts))}
        return values.astype(str).map(places).to_numpy(float)
    values = values.to_numpy(float)
    return np.log10(values) if facts.get("log") else values


def _range_axis(axis, values, facts):
    """Label an axis of positions with the values themselves."""
    axis.set_minor_locator(NullLocator())
    if facts.get("kind") == "choice" or not pd.api.types.is_numeric_dtype(values):
        names = [style.short(name, 12) for name in _choices(values, facts)]
        axis.set_major_locator(FixedLocator(range(len(names))))
        axis.set_major_formatter(FuncFormatter(lambda place, _: names[int(place)]))
        return
    if facts.get("log"):
        axis.set_major_formatter(FuncFormatter(lambda place, _: f"{10**place:.2g}"))
    else:
        axis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))


def _fill(axes, across, down, values, norm):
    """Fill the map between at least three points that do not lie on a line."""
    points = pd.DataFrame({"x": across, "y": down, "value": values.to_numpy(float)}).dropna()
    points = points.groupby(["x", "y"], as_index=False)["value"].mean()
    spread = points[["x", "y"]] - points[["x", "y"]].mean()
    scaled = spread / spread.abs().max().replace(0, 1)
    if len(points) < 3 or np.linalg.matrix_rank(scaled, tol=1e-6) < 2:
        return
    triangles = Triangulation(scaled["x"], scaled["y"]).triangles
    axes.tripcolor(Triangulation(points["x"], points["y"], triangles), points["value"], cmap=_MAP, norm=norm,
                   shading="gouraud", alpha=0.55, rasterized=True)  # fmt: skip


@style.styled
def parallel(trials: pd.DataFrame, facts: dict) -> Figure:
    """Draw each complete trial as a line through its value of every searched field, the darker the better.

    The fields lie below one another, the most important first, each over its range; the best trial is black.
    """
    done = complete(trials)
    weights = facts.get("importances") or {}
    fields = [name for name in facts["ranges"] if name in done and done[name].notna().any()]
    fields = sorted(fields, key=lambda name: -weights.get(name, 0))
    if done.empty or not fields:
        return empty("No trial was completed")
    figure = style.new(style.COLUMN, 0.7 + 0.42 * len(fields))
    axes = figure.subplots()
    norm, rows = _norm(done["value"]), np.arange(len(fields))
    places = np.array([_share(done[name], facts["ranges"][name], axes, row) for row, name in enumerate(fields)])
    order = done["value"].to_numpy().argsort()[::-1]
    colors = ScalarMappable(norm, _MAP)
    for trial in order:
        axes.plot(places[:, trial], rows, color=colors.to_rgba(done["value"].iloc[trial]), linewidth=0.8, alpha=0.8)
    axes.plot(places[:, order[-1]], rows, color=style.BLACK, linewidth=1.6, marker="o", markersize=3)
    axes.hlines(rows, 0, 1, color=style.PALE, linewidth=0.8, zorder=0)
    axes.set_yticks(rows, [style.short(name, 22) for name in fields])
    axes.set(xlim=(-0.03, 1.03), ylim=(len(fields) - 0.4, -0.6), xticks=[])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(colors, ax=axes, label=objective(facts), pad=0.02, location="bottom", aspect=40)
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.xaxis.set_major_locator(FixedLocator(np.geomspace(norm.vmin, norm.vmax, 5) if norm.vmin > 0 else []))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.outline.set_linewidth(0.4)
    return figure


def _share(values, facts, axes, row) -> np.ndarray:
    """Return where values lie between the ends of their range, from 0 to 1, and write the ends above the row."""
    places = _positions(values, facts)
    if facts.get("kind") == "choice" or not pd.api.types.is_numeric_dtype(values):
        names = _choices(values, facts)
        low, high, ends = 0, max(1, len(names) - 1), (names[0], names[-1])
    else:
        low, high = (facts.get(end) for end in ("low", "high"))
        low, high = (values.min() if low is None else low), (values.max() if high is None else high)
        ends = f"{low:.3g}", f"{high:.3g}"
        low, high = (np.log10(low), np.log10(high)) if facts.get("log") else (low, high)
    for place, text, side in zip((0, 1), ends, ("left", "right"), strict=True):
        axes.annotate(style.short(text, 14), (place, row), (0, 3), textcoords="offset points", ha=side, fontsize=6, color=style.GREY)
    return (places - low) / ((high - low) or 1)
