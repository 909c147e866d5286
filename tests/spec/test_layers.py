"""What ``spec/layers.py`` and ``spec/model.py`` promise: layers are data, and build what torch computes."""

import copy
import dataclasses
import io

import networks
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError
from tinycnn.spec import (
    Activation,
    AvgPool,
    BlurPool,
    Conv,
    Depthwise,
    Dropout,
    GatedPool,
    Head,
    Layer,
    MaxPool,
    Network,
    Norm,
    Pointwise,
    Repeat,
    Residual,
    Spec,
    SqueezeExcite,
    Target,
)
from tinycnn.spec import load as experiments
from tinycnn.train.loop import train

MNIST = DATASETS["mnist"]
LAYERS = [each for each in Layer.kinds().values() if each.__module__.startswith("tinycnn.spec.")]


def kinds(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def spec_of(network):
    return Spec(name="some", model=network, target=Target(parameter_limit=None))


def made(layer, shape=(4, 9, 9), **options):
    """Return the module of a layer for maps of ``shape``, in a network with ``options``."""
    torch.manual_seed(0)
    return Network(layer, **options).filled[0].build(shape).double()


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# --- the networks of the iterations ----------------------------------------------------------------------------------


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
    assert count(networks.built(networks.NAMED[name](**arguments))) == parameters
    assert count(networks.built(networks.NAMED[name](dropout=0.3, **arguments))) == parameters


@pytest.mark.parametrize("data", DATASETS)
@pytest.mark.parametrize("name", [*networks.NAMED, "everything"])
def test_a_network_takes_channels_size_and_classes_from_the_data_set(name, data):
    facts = DATASETS[data]
    network = (networks.NAMED | {"everything": networks.everything})[name]()
    pictures = torch.rand(2, facts.channels, facts.size, facts.size)
    for classes in (10, 3):
        logits = networks.built(network, facts.channels, facts.size, classes).eval()(pictures)
        assert logits.shape == (2, classes) and torch.isfinite(logits).all()


def test_the_first_iteration_has_no_batch_norm_and_averages_over_7x7():
    network = networks.built(networks.model_1())
    assert not kinds(network, nn.BatchNorm2d) and not kinds(network, nn.Dropout2d)
    assert before_average(network) == (7, 7)


@pytest.mark.parametrize(("name", "averaged"), [("model_2", (3, 3)), ("model_3", (3, 3)), ("early_pool", (2, 2))])
def test_the_later_networks_have_batch_norm_after_each_3x3_and_average_over_what_is_left(name, averaged):
    network = networks.built(networks.NAMED[name](dropout=0.1))
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
    network = networks.built(spec.model)
    blocks = [b for b in network if isinstance(b, nn.Sequential) and kinds(b, nn.BatchNorm2d)]
    assert len(blocks) == 7 and spec.model.dropout > 0
    assert all(isinstance(b[-1], nn.Dropout2d) and b[-1].p == spec.model.dropout for b in blocks)
    assert spec.augment.cutout > 0 and (spec.optimizer.name, spec.schedule.name) == ("Adam", "StepLR")


def test_no_dropout_is_no_layer():
    assert not kinds(networks.built(networks.model_3(dropout=0.0)), nn.Dropout2d)


def test_padding_keeps_the_map_of_a_3x3_convolution():
    shapes = []
    network = networks.built(networks.model_2(padding=1))
    for module in kinds(network, nn.BatchNorm2d):
        module.register_forward_hook(lambda _, args, out: shapes.append(out.shape[-1]))
    network.eval()(torch.rand(1, 1, 28, 28))
    assert shapes == [28, 28, 14, 7]


# --- a network is data -----------------------------------------------------------------------------------------------

MANY = [networks.everything(), *(each() for each in networks.NAMED.values()), *map(networks.some, range(25))]


@pytest.mark.parametrize("number", range(len(MANY)))
def test_json_there_and_back_is_the_same_network_with_the_same_weights(number):
    network, size = MANY[number], 28 if number < 5 else 64
    again = Spec.from_json(spec_of(network).to_json()).model
    assert again == network and repr(again) == repr(network) and type(again.layers[0]) is type(network.layers[0])
    states = []
    for each in (network, again):
        torch.manual_seed(3)
        states.append(networks.built(each, size=size).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("number", range(len(MANY)))
def test_the_words_of_a_network_make_it_again(number):
    words = {name: value for name, value in globals().items() if isinstance(value, type)}
    assert eval(repr(MANY[number]), words) == MANY[number]


def test_every_kind_of_layer_is_tried_in_these_tests():
    used = {type(layer) for network in MANY for layer in _every(network.layers)}
    assert used == set(LAYERS)


def _every(layers):
    for layer in layers:
        yield layer
        yield from _every(getattr(layer, "layers", ()))


@pytest.mark.parametrize("number", range(len(MANY)))
def test_every_parameter_of_a_network_has_a_gradient_that_is_a_number(number):
    network = networks.built(MANY[number], size=28 if number < 5 else 64).train()
    size = 28 if number < 5 else 64
    functional.cross_entropy(network(torch.randn(8, 1, size, size)), torch.arange(8)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_layers_take_what_the_network_says_and_only_where_they_do_not():
    network = Network(
        Conv(4), Conv(4, norm="none", activation="none", dropout=0.0, padding=0, bias=True),
        Residual(Conv(4, activation="gelu"), Repeat(Depthwise())), Pointwise(4), Head(), Head(bias=False),
        padding=1, norm="batch", activation="silu", dropout=0.2, dropout_of="elements", bias=False,
    )  # fmt: skip
    first, second, residual, pointwise, head, last = network.filled
    assert (first.padding, first.norm, first.activation) == (1, "batch", "silu")
    assert (first.dropout, first.dropout_of, first.bias) == (0.2, "elements", False)
    assert (second.padding, second.norm, second.activation, second.dropout, second.bias) == (0, "none", "none", 0, True)
    assert residual.norm == "batch" and residual.activation == "none"
    assert residual.layers[0].activation == "gelu" and residual.layers[0].padding == 1
    assert residual.layers[1].layers[0].activation == "silu" and pointwise.dropout == 0.2
    assert (head.bias, last.bias) == (False, False)
    assert network.layers[0].padding is None  # what is written down is what was said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Conv(), "channels"),
        (lambda: Conv(0), "greater than or equal to 1"),
        (lambda: Conv(8, kernel=0), "kernel"),
        (lambda: Conv(8, padding="valid"), "padding"),
        (lambda: Conv(8, activation="relu6"), "activation"),
        (lambda: Conv(8, width=3), "width"),
        (lambda: Conv(8, dropout=1.0), "dropout"),
        (lambda: Dropout(), "rate"),
        (lambda: Residual(), "layers"),
        (lambda: Repeat(Conv(8), times=0), "times"),
        (lambda: Network(), "layers"),
        (lambda: Network(Conv(8), 3), "must be a Layer, e.g. "),
        (lambda: Network(Conv), "must be a Layer, e.g. "),
        (lambda: Residual(Network(Head())), "must be a Layer, e.g. .* not Network"),
    ],
)
def test_what_no_layer_can_be_is_refused_by_the_name_of_the_field(make, words):
    with pytest.raises(ValidationError, match=words):
        make()


# --- each layer against torch.nn.functional --------------------------------------------------------------------------


def test_a_convolution_has_norm_activation_and_dropout_after_it_in_this_order():
    module = made(Conv(8, 3, stride=2, padding=1, dilation=2, groups=2, bias=True, dropout=0.1), activation="relu")
    conv, norm, *_ = module
    assert [type(each) for each in module] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout2d]
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    images = maps(5, 4, 9, 9)
    plain = functional.conv2d(images, conv.weight, conv.bias, 2, 1, 2, 2)
    mean, deviation = plain.mean((0, 2, 3), keepdim=True), plain.var((0, 2, 3), unbiased=False, keepdim=True)
    scaled = (plain - mean) / (deviation + norm.eps).sqrt()
    expected = (scaled * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)).clamp(min=0)
    module[3].p = 0.0
    torch.testing.assert_close(module.train()(images), expected)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_padding_keeps_the_size_of_the_map(kernel, dilation):
    for layer in (Conv(3, kernel, dilation=dilation), Depthwise(kernel, dilation=dilation)):
        assert made(layer, padding="same")(maps(1, 4, 9, 9)).shape[2:] == (9, 9)


