"""Layers are data, and build what torch computes."""

import copy  # noqa: I001

import networks
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from tinycnn.data.catalog import DATASETS
from tinycnn.spec import (
    Activation, AvgPool, BlurPool, Conv, Depthwise, Dropout, GatedPool, Head, Layer, MaxPool, Network, Pointwise,
    Repeat, Residual, Spec, SqueezeExcite,
)  # fmt: skip
from tinycnn.spec.model import every


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def build(layer, shape=(4, 9, 9), **options):
    """Return the module of a layer for maps of ``shape``, in a network with ``options``."""
    torch.manual_seed(0)
    return Network(layer, **options).filled[0].build(shape).double()


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_a_network_takes_channels_size_and_classes_from_the_data_set(data):
    facts, network = DATASETS[data], networks.everything()
    assert {type(layer) for layer in every(network.layers)} == set(Layer.kinds().values())
    images = torch.rand(2, facts.channels, facts.size, facts.size)
    for classes in (10, 3):
        logits = networks.built(network, facts.channels, facts.size, classes).eval()(images)
        assert logits.shape == (2, classes) and torch.isfinite(logits).all()


def test_every_kind_of_layer_survives_json_and_has_gradients():
    network = networks.everything()
    again = Spec.from_json(Spec(name="some", model=network).to_json()).model
    assert again == network and repr(again) == repr(network)
    built = networks.built(network).train()
    functional.cross_entropy(built(torch.randn(8, 1, 28, 28)), torch.arange(8)).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in built.parameters())


def test_layers_take_the_values_of_their_network_where_they_set_none():
    network = Network(
        Conv(4), Conv(4, norm="none", activation="none", dropout=0.0, padding=0, bias=True),
        Residual(Conv(4, activation="gelu"), Repeat(Depthwise())), Pointwise(4), Head(bias=False),
        padding=1, norm="batch", activation="silu", dropout=0.2, dropout_of="elements", bias=True,
    )  # fmt: skip
    first, second, residual, pointwise, head = network.filled
    assert (first.padding, first.norm, first.activation) == (1, "batch", "silu")
    assert (first.dropout, first.dropout_of, first.bias) == (0.2, "elements", True)
    assert (second.padding, second.norm, second.activation, second.dropout, second.bias) == (0, "none", "none", 0, True)
    assert residual.norm == "batch" and residual.activation == "none"
    assert residual.layers[0].activation == "gelu" and residual.layers[0].padding == 1
    assert residual.layers[1].layers[0].activation == "silu" and pointwise.dropout == 0.2 and head.bias is False
    assert network.layers[0].padding is None  # the spec holds what was written


@pytest.mark.parametrize("make", [lambda: Network(), lambda: Network(Conv(8), 3), lambda: Residual(Network(Head()))])
def test_a_network_is_made_of_layers_and_of_at_least_one(make):
    with pytest.raises(ValidationError, match="layers"):
        make()


# --- each layer against torch.nn.functional --------------------------------------------------------------------------


def test_a_convolution_is_followed_by_norm_activation_and_dropout_in_this_order():
    module = build(Conv(8, 3, stride=2, padding=1, dilation=2, groups=2, bias=True, dropout=0.1), activation="relu")
    conv, norm, *_ = module
    assert [type(each) for each in module] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout2d]
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    images = maps(5, 4, 9, 9)
    plain = functional.conv2d(images, conv.weight, conv.bias, 2, 1, 2, 2)
    mean, variance = plain.mean((0, 2, 3), keepdim=True), plain.var((0, 2, 3), unbiased=False, keepdim=True)
    scaled = (plain - mean) / (variance + norm.eps).sqrt()
    module[3].p = 0.0
    expected = (scaled * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)).clamp(min=0)
    torch.testing.assert_close(module.train()(images), expected)


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("dilation", [1, 3])
def test_same_padding_keeps_the_size_of_the_map(kernel, dilation):
    for layer in (Conv(3, kernel, dilation=dilation), Depthwise(kernel, dilation=dilation)):
        assert build(layer, padding="same")(maps(1, 4, 9, 9)).shape[2:] == (9, 9)


def test_depthwise_and_pointwise_are_convolutions_of_each_channel_and_of_each_pixel():
    images = maps(2, 4, 9, 9)
    module = build(Depthwise(3, multiplier=3, stride=2, padding=1), norm="none", activation="none")
    weights = module[0].weight.split(3)
    expected = [functional.conv2d(images[:, i : i + 1], weights[i], None, 2, 1) for i in range(4)]
    torch.testing.assert_close(module(images), torch.cat(expected, 1))
    module = build(Pointwise(6), norm="none", activation="none", padding=2)
    torch.testing.assert_close(module(images), torch.einsum("ok,nkhw->nohw", module[0].weight[:, :, 0, 0], images))


