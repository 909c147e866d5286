"""From torch modules to the kernels' steps, for maps of a shape."""

import math

from torch import nn

from tinycnn.network.native.layers import leaves, padding_of, square, stride_of
from tinycnn.network.native.steps import (
    AVERAGE_POOL,
    BLUR,
    BRANCH,
    CONVOLUTION,
    EXCITE,
    GATED_POOL,
    GELU,
    IMAGES,
    MAX_POOL,
    NONE,
    POINTWISE,
    PRELU,
    RELU,
    RESULT,
    SILU,
    SUM,
    Map,
    Step,
    lay_out,
)  # fmt: skip
from tinycnn.spec import modules

_FUNCTIONS = {nn.ReLU: RELU, nn.PReLU: PRELU, nn.SiLU: SILU, nn.GELU: GELU}
_NORM, _FUNCTION, _DROP, _POOL, _FULL = range(1, 6)
"""In this order one pointwise step takes what follows a convolution."""


class Unplannable(Exception):
    """The kernels cannot take these maps; torch computes the layers, or says why it cannot either."""


class Plan:
    """Maps and steps for layers that are given maps of ``shape``, (C, H, W) or (C,). Raises Unplannable.

    ``wanted``: whether the gradient of the input is.
    """

    def __init__(self, layers, shape, wanted: bool):
        self.maps, self.steps, self.flat = [Map(*shape, *[1] * (3 - len(shape)), wanted=wanted)], [], len(shape) == 1
        self.at = 0  # the map that comes next
        self.steps.append(Step(IMAGES, 0, 0))
        self.sequence(layers)
        self.steps.append(Step(RESULT, self.at, self.at))
        lay_out(self.maps, self.steps)

    @property
    def out_shape(self):
        """The shape of what the layers return, without the batch."""
        channels, height, width = self.maps[self.at].shape
        return (channels * height * width,) if self.flat else (channels, height, width)

    def sequence(self, layers):
        """Add the steps of layers in sequence."""
        for layer in (leaf for each in layers for leaf in leaves(each)):
            _LOWER[type(layer)](self, layer)

    def add(self, kind, shape, **fields) -> Step:
        """Add a step from the present map to a new one of ``shape``."""
        if min(shape) < 1:
            raise Unplannable
        step = Step(kind, self.at, len(self.maps), **fields)
        sources = (step.in_, step.other) if kind == SUM else (step.in_,)
        wanted = any(step.parameters) or any(self.maps[each].wanted for each in sources)
        self.maps.append(Map(*shape, wanted=wanted))
        self.steps.append(step)
        self.at = step.out
        return step

    def pointwise(self, what, fits=lambda step: True) -> Step:
        """Return the pointwise step that takes ``what`` next: the last one if it can, or a new one."""
        last = self.steps[-1]
        if last.kind != POINTWISE or last.taken >= what or not fits(last):
            last = self.add(POINTWISE, self.maps[self.at].shape, parameters=[None, None, None])
        last.taken = what
        return last

    def owned(self, step, number, module, name):
        """Give a step a parameter."""
        step.parameters[number] = (module._parameters, name)
        self.maps[step.out].wanted = True

    def conv(self, conv, crop=0, size=None):
        """Add a convolution and its bias, of the input without ``crop`` pixels of border, to a map of ``size``."""
        before = self.maps[self.at]
        window, stride, pad, dilation = conv.kernel_size, square(conv.stride), padding_of(conv), square(conv.dilation)
        if self.flat or before.channels != conv.in_channels:
            raise Unplannable
        sides = zip(before.shape[1:], window, strict=True)
        size = size or [(side + 2 * pad - (taps - 1) * dilation - 1) // stride + 1 for side, taps in sides]
        self.convolution(conv, size, *window, stride=stride, pad=pad - crop, dilation=dilation, groups=conv.groups)

    def convolution(self, module, size, rows, columns, **fields):
        """Add a convolution with the weights of a module, and its bias."""
        shape = (module.weight.shape[0], *size)
        self.add(CONVOLUTION, shape, rows=rows, columns=columns, parameters=[(module._parameters, "weight")], **fields)
        if module.bias is not None:
            self.owned(self.pointwise(_NORM), 1, module, "bias")

    def linear(self, linear):
        """Add a linear layer: a 1×1 convolution of a map of one pixel, which any map without margins is."""
        shape = self.maps[self.at].shape
        if not self.flat or math.prod(shape) != linear.in_features:
            raise Unplannable
        if shape[1:] != (1, 1):
            if self.steps[-1].kind == CONVOLUTION:  # whose result has a margin
                self.pointwise(_NORM)
            source = self.maps[self.at]
            self.maps.append(Map(linear.in_features, 1, 1, wanted=source.wanted, of=self.at, whole=True))
            self.at = len(self.maps) - 1
        self.convolution(linear, (1, 1), 1, 1)

    def norm(self, norm):
        """Add batch norm."""
        if self.flat or self.maps[self.at].channels != norm.num_features:
            raise Unplannable
        step = self.pointwise(_NORM)
        step.norm = norm
        self.owned(step, 0, norm, "weight")
        self.owned(step, 1, norm, "bias")

    def function(self, layer):
        """Add an activation function."""
        slopes = layer.num_parameters if type(layer) is nn.PReLU else 1
        if slopes > 1 and (
            slopes != self.maps[self.at].channels or self.flat and self.maps[self.at].shape[1:] != (1, 1)
        ):
            raise Unplannable
        step = self.pointwise(_FUNCTION)
        step.function = _FUNCTIONS[type(layer)]
        if type(layer) is nn.PReLU:
            self.owned(step, 2, layer, "weight")

    def dropout(self, drop):
        """Add dropout, of maps or of elements."""
        if type(drop) is nn.Dropout:
            self.pointwise(_DROP).drop = drop
            self.steps[-1].taken = _FULL
        elif self.flat:
            raise Unplannable
        elif self.steps[-1].taken == _POOL and self.steps[-1].drop is None:  # before the pool is the same
            self.steps[-1].drop = drop
        else:
            self.pointwise(_DROP).drop = drop

    def pool(self, pool):
        """Add a pool of torch's."""
        side, stride = square(pool.kernel_size), stride_of(pool)
        if type(pool) is nn.MaxPool2d and side == stride > 1 and self.steps[-1].function in (NONE, RELU):
            size = [each // side for each in self.maps[self.at].shape[1:]]
            step = self.pointwise(_POOL)
            step.pool = side
            self.maps[step.out].height, self.maps[step.out].width = size
            if self.flat or min(size) < 1:
                raise Unplannable
        else:
            self.windows(MAX_POOL if type(pool) is nn.MaxPool2d else AVERAGE_POOL, side, stride)

    def windows(self, kind, side, stride, **fields):
        """Add a pool with square windows."""
        channels, *sides = self.maps[self.at].shape
        if self.flat:
            raise Unplannable
        shape = (channels, *((each - side) // stride + 1 for each in sides))
        self.add(kind, shape, rows=side, columns=side, stride=stride, **fields)

    def average(self, pool):
        """Add the average over the map."""
        channels, height, width = self.maps[self.at].shape
        if self.flat:
            raise Unplannable
        self.add(AVERAGE_POOL, (channels, 1, 1), rows=height, columns=width)

    def flatten(self, layer):
        """Take what follows as numbers in a row."""
        self.flat = True

    def identity(self, layer):
        """Do nothing."""

    def gated_pool(self, pool):
        """Add a gated pool."""
        self.windows(
            GATED_POOL, pool.size, pool.stride, parameters=[(pool._parameters, name) for name in ("scale", "shift")]
        )

    def blur_pool(self, pool):
        """Add the maximum over windows one pixel apart, and a blur."""
        if pool.size > 1:
            self.windows(MAX_POOL, pool.size, 1)
        channels, *sides = self.maps[self.at].shape
        width = pool.before + pool.after + 1
        if self.flat or pool.after >= min(sides):
            raise Unplannable
        shape = (channels, *((side - 1) // pool.stride + 1 for side in sides))
        blur = self.add(BLUR, shape, rows=width, columns=width, stride=pool.stride, pad=pool.before)
        blur.parameters = [(pool._buffers, "kernel")]

    def excite(self, layer):
        """Add squeeze-and-excite."""
        if self.flat:
            raise Unplannable
        both = layer.reduce, layer.expand
        names = [(conv._parameters, name) for conv in both for name in ("weight", "bias")]
        self.add(EXCITE, self.maps[self.at].shape, parameters=names)

    def residual(self, block):
        """Add a residual block: its layers on another name of the input, so that gradients add up, and the sum."""
        if self.flat:
            raise Unplannable
        source = self.at
        self.add(BRANCH, self.maps[source].shape)
        self.maps[self.at].of = source
        self.sequence(block.layers)
        inside, shape = self.at, self.maps[self.at].shape
        self.at, where = source, {"pad": -block.crop, "stride": block.stride}
        if type(block.skip) is not nn.Identity:
            conv, *rest = leaves(block.skip)
            self.conv(conv, block.crop, shape[1:])
            self.sequence(rest)
            where = {}
        other, self.at = self.at, inside
        if self.flat:
            raise Unplannable
        self.add(SUM, shape, other=other, **where)
        self.sequence([block.activation])


_LOWER = {
    nn.Conv2d: Plan.conv,
    nn.Linear: Plan.linear,
    nn.BatchNorm2d: Plan.norm,
    **dict.fromkeys(_FUNCTIONS, Plan.function),
    nn.Dropout: Plan.dropout,
    nn.Dropout2d: Plan.dropout,
    nn.MaxPool2d: Plan.pool,
    nn.AvgPool2d: Plan.pool,
    nn.AdaptiveAvgPool2d: Plan.average,
    nn.Flatten: Plan.flatten,
    nn.Identity: Plan.identity,
    modules.Residual: Plan.residual,
    modules.GatedPool: Plan.gated_pool,
    modules.BlurPool: Plan.blur_pool,
    modules.SqueezeExcite: Plan.excite,
}