@pytest.mark.parametrize("layer", [Conv(3, 2), Conv(3, 4), Depthwise(2), Conv(3, 4, dilation=3)])
def test_same_padding_that_cannot_keep_the_size_is_refused(layer):
    with pytest.raises(SpecError, match='"same" needs an odd kernel or an even dilation'):
        made(layer, padding="same")
    strided = layer.model_copy(update={"stride": 2, "dilation": 1})
    assert made(strided, (4, 8, 8), padding="same")(maps(1, 4, 8, 8)).shape[2:] == (4, 4)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_is_a_convolution_of_each_channel_by_itself(multiplier):
    module = made(Depthwise(3, multiplier=multiplier, stride=2, padding=1), norm="none", activation="none")
    images, (conv,) = maps(2, 4, 9, 9), module
    assert count(module) == 9 * 4 * multiplier
    for channel in range(4):
        own = conv.weight[channel * multiplier : (channel + 1) * multiplier]
        expected = functional.conv2d(images[:, channel : channel + 1], own, None, 2, 1)
        torch.testing.assert_close(module(images)[:, channel * multiplier : (channel + 1) * multiplier], expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_pointwise_is_a_matrix_at_each_pixel(groups):
    module = made(Pointwise(6, groups=groups), norm="none", activation="none", padding=2)
    images = maps(2, 4, 9, 9)
    matrices = module[0].weight.view(groups, 6 // groups, 4 // groups)
    expected = torch.einsum("gok,ngkhw->ngohw", matrices, images.view(2, groups, 4 // groups, 9, 9)).flatten(1, 2)
    torch.testing.assert_close(module(images), expected)


@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (2, 1), (3, None)])
def test_pools_take_maximum_and_average_of_each_window(size, stride):
    images = maps(2, 4, 9, 9)
    windows = images.unfold(2, size, stride or size).unfold(3, size, stride or size).flatten(4)
    highest, average = windows.amax(4), windows.mean(4)
    torch.testing.assert_close(made(MaxPool(size, stride=stride))(images), highest)
    torch.testing.assert_close(made(AvgPool(size, stride=stride))(images), average)
    gated = made(GatedPool(size, stride=stride))
    assert count(gated) == 8  # a scale and a shift for each of 4 channels
    torch.testing.assert_close(gated(images), highest * torch.sigmoid(average))
    nn.init.normal_(gated.scale), nn.init.normal_(gated.shift)
    gate = torch.sigmoid(average * gated.scale.view(4, 1, 1) + gated.shift.view(4, 1, 1))
    torch.testing.assert_close(gated(images), highest * gate)


BINOMIAL = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1], 7: [1, 6, 15, 20, 15, 6, 1]}


