"""The network as data: each layer is a class that holds its settings and builds its torch module.

A layer of your own is a class in the experiment's file::

    class Scale(Layer):
        by: float = 0.5
        def build(self, shape): ...

``build`` is given the shape (C, H, W) of its input and returns a module. Fields that are None take the value of the
whole ``Network``.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainValidator

from tinycnn.errors import shown
from tinycnn.spec.section import Kind, nn, own_name

Shape = tuple[int, int, int]
Width = Annotated[int, Field(ge=1, le=4096)]
Side = Annotated[int, Field(ge=1, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)]
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
Activations = Annotated[Literal["relu", "prelu", "prelu_per_channel", "silu", "gelu", "none"], Lower]
Norms = Annotated[Literal["batch", "none"], Lower]
Dropped = Literal["maps", "elements"]
INHERITED = ("padding", "norm", "activation", "dropout", "dropout_of", "bias")
"""Fields that a layer takes from its network where they are None."""


def _padding(value):
    if value == "same" or (type(value) is int and 0 <= value <= 64):
        return value
    raise ValueError(f'must be a number of pixels from 0 to 64, or "same", got {shown(value)}')


Padding = Annotated[Any, PlainValidator(_padding)]


class Layer(Kind):
    """One layer of a ``Network``; derive from it, and define ``build``, for one of your own."""

    tag: ClassVar[str] = "kind"
    kind = own_name

    def build(self, shape: Shape):
        """Return the torch module for maps of ``shape`` (C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method build(self, shape) that returns a module")

    def filled(self, network) -> "Layer":
        """Return this layer with the network's values where its own are None."""
        taken = {name: getattr(network, name) for name in INHERITED if getattr(self, name, "") is None}
        filled = self.model_copy(update=taken)
        filled.model_fields_set.difference_update(taken)  # so that its repr stays short
        return filled

    def window(self) -> tuple[int, int, int] | None:
        """Return (side, stride, padding) in pixels of the input of an output unit; None: to be measured."""
        return None

    def describe(self) -> str:
        """Return the name of the layer in tables; "" for those of its torch modules, or else its ``repr``."""
        return ""

    def __repr__(self):
        return call(self)

    def __str__(self):
        return repr(self)


def call(section, first=()) -> str:
    """Return the Python code that makes a section, without default and inherited values."""
    words, fields = [*first], type(section).model_fields
    for name in dict.fromkeys((*section.positional, *fields)):
        value = getattr(section, name)
        if name in section.positional[:1]:
            words.append(repr(value))
        elif name != "layers" and value != fields[name].default and name in section.model_fields_set:
            words.append(f"{name}={value!r}".replace("'", '"'))
    return f"{type(section).__name__}({', '.join(words)})"


def activation(name: str, channels: int):
    """Return the module of an activation function."""
    kinds = {"relu": nn.ReLU, "prelu": nn.PReLU, "silu": nn.SiLU, "gelu": nn.GELU, "none": nn.Identity}
    return nn.PReLU(channels) if name == "prelu_per_channel" else kinds[name]()


def dropout(rate: float, of: str):
    """Return the module that drops whole feature maps (Tompson et al. 2015, arXiv:1411.4280), or elements.

    Neighbours in a map say the same. Maps also are cheaper: a random number per element took a quarter of the training
    time.
    """
    return nn.Dropout2d(rate) if of == "maps" else nn.Dropout(rate)


class _Pool(Layer):
    """A pool of ``size`` × ``size`` pixels, ``stride`` apart (None: ``size``)."""

    positional = ("size",)
    size: Side = 2
    stride: Side | None = None

    def window(self):
        return self.size, self.stride or self.size, 0


class MaxPool(_Pool):
    """The maximum of each window."""

    def build(self, shape):
        return nn.MaxPool2d(self.size, self.stride)


class AvgPool(_Pool):
    """The average of each window."""

    def build(self, shape):
        return nn.AvgPool2d(self.size, self.stride)


class GatedPool(_Pool):
    """The maximum of each window, gated by a sigmoid of its average (Lee et al. 2016); two parameters a channel."""

    def build(self, shape):
        from tinycnn.spec.modules import GatedPool as Module

        return Module(shape[0], self.size, self.stride or self.size)


class BlurPool(_Pool):
    """The maximum of windows one pixel apart, blurred by a binomial filter before each step (Zhang 2019)."""

    width: Annotated[int, Field(ge=1, le=7, description="side of the filter in pixels")] = 3

    def build(self, shape):
        from tinycnn.spec.modules import BlurPool as Module

        return Module(shape[0], self.size, self.width, self.stride or self.size)

    def window(self):
        return self.size + self.width - 1, self.stride or self.size, (self.width - 1) // 2


class _Elementwise(Layer):
    """A layer whose output units each depend on one pixel."""

    def window(self):
        return 1, 1, 0


class Activation(_Elementwise):
    """An activation function."""

    positional = ("function",)
    function: Activations = "relu"

    def build(self, shape):
        return activation(self.function, shape[0])


class Norm(_Elementwise):
    """Batch norm, e.g. of the images."""

    def build(self, shape):
        return nn.BatchNorm2d(shape[0])


class Dropout(_Elementwise):
    """Dropout, of whole feature maps or of elements."""

    positional = ("rate",)
    rate: Share
    of: Dropped = "maps"

    def build(self, shape):
        return dropout(self.rate, self.of)


class SqueezeExcite(Layer):
    """A gate for each channel, computed from the averages of all through ``hidden`` units (Hu et al. 2018)."""

    positional = ("hidden",)
    hidden: Width = 4

    def build(self, shape):
        from tinycnn.spec.modules import SqueezeExcite as Module

        return Module(shape[0], self.hidden)
