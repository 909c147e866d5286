"""The layers that convolve, each with what usually follows: norm, activation and dropout."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tinycnn.errors import SpecError
from tinycnn.spec.layers import SHORT, Activations, Dropped, Layer, Norms, Padding, Shape, Share, Side, Width
from tinycnn.spec.layers import activation as activation_of
from tinycnn.spec.layers import dropout as dropout_of

if TYPE_CHECKING:
    from torch import nn

Groups = Annotated[int, Field(ge=1)]


class _Convolution(Layer):
    """A convolution, then norm, activation and dropout."""

    bias: bool | None = None
    norm: Norms | None = None
    activation: Activations | None = None
    dropout: Share | None = None
    dropout_of: Dropped | None = None

    def _convolution(self, shape: Shape) -> "nn.Conv2d":
        raise NotImplementedError

    def build(self, shape):
        """Return convolution, batch norm, activation and dropout in an ``nn.Sequential``, those that there are."""
        from torch import nn

        conv = self._convolution(shape)
        layers, channels = [conv], conv.out_channels
        if self.norm == "batch":
            layers.append(nn.BatchNorm2d(channels))
        if self.activation != "none":
            layers.append(activation_of(self.activation, channels))
        if self.dropout:
            layers.append(dropout_of(self.dropout, self.dropout_of))
        return nn.Sequential(*layers)

    def _described(self, *words) -> str:
        after = ["bias"] * bool(self.bias) + ["BN"] * (self.norm == "batch")
        after += [SHORT[self.activation]] if self.activation in SHORT else []
        after += [f"dropout {self.dropout:g}" + " of elements" * (self.dropout_of == "elements")] * bool(self.dropout)
        return ", ".join([*(word for word in words if word), *after])


class _Square(_Convolution):
    """A convolution whose square kernel is moved over the map."""

    kernel: Side = 3
    padding: Padding | None = None
    stride: Side = 1
    dilation: Side = 1

    def filled(self, network):
        """Return this layer with the network's values where its own are None; a 1×1 kernel needs no padding."""
        own = self.model_copy(update={"padding": 0}) if self.padding is None and self.kernel == 1 else self
        return super(_Square, own).filled(network)

    def window(self):
        """Return side, stride and padding."""
        side = (self.kernel - 1) * self.dilation + 1
        return side, self.stride, (side - 1) // 2 if self.padding == "same" else self.padding

    def _moved(self, inputs: int, outputs: int, groups: int):
        from torch import nn

        side, stride, padding = self.window()
        if side % 2 == 0 and stride == 1 and self.padding == "same":
            raise SpecError('padding: "same" needs an odd kernel or an even dilation; give a number of pixels')
        options = {"dilation": self.dilation, "groups": groups, "bias": self.bias}
        return nn.Conv2d(inputs, outputs, self.kernel, stride, padding, **options)

    def _moves(self) -> list[str]:
        _, stride, padding = self.window()
        words = {"padding": padding, "stride": stride - 1 and stride, "dilation": self.dilation - 1 and self.dilation}
        return [f"{name} {value}" for name, value in words.items() if value]


class Conv(_Square):
    """A convolution (``nn.Conv2d``) with a square kernel, then norm, activation and dropout."""

    positional = ("channels", "kernel")
    channels: Width
    groups: Groups = 1

    def _convolution(self, shape):
        _divided(self, shape)
        return self._moved(shape[0], self.channels, self.groups)

    def describe(self):
        """Name the layer, e.g. ``conv 3×3, 16, stride 2, BN, ReLU``."""
        side = f"{self.kernel}×{self.kernel}"
        return self._described(f"conv {side}", str(self.channels), *self._moves(), *_in_groups(self))


class Depthwise(_Square):
    """A convolution of each channel by itself, into ``multiplier`` channels; then norm, activation and dropout."""

    positional = ("kernel",)
    multiplier: Width = 1

    def _convolution(self, shape):
        return self._moved(shape[0], shape[0] * self.multiplier, shape[0])

    def describe(self):
        """Name the layer, e.g. ``depthwise 3×3, padding 1, BN, ReLU``."""
        times = f"×{self.multiplier}" if self.multiplier > 1 else ""
        return self._described(f"depthwise {self.kernel}×{self.kernel}", times, *self._moves())


class Pointwise(_Convolution):
    """A 1×1 convolution, then norm, activation and dropout."""

    positional = ("channels",)
    channels: Width
    groups: Groups = 1

    def _convolution(self, shape):
        from torch import nn

        _divided(self, shape)
        return nn.Conv2d(shape[0], self.channels, 1, groups=self.groups, bias=self.bias)

    def window(self):
        """Return side, stride and padding."""
        return 1, 1, 0

    def describe(self):
        """Name the layer, e.g. ``pointwise, 16, BN, ReLU``."""
        return self._described("pointwise", str(self.channels), *_in_groups(self))


def _divided(layer, shape):
    """Raise SpecError unless the groups of a layer divide its channels."""
    if shape[0] % layer.groups or layer.channels % layer.groups:
        raise SpecError(f"groups: {layer.groups} does not divide {shape[0]} channels into {layer.channels}")


def _in_groups(layer) -> list[str]:
    return [f"groups={layer.groups}"] if layer.groups > 1 else []