@pytest.mark.parametrize("width", BINOMIAL)
def test_a_blur_pool_averages_maxima_with_binomial_weights_and_leaves_even_maps_alone(width):
    module = made(BlurPool(2, width=width), (4, 13, 13))
    row = torch.tensor(BINOMIAL[width], dtype=torch.float64)
    assert not list(module.parameters())
    for kernel in module.kernel:
        torch.testing.assert_close(kernel[0], torch.outer(row, row) / row.sum() ** 2)
    torch.testing.assert_close(module(torch.full((1, 4, 13, 13), 0.7, dtype=torch.float64)).unique().item(), 0.7)
    images = maps(2, 4, 13, 13)
    highest = images.unfold(2, 2, 1).unfold(3, 2, 1).amax((4, 5))  # 12x12
    before = (width - 1) // 2
    for y, x in ((2, 2), (2, 3)):  # inside: by hand
        window = highest[:, :, 2 * y - before :, 2 * x - before :][:, :, :width, :width]
        expected = (window * torch.outer(row, row)).sum((2, 3)) / row.sum() ** 2
        if window.shape[2:] == (width, width) and 2 * y - before >= 0:
            torch.testing.assert_close(module(images)[:, :, y, x], expected)
    assert module(images).shape[2:] == (6, 6) and "kernel" not in module.state_dict()


def test_a_blur_pool_changes_less_than_a_max_pool_when_a_picture_is_shifted():
    images = maps(8, 4, 33, 33).cumsum(2).cumsum(3)
    change = []
    for layer in (MaxPool(2), BlurPool(2)):
        module = made(layer, (4, 32, 32))
        one, other = module(images[..., :32, :32]), module(images[..., :32, 1:])
        change.append((one - other).norm() / one.norm())
    assert change[1] < change[0]


