"""A network in a figure: its layers from the image to the classes, with the sizes of their maps."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.plots import style

_ROW, _FUNNEL, _BAR = 0.19, 0.46, 0.36  # inches: a row's height, and the widths of the widest map and the longest bar
_MIDDLE, _KIND, _OUTPUT, _PARAMETERS, _FIELD = 0.46, 0.76, 2.38, 3.0, 3.45


@style.styled
def architecture(measured, shape) -> Figure:
    """Draw each layer: the side of its map as a box, what it is, its output, parameters and receptive field.

    ``measured``: as ``tinycnn.network.profile.measure`` returns it; ``shape``: (C, H, W) of an image. What all
    convolutions have in common is said once, below. A bracket holds the layers of a residual sum.
    """
    common, count = _common([layer.kind for layer in measured.layers]), len(measured.layers)
    figure = style.new(style.COLUMN, _ROW * (count + 4))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, style.COLUMN), ylim=(count + 2.7, -1.3))
    _texts(axes, -0.8, "", "output", "parameters", "field", style.GREY)
    _box(axes, 0, shape[1], shape[1], style.BACKDROP)
    _texts(axes, 0, "image", "×".join(map(str, shape)), "", "")
    largest = max([1, *(layer.parameters for layer in measured.layers)])
    for row, layer in enumerate(measured.layers, start=1):
        words = layer.kind.split(", ")
        side = layer.output[1] if len(layer.output) == 3 else 1
        convolution, pool = words[0].startswith(("conv", "depthwise")), "pool" in words[0].lower()
        _box(axes, row, side, shape[1], style.SKY if convolution else style.ORANGE if pool else style.BACKDROP)
        if convolution:
            words = [word for word in words if word not in (*common, str(layer.output[0]))]
        kind = style.wrapped(", ".join(words).replace(" to classes", "").replace("padding", "pad"), 21, 1)
        parameters, field = f"{layer.parameters:,}" if layer.parameters else "", layer.receptive_field
        _texts(axes, row, kind, "×".join(map(str, layer.output)), parameters, f"{field}×{field}")
        width = _BAR * layer.parameters / largest
        axes.add_patch(Rectangle((_PARAMETERS - width, row + 0.3), width, 0.12, color=style.BLUE, linewidth=0))
        inside = [n for n, other in enumerate(measured.layers, start=1) if other.name.startswith(f"{layer.name}.")]
        if inside:
            x = 0.05 + 0.06 * layer.name.count(".layers.")
            axes.plot([0.2, x, x, 0.2], [inside[0] - 0.3] * 2 + [row] * 2, color=style.BLACK, linewidth=0.8)
    total = f"{measured.parameters:,} parameters, {measured.macs:,} multiply-accumulates"
    axes.text(_FIELD, count + 1.2, total, ha="right", va="center", fontsize=6.5)
    if common:
        shared = style.wrapped(f"each conv with {', '.join(common)}", 52, 1)
        axes.text(_FIELD, count + 2, shared, ha="right", va="center", fontsize=6.5, color=style.GREY)
    return figure


def _common(kinds: list[str]) -> list[str]:
    """Return the words that the kinds of all convolutions share, but for their first."""
    convolutions = [kind.split(", ")[1:] for kind in kinds if kind.startswith("conv")]
    shared = set.intersection(*map(set, convolutions)) if len(convolutions) > 1 else set()
    return [word for word in convolutions[0] if word in shared and not word.isdigit()] if shared else []


def _box(axes, row, side, widest, color):
    width = max(0.03, _FUNNEL * side / widest)
    axes.add_patch(Rectangle((_MIDDLE - width / 2, row - 0.36), width, 0.72, facecolor=color, edgecolor=style.GREY,
                             linewidth=0.6))  # fmt: skip


def _texts(axes, row, kind, output, parameters, field, color=style.BLACK):
    axes.text(_KIND, row, kind, va="center", fontsize=6.5, color=color)
    for x, text in ((_OUTPUT, output), (_PARAMETERS, parameters), (_FIELD, field)):
        axes.text(x, row, text, ha="right", va="center", fontsize=6.5, color=color)
