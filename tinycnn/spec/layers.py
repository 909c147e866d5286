"""The network as data: layers, a class each, that hold what they are and build it.

A layer of your own is a class in the experiment's file::

    class Scale(Layer):
        by: float = 0.5
        def build(self, shape): ...

``build`` gets the shape (C, H, W) of the map the layer is given and returns a module. Fields that are None take what
the whole ``Network`` says.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from tinycnn.errors import SpecError
from tinycnn.spec.section import Kind, any_of, own_name

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]
Width = Annotated[int, Field(ge=1, le=4096)]
Side = Annotated[int, Field(ge=1, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)]
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
Activations = Annotated[Literal["relu", "prelu", "prelu_per_channel", "silu", "gelu", "none"], Lower]
Norms = Annotated[Literal["batch", "none"], Lower]
Padding = Annotated[int, Field(ge=0, le=64)] | Literal["same"]
Dropped = Literal["maps", "elements"]
INHERITED = ("padding", "norm", "activation", "dropout", "dropout_of", "bias")
"""Fields that a layer takes from its network where they are None."""


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
        return _call(self)


def _call(section, first=()) -> str:
    """Write a section as Python code makes it, without what is as ever."""
    words = [*first]
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name == "layers" or (value == field.default and name not in section.positional[:1]):
            continue
        words.append(repr(value) if name in section.positional[:1] else f"{name}={value!r}".replace("'", '"'))
    return f"{type(section).__name__}({', '.join(words)})"


def _activation(name: str, channels: int):
    from torch import nn

    kinds = {"relu": nn.ReLU, "prelu": nn.PReLU, "silu": nn.SiLU, "gelu": nn.GELU, "none": nn.Identity}
    return nn.PReLU(channels) if name == "prelu_per_channel" else kinds[name]()


def _dropout(rate: float, of: str):
    """Dropout of maps takes whole feature maps (Tompson et al. 2015, arXiv:1411.4280): neighbours say the same.

    It also is the cheaper kind: a random number per element took a quarter of the training time.
    """
    from torch import nn

    return nn.Dropout2d(rate) if of == "maps" else nn.Dropout(rate)


_SHORT = {"relu": "ReLU", "prelu": "PReLU", "prelu_per_channel": "PReLU per channel", "silu": "SiLU", "gelu": "GELU"}


class _Convolution(Layer):
    """A convolution, then norm, activation and dropout."""

    def _convolution(self, shape: Shape) -> "nn.Conv2d":
        raise NotImplementedError

    def build(self, shape):
        """Return convolution, batch norm, activation and dropout in an ``nn.Sequential``, those that there are."""
        from torch import nn

        conv = self._convolution(shape)
        layers, channels, reach = [conv], conv.out_channels, conv.dilation[0] * (conv.kernel_size[0] - 1)
        if reach % 2 and conv.stride == (1, 1) and self.padding == "same":
            raise SpecError('padding: "same" needs an odd kernel or an even dilation; give a number of pixels')
        if self.norm == "batch":
            layers.append(nn.BatchNorm2d(channels))
        if self.activation != "none":
            layers.append(_activation(self.activation, channels))
        if self.dropout:
            layers.append(_dropout(self.dropout, self.dropout_of))
        return nn.Sequential(*layers)

    def _padded(self, kernel: int, dilation: int) -> int:
        if kernel == 1:
            return 0
        return dilation * (kernel - 1) // 2 if self.padding == "same" else self.padding

    def _described(self, *words) -> str:
        after = ["bias"] * bool(self.bias) + ["BN"] * (self.norm == "batch")
        after += [_SHORT[self.activation]] if self.activation in _SHORT else []
        after += [f"dropout {self.dropout:g}" + " of elements" * (self.dropout_of == "elements")] * bool(self.dropout)
        return ", ".join([*(word for word in words if word), *after])


class Conv(_Convolution):
    """A convolution (``nn.Conv2d``) with a square kernel, then norm, activation and dropout."""

    positional = ("channels", "kernel")
    channels: Width
    kernel: Side = 3
    padding: Padding | None = None
    stride: Side = 1
    dilation: Side = 1
    groups: Annotated[int, Field(ge=1)] = 1
    bias: bool | None = None
    norm: Norms | None = None
    activation: Activations | None = None
    dropout: Share | None = None
    dropout_of: Dropped | None = None

    def _convolution(self, shape):
        from torch import nn

        if shape[0] % self.groups or self.channels % self.groups:
            raise SpecError(f"groups: {self.groups} does not divide {shape[0]} channels into {self.channels}")
        padding, options = self.window()[2], {"dilation": self.dilation, "groups": self.groups, "bias": self.bias}
        return nn.Conv2d(shape[0], self.channels, self.kernel, self.stride, padding, **options)

    def window(self):
        """Return side, stride and padding."""
        return (self.kernel - 1) * self.dilation + 1, self.stride, self._padded(self.kernel, self.dilation)

    def describe(self):
        """Name the layer, e.g. ``conv 3×3, 16, stride 2, BN, ReLU``."""
        padding = self.window()[2]
        return self._described(
            f"conv {self.kernel}×{self.kernel}", str(self.channels), f"padding {padding}" if padding else "",
            f"stride {self.stride}" if self.stride > 1 else "",
            f"dilation {self.dilation}" if self.dilation > 1 else "",
            f"groups={self.groups}" if self.groups > 1 else "",
        )  # fmt: skip


class Depthwise(_Convolution):
    """A convolution of each channel by itself, into ``multiplier`` channels; then norm, activation and dropout."""

    positional = ("kernel",)
    kernel: Side = 3
    multiplier: Width = 1
    padding: Padding | None = None
    stride: Side = 1
    dilation: Side = 1
    bias: bool | None = None
    norm: Norms | None = None
    activation: Activations | None = None
    dropout: Share | None = None
    dropout_of: Dropped | None = None

    def _convolution(self, shape):
        from torch import nn

        options = {"dilation": self.dilation, "groups": shape[0], "bias": self.bias}
        outputs = shape[0] * self.multiplier
        return nn.Conv2d(shape[0], outputs, self.kernel, self.stride, self.window()[2], **options)

    def window(self):
        """Return side, stride and padding."""
        return (self.kernel - 1) * self.dilation + 1, self.stride, self._padded(self.kernel, self.dilation)

    def describe(self):
        """Name the layer, e.g. ``depthwise 3×3, padding 1, BN, ReLU``."""
        padding = self.window()[2]
        return self._described(
            f"depthwise {self.kernel}×{self.kernel}", f"×{self.multiplier}" if self.multiplier > 1 else "",
            f"padding {padding}" if padding else "", f"stride {self.stride}" if self.stride > 1 else "",
            f"dilation {self.dilation}" if self.dilation > 1 else "",
        )  # fmt: skip


class Pointwise(_Convolution):
    """A 1×1 convolution, then norm, activation and dropout."""

    positional = ("channels",)
    channels: Width
    groups: Annotated[int, Field(ge=1)] = 1
    bias: bool | None = None
    norm: Norms | None = None
    activation: Activations | None = None
    dropout: Share | None = None
    dropout_of: Dropped | None = None

    def _convolution(self, shape):
        from torch import nn

        if shape[0] % self.groups or self.channels % self.groups:
            raise SpecError(f"groups: {self.groups} does not divide {shape[0]} channels into {self.channels}")
        return nn.Conv2d(shape[0], self.channels, 1, groups=self.groups, bias=self.bias)

    def window(self):
        """Return side, stride and padding."""
        return 1, 1, 0

    def describe(self):
        """Name the layer, e.g. ``pointwise, 16, BN, ReLU``."""
        return self._described("pointwise", str(self.channels), f"groups={self.groups}" if self.groups > 1 else "")


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
        if side <= self.width // 2:  # reflecting needs more pixels than it adds
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
        return _activation(self.function, shape[0])

    def window(self):
        """Return side, stride and padding."""
        return 1, 1, 0

    def describe(self):
        """Name the layer, e.g. ``ReLU``."""
        return _SHORT.get(self.function, self.function)


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
        return _dropout(self.rate, self.of)

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


class _Several(Layer):
    """A layer of layers, which are given one after the other: ``Residual(Conv(8), Conv(8))``."""

    layers: Annotated[tuple[any_of(Layer), ...], Field(min_length=1)]

    def __init__(self, *layers, **fields):
        super().__init__(**({"layers": layers} if layers else {}), **fields)

    __init__.__pydantic_base_init__ = True

    def filled(self, network):
        """Return this layer, and those inside, with the network's values where their own are None."""
        inside = tuple(layer.filled(network) for layer in self.layers)
        return super().filled(network).model_copy(update={"layers": inside})

    def __repr__(self):
        return _call(self, map(repr, self.layers))