def test_squeeze_and_excite_multiplies_each_channel_by_a_gate_of_all_averages():
    module = made(SqueezeExcite(3))
    images = maps(2, 4, 9, 9)
    hidden = torch.relu(images.mean((2, 3)) @ module.reduce.weight.view(3, 4).T + module.reduce.bias)
    gate = torch.sigmoid(hidden @ module.expand.weight.view(4, 3).T + module.expand.bias)
    torch.testing.assert_close(module(images), images * gate[:, :, None, None])
    assert count(module) == 4 * 3 + 3 + 3 * 4 + 4


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
def test_activations_are_those_functions_alone_and_after_a_convolution(name, function, parameters):
    images = maps(2, 4, 9, 9)
    module = made(Activation(name))
    torch.testing.assert_close(module(images), function(images))
    assert count(module) == parameters
    after = made(Conv(4, 1, activation=name), norm="none")
    torch.testing.assert_close(after(images), function(after[0](images)))
    assert count(after) == 16 + parameters


def test_norm_by_itself_normalises_the_pictures():
    images = 3 * maps(50, 4, 9, 9) + 2
    normal = made(Norm()).train()(images)
    torch.testing.assert_close(normal.mean((0, 2, 3)), torch.zeros(4).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(normal.var((0, 2, 3), unbiased=False), torch.ones(4).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layer", [Dropout(0.5), Conv(64, dropout=0.5, norm="none")], ids=["alone", "of a convolution"])
def test_dropout_takes_whole_maps_in_training_and_nothing_in_evaluation(layer):
    module = positive(made(layer, (64, 6, 6)))
    images = maps(8, 64, 6, 6).abs() + 0.1
    zeros = (module.train()(images) == 0).double().mean((2, 3))
    assert set(zeros.unique().tolist()) == {0.0, 1.0} and 0.4 < zeros.mean() < 0.6
    assert (module.eval()(images) > 0).all()


@pytest.mark.parametrize(
    "layer", [Dropout(0.5, of="elements"), Conv(64, dropout=0.5, dropout_of="elements", norm="none")]
)
def test_dropout_of_elements_takes_pixels_here_and_there(layer):
    module = positive(made(layer, (64, 6, 6)))
    images = maps(8, 64, 6, 6).abs() + 0.1
    zeros = (module.train()(images) == 0).double().mean((2, 3))
    assert 0 < zeros.min() < zeros.max() < 1 and 0.45 < zeros.mean() < 0.55
    assert (module.eval()(images) > 0).all()


def positive(module):
    for conv in kinds(module, nn.Conv2d):
        conv.weight.data.abs_().add_(0.1)
    return module


# --- residual --------------------------------------------------------------------------------------------------------


def test_a_residual_adds_its_input_to_what_its_layers_make():
    module, images = made(Residual(Conv(4), Conv(4, 1), activation="relu"), padding=1), maps(2, 4, 9, 9)
    torch.testing.assert_close(module.eval()(images), torch.relu(images + module.layers(images)))
    assert count(module) == count(module.layers) and isinstance(module.skip, nn.Identity)


def test_a_residual_of_unpadded_layers_cuts_the_border_off_its_input():
    module, images = made(Residual(Conv(4), Conv(4, 5))), maps(2, 4, 9, 9)
    torch.testing.assert_close(module.eval()(images), images[:, :, 3:-3, 3:-3] + module.layers(images))
    assert count(module) == count(module.layers)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_residual_of_other_channels_and_strides_projects_its_input(norm):
    module, images = made(Residual(Conv(6, stride=2, padding=1)), norm=norm), maps(2, 4, 9, 9)
    conv = module.skip[0] if norm == "batch" else module.skip
    assert (conv.bias is None) == (norm == "batch") and conv.weight.shape == (6, 4, 1, 1)
    projected = torch.einsum("ok,nkhw->nohw", conv.weight[:, :, 0, 0], images[:, :, ::2, ::2])
    projected = module.skip[1].eval()(projected) if norm == "batch" else projected + conv.bias.view(-1, 1, 1)
    torch.testing.assert_close(module.eval()(images), projected + module.layers(images))


def test_a_residual_inside_a_residual_adds_up():
    module, images = made(Residual(Residual(Conv(4)), Conv(4)), padding=1).eval(), maps(2, 4, 9, 9)
    first = images + module.layers[0].layers(images)
    torch.testing.assert_close(module(images), images + module.layers[1](first))


@pytest.mark.parametrize(("height", "width"), [(9, 9), (12, 9), (20, 24)])
@pytest.mark.parametrize("layer", [Conv(4), Conv(5, 5, stride=2), MaxPool(2), Conv(4, 3, stride=3), BlurPool(2)])
def test_a_residual_takes_oblong_maps_as_square_ones(layer, height, width):
    module = made(Residual(layer), (4, height, width))
    assert module(maps(2, 4, height, width)).shape == module.layers(maps(2, 4, height, width)).shape


# --- repeat ----------------------------------------------------------------------------------------------------------

SHARED = {
    "convolution": Repeat(Conv(4, padding=1, activation="prelu"), times=3, shared=True),
    "residual": Repeat(Residual(Depthwise(padding=1), Pointwise(4)), times=3, shared=True),
    "nested": Repeat(Repeat(Conv(4, padding=1), times=2, shared=True), Pointwise(4), times=3, shared=True),
    "nested, inner not": Repeat(Repeat(Conv(4, padding=1), times=2), SqueezeExcite(2), times=3, shared=True),
    "pool": Repeat(Conv(4, padding=1), GatedPool(2, stride=1), times=3, shared=True),
}
PASS = {"convolution": 144 + 8 + 1, "residual": 36 + 8 + 16 + 8, "nested": 144 + 8 + 16 + 8,
        "nested, inner not": 2 * (144 + 8) + 22, "pool": 144 + 8 + 8}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_shared_weights_have_the_parameters_of_one_pass_and_of_a_plain_repeat_those_of_all(name):
    module = made(SHARED[name])
    assert count(module) == PASS[name] and len(module) == 3
    assert len({id(p) for p in module.parameters()}) == len(list(module[0].parameters()))
    plain = made(SHARED[name].model_copy(update={"shared": False}))
    assert count(plain) == 3 * PASS[name]


@pytest.mark.parametrize("name", SHARED)
def test_the_gradient_of_shared_weights_is_the_sum_of_those_of_the_passes(name):
    module, images = made(SHARED[name]).train(), maps(5, 4, 9, 9)
    plain = made(SHARED[name].model_copy(update={"shared": False})).train()
    with torch.no_grad():
        for again in plain:
            for one, other in zip(again.named_parameters(), module[0].named_parameters(), strict=True):
                one[1].copy_(other[1])
    for network in (module, plain):
        network(images).pow(2).sum().backward()
    torch.testing.assert_close(module(images), plain(images))
    for name, parameter in module[0].named_parameters():
        expected = sum(again.get_parameter(name).grad for again in plain)
        torch.testing.assert_close(parameter.grad, expected, msg=name)


@pytest.mark.parametrize("name", SHARED)
def test_each_pass_has_running_statistics_of_its_own(name):
    module = made(SHARED[name], dropout=0.0).train()
    module(3 * maps(5, 4, 9, 9) + 1)
    means = [tuple(norm.running_mean.tolist()) for norm in kinds(module, nn.BatchNorm2d)]
    assert len(means) >= 3 and len(set(means)) == len(means)


@pytest.mark.parametrize("name", SHARED)
def test_shared_weights_stay_shared_in_copies_and_after_loading(name):
    module, images = made(SHARED[name]), maps(5, 4, 9, 9)
    module.train()(images)  # statistics that are not those at the start
    twin = copy.deepcopy(module)
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    saved.seek(0)
    loaded = SHARED[name].filled(Network(Head())).build((4, 9, 9)).double()
    loaded.load_state_dict(torch.load(saved, weights_only=True))
    pickled = io.BytesIO()
    torch.save(module, pickled)
    pickled.seek(0)
    whole = torch.load(pickled, weights_only=False)
    for other in (twin, loaded, whole, copy.deepcopy(module).float().double().to("cpu")):
        assert count(other) == PASS[name]
    for other in (twin, loaded, whole):
        torch.testing.assert_close(other.eval()(images), module.eval()(images), rtol=0, atol=0)
        step(other.train(), images)
        assert count(other) == PASS[name]
        for again in other:
            assert all(torch.equal(p, again.get_parameter(name)) for name, p in other[0].named_parameters())


def step(network, images):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(images).pow(2).mean().backward()
    optimizer.step()


def test_shared_weights_train_as_those_of_any_network(tiny, tiny_data):
    spec = tiny.but(model=Network(Conv(8, stride=2), Repeat(Conv(8, padding=1), times=3, shared=True), Head()))
    *_, last = train(spec.but(train={"epochs": 10}), 0, data=tiny_data)
    assert last.accuracy > 30
    first, *others = last.state.network[1]
    assert all(torch.equal(first[0][0].weight, other[0][0].weight) for other in others)


# --- head ------------------------------------------------------------------------------------------------------------

HEADS = [
    (Head(), 4 * 10, ("average", "linear")),
    (Head(bias=True), 4 * 10 + 10, ("average", "linear")),
    (Head(by="linear"), 4 * 10, ("average", "linear")),
    (Head(by="linear", bias=True), 4 * 10 + 10, ("average", "linear")),
    (Head(classes_first=True), 4 * 10, ("linear", "average")),
    (Head(classes_first=True, by="linear", bias=True), 4 * 10 + 10, ("linear", "average")),
    (Head(reduce="flatten"), 4 * 81 * 10, ("flatten", "linear")),
    (Head(reduce="flatten", bias=True, classes_first=True), 4 * 81 * 10 + 10, ("flatten", "linear")),
]


@pytest.mark.parametrize(
    ("head", "parameters", "steps"), HEADS, ids=lambda value: repr(value) * isinstance(value, Head)
)
def test_a_head_gives_a_number_for_each_class(head, parameters, steps):
    torch.manual_seed(0)
    module, images = Network(head).filled[0].build((4, 9, 9), 10).double(), maps(2, 4, 9, 9)
    assert count(module) == parameters
    weights = next(p for p in module.parameters() if p.dim() > 1).flatten(1)
    bias = next((p for p in module.parameters() if p.dim() == 1), 0)
    flat = images.flatten(1) if steps[0] == "flatten" else images.mean((2, 3))
    torch.testing.assert_close(module(images), flat @ weights.T + bias)  # averages of classes are classes of averages


@pytest.mark.parametrize("head", [head for head, *_ in HEADS], ids=repr)
def test_dropout_of_a_head_comes_before_its_classes(head):
    torch.manual_seed(0)
    module = Network(head.model_copy(update={"dropout": 0.99})).filled[0].build((4, 9, 9), 10)
    for linear in (m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)):
        nn.init.ones_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    module.train()
    assert (module(torch.ones(200, 4, 9, 9))[:, 0].std() > 0) and module.eval()(
        torch.ones(1, 4, 9, 9)
    ).unique().numel() == 1
    rows = module.train()(torch.ones(50, 4, 9, 9))
    assert torch.equal(rows, rows[:, :1].expand(50, 10))  # of what goes in, not of the classes


def test_a_head_may_be_anywhere_that_its_classes_come_last():
    layers = (Conv(4), Residual(Conv(4), Conv(4)), Head())
    assert networks.built(Network(*layers), classes=7)(torch.rand(2, 1, 28, 28)).shape == (2, 7)


def test_a_network_takes_pictures_that_are_not_square():
    for number, network in enumerate(MANY):
        shape = dataclasses.replace(MNIST).channels, 64, 72
        assert network.build(shape, 10).eval()(torch.rand(2, *shape)).shape == (2, 10), number


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (Head(), "average, 1×1 conv to classes"),
        (Head(by="linear", bias=True), "average, linear to classes, bias"),
        (Head(classes_first=True), "1×1 conv to classes, average"),
        (Head(classes_first=True, by="linear"), "1×1 conv to classes, average"),  # which it is
        (Head(reduce="flatten", classes_first=True), "flatten, linear to classes"),
    ],
)
def test_a_head_is_called_what_it_is(head, words):
    assert head.describe() == words


def test_a_blurring_pool_without_room_for_its_window_is_refused_for_that_and_not_for_its_filter():
    with pytest.raises(SpecError, match=r"layers.1 \(blur-pool 2\): shrinks a map of 1×1×1 below 1×1; use fewer"):
        Network(AvgPool(28), BlurPool(2), Head()).build((1, 28, 28), 10)