@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (2, 1)])
def test_pools_take_maximum_and_average_of_each_window(size, stride):
    images = maps(2, 4, 9, 9)
    windows = images.unfold(2, size, stride or size).unfold(3, size, stride or size).flatten(4)
    highest, average = windows.amax(4), windows.mean(4)
    torch.testing.assert_close(build(MaxPool(size, stride=stride))(images), highest)
    torch.testing.assert_close(build(AvgPool(size, stride=stride))(images), average)
    gated = build(GatedPool(size, stride=stride))
    assert count(gated) == 8  # a scale and a shift for each of 4 channels
    nn.init.normal_(gated.scale), nn.init.normal_(gated.shift)
    gate = torch.sigmoid(average * gated.scale.view(4, 1, 1) + gated.shift.view(4, 1, 1))
    torch.testing.assert_close(gated(images), highest * gate)


@pytest.mark.parametrize("row", [[1], [1, 1], [1, 2, 1], [1, 4, 6, 4, 1]])
def test_a_blur_pool_averages_maxima_with_binomial_weights(row):
    module, images, width = build(BlurPool(2, width=len(row)), (4, 13, 13)), maps(2, 4, 13, 13), len(row)
    weights = torch.outer(torch.tensor(row, dtype=torch.float64), torch.tensor(row, dtype=torch.float64))
    highest = images.unfold(2, 2, 1).unfold(3, 2, 1).amax((4, 5))
    first = 4 - (width - 1) // 2  # of the window of the unit in row and column 2
    window = highest[:, :, first : first + width, first : first + width]
    torch.testing.assert_close(module(images)[:, :, 2, 2], (window * weights).sum((2, 3)) / weights.sum())
    assert module(images).shape[2:] == (6, 6) and not list(module.parameters()) and not module.state_dict()


def test_squeeze_and_excite_multiplies_each_channel_by_a_gate_of_all_averages():
    module, images = build(SqueezeExcite(3)), maps(2, 4, 9, 9)
    hidden = torch.relu(images.mean((2, 3)) @ module.reduce.weight.view(3, 4).T + module.reduce.bias)
    gate = torch.sigmoid(hidden @ module.expand.weight.view(4, 3).T + module.expand.bias)
    torch.testing.assert_close(module(images), images * gate[:, :, None, None])


@pytest.mark.parametrize(
    ("name", "function", "parameters"),
    [
        ("relu", torch.relu, 0),
        ("silu", lambda x: x * torch.sigmoid(x), 0),
        ("gelu", lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2, 0),
        ("none", lambda x: x, 0),
        ("prelu", lambda x: torch.where(x > 0, x, 0.25 * x), 1),
        ("prelu_per_channel", lambda x: torch.where(x > 0, x, 0.25 * x), 4),
    ],
)
def test_activations_are_these_functions_by_themselves_and_after_a_convolution(name, function, parameters):
    images, single = maps(2, 4, 9, 9), build(Activation(name))
    torch.testing.assert_close(single(images), function(images))
    after = build(Conv(4, 1, activation=name), norm="none")
    torch.testing.assert_close(after(images), function(after[0](images)))
    assert (count(single), count(after)) == (parameters, 16 + parameters)


@pytest.mark.parametrize("of", ["maps", "elements"])
def test_dropout_drops_maps_or_elements_in_training_only(of):
    images = torch.ones(8, 64, 6, 6).double()
    single = build(Dropout(0.5, of=of), (64, 6, 6))
    after = build(Conv(64, 1, dropout=0.5, dropout_of=of), (64, 6, 6), norm="none", activation="none")[-1]
    for module in (single, after):
        share = (module.train()(images) == 0).double().mean((2, 3))
        assert set(share.unique().tolist()) == {0.0, 1.0} if of == "maps" else 0 < share.min() < share.max() < 1
        assert 0.4 < share.mean() < 0.6 and torch.equal(module.eval()(images), images)


# --- residual, repeat, head ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("residual", "padding", "crop"), [(Residual(Conv(4), Conv(4, 1)), 1, 0), (Residual(Conv(4), Conv(4, 5)), 0, 3)]
)
def test_a_residual_adds_its_cropped_input_to_what_its_layers_return(residual, padding, crop):
    module, images = build(residual.model_copy(update={"activation": "relu"}), padding=padding), maps(2, 4, 9, 9)
    inside = images[:, :, crop : 9 - crop, crop : 9 - crop]
    torch.testing.assert_close(module.eval()(images), torch.relu(inside + module.layers(images)))
    assert count(module) == count(module.layers)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_residual_of_other_channels_and_strides_projects_its_input(norm):
    module, images = build(Residual(Conv(6, stride=2, padding=1)), norm=norm), maps(2, 4, 9, 9)
    conv = module.skip[0] if norm == "batch" else module.skip
    projected = torch.einsum("ok,nkhw->nohw", conv.weight[:, :, 0, 0], images[:, :, ::2, ::2])
    projected = module.skip[1].eval()(projected) if norm == "batch" else projected + conv.bias.view(-1, 1, 1)
    torch.testing.assert_close(module.eval()(images), projected + module.layers(images))


