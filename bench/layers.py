"""Every kind of layer: how much faster the native kernels are than torch's, and what share of the peak they reach."""

import time
from functools import partial

import torch
import torch.nn.functional as F

from bench.measures import interleaved, matrix_peak, ratio, spread, training_macs
from tinycnn.network import native
from tinycnn.network.profile import measure
from tinycnn.spec import (
    Activation,
    AvgPool,
    BlurPool,
    Conv,
    Depthwise,
    Dropout,
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

WIDTH, BATCH = 12, 64
PLAIN = {"padding": 1, "activation": "relu"}
KINDS = {
    "Conv(12), unpadded": lambda: Conv(WIDTH),
    "Conv(12), padded": lambda: Conv(WIDTH, **PLAIN),
    "Conv(12), dilation 2": lambda: Conv(WIDTH, padding=2, dilation=2),
    "Conv(12), 4 groups": lambda: Conv(WIDTH, groups=4, **PLAIN),
    "Conv(12), bias, no norm": lambda: Conv(WIDTH, norm="none", bias=True, **PLAIN),
    "Conv(12), PReLU": lambda: Conv(WIDTH, padding=1, activation="prelu"),
    "Conv(12), SiLU": lambda: Conv(WIDTH, padding=1, activation="silu"),
    "Conv(12), GELU": lambda: Conv(WIDTH, padding=1, activation="gelu"),
    "Depthwise()": lambda: Depthwise(**PLAIN),
    "Pointwise(12)": lambda: Pointwise(WIDTH),
    "Residual(Conv(12))": lambda: Residual(Conv(WIDTH, **PLAIN)),
    "Repeat, shared": lambda: Repeat(Conv(WIDTH, **PLAIN), times=2, shared=True),
    "SqueezeExcite(4)": lambda: SqueezeExcite(4),
    "Norm()": Norm,
    'Activation("relu")': lambda: Activation("relu"),
    'Activation("gelu")': lambda: Activation("gelu"),
    "Dropout, of maps": lambda: Dropout(0.1),
    "Dropout, of elements": lambda: Dropout(0.1, of="elements"),
    "MaxPool(2), stride 1": lambda: MaxPool(2, stride=1),
    "AvgPool(2), stride 1": lambda: AvgPool(2, stride=1),
    "GatedPool(2), stride 1": lambda: GatedPool(2, stride=1),
    "BlurPool(2), stride 1": lambda: BlurPool(2, stride=1),
}
"""Four of each, one after another, on maps of 12 channels."""
ONCE = {
    "Conv(12), stride 2": lambda: Conv(WIDTH, stride=2, padding=1),
    "MaxPool(2)": lambda: MaxPool(2),
    "AvgPool(2)": lambda: AvgPool(2),
    "GatedPool(2)": lambda: GatedPool(2),
    "BlurPool(2)": lambda: BlurPool(2),
    "Head, classes first": lambda: Head(classes_first=True),
    "Head, flattening": lambda: Head(reduce="flatten"),
}
"""One of each."""


def network_of(kind: str) -> Network:
    """Return a network that is little but layers of a kind: a convolution before them, a head after."""
    made = [KINDS[kind]() for _ in range(4)] if kind in KINDS else [ONCE[kind]()]
    return Network(Conv(WIDTH), *made, *([] if isinstance(made[-1], Head) else [Head()]))


def images_per_second(forward, network, images, labels, seconds: float = 0.15) -> float:
    """Return images per second of forward, loss and backward, for at least so many seconds and three steps."""
    forward.train()
    steps, begun = -2, None
    while steps < 3 or time.perf_counter() - begun < seconds:
        if steps == 0:  # warm
            begun = time.perf_counter()
        network.zero_grad(set_to_none=True)
        F.cross_entropy(forward(images), labels).backward()
        steps += 1
    return steps * len(images) / (time.perf_counter() - begun)


def layers(spec, repeats: int) -> dict:
    """Return images per second of networks of every kind of layer, by the native kernels and by torch's."""
    facts, found, peak = spec.data.facts(), {}, matrix_peak()
    images, labels = torch.randn(BATCH, 1, 28, 28), torch.randint(0, 10, (BATCH,))
    for kind in (*KINDS, *ONCE):
        model = network_of(kind)
        network = model.build(images.shape[1:], 10)
        calls = {"native": native.Native(network), "torch": network}
        each = interleaved(
            repeats,
            {name: partial(images_per_second, call, network, images, labels) for name, call in calls.items()},
        )
        macs = training_macs(measure(spec.but(model=model), facts))
        found[kind] = {
            "images_per_second": each,
            "ratio": ratio(each["native"], each["torch"]),
            "fraction_of_peak": spread(2 * macs * rate / peak for rate in each["native"]["values"]),
        }
    return {"batch": BATCH, "peak_flops": peak, "kinds": found}
