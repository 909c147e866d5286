"""The graph that is exported computes what the network in torch computes, or the network is refused in one line."""

import exported
import networks
import pytest
import random_networks
import torch
from hypothesis import given, settings
from torch import nn

from tinycnn.errors import USAGE, SpecError
from tinycnn.integers.rules import graph_of
from tinycnn.integers.walk import RULES, rule
from tinycnn.network.profile import measure
from tinycnn.spec import Conv, Head, Network, Spec, load


def difference(network, channels=1, size=28):
    """Return the largest difference between the logits of the graph and of the network, as a share of the largest.

    Where all are zero, behind a ReLU that lets nothing through, it is the difference itself.
    """
    pixels = torch.randint(0, 256, (6, channels, size, size), dtype=torch.uint8)
    graph = exported.graph(network, channels, (size, size))
    wanted = network(exported.normalised(pixels, channels)).double()
    return ((graph.forward(pixels.double()) - wanted).abs().max() / (wanted.abs().max() or 1)).item()


@pytest.mark.parametrize("name", exported.NAMES)
def test_a_graph_gives_the_logits_of_its_network(name):
    assert difference(exported.trained(name)) < 1e-5


@pytest.mark.parametrize("name", ["every layer", "residual of the image", "norm of the image", "prelu"])
def test_a_graph_of_colour_images_gives_the_logits_of_its_network(name):
    assert difference(exported.trained(name, 3), 3) < 1e-5


@settings(max_examples=20)
@given(random_networks.networks())
def test_a_graph_of_any_layers_gives_the_logits_of_its_network(network):
    torch.manual_seed(0)
    built = networks.built(network, size=40)
    built(torch.randn(8, 1, 40, 40))  # running statistics of its own
    with torch.no_grad():
        assert difference(built.eval(), size=40) < 1e-4


@pytest.mark.parametrize("name", ["exp3", "sprint", "cifar1"])
def test_multiply_accumulates_are_those_that_are_measured(name):
    spec = load.load(name)
    facts = spec.data.facts()
    network = spec.model.build((facts.channels, facts.size, facts.size), 10).eval()
    assert exported.graph(network, facts.channels, (facts.size,) * 2).macs() == measure(spec, facts).macs


@pytest.mark.parametrize("name", ["every layer", "blurred pooling", "strides, dilations, groups, padding"])
def test_no_row_of_an_output_needs_an_earlier_row_of_its_input_than_is_stated(name):
    graph = exported.graph(exported.trained(name))
    for step in graph.steps:
        taken = [torch.zeros(1, *graph.shape_of(number), dtype=torch.float64) for number in step.inputs]
        for row in range(taken[0].shape[2]):
            taken[0][:, :, row] = torch.nan
            needing = step.operation.forward(*taken).isnan().any(3).any(1)[0].nonzero().flatten().tolist()
            assert all(step.operation.first_row(each) <= row for each in needing), step.operation
            taken[0][:, :, row] = 0


class Doubled(nn.Module):
    def forward(self, images):
        return 2 * images


@pytest.mark.parametrize(
    ("network", "word"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(Doubled())), "model.1.0: Doubled"),
        (nn.Sequential(nn.Conv2d(1, 4, 3, padding_mode="circular", padding=1)), "model.0: Conv2d"),
        (nn.Sequential(nn.MaxPool2d(3, padding=1)), "model.0: MaxPool2d"),
        (nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(2)), "model.1: AdaptiveAvgPool2d"),
        (nn.Sequential(nn.Conv2d(1, 10, 3), nn.Linear(26, 3)), "model.1: Linear"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10)), "model.1: BatchNorm1d"),
        (nn.Sequential(nn.Conv2d(1, 10, 3), nn.Flatten()), "model: ends with"),
        (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)), "model.0: BatchNorm2d"),
        (nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(1, 10, 28))), "model.0: Conv2d with hooks has no rule"),
    ],
)
def test_what_has_no_rule_is_one_line_that_names_the_module(network, word):
    with pytest.raises(SpecError) as error:
        exported.graph(network)
    assert str(error.value).startswith(word) and "\n" not in str(error.value) and error.value.exit_code == USAGE


def test_a_rule_makes_a_module_of_ones_own_exportable(monkeypatch):
    monkeypatch.setitem(RULES, Doubled, None)

    @rule(Doubled)
    def doubled(walk, module, value):
        two = torch.full((value.shape[0],), 2.0, dtype=torch.float64)
        return walk.scaled(value, two)

    network = nn.Sequential(nn.Conv2d(1, 10, 3), Doubled(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        assert difference(network) < 1e-5


def test_batch_norm_and_dropout_are_no_operations_of_their_own():
    spec = Spec(name="small", model=networks.model_2(dropout=0.3))
    network = spec.model.build((1, 28, 28), 10).eval()
    kinds = [type(step.operation).__name__ for step in graph_of(network, (1, 28, 28), 10, (0.1,), (0.3,)).steps]
    assert kinds == ["Conv", "Conv", "MaxPool", "Conv", "MaxPool", "Conv", "Average", "Conv"]


def test_the_classes_of_every_pixel_are_computed_once_for_their_average():
    network = networks.built(Network(Conv(4), Head(classes_first=True))).eval()
    _, average, conv = exported.graph(network).steps
    assert average.operation.shape == (4, 1, 1) and conv.operation.shape == (10, 1, 1)
