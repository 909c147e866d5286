"""The layers that convolve, each with what usually follows: norm, activation and dropout."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tinycnn.errors import SpecError
from tinycnn.spec.layers import SHORT, Activations, Dropped, Layer, Norms, Padding, Shape, Share, Side, Width
from tinycnn.spec.layers import activation as activation_of
from tinycnn.spec.layers import dropout as dropout_of

if TYPE_CHECKING:
    from torch import nn


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
            layers.append(activation_of(self.activation, channels))
        if self.dropout:
            layers.append(dropout_of(self.dropout, self.dropout_of))
        return nn.Sequential(*layers)

    def _padded(self, kernel: int, dilation: int) -> int:
        if kernel == 1:
            return 0
        return dilation * (kernel - 1) // 2 if self.padding == "same" else self.padding

    def _described(self, *words) -> str:
        after = ["bias"] * bool(self.bias) + ["BN"] * (self.norm == "batch")
        after += [SHORT[self.activation]] if self.activation in SHORT else []
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