@pytest.mark.parametrize(("size", "kernel", "stride"), [(6, 3, 2), (9, 5, 2), (12, 3, 3)])
def test_a_strided_residual_adds_the_middle_pixel_of_each_window(size, kernel, stride):
    network = Network(Residual(Conv(2, kernel, stride=stride)), Head(), norm="none", activation="none")
    residual = network.build((1, size, size), 10)[0].double()
    nn.init.zeros_(residual.layers[0][0].weight)
    nn.init.ones_(residual.skip.weight), nn.init.zeros_(residual.skip.bias)
    columns = torch.arange(size, dtype=torch.float64).expand(1, 1, size, size)
    middles = [index * stride + kernel // 2 for index in range((size - kernel) // stride + 1)]
    assert residual(columns)[0, 0, 0].tolist() == middles


SHARED = {
    Repeat(Conv(4, padding=1, activation="prelu"), times=3, shared=True): 144 + 8 + 1,
    Repeat(Residual(Depthwise(padding=1), Pointwise(4)), times=3, shared=True): 36 + 8 + 16 + 8,
    Repeat(Repeat(Conv(4, padding=1), shared=True), Pointwise(4), times=3, shared=True): 144 + 8 + 16 + 8,
    Repeat(Repeat(Conv(4, padding=1)), SqueezeExcite(2), times=3, shared=True): 2 * (144 + 8) + 22,
}


@pytest.mark.parametrize("repeat", SHARED, ids=repr)
def test_shared_weights_count_once_and_their_gradient_is_the_sum_over_the_passes(repeat):
    module, images = build(repeat).train(), maps(5, 4, 9, 9)
    plain = build(repeat.model_copy(update={"shared": False})).train()
    assert count(module) == SHARED[repeat] and count(plain) == 3 * SHARED[repeat]
    for again in plain:
        again.load_state_dict(module[0].state_dict())
    for network in (module, plain):
        network(images).pow(2).sum().backward()
    for name, parameter in module[0].named_parameters():
        torch.testing.assert_close(parameter.grad, sum(again.get_parameter(name).grad for again in plain), msg=name)
    means = [norm.running_mean.sum().item() for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)]
    assert len(set(means)) == len(means) >= 3  # statistics are not shared


@pytest.mark.parametrize("repeat", SHARED, ids=repr)
def test_shared_weights_stay_shared_in_copies_and_after_loading(repeat):
    module, images = build(repeat), maps(5, 4, 9, 9)
    module.train()(images)  # so that statistics are not the initial ones
    loaded = build(repeat)
    loaded.load_state_dict(module.state_dict())
    for other in (copy.deepcopy(module), loaded):
        torch.testing.assert_close(other.eval()(images), module.eval()(images), rtol=0, atol=0)
        other.train()(images).pow(2).mean().backward()
        torch.optim.SGD(other.parameters(), lr=0.1).step()
        assert count(other) == SHARED[repeat]
        assert all(torch.equal(p, again.get_parameter(n)) for again in other for n, p in other[0].named_parameters())


@pytest.mark.parametrize(
    ("head", "parameters", "words"),
    [
        (Head(), 40, "average, 1×1 conv to classes"),
        (Head(by="linear", bias=True), 50, "average, linear to classes, bias"),
        (Head(classes_first=True, by="linear"), 40, "1×1 conv to classes, average"),
        (Head(reduce="flatten", classes_first=True), 3_240, "flatten, linear to classes"),
    ],
    ids=repr,
)
def test_a_head_returns_a_number_for_each_class_after_its_dropout(head, parameters, words):
    module, images = Network(head).filled[0].build((4, 9, 9), 10).double(), maps(2, 4, 9, 9)
    assert count(module) == parameters and head.describe() == words
    weights = next(p for p in module.parameters() if p.dim() > 1).flatten(1)
    bias = next((p for p in module.parameters() if p.dim() == 1), 0)
    flat = images.flatten(1) if head.reduce == "flatten" else images.mean((2, 3))
    torch.testing.assert_close(module(images), flat @ weights.T + bias)  # averages of classes are classes of averages
    dropped = Network(head.model_copy(update={"dropout": 0.9})).filled[0].build((4, 9, 9), 10).double().train()
    for linear in (m for m in dropped.modules() if isinstance(m, nn.Conv2d | nn.Linear)):
        nn.init.ones_(linear.weight), None if linear.bias is None else nn.init.zeros_(linear.bias)
    rows = dropped(torch.ones(50, 4, 9, 9).double())
    torch.testing.assert_close(rows, rows[:, :1].expand(50, 10))  # of the input of the classes, not of the classes
    assert rows.std(0).min() > 0


def test_a_network_takes_images_that_are_not_square():
    assert networks.everything().build((1, 64, 72), 10).eval()(torch.rand(2, 1, 64, 72)).shape == (2, 10)
    for layer in (Conv(4), Conv(5, 5, stride=2), MaxPool(2), BlurPool(2)):
        module, images = build(Residual(layer), (4, 12, 9)), maps(2, 4, 12, 9)
        assert module(images).shape == module.layers(images).shape
