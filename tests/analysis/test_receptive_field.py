"""Receptive fields of a network, against autograd's own jacobian."""

from dataclasses import replace

import networks
import numpy as np
import pytest
import torch
from torch import nn

from analysis.receptive_field import receptive_fields
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import Conv, Depthwise, Head, MaxPool, Network, Pointwise, Residual, Spec, Target

NETWORKS = {
    "model_3": networks.model_3(dropout=0.1),
    "strides": Network(Conv(2, stride=2, padding=1), Conv(3, dilation=2), Head(), norm="none"),
    "residual": Network(
        Residual(Conv(4), Conv(4, stride=2, padding=1)),
        Residual(Depthwise(padding=1), Pointwise(4)),
        MaxPool(2),
        Head(),
    ),
}


def layers_of(network, shape=(1, 28, 28)):
    facts = replace(DATASETS["mnist"], channels=shape[0], size=shape[1])
    return measure(Spec(name="some", model=network, target=Target(parameter_limit=None)), facts).layers


def averaging(network):
    """Return the network with positive weights and averages for max-pools, so that every connection shows."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride))
            if isinstance(child, nn.Conv2d):
                nn.init.constant_(child.weight, 0.1)
                if child.bias is not None:
                    nn.init.zeros_(child.bias)
    return network


def jacobian(network, name, picture):
    """Return d(middle unit of the layer) / d(pixel), (channels of the layer, C, H, W), by autograd's own jacobian."""
    held = {}
    hook = dict(network.named_modules())[name].register_forward_hook(lambda m, a, out: held.update(out=out))

    def middle(x):
        network.eval()(x[None])
        out = held["out"][0]
        return out if out.dim() == 1 else out[:, out.shape[1] // 2, out.shape[2] // 2]

    found = torch.autograd.functional.jacobian(middle, picture)
    hook.remove()
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_squares_lie_where_autograd_finds_the_pixels_that_count(name):
    network = averaging(networks.built(NETWORKS[name]))
    for field in receptive_fields(network, layers_of(NETWORKS[name]), torch.rand(2, 1, 28, 28) + 0.1):
        touched = jacobian(network, field.name, torch.rand(1, 28, 28) + 0.1).abs().sum((0, 1)) > 0
        rows, columns = (np.flatnonzero(touched.any(axis)) for axis in (1, 0))
        for first, found in ((field.top, rows), (field.left, columns)):
            inside = max(first, 0), min(first + field.side, 28) - 1  # what lies in the padding has no gradient
            assert (found.min(), found.max()) == inside, field.name


def test_what_counts_is_the_root_mean_square_of_autograds_gradients():
    torch.manual_seed(1)
    network, layers = networks.built(networks.model_2(), 3), layers_of(networks.model_2(), (3, 28, 28))
    pictures = torch.randn(3, 3, 28, 28)
    for field in receptive_fields(network, layers, pictures):
        squares = [jacobian(network, field.name, each).double() ** 2 for each in pictures]
        expected = torch.stack(squares).mean((0, 1, 2)).sqrt()
        np.testing.assert_allclose(field.gradient, expected / expected.max(), rtol=1e-4, atol=1e-7)
