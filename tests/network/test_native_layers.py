"""Every kind of layer: the native kernels give torch's outputs and gradients, in float64, for any size and number."""

import copy
import platform
from pathlib import Path

import pytest
import torch
from torch import nn

from tinycnn.network import native
from tinycnn.network.native.library import PROCESSOR
from tinycnn.spec import (
    Activation,
    AvgPool,
    BlurPool,
    Conv,
    Depthwise,
    GatedPool,
    Head,
    MaxPool,
    Network,
    Norm,
    Pointwise,
    Repeat,
    Residual,
    SqueezeExcite,
)

pytestmark = pytest.mark.skipif(bool(native.missing()), reason=f"no native kernels: {native.missing()}")

ACTIVATIONS = "relu", "prelu", "prelu_per_channel", "silu", "gelu", "none"


class Draw:
    """Settings drawn at random."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def number(self, low, high):
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def one_of(self, *values):
        return values[self.number(0, len(values) - 1)]

    def convolution(self, **fields):
        options = {
            "padding": self.number(0, 3), "stride": self.number(1, 3), "dilation": self.number(1, 2),
            "norm": self.one_of("batch", "none"), "activation": self.one_of(*ACTIVATIONS),
            "bias": self.one_of(True, False),
        }  # fmt: skip
        return options | fields


def grouped(draw, groups=0):
    groups = groups or draw.number(2, 4)
    inside = Conv(draw.number(1, 4) * groups, draw.number(1, 4), groups=groups, **draw.convolution())
    return Pointwise(groups * draw.number(1, 4)), inside


def residual(draw):
    layers = Conv(draw.number(1, 9)), Conv(draw.number(1, 9), stride=draw.number(1, 2), activation="none")
    return Residual(*layers, activation=draw.one_of(*ACTIVATIONS), norm=draw.one_of("batch", "none"))


def repeated(draw):
    width = draw.number(1, 9)
    inside = Residual(Conv(width, padding=1)), Conv(width, activation=draw.one_of(*ACTIVATIONS), bias=True)
    return Conv(width), Repeat(*inside, times=2, shared=draw.one_of(True, False))


def head(draw):
    options = {"by": draw.one_of("conv", "linear"), "bias": draw.one_of(True, False)}
    return Conv(draw.number(1, 33)), Head(**options, reduce="average", classes_first=draw.one_of(True, False))


KINDS = {
    "convolution": lambda d: Conv(d.number(1, 33), d.number(1, 5), **d.convolution()),
    "convolution, stride 1": lambda d: Conv(d.number(1, 33), 3, **d.convolution(stride=1, dilation=1)),
    "grouped": grouped,
    "depthwise": lambda d: Depthwise(d.number(1, 5), multiplier=d.number(1, 3), **d.convolution()),
    "pointwise": lambda d: Pointwise(d.number(1, 33), norm=d.one_of("batch", "none"), bias=d.one_of(True, False)),
    "norm": lambda d: (Norm(), Activation(d.one_of(*ACTIVATIONS)), Norm()),
    "activations": lambda d: [
        Activation(name) for name in reversed(ACTIVATIONS)
    ],  # relu last: the others see both signs
    "activation, then pool": lambda d: (Activation(d.one_of(*ACTIVATIONS)), MaxPool(d.number(1, 3))),
    "max pool": lambda d: MaxPool(d.number(1, 4), stride=d.number(1, 4)),
    "average pool": lambda d: AvgPool(d.number(1, 4), stride=d.number(1, 4)),
    "gated pool": lambda d: GatedPool(d.number(1, 4), stride=d.number(1, 4)),
    "blurred pool": lambda d: BlurPool(d.number(1, 3), stride=d.number(1, 3), width=d.number(1, 4)),
    "squeeze-and-excite": lambda d: SqueezeExcite(d.number(1, 9)),
    "residual": residual,
    "repeat": repeated,
    "head": head,
    "flattening head": lambda d: (MaxPool(2), Head(reduce="flatten", bias=d.one_of(True, False))),
}


def network_of(kind, draw, images):
    """Return a network with a convolution, layers of a kind, and another convolution where there is no head."""
    layers = KINDS[kind](draw)
    layers = [layers] if not isinstance(layers, tuple | list) else layers
    after = (
        [] if isinstance(layers[-1], Head) else [Conv(draw.number(1, 5), 1, bias=True, norm="none", activation="none")]
    )
    first = [Conv(draw.number(1, 9), draw.number(1, 3), norm="none", activation="none")]
    network = Network(*first, *layers, *after)
    built = Network.build(network, images.shape[1:], draw.number(1, 11))
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.7)
    return built


def numbers(network, call, images, weights):
    """Return outputs in training and evaluation, gradients and buffers, after a step."""
    call.train()
    out = call(images)
    weights = weights[: out.numel()].view(out.shape).to(out.dtype)
    (out * weights).sum().backward()
    call.eval()
    with torch.no_grad():
        evaluated = call(images)
    return [out.detach(), evaluated, *(each.grad for each in network.parameters()), *network.buffers()]


def disagreement(exact, ours):
    """Return the largest relative difference between two lists of tensors.

    Relative to the tensor's own size, or to a hundredth of the largest numbers' where it is smaller: what cancels out,
    as the gradient of a bias before batch norm does, is nothing but rounding.
    """
    assert [each.shape for each in exact] == [each.shape for each in ours]
    sizes = [float(each.double().norm()) / each.numel() ** 0.5 for each in exact]
    errors = [float((a.double() - b.double()).norm()) / a.numel() ** 0.5 for a, b in zip(exact, ours, strict=True)]
    return max(error / max(size, 0.01 * max(sizes)) for error, size in zip(errors, sizes, strict=True))


def check(kind, seed, processor=PROCESSOR, bound=2e-3):
    """Assert that the kernels compute a network with layers of a kind as torch does in float64."""
    torch.manual_seed(seed)
    draw = Draw(seed)
    images = torch.randn(draw.one_of(1, 5, 16, 33, 65), draw.number(1, 4), draw.number(15, 23), draw.number(15, 23))
    network = network_of(kind, draw, images)
    if images.shape[0] == 1 and any(isinstance(each, nn.BatchNorm2d) for each in network.modules()):
        images = torch.cat([images, torch.randn_like(images)])  # the variance of one number is of no use
    assert native.coverage(network)[2] == "", "torch computes a part of it"
    exact = copy.deepcopy(network).double()
    ours = native.Native(network, processor)
    weights = torch.randn(images[0].numel() * len(images) * 200)[: 10**6]
    found = numbers(network, ours, images, weights)
    assert all(part.buffers for part in ours.parts), "torch computes a part of it"
    assert disagreement(numbers(exact, exact, images.double(), weights), found) < bound


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_torchs(kind, seed):
    check(kind, seed)


OTHERS = {"avx2": ("-mavx2", "-mfma"), "avx": ("-mavx",), "plain": ("-mno-avx",)}


def runs(flags) -> bool:
    """Return whether this processor runs what is compiled for these flags."""
    listed = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return all(flag.startswith("-mno-") or flag.removeprefix("-m") in listed.split() for flag in flags)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OTHERS)
def test_so_they_are_with_other_vector_registers(name, kind):
    if platform.machine() not in ("x86_64", "AMD64") or not runs(OTHERS[name]):
        pytest.skip("for another processor")
    check(kind, 2, OTHERS[name])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_torchs_for_many_more(kind, seed):
    check(kind, seed, bound=0.05)  # a few of so many divide by almost nothing: torch's float32 too is 0.015 off


def test_torchs_gradient_of_a_strided_pointwise_convolution_is_right_in_the_layout_that_is_used():
    torch.manual_seed(1)
    conv, images = nn.Conv2d(12, 20, 1, stride=2, bias=False), torch.randn(64, 12, 15, 15)
    exact = copy.deepcopy(conv).double()
    for layer, pixels in ((conv, images), (exact, images.double())):
        layer(pixels.contiguous()).square().sum().backward()
    torch.testing.assert_close(conv.weight.grad.double(), exact.weight.grad, atol=1e-2, rtol=1e-4)