class Residual(_Several):
    """The sum of ``layers`` in sequence and their input (He et al. 2016, arXiv:1512.03385).

    Where channels or sizes differ, the input is brought into shape: unpadded layers' border is cut off, and a 1×1
    convolution with ``norm``, strided as the layers are, makes the channels. ``activation`` comes after the sum.
    """

    norm: Norms | None = None
    activation: Activations = "none"

    def build(self, shape):
        """Return the module. Raises SpecError where the sizes of both ways cannot be brought together."""
        from torch import nn

        from tinycnn.spec.build import built, output
        from tinycnn.spec.modules import Residual as Module

        layers = built(self.layers, shape)
        after = output(layers, shape)
        if len(after) != 3:
            raise SpecError(f"gives {after} inside, and the sum needs a map (channels, height, width)")
        window = _together(self.layers)
        guess = max(1, round(shape[1] / after[1])) if shape[1] >= 2 * after[1] - 1 > 0 else 1
        stride = window[1] if window else guess
        room = [full - (less - 1) * stride - 1 for full, less in zip(shape[1:], after[1:], strict=True)]
        middle = (window[0] - 1) // 2 - window[2] if window else min(room) // 2  # of what the first unit sees
        crop = max(0, min(middle, *room))
        if min(room) < 0 or (stride == 1 and room != [2 * crop, 2 * crop]):
            raise SpecError(
                f"a map of {shape[1]}×{shape[2]} becomes {after[1]}×{after[2]} inside, which no stride gives"
            )
        skip = nn.Identity()
        if after[0] != shape[0] or stride > 1:
            skip = nn.Conv2d(shape[0], after[0], 1, stride, bias=self.norm == "none")
            skip = nn.Sequential(skip, nn.BatchNorm2d(after[0])) if self.norm == "batch" else skip
        return Module(layers, skip, _activation(self.activation, after[0]), crop, stride)

    def describe(self):
        """Name the layer."""
        return "residual"


