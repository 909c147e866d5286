"""What ``models.py`` promises: the networks of the iterations, for whatever pictures a data set has."""

import dataclasses
import inspect

import pytest
import torch
from torch import nn

from tinycnn import experiments, models
from tinycnn.data.catalog import DATASETS
from tinycnn.spec import Data, Model, Spec

MNIST = DATASETS["mnist"]


def spec_of(name, **arguments):
    return Spec(name="some", model=Model(name=name, **arguments), data=Data(name="mnist"))


def build(name, facts=MNIST, **arguments):
    return models.build(spec_of(name, **arguments), facts)


def kinds(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("model_1", {}, 28_624),
        ("model_2", {}, 7_344),
        ("model_3", {}, 7_872),
        ("early_pool", {}, 7_728),
        ("model_3", {"widths": (16, 16, 16, 8, 8, 8, 8)}, 7_872),  # the other layout with this count
    ],
)
def test_the_networks_have_exactly_the_stated_parameters(name, arguments, parameters):
    assert count(build(name, **arguments)) == parameters
    if name != "model_1":
        assert count(build(name, dropout=0.3, **arguments)) == parameters


@pytest.mark.parametrize("data", DATASETS)
@pytest.mark.parametrize("name", models.NETWORKS)
def test_a_network_takes_channels_size_and_classes_from_the_data_set(name, data):
    facts = DATASETS[data]
    network = build(name, facts).eval()
    logits = network(torch.rand(2, facts.channels, facts.size, facts.size))
    assert logits.shape == (2, 10) and torch.isfinite(logits).all()
    assert build(name, dataclasses.replace(facts, classes=("a", "b", "c"))).eval()(
        torch.rand(2, facts.channels, facts.size, facts.size)
    ).shape == (2, 3)


@pytest.mark.parametrize("name", models.NETWORKS)
def test_a_network_is_called_as_its_function_and_says_in_a_line_what_it_is(name):
    function = models.NETWORKS[name]
    assert function.__name__ == name == spec_of(name).model.name
    assert function.__doc__.splitlines()[0].endswith(".")
    keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert spec_of(name).model.model_dump() == {"name": name} | {p.name: p.default for p in keywords}


def test_the_first_iteration_has_no_batch_norm_and_averages_over_7x7():
    network = build("model_1")
    assert not kinds(network, nn.BatchNorm2d) and not kinds(network, nn.Dropout2d)
    assert before_average(network) == (7, 7)


@pytest.mark.parametrize(("name", "averaged"), [("model_2", (3, 3)), ("model_3", (3, 3)), ("early_pool", (2, 2))])
def test_the_later_networks_have_batch_norm_after_each_3x3_and_average_over_what_is_left(name, averaged):
    network = build(name, dropout=0.1)
    wide = [module for module in kinds(network, nn.Conv2d) if module.kernel_size == (3, 3)]
    layers = [module for module in network.modules() if not list(module.children())]
    for module in wide:
        place = layers.index(module)
        assert [type(layer) for layer in layers[place + 1 : place + 3]] == [nn.BatchNorm2d, nn.ReLU]
    assert before_average(network) == averaged


def before_average(network):
    """Return height and width of the map that the global average takes."""
    seen = []
    (average,) = kinds(network, nn.AdaptiveAvgPool2d)
    average.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[2:])))
    network.eval()(torch.rand(1, 1, 28, 28))
    return seen[0]


def test_the_third_iteration_has_dropout_in_every_layer_and_cutout_and_falls_in_steps():
    spec = experiments.load("exp3")
    network = models.build(spec, MNIST)
    blocks = [b for b in network if isinstance(b, nn.Sequential) and kinds(b, nn.BatchNorm2d)]
    assert len(blocks) == 7 and spec.model.dropout > 0
    assert all(isinstance(b[-1], nn.Dropout2d) and b[-1].p == spec.model.dropout for b in blocks)
    assert spec.augment.cutout > 0 and (spec.optimizer.name, spec.schedule.name) == ("Adam", "StepLR")


def test_dropout_takes_whole_maps_in_training_and_nothing_in_evaluation():
    torch.manual_seed(0)
    layer = models.block(1, 64, batch_norm=False, dropout=0.5)
    layer[0].weight.data.abs_().add_(0.1)  # positive weights on positive pictures: no zero but from dropout
    picture = torch.rand(8, 1, 6, 6) + 0.1
    zeros = (layer.train()(picture) == 0).float().mean((2, 3))
    assert set(zeros.unique().tolist()) == {0.0, 1.0} and 0.4 < zeros.mean() < 0.6
    assert (layer.eval()(picture) > 0).all()


def test_no_dropout_is_no_layer():
    assert not kinds(build("model_3", dropout=0.0), nn.Dropout2d)


def test_padding_keeps_the_map_of_a_3x3_convolution():
    shapes = []
    network = build("model_2", padding=1)
    for module in kinds(network, nn.BatchNorm2d):
        module.register_forward_hook(lambda _, args, out: shapes.append(out.shape[-1]))
    network.eval()(torch.rand(1, 1, 28, 28))
    assert shapes == [28, 28, 14, 7]
