"""The layers that hold others, and the head that ends a network."""

from typing import Annotated, Literal

from pydantic import Field

from tinycnn.errors import SpecError
from tinycnn.spec.build import built, output
from tinycnn.spec.layers import Activations, Layer, Layered, Norms, SqueezeExcite, activation
from tinycnn.spec.section import nn


class _Several(Layered, Layer):
    """A layer of layers."""

    def filled(self, network):
        """Return this layer, and those inside, with the network's values where their own are None."""
        inside = tuple(layer.filled(network) for layer in self.layers)
        return super().filled(network).model_copy(update={"layers": inside})


class Residual(_Several):
    """The sum of ``layers`` in sequence and their input (He et al. 2016, arXiv:1512.03385).

    Where channels or sizes differ, the input is adapted: the border that unpadded layers lose is cropped, and a 1×1
    convolution with ``norm``, strided as the layers are, makes the channels. ``activation`` comes after the sum.
    """

    norm: Norms | None = None
    activation: Activations = "none"

    def build(self, shape):
        """Return the module. Raises SpecError where no crop and stride make both terms the same size."""
        from tinycnn.spec.modules import Residual as Module

        layers = built(self.layers, shape)
        after = output(layers, shape)
        if len(after) != 3:
            raise SpecError(f"returns {after} inside, and the sum needs a map (channels, height, width)")
        window = _window_of(self.layers)
        guess = max(1, round(shape[1] / after[1])) if shape[1] >= 2 * after[1] - 1 > 0 else 1
        stride = window[1] if window else guess
        room = [full - (less - 1) * stride - 1 for full, less in zip(shape[1:], after[1:], strict=True)]
        middle = (window[0] - 1) // 2 - window[2] if window else min(room) // 2  # of the input of the first unit
        crop = max(0, min(middle, *room))
        if min(room) < 0 or (stride == 1 and room != [2 * crop, 2 * crop]):
            sizes = "{}×{} becomes {}×{}".format(*shape[1:], *after[1:])
            raise SpecError(f"a map of {sizes} inside, which no stride gives")
        skip = nn.Identity()
        if after[0] != shape[0] or stride > 1:
            skip = nn.Conv2d(shape[0], after[0], 1, stride, bias=self.norm == "none")
            skip = nn.Sequential(skip, nn.BatchNorm2d(after[0])) if self.norm == "batch" else skip
        return Module(layers, skip, activation(self.activation, after[0]), crop, stride)


def _window_of(layers) -> tuple[int, int, int] | None:
    """Return (side, stride, padding) of layers in sequence, None where the window of one is unknown."""
    side, stride, padding = 1, 1, 0
    for layer in layers:
        if isinstance(layer, SqueezeExcite):  # sees the whole map, but its output units stay where they are
            continue
        inside = getattr(layer, "layers", None)
        window = _window_of(inside * getattr(layer, "times", 1)) if inside else layer.window()
        if window is None:
            return None
        side, padding = side + (window[0] - 1) * stride, padding + window[2] * stride
        stride *= window[1]
    return side, stride, padding


class Repeat(_Several):
    """``layers`` in sequence, ``times`` times.

    ``shared``: every time with the same weights, so that depth costs no parameters (scale and shift of batch norm are
    shared too; its statistics are not, since maps at different depths are distributed differently).
    """

    times: Annotated[int, Field(ge=1, le=100)] = 2
    shared: bool = False

    def build(self, shape):
        """Return the passes in an ``nn.Sequential``. Raises SpecError where shared weights differ in shape."""
        passes = []
        for _ in range(self.times):
            passes.append(built(self.layers, shape))
            shape = output(passes[-1], shape)
        for again in passes[1:] if self.shared else ():
            first, named = (dict(p.named_parameters(remove_duplicate=False)) for p in (passes[0], again))
            if {name: p.shape for name, p in named.items()} != {name: p.shape for name, p in first.items()}:
                raise SpecError("shared: the layers must return as many channels as they take to be repeated")
            for name, parameter in first.items():
                where, _, last = name.rpartition(".")
                setattr(again.get_submodule(where), last, parameter)
        return nn.Sequential(*passes)


class Head(Layer):
    """From the last map to one number for each class.

    ``reduce``: average over the map, or flatten it. ``by``: a 1×1 convolution or a linear layer. ``classes_first``
    computes the classes of every pixel and averages those: the same number of parameters, more arithmetic.
    """

    reduce: Literal["average", "flatten"] = "average"
    by: Literal["conv", "linear"] = "conv"
    bias: bool | None = None
    classes_first: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1, description="of elements, before the classes")] = 0.0

    def build(self, shape, classes: int = 10):
        """Return the module for so many classes."""
        drop = [nn.Dropout(self.dropout)] if self.dropout else []
        average, flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        if self.reduce == "flatten":
            return nn.Sequential(flatten, *drop, nn.Linear(shape[0] * shape[1] * shape[2], classes, self.bias))
        if self.by == "linear" and not self.classes_first:
            return nn.Sequential(average, flatten, *drop, nn.Linear(shape[0], classes, self.bias))
        conv = nn.Conv2d(shape[0], classes, 1, bias=self.bias)
        return nn.Sequential(*([*drop, conv, average] if self.classes_first else [average, *drop, conv]), flatten)

    def describe(self):
        """Return e.g. ``average, 1×1 conv to classes``."""
        first = self.classes_first and self.reduce == "average"
        by = "linear" if self.reduce == "flatten" or (self.by == "linear" and not first) else "1×1 conv"
        words = [f"{by} to classes", "average"] if first else [self.reduce, f"{by} to classes"]
        return ", ".join([*words, *["bias"] * bool(self.bias)])
