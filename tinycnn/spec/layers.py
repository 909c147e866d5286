"""The network as data: layers, a class each, that hold what they are and build it.

A layer of your own is a class in the experiment's file::

    class Scale(Layer):
        by: float = 0.5
        def build(self, shape): ...

``build`` gets the shape (C, H, W) of the map the layer is given and returns a module. Fields that are None take what
the whole ``Network`` says.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainValidator

from tinycnn.errors import SpecError, shown
from tinycnn.spec.section import Kind, own_name

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]
Width = Annotated[int, Field(ge=1, le=4096)]
Side = Annotated[int, Field(ge=1, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)]
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
Activations = Annotated[Literal["relu", "prelu", "prelu_per_channel", "silu", "gelu", "none"], Lower]
Norms = Annotated[Literal["batch", "none"], Lower]
Padding = Annotated[Any, PlainValidator(lambda value: _padding(value))]
Dropped = Literal["maps", "elements"]
INHERITED = ("padding", "norm", "activation", "dropout", "dropout_of", "bias")
"""Fields that a layer takes from its network where they are None."""


def _padding(value):
    if value == "same" or (type(value) is int and 0 <= value <= 64):
        return value
    raise ValueError(f'must be a number of pixels from 0 to 64, or "same", got {shown(value)}')


class Layer(Kind):
    """One layer of a ``Network``; derive from it, and define ``build``, for one of your own."""

    tag: ClassVar[str] = "kind"
    kind = own_name

    def build(self, shape: Shape) -> "nn.Module":
        """Return the torch module for maps of ``shape`` (C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method build(self, shape) that returns a module")

    def filled(self, network) -> "Layer":
        """Return this layer with the network's values where its own are None."""
        own = {name: getattr(network, name) for name in INHERITED if getattr(self, name, "") is None}
        return self.model_copy(update=own) if own else self

    def window(self) -> tuple[int, int, int] | None:
        """Return (side, stride, padding) in pixels of the window that an output unit sees; None: found by trying."""
        return None

    def describe(self) -> str:
        """Name the layer as people do."""
        return repr(self)

    def __repr__(self):
        return call(self)

    def __str__(self):
        return repr(self)


def call(section, first=()) -> str:
    """Write a section as Python code makes it, without what is as ever."""
    words, fields = [*first], type(section).model_fields
    for name in dict.fromkeys((*section.positional, *fields)):
        value = getattr(section, name)
        if name == "layers" or (value == fields[name].default and name not in section.positional[:1]):
            continue
        words.append(repr(value) if name in section.positional[:1] else f"{name}={value!r}".replace("'", '"'))
    return f"{type(section).__name__}({', '.join(words)})"


def activation(name: str, channels: int):
    from torch import nn

    kinds = {"relu": nn.ReLU, "prelu": nn.PReLU, "silu": nn.SiLU, "gelu": nn.GELU, "none": nn.Identity}
    return nn.PReLU(channels) if name == "prelu_per_channel" else kinds[name]()


def dropout(rate: float, of: str):
    """Dropout of maps takes whole feature maps (Tompson et al. 2015, arXiv:1411.4280): neighbours say the same.

    It also is the cheaper kind: a random number per element took a quarter of the training time.
    """
    from torch import nn

    return nn.Dropout2d(rate) if of == "maps" else nn.Dropout(rate)


SHORT = {"relu": "ReLU", "prelu": "PReLU", "prelu_per_channel": "PReLU per channel", "silu": "SiLU", "gelu": "GELU"}


class _Pool(Layer):
    """A pool of ``size`` × ``size`` pixels, ``stride`` apart (None: ``size``)."""

    positional = ("size",)
    size: Side = 2
    stride: Side | None = None

    def window(self):
        """Return side, stride and padding."""
        return self.size, self.stride or self.size, 0

    def describe(self):
        """Name the layer, e.g. ``max-pool 2``."""
        name = type(self).__name__.removesuffix("Pool").lower().replace("avg", "average")
        return f"{name}-pool {self.size}" + (f", stride {self.stride}" if self.stride else "")


class MaxPool(_Pool):
    """The maximum of each window."""

    def build(self, shape):
        """Return ``nn.MaxPool2d``."""
        from torch import nn

        return nn.MaxPool2d(self.size, self.stride)


class AvgPool(_Pool):
    """The average of each window."""

    def build(self, shape):
        """Return ``nn.AvgPool2d``."""
        from torch import nn

        return nn.AvgPool2d(self.size, self.stride)


class GatedPool(_Pool):
    """The maximum of each window, gated by a sigmoid of its average (Lee et al. 2016); two parameters a channel."""

    def build(self, shape):
        """Return the module."""
        from tinycnn.spec.modules import GatedPool as Module

        return Module(shape[0], self.size, self.stride or self.size)


class BlurPool(_Pool):
    """The maximum of windows one pixel apart, blurred by a binomial filter before each step (Zhang 2019)."""

    width: Annotated[int, Field(ge=1, le=7, description="side of the filter in pixels")] = 3

    def build(self, shape):
        """Return the module."""
        from tinycnn.spec.modules import BlurPool as Module

        side = min(shape[1:]) - self.size + 1
        if 0 < side <= self.width // 2:  # reflecting needs more pixels than it adds
            raise SpecError(f"width: {self.width} is too much for a map of {shape[1]}×{shape[2]}; use a smaller filter")
        return Module(shape[0], self.size, self.width, self.stride or self.size)

    def window(self):
        """Return side, stride and padding."""
        return self.size + self.width - 1, self.stride or self.size, (self.width - 1) // 2


class Activation(Layer):
    """An activation function by itself."""

    positional = ("function",)
    function: Activations = "relu"

    def build(self, shape):
        """Return the module."""
        return activation(self.function, shape[0])

    def window(self):
        """Return side, stride and padding."""
        return 1, 1, 0

    def describe(self):
        """Name the layer, e.g. ``ReLU``."""
        return SHORT.get(self.function, self.function)


class Norm(Layer):
    """Batch norm by itself, e.g. of the pictures."""

    def build(self, shape):
        """Return ``nn.BatchNorm2d``."""
        from torch import nn

        return nn.BatchNorm2d(shape[0])

    def window(self):
        """Return side, stride and padding."""
        return 1, 1, 0

    def describe(self):
        """Name the layer."""
        return "BN"


class Dropout(Layer):
    """Dropout by itself."""

    positional = ("rate",)
    rate: Share
    of: Dropped = "maps"

    def build(self, shape):
        """Return ``nn.Dropout2d`` or ``nn.Dropout``."""
        return dropout(self.rate, self.of)

    def window(self):
        """Return side, stride and padding."""
        return 1, 1, 0

    def describe(self):
        """Name the layer, e.g. ``dropout 0.1``."""
        return f"dropout {self.rate:g}" + " of elements" * (self.of == "elements")


class SqueezeExcite(Layer):
    """A gate for each channel, from the averages of all, by way of ``hidden`` units (Hu et al. 2018)."""

    positional = ("hidden",)
    hidden: Width = 4

    def build(self, shape):
        """Return the module."""
        from tinycnn.spec.modules import SqueezeExcite as Module

        return Module(shape[0], self.hidden)

    def describe(self):
        """Name the layer, e.g. ``squeeze-and-excite, 4``."""
        return f"squeeze-and-excite, {self.hidden}"