def _together(layers) -> tuple[int, int, int] | None:
    """Return (side, stride, padding) of the window of layers in sequence, None where one of one's own is among them."""
    side, stride, padding = 1, 1, 0
    for layer in layers:
        inside = getattr(layer, "layers", None)
        window = _together(inside * getattr(layer, "times", 1)) if inside else layer.window()
        if isinstance(layer, SqueezeExcite):  # sees all, and moves nothing
            continue
        if window is None:
            return None
        side, padding = side + (window[0] - 1) * stride, padding + window[2] * stride
        stride *= window[1]
    return side, stride, padding


class Repeat(_Several):
    """``layers`` in sequence, ``times`` times.

    ``shared``: every time with the same weights, so that depth costs no parameters (of batch norm, scale and shift are
    shared too, while each time has statistics of its own: maps at different depths are distributed differently).
    """

    times: Annotated[int, Field(ge=1, le=100)] = 2
    shared: bool = False

    def build(self, shape):
        """Return the passes in an ``nn.Sequential``. Raises SpecError where weights that are shared differ in shape."""
        from torch import nn

        from tinycnn.spec.build import built, output

        passes = []
        for _ in range(self.times):
            passes.append(built(self.layers, shape))
            shape = output(passes[-1], shape)
        for again in passes[1:] if self.shared else ():
            first = dict(passes[0].named_parameters(remove_duplicate=False))  # by all the names of those shared inside
            named = dict(again.named_parameters(remove_duplicate=False))
            if {name: p.shape for name, p in named.items()} != {name: p.shape for name, p in first.items()}:
                raise SpecError("shared: the layers must give as many channels as they take to be repeated")
            for name, parameter in first.items():
                where, _, last = name.rpartition(".")
                setattr(again.get_submodule(where), last, parameter)
        return nn.Sequential(*passes)

    def describe(self):
        """Name the layer."""
        return f"{self.times} times" + ", with the same weights" * self.shared


class Head(Layer):
    """From the last map to a number for each class.

    ``reduce``: average over the map, or flatten it. ``by``: a 1×1 convolution or a linear layer. ``classes_first``
    computes the classes of every pixel and averages those, which is the same number of parameters and more arithmetic.
    """

    reduce: Literal["average", "flatten"] = "average"
    by: Literal["conv", "linear"] = "conv"
    bias: bool | None = None
    classes_first: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1, description="of elements, before the classes")] = 0.0

    def build(self, shape, classes: int = 10):
        """Return the module; this layer is told the number of classes too."""
        from torch import nn

        if self.reduce == "flatten":
            return nn.Sequential(
                nn.Flatten(), *self._drop(), nn.Linear(shape[0] * shape[1] * shape[2], classes, self.bias)
            )
        if self.by == "linear" and not self.classes_first:
            return nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), *self._drop(), nn.Linear(shape[0], classes, self.bias)
            )
        average, conv = nn.AdaptiveAvgPool2d(1), nn.Conv2d(shape[0], classes, 1, bias=self.bias)
        ordered = [*self._drop(), conv, average] if self.classes_first else [average, *self._drop(), conv]
        return nn.Sequential(*ordered, nn.Flatten())

    def _drop(self):
        from torch import nn

        return [nn.Dropout(self.dropout)] if self.dropout else []

    def describe(self):
        """Name the layer, e.g. ``average, 1×1 conv to classes``."""
        by = "linear" if self.by == "linear" or self.reduce == "flatten" else "1×1 conv"
        words = [f"{by} to classes", "average"] if self.classes_first else [self.reduce, f"{by} to classes"]
        return ", ".join([*words, *["bias"] * bool(self.bias)])
