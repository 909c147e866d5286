"""A trained network's module tree -> the operations of ``operations``, by a rule for each type of module.

A module of your own that consists of others can be exported where it is an ``nn.Sequential`` of modules with a rule;
``@rule(MyModule)`` adds one.
"""

from dataclasses import replace

import torch
from torch import nn

from tinycnn.errors import SpecError
from tinycnn.integers import operations as ops
from tinycnn.integers.fixed import curve_table
from tinycnn.integers.steps import Graph
from tinycnn.integers.walk import Value, Walk, rule
from tinycnn.spec import modules as own

_TABLES = (
    nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.CELU, nn.SELU, nn.Mish, nn.Softplus, nn.Softsign,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.ReLU6, nn.LogSigmoid,
)  # fmt: skip
"""Functions of one element, which integers look up in a table."""


def graph_of(network: nn.Module, shape, classes: int, mean, std, learning: bool = False) -> Graph:
    """Return the operations of a network in evaluation mode, from uint8 pixels to logits.

    ``shape``: (C, H, W) of the images; ``mean`` and ``std``: what they are normalised with, by channel, white being 1;
    ``learning``: see ``Walk``. Raises SpecError that names the module without a rule.
    """
    scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
    walk = Walk(tuple(shape), (scale, -255 * torch.tensor(mean, dtype=torch.float64) * scale), learning)
    with torch.set_grad_enabled(learning):
        found = walk(network, Value(0, tuple(shape)), "model")
    if tuple(found.shape) != (classes, 1, 1) or not found.number:
        raise SpecError(f"model: ends with a map of {found.shape}, and C needs one number for each class")
    walk.graph.result = found.number
    return walk.graph


@rule(nn.Sequential)
def _sequential(walk, module, value):
    for name, each in module._modules.items():  # ``named_children`` has a module that is used twice only once
        value = walk(each, value, name)
    return value


