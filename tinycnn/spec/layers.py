"""The network as data: each layer is a class that holds its settings and builds its torch module.

A layer of your own is a class in the experiment's file::

    class Scale(Layer):
        by: float = 0.5
        def build(self, shape): ...

``build`` is given the shape (C, H, W) of its input and returns a module. Fields that are None take the value of the
whole ``Network``.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator

from tinycnn.errors import SpecError, shown
from tinycnn.spec.section import Kind, Section, any_of, nn, own_name

Width = Annotated[int, Field(ge=1, le=4096)]
Side = Annotated[int, Field(ge=1, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)]
Activations = Literal["relu", "prelu", "prelu_per_channel", "silu", "gelu", "none"]
Norms = Literal["batch", "none"]
Dropped = Literal["maps", "elements"]
INHERITED = ("padding", "norm", "activation", "dropout", "dropout_of", "bias")
"""Fields that a layer takes from its network where they are None."""


def _padding(value):
    if value == "same" or (type(value) is int and 0 <= value <= 64):
        return value
    raise ValueError(f'must be a number of pixels from 0 to 64, or "same", got {shown(value)}')


Padding = Annotated[Any, PlainValidator(_padding)]


class Layer(Kind):
    """One layer of a ``Network``.

    One of your own defines ``build(shape)``, which returns the torch module for maps of ``shape`` (C, H, W).
    """

    tag = "kind"
    kind = own_name

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


class Layered(Section):
    """A section of layers, which are given one after the other: ``Residual(Conv(8), Conv(8))``."""

    layers: Annotated[tuple[any_of(Layer), ...], Field(min_length=1)]

    def __init__(self, *layers, **fields):
        super().__init__(**({"layers": layers} if layers else {}), **fields)

    __init__.__pydantic_base_init__ = True

    def __repr__(self):
        return call(self)


def call(section) -> str:
    """Return the Python code that makes a section, without default and inherited values."""
    words, fields = [*map(repr, getattr(section, "layers", ()))], type(section).model_fields
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


class _Convolution(Layer):
    """A convolution (``nn.Conv2d``), then norm, activation and dropout."""

    bias: bool | None = None
    norm: Norms | None = None
    activation: Activations | None = None
    dropout: Share | None = None
    dropout_of: Dropped | None = None

    def outputs(self, inputs: int) -> tuple[int, int]:
        """Return output channels and groups for so many input channels."""
        return self.channels, self.groups

    def window(self):
        side = (self.kernel - 1) * self.dilation + 1
        return side, self.stride, (side - 1) // 2 if self.padding == "same" else self.padding

    def build(self, shape):
        """Return an ``nn.Sequential``: convolution, and where set batch norm, activation and dropout."""
        (channels, groups), (side, stride, padding) = self.outputs(shape[0]), self.window()
        if side % 2 == 0 and stride == 1 and self.padding == "same":
            raise SpecError('padding: "same" needs an odd kernel or an even dilation; give a number of pixels')
        options = {"dilation": self.dilation, "groups": groups, "bias": bool(self.bias)}
        layers = [nn.Conv2d(shape[0], channels, self.kernel, stride, padding, **options)]
        if self.norm == "batch":
            layers.append(nn.BatchNorm2d(channels))
        if self.activation != "none":
            layers.append(activation(self.activation, channels))
        if self.dropout:
            layers.append(dropout(self.dropout, self.dropout_of))
        return nn.Sequential(*layers)


class _Square(_Convolution):
    """A convolution with a square kernel."""

    kernel: Side = 3
    padding: Padding | None = None
    stride: Side = 1
    dilation: Side = 1

    def filled(self, network):
        """Return this layer with the network's values where its own are None; a 1×1 kernel needs no padding."""
        filled = super().filled(network)
        return filled.model_copy(update={"padding": 0}) if self.padding is None and self.kernel == 1 else filled


class Conv(_Square):
    """A convolution (``nn.Conv2d``) with a square kernel, then norm, activation and dropout."""

    positional = ("channels", "kernel")
    channels: Width
    groups: Annotated[int, Field(ge=1)] = 1


class Depthwise(_Square):
    """A convolution of each channel by itself, into ``multiplier`` channels; then norm, activation and dropout."""

    positional = ("kernel",)
    multiplier: Width = 1

    def outputs(self, inputs):
        return inputs * self.multiplier, inputs


class Pointwise(_Convolution):
    """A 1×1 convolution, then norm, activation and dropout."""

    positional = ("channels",)
    kernel: ClassVar[int] = 1
    padding: ClassVar[int] = 0
    stride: ClassVar[int] = 1
    dilation: ClassVar[int] = 1
    channels: Width
    groups: Annotated[int, Field(ge=1)] = 1


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
