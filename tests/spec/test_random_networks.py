"""Random networks, every kind of layer nested in others, against torch's counter, its shapes and autograd."""

import copy
import json
from dataclasses import replace

import networks
import pytest
import random_networks
import torch
from hypothesis import given, settings
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tinycnn import spec as everything
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import count_parameters, measure
from tinycnn.spec import BlurPool, Spec, Target
from tinycnn.spec.model import every

RANDOM = settings(max_examples=25)


def profile(model, size):
    spec, facts = Spec(name="some", model=model, target=Target(parameter_limit=None)), DATASETS["mnist"]
    return measure(spec, replace(facts, size=size)), count_parameters(spec, replace(facts, size=size))


def outputs(network, rows, images):
    """Return what the module of each row returns, by its name."""
    found = {}
    for row in rows:
        network.get_submodule(row.name).register_forward_hook(
            lambda module, args, out, name=row.name: found.update({name: out})
        )
    network.eval()(images)
    return found


@RANDOM
@given(random_networks.networks())
def test_rows_of_any_network_are_what_torch_counts_and_returns(model):
    (found, parameters), network = profile(model, 40), networks.built(model, 1, 40)
    assert sum(row.parameters for row in found.layers) == found.parameters == parameters
    assert parameters == sum(p.numel() for p in network.parameters())
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 1, 40, 40))
    assert sum(row.macs for row in found.layers) == found.macs == counter.get_total_flops() // 2
    given = outputs(network, found.layers, torch.zeros(1, 1, 40, 40))
    assert [row.output for row in found.layers] == [tuple(given[row.name].shape[1:]) for row in found.layers]


def positive(network):
    """Return the network in float64 with all parameters positive, so that nothing cancels."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1 / parameter[0].numel() if parameter.dim() > 1 else 0.5)
    return network.double()


def seen(output, unit, image):
    """Return first and last row, first and last column of the image that change a unit, by the gradient."""
    (gradient,) = torch.autograd.grad(output[(0, slice(None), *unit)].sum(), image, retain_graph=True)
    touched = gradient[0, 0] != 0
    return [(int(line.nonzero().min()), int(line.nonzero().max())) for line in (touched.any(1), touched.any(0))]


@RANDOM
@given(random_networks.networks(size=64))
def test_receptive_fields_of_any_network_are_those_of_autograd(model):
    (found, _), network, size = profile(model, 64), positive(networks.built(model, 1, 64)), 64
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    reflected = any(isinstance(layer, BlurPool) for layer in every(model.layers))
    with pytest.MonkeyPatch.context() as patch:  # of a maximum only one pixel has a gradient
        patch.setattr(functional, "max_pool2d", lambda x, n, stride=None, *_, **__: functional.avg_pool2d(x, n, stride))
        given = outputs(network, found.layers, image)
    for row in (row for row in found.layers if len(row.output) == 3):
        for index in {0, row.output[1] // 2}:
            first = row.start + row.jump * index
            last = first + row.receptive_field - 1
            if reflected and not (first >= 0 and last < size):
                continue  # at the border a blur sees what it reflects
            for low, high in seen(given[row.name], (index, index), image):
                # no gradient lies outside the image, and the border may fall between pixels of a dilated window
                assert low == first if first >= 0 else low >= 0, row
                assert high == last if last < size else high < size, row


@RANDOM
@given(random_networks.networks())
def test_json_repr_and_copies_of_any_network_are_the_same_network(model):
    spec = Spec(name="some", model=model)
    again = Spec.from_json(spec.to_json())
    assert again == spec and again.hash == spec.hash
    assert Spec.from_dict(json.loads(spec.model_dump_json(exclude_defaults=True)) | {"name": "some"}) == spec
    assert eval(repr(model), vars(everything)) == model
    built = []
    for each in (model, again.model):
        torch.manual_seed(3)
        built.append(networks.built(each, 1, 40))
    images = torch.randn(4, 1, 40, 40)
    with torch.no_grad():
        built[0].train()(images)  # so that running statistics are not the initial ones
    built[1].load_state_dict(built[0].state_dict())
    expected = built[0].eval()(images)
    for each in (copy.deepcopy(built[0]), built[1]):
        torch.testing.assert_close(each.eval()(images), expected, rtol=0, atol=0)