@rule(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
def _nothing(walk, module, value):
    return value


@rule(nn.Flatten)
def _flatten(walk, module, value):
    if (module.start_dim, module.end_dim) not in ((1, -1), (1, 3)):
        raise walk.refusal(module, "of some dimensions has no rule")
    return replace(value, flat=True)


@rule(nn.Conv2d)
def _conv(walk, module, value):
    if module.padding_mode != "zeros" or value.flat:
        raise walk.refusal(module, "of a flattened map, or padded with anything but zeros, has no rule")
    sides = [(side - 1) * dilation for side, dilation in zip(module.kernel_size, module.dilation, strict=True)]
    if isinstance(module.padding, str):  # "same" and "valid"; what is odd comes behind
        pad, total = ([side // 2 for side in sides], sides) if module.padding == "same" else ([0, 0], [0, 0])
    else:
        pad, total = list(module.padding), [2 * each for each in module.padding]
    size = [(n + t - s - 1) // step + 1 for n, t, s, step in zip(value.shape[1:], total, sides, module.stride,
                                                                 strict=True)]  # fmt: skip
    return walk.conv(module, value, tuple(pad), (module.out_channels, *size))


@rule(nn.Linear)
def _linear(walk, module, value):
    if not value.flat:
        raise walk.refusal(module, "of a map that is not flattened has no rule")
    bias = torch.zeros(module.out_features) if module.bias is None else module.bias
    weight = walk.numbers(module.weight).reshape(module.out_features, *value.shape)
    conv = ops.Conv(weight, walk.numbers(torch.ones(module.out_features)), walk.numbers(bias),
                    (module.out_features, 1, 1), affine=None if value.number else walk.affine)  # fmt: skip
    return replace(walk.add(conv, value), flat=True)


@rule(nn.BatchNorm1d, nn.BatchNorm2d)
def _batch_norm(walk, module, value):
    walk.must_be_map(module, value)
    if module.running_var is None:
        raise walk.refusal(module, "without running statistics has no rule")
    factor, shift = _folded(walk, module)
    if value.number == 0 and 0 not in walk.pinned and _keeps_black_inside(walk.affine, factor, shift):
        scale, offset = walk.affine
        walk.affine = scale * factor, offset * factor + shift
        return value
    conv = walk.mergeable(value, ops.Conv)
    if conv is None or conv.activated:
        value = walk.scaled(value)
        conv = walk.mergeable(value, ops.Conv)
    conv.factor, conv.bias = conv.factor * factor, conv.bias * factor + shift
    return value


def _folded(walk, module):
    """Return what batch norm with its running statistics multiplies by, and what it then adds."""
    factor = (walk.numbers(module.running_var) + module.eps).rsqrt()
    shift = -walk.numbers(module.running_mean) * factor
    if module.affine:
        weight, bias = walk.numbers(module.weight), walk.numbers(module.bias)
        factor, shift = factor * weight, shift * weight + bias
    return factor, shift


def _keeps_black_inside(affine, factor, shift) -> bool:
    """Tell whether 0, which pads the normalised image, still lies between its pixels 0 and 255."""
    scale, offset = affine[0] * factor, affine[1] * factor + shift
    return bool(((scale != 0) & (-offset / scale >= 0) & (-offset / scale <= 255)).all())


@rule(nn.ReLU, nn.LeakyReLU, nn.PReLU)
def _rectifier(walk, module, value):
    channels = value.shape[0]
    if isinstance(module, nn.PReLU):
        if module.num_parameters > 1:
            walk.must_be_map(module, value)
        slopes = walk.numbers(module.weight).expand(channels).clone()
    else:
        slopes = walk.numbers(torch.full((channels,), getattr(module, "negative_slope", 0.0), dtype=torch.float64))
    total = walk.mergeable(value, ops.Add)
    if total is not None and not slopes.any():
        total.relu = True
        return value
    conv = walk.mergeable(value, ops.Conv)
    if conv is None or conv.activated:
        value = walk.scaled(value)
        conv = walk.mergeable(value, ops.Conv)
    conv.slopes = slopes
    return value


@rule(*_TABLES)
def _table(walk, module, value):
    flat, value = value.flat, walk.map(module, value)
    conv = walk.mergeable(value, ops.Conv)
    if conv is not None and not conv.activated and curve_table(module) is not None:
        conv.function = module
        return value
    return replace(walk.add(ops.Lookup(module, value.shape), value), flat=flat)


def _window(walk, module, value):
    """Return value, size, stride and output shape of a pool."""
    value = walk.map(module, value)
    pairs = [(side, side) if isinstance(side, int) else tuple(side) for side in (module.kernel_size, module.stride)]
    plain = module.padding in (0, (0, 0), [0, 0]) and not module.ceil_mode
    if not plain or getattr(module, "dilation", 1) not in (1, (1, 1)) or getattr(module, "divisor_override", None):
        raise walk.refusal(module, "with padding, dilation, ceil_mode or a divisor has no rule")
    sides = [(n - size) // step + 1 for n, size, step in zip(value.shape[1:], *pairs, strict=True)]
    return value, *pairs, (value.shape[0], *sides)


@rule(nn.MaxPool2d)
def _max_pool(walk, module, value):
    value, *window = _window(walk, module, value)
    return walk.add(ops.MaxPool(*window), value)


@rule(nn.AvgPool2d)
def _average_pool(walk, module, value):
    value, *window = _window(walk, module, value)
    return walk.add(ops.Average(*window), value)


@rule(nn.AdaptiveAvgPool2d)
def _whole_average(walk, module, value):
    if module.output_size not in (1, (1, 1)):
        raise walk.refusal(module, f"to {module.output_size} has no rule")
    conv = walk.mergeable(value, ops.Conv)
    if conv is not None and conv.pointwise and not conv.activated and conv.affine is None:
        # the average of a 1×1 convolution is the convolution of the average, which is less work
        source = walk.graph.steps.pop().inputs[0]
        conv.shape = (conv.shape[0], 1, 1)
        return walk.add(conv, _averaged(walk, Value(source, walk.graph.shape_of(source))))
    return _averaged(walk, walk.map(module, value))


def _averaged(walk, value):
    channels, *size = value.shape
    return walk.add(ops.Average(tuple(size), (1, 1), (channels, 1, 1)), value)


@rule(own.GatedPool)
def _gated_pool(walk, module, value):
    value = walk.map(module, value)
    size, step = (module.size, module.size), (module.stride, module.stride)
    sides = [(n - module.size) // module.stride + 1 for n in value.shape[1:]]
    scale, shift = walk.numbers(module.scale), walk.numbers(module.shift)
    return walk.add(ops.GatedPool(size, step, (value.shape[0], *sides), scale, shift), value)


@rule(own.BlurPool)
def _blur_pool(walk, module, value):
    value = walk.map(module, value)
    channels, *sides = value.shape
    sides = [n - module.size + 1 for n in sides]
    value = walk.add(ops.MaxPool((module.size, module.size), (1, 1), (channels, *sides)), value)
    width = module.kernel.shape[-1]
    sides = [(n - 1) // module.stride + 1 for n in sides]
    return walk.add(ops.Blur(width, module.stride, (channels, *sides)), value)


@rule(own.SqueezeExcite)
def _squeeze_excite(walk, module, value):
    value = walk.map(module, value)
    walk.pinned.add(value.number)
    hidden = _rectifier(walk, nn.ReLU(), _conv(walk, module.reduce, _averaged(walk, value)))
    return walk.add(ops.Scale(value.shape), value, _conv(walk, module.expand, hidden))


@rule(own.Residual)
def _residual(walk, module, value):
    walk.pinned.add(value.number)
    inside, skip, crop = walk.map(module, walk(module.layers, value, "layers")), module.skip, module.crop
    if isinstance(skip, nn.Identity):
        other = walk.map(module, value)
    else:
        first, *others = skip if isinstance(skip, nn.Sequential) else [skip]
        other, crop = walk.conv(first, value, (-crop, -crop), (first.out_channels, *inside.shape[1:])), 0
        for each in others:
            other = walk(each, other, "skip")
    return walk(module.activation, walk.add(ops.Add(inside.shape, crop), inside, other), "activation")
