"""The layers that convolve, each with what usually follows: norm, activation and dropout."""

from typing import Annotated, ClassVar

from pydantic import Field

from tinycnn.errors import SpecError
from tinycnn.spec.layers import Activations, Dropped, Layer, Norms, Padding, Share, Side, Width, activation, dropout
from tinycnn.spec.section import nn

Groups = Annotated[int, Field(ge=1)]


class _Convolution(Layer):
    """A convolution, then norm, activation and dropout."""

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
    groups: Groups = 1


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
    groups: Groups = 1
