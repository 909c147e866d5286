"""A graph in floating point -> a program in whole numbers, with ranges from training images.

Weights are symmetric with a step for each output channel, and quantised before batch norm is folded into multipliers,
so that repeats which share weights share their numbers too. Values are bytes, but for three: averages over the whole
map that a linear layer takes stay sums of 32 bits, as do the logits, and what a gate's sigmoid takes.
"""

import numpy as np
import torch

from tinycnn.errors import SpecError
from tinycnn.integers import calibrate, fixed, kernels
from tinycnn.integers import operations as ops
from tinycnn.integers.fixed import Format
from tinycnn.integers.steps import Graph, Program, Step

_CORRECTED = 250
"""Training images that biases are corrected with, evenly spaced."""
_BIAS = 2**29
"""What the bias of a sum of 32 bits is limited to."""


def program_of(graph: Graph, pixels: torch.Tensor, corrected: bool = True) -> Program:
    """Return the program of a graph, for uint8 pixels (N, C, H, W) of training images to take ranges from.

    ``corrected``: biases make up for what rounding shifts, which weights that were trained with rounding do themselves.
    Raises SpecError where 32 bits are too few for a sum.
    """
    found = calibrate.formats(graph, pixels) | {0: Format(1.0)}
    some = pixels[:: max(1, len(pixels) // _CORRECTED)][:_CORRECTED]
    real, whole = graph.values(some.double()), {0: some.numpy().transpose(0, 2, 3, 1).astype(np.int64)}
    steps = []
    for step in graph.steps:
        operation, taken = step.operation, [found[number] for number in step.inputs]
        out = _wide(graph, step, taken) or found[step.output]
        kernel = _MAKERS[type(operation)](operation, *taken, out, *map(graph.shape_of, step.inputs))
        if isinstance(operation, ops.Conv):
            if corrected:
                _correct_bias(kernel, operation.sums(real[step.inputs[0]]), whole[step.inputs[0]])
            _must_fit(kernel, taken[0].largest)
        whole[step.output] = kernel.run(*(whole[number] for number in step.inputs))
        found[step.output] = kernel.out
        steps.append(Step(kernel, step.inputs, step.output))
    shapes = {number: graph.shape_of(number) for number in found}
    return Program(steps, shapes, found, graph.result, graph.macs())


def _correct_bias(kernel: kernels.Conv, wanted: torch.Tensor, taken: np.ndarray) -> None:
    """Change the bias so that the mean over images is that in floating point, whatever rounding has done before.

    Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721,
    appendix D, with images.
    """
    missing = wanted.mean((0, 2, 3)).numpy() / kernel.units - kernel.sums(taken).mean((0, 1, 2))
    kernel.bias += np.clip(np.rint(missing), -_BIAS, _BIAS).astype(np.int64)


def _must_fit(kernel: kernels.Conv, largest: int) -> None:
    """Raise SpecError where inputs up to ``largest`` may lead to a sum of more than 32 bits."""
    most = np.abs(kernel.weights).sum((1, 2, 3)) * largest + np.abs(kernel.bias)
    if most.max() >= 2**31:
        raise SpecError(f"model: the sums of a convolution of {kernel.weights.shape} need more than 32 bits")


def _wide(graph, step, taken) -> Format | None:
    """Return the format of a value that is int32, None for one that is bytes."""
    operation, takers = step.operation, [each.operation for each in graph.takers(step.output)]
    is_gate = any(isinstance(each.operation, ops.Scale) and each.inputs[1] == step.output for each in graph.steps)
    if isinstance(operation, ops.Average) and operation.shape[1:] == (1, 1):
        count = operation.size[0] * operation.size[1]
        fits = all(isinstance(each, ops.Conv) and each.pointwise and each.function is None and _fits(each, 255 * count)
                   for each in takers)  # fmt: skip
        if fits and (takers or step.output == graph.result):
            return Format(taken[0].scale / count, 0, True, 255 * count)
    if is_gate:
        return Format(2.0**-fixed.CURVE_INPUT, 0, True, fixed.LARGEST)
    if isinstance(operation, ops.Conv) and step.output == graph.result and not takers and not operation.activated:
        return Format(_units(operation, taken[0])[0].max(), 0, True, fixed.LARGEST)
    return None


def _fits(conv: ops.Conv, largest: int) -> bool:
    return 127 * conv.weight[0].numel() * largest + _BIAS < 2**31


def _units(conv: ops.Conv, taken: Format):
    """Return what 1 in the sum of each output channel stands for, without its sign, and the weights.

    Where the weights hardly count beside the bias, as much as lets the bias fit into the sum.
    """
    real = conv.weight.numpy()
    if conv.affine is not None:  # steps of pixels differ by channel of the image, so they become part of the weights
        real = real * conv.by_input(conv.affine[0]).numpy()
    weights = fixed.quantised_weights(real)
    scale = 1.0 if conv.affine is not None else taken.scale  # by channel before a depthwise one
    scales = np.broadcast_to(scale, conv.groups).repeat(len(real) // conv.groups)
    units = weights.steps * np.abs(conv.factor.numpy()) * scales
    return np.maximum(np.maximum(units, np.abs(conv.bias.numpy()) / _BIAS), 1e-30), weights


def _conv(conv: ops.Conv, taken: Format, out: Format, shape) -> kernels.Conv:
    units, weights = _units(conv, taken)
    signs = np.where(conv.factor.numpy() < 0, -1.0, 1.0)
    zeros = np.broadcast_to(np.float64(taken.zero), shape[0]).copy()
    if conv.affine is not None:
        zeros = -(conv.affine[1] / conv.affine[0]).numpy()
        zeros = np.where(np.isfinite(zeros), zeros, 0)
    offsets = (weights.numbers * conv.by_input(torch.from_numpy(zeros)).numpy()).reshape(len(units), -1).sum(1)
    bias = np.rint(conv.bias.numpy() * signs / units - offsets).astype(np.int64)
    unit = 2.0**-fixed.CURVE_INPUT if conv.function is not None else out.scale
    factors = [units * signs / unit]
    if conv.slopes is not None and (out.zero != 0 or conv.slopes.any()):  # or else it is ReLU: bytes end at 0 anyway
        slopes = conv.slopes.numpy()
        factors = [factors[0] * np.where(signs > 0, *pair) for pair in ((1, slopes), (slopes, 1))]
    (multiplier, *negative), shift = fixed.multipliers(*factors)
    values = (
        weights.numbers.transpose(0, 2, 3, 1), bias, multiplier, negative[0] if negative else None, shift,
        np.clip(np.rint(zeros), 0, 255).astype(np.int64), conv.groups, conv.stride, conv.dilation, conv.pad,
        conv.border(*shape[1:]), units * signs, out, taken.wide,
    )  # fmt: skip
    if conv.function is None:
        return kernels.Conv(*values)
    (by,), last = fixed.multipliers(1 / (np.atleast_1d(out.scale) * 2**fixed.CURVE_OUTPUT))
    zeros = np.broadcast_to(out.zero, by.shape)  # C reads one beside each multiplier
    curve = {"table": fixed.curve_table(conv.function), "by": by, "by_shift": last, "zeros": zeros}
    return kernels.Curved(*values, **curve)


def _one(*factors: float):
    """Return multipliers and the shift of single factors."""
    found, shift = fixed.multipliers(*(np.array([each]) for each in factors))
    return [int(each[0]) for each in found], int(shift[0])


def _max_pool(pool, taken, out, shape):
    return kernels.MaxPool(pool.size, pool.stride, taken)


def _average(pool, taken, out, shape):
    if out.wide:
        return kernels.Average(pool.size, pool.stride, out, taken.zero)
    (multiplier,), shift = _one(taken.scale / out.scale / (pool.size[0] * pool.size[1]))
    return kernels.Average(pool.size, pool.stride, out, taken.zero, multiplier, shift)


def _gated_pool(pool, taken, out, shape):
    count = pool.size[0] * pool.size[1]
    factor, shift = pool.scale.numpy() * taken.scale / count, pool.shift.numpy()
    signs = np.where(factor < 0, -1.0, 1.0)
    units = np.maximum(np.maximum(np.abs(factor), np.abs(shift) / _BIAS), 1e-30)
    bias = np.rint(shift * signs / units).astype(np.int64) - count * taken.zero
    (multiplier,), gate_shift = fixed.multipliers(units * signs * 2**fixed.CURVE_INPUT)
    (by,), last = _one(taken.scale / out.scale / 2**fixed.SIGMOID_OUTPUT)
    return kernels.GatedPool(pool.size, pool.stride, out, bias, multiplier, gate_shift, by, last, taken.zero)


def _blur(blur, taken, out, shape):
    return kernels.Blur(blur.row, blur.stride, taken)


def _add(total, taken, other, out, *shapes):
    by, shift = _one(taken.scale / out.scale, other.scale / out.scale)
    return kernels.Add(total.crop, tuple(by), shift, (taken.zero, other.zero), out)


def _scale(scale, taken, gates, out, *shapes):
    (by,), shift = _one(taken.scale / out.scale / 2**fixed.SIGMOID_OUTPUT)
    return kernels.Scale(by, shift, taken.zero, out)


def _lookup(lookup, taken, out, shape):
    real = torch.from_numpy(taken.scale * (np.arange(256) - taken.zero))
    return kernels.Lookup(out.nearest(lookup.function(real).detach().numpy()), out)


_MAKERS = {
    ops.Conv: _conv, ops.MaxPool: _max_pool, ops.Average: _average, ops.GatedPool: _gated_pool, ops.Blur: _blur,
    ops.Add: _add, ops.Scale: _scale, ops.Lookup: _lookup,
}  # fmt: skip
