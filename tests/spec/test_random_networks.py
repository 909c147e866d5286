"""Networks drawn at random, every kind of layer nested in others, against torch's counting, its shapes and autograd."""

import copy
import json
import math
from dataclasses import replace

import networks
import pytest
import random_networks
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tinycnn import spec as everything
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import count_parameters, measure
from tinycnn.spec import BlurPool, Spec, Target
from tinycnn.spec.model import every
from tinycnn.spec.modules import BlurPool as Blur

MNIST = DATASETS["mnist"]
RANDOM = settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)  # fmt: skip


def spec_of(network):
    return Spec(name="some", model=network, target=Target(parameter_limit=None))


def measured(network, size=28, channels=1):
    return measure(spec_of(network), replace(MNIST, size=size, channels=channels))


def outputs(network, found, pictures):
    """Return what each row's module gives, by its name."""
    given, hooks = {}, []
    for row in found.layers:
        module = network.get_submodule(row.name)
        hooks.append(module.register_forward_hook(lambda _, args, out, name=row.name: given.update({name: out})))
    network.eval()(pictures)
    for hook in hooks:
        hook.remove()
    return given


def counted(network, pictures):
    """Return the multiply-accumulates of a picture: for each number that is computed, those that go into it."""
    total, hooks = [], []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            into = module.weight[0].numel()
        elif isinstance(module, Blur):
            into = module.kernel[0].numel()
        else:
            continue
        hooks.append(module.register_forward_hook(lambda _, args, out, n=into: total.append(n * out[0].numel())))
    network.eval()(pictures)
    for hook in hooks:
        hook.remove()
    return sum(total)


@RANDOM
@given(random_networks.networks())
def test_rows_of_any_network_add_up_to_what_torch_counts_and_have_the_shapes_it_gives(model):
    found, network, picture = measured(model, 40), networks.built(model, 1, 40), torch.zeros(1, 1, 40, 40)
    parameters = sum(p.numel() for p in network.parameters())
    assert sum(row.parameters for row in found.layers) == found.parameters == parameters
    assert count_parameters(spec_of(model), replace(MNIST, size=40)) == parameters
    with FlopCounterMode(display=False) as counter:
        network.eval()(picture)
    assert sum(row.macs for row in found.layers) == found.macs == counter.get_total_flops() // 2
    assert found.macs == counted(network, picture)
    given = outputs(network, found, picture)
    assert {row.name: row.output for row in found.layers} == {n: tuple(out.shape[1:]) for n, out in given.items()}
    assert len(given) == len(found.layers) and all(math.prod(row.output) > 0 for row in found.layers)


def everything_counts(network):
    """Return the network with every parameter positive, in float64, so that nothing cancels."""
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            with torch.no_grad():
                parameter.fill_(1 / parameter[0].numel() if parameter.dim() > 1 else 0.5)
    return network.double()


def average_for_maximum(patch):
    """Let maxima be averages, of which every pixel has a part."""

    def average(images, size, stride=None, *_, **__):
        return functional.avg_pool2d(images, size, stride)

    patch.setattr(functional, "max_pool2d", average)


def touched(output, place, picture):
    """Return first and last row and column of the pixels that change a unit, by the gradient; None for none."""
    unit = output[(0, slice(None), *place)].sum()
    (gradient,) = torch.autograd.grad(unit, picture, retain_graph=True)
    there = gradient[0, 0] != 0
    rows, columns = (torch.nonzero(there.any(axis)).flatten() for axis in (1, 0))
    return [(int(line[0]), int(line[-1])) for line in (rows, columns)]


def assert_fields_are_autograds(model, size):
    found, network = measured(model, size), everything_counts(networks.built(model, 1, size))
    picture = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    inside, reflected = 0, any(isinstance(layer, BlurPool) for layer in every(model.layers))
    with pytest.MonkeyPatch.context() as patch:
        average_for_maximum(patch)
        given = outputs(network, found, picture)
        for row in found.layers:
            if len(row.output) == 1:
                places = [()]
            else:
                middle = row.output[1] // 2
                places = [(each, each) for each in (middle, middle + 1) if each < row.output[1]]
            for place in places:
                first = row.start + (place[0] * row.jump if place else 0)
                last = first + row.receptive_field - 1
                if reflected and not (first >= 0 and last < size):
                    continue  # at the border blurring sees what it reflects
                for low, high in touched(given[row.name], place, picture):
                    # beyond the picture nothing has a gradient, and of a dilated window the border may fall between
                    assert low == first if first >= 0 else low >= 0, (row, place)
                    assert high == last if last < size else high < size, (row, place)
                inside += first >= 0 and last < size
    return inside


@RANDOM
@given(random_networks.networks(size=64))
def test_receptive_fields_of_any_network_lie_where_autograd_says_that_units_see(model):
    assert_fields_are_autograds(model, 64)


def parameters_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


def weights(network, seed=3, size=40):
    torch.manual_seed(seed)
    return networks.built(network, 1, size).state_dict()


def assert_same(one, other):
    assert list(one) == list(other)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@RANDOM
@given(random_networks.networks())
def test_json_and_back_is_the_same_network_with_the_same_first_weights(network):
    spec = Spec(name="some", model=network)
    again = Spec.from_json(spec.to_json())
    assert again == spec and again.hash == spec.hash and again.model == network
    assert_same(weights(network), weights(again.model))
    short = Spec.from_dict(json.loads(spec.model_dump_json(exclude_defaults=True)) | {"name": "some"})
    assert short == spec


@RANDOM
@given(random_networks.networks())
def test_what_a_network_is_called_is_the_python_that_makes_it(network):
    assert eval(repr(network), vars(everything)) == network


@RANDOM
@given(random_networks.networks())
def test_a_copy_of_a_network_and_one_with_its_weights_compute_the_same(network):
    torch.manual_seed(1)
    built, other = networks.built(network, 1, 40), networks.built(network, 1, 40)
    pictures = torch.randn(4, 1, 40, 40)
    with torch.no_grad():
        built.train()(pictures)  # so that running statistics are not those of the beginning
    copied = copy.deepcopy(built)
    other.load_state_dict(built.state_dict())
    expected = built.eval()(pictures)
    for each in (copied, other):
        assert parameters_of(each) == parameters_of(built)
        torch.testing.assert_close(each.eval()(pictures), expected, rtol=0, atol=0)
