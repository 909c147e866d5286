"""Quantisation-aware epochs compute what the C program computes, pass gradients on, and are the last ones only."""

import copy
from dataclasses import replace

import exported
import networks
import numpy as np
import pytest
import torch
from torch import nn

from tinycnn.data import Images, load
from tinycnn.errors import USAGE, SpecError
from tinycnn.export.export import in_integers
from tinycnn.export.subject import Subject
from tinycnn.integers.quantise import program_of
from tinycnn.integers.rounded import Rounded
from tinycnn.integers.rules import graph_of
from tinycnn.network.check import check
from tinycnn.spec import Adam, Conv, Custom, Data, Head, MaxPool, Network, OneCycle, Quantise, Spec, Target, Train
from tinycnn.spec.build import fresh
from tinycnn.track import provenance
from tinycnn.train import batched, start, train

SPEC = Spec(
    name="rounded",
    model=Network(Conv(6), Conv(8), MaxPool(2), Conv(8), MaxPool(2), Head(), dropout=0.05, activation="silu"),
    data=Data(name="mnist5k"),
    optimizer=Adam(lr=0.02),
    schedule=OneCycle(),
    train=Train(epochs=3, batch_size=20),
    target=Target(accuracy=None),
    quantise=Quantise(1),
)
NO_LIMIT = Target(accuracy=None, parameter_limit=None)


def rounded(network, data):
    return Rounded(network, data.shape, len(data.classes), data.mean, data.std, data.train.images)


def right(network, data, corrected):
    """Return the share of test images for which the program of a network is right."""
    still = copy.deepcopy(network).eval().requires_grad_(False)
    graph = graph_of(still, data.shape, len(data.classes), data.mean, data.std)
    scores = program_of(graph, data.train.images, corrected).run(data.evaluation.images.numpy())
    return (scores.argmax(1) == data.evaluation.labels.numpy()).mean()


class Few:
    """The images that networks of ``exported`` are tried on."""

    shape, classes, mean, std = (1, 28, 28), range(10), exported.MEAN[:1], exported.STD[:1]

    class train:
        images = exported.images(64)


def test_a_rounded_network_is_nearer_to_its_program_than_the_network_itself():
    pixels, nearer = exported.images(40, seed=5), {}
    for name in ("every layer", "residual with a projection", "tables", "kernels that are not square"):
        graph = exported.graph(exported.trained(name))
        made = program_of(graph, Few.train.images, corrected=False)
        scores = made.run(pixels.numpy()) * made.step
        with torch.no_grad():
            ours = rounded(exported.trained(name), Few)(exported.normalised(pixels)).numpy()
        plain = graph.forward(pixels.double()).numpy()
        nearer[name] = np.abs(scores - ours).mean() / np.abs(scores - plain).mean()
    assert max(nearer.values()) < 0.35, nearer


@pytest.mark.parametrize("name", ["every layer", "tables", "kernels that are not square"])
def test_gradients_pass_the_rounding_as_if_it_were_not_there(name):
    network, labels = copy.deepcopy(exported.trained(name)).requires_grad_(True), torch.arange(20) % 10
    images, gradients = exported.normalised(exported.images(20, seed=5)), []
    for each in (network, rounded(network, Few)):
        network.zero_grad()
        nn.functional.cross_entropy(each(images), labels).backward()
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    plain, ours = gradients
    assert plain.keys() == ours.keys() and all(each.isfinite().all() for each in ours.values())
    similar = nn.functional.cosine_similarity(*(torch.cat([*map(torch.flatten, g.values())]) for g in (plain, ours)), 0)
    assert similar > 0.95


def test_only_the_last_epochs_are_rounded(tiny_data):
    plain, ours = (
        [(each.train_loss, each.loss) for each in train(SPEC.but(quantise=which), 0, data=tiny_data, device="cpu")]
        for which in (Quantise(), Quantise(1))
    )
    assert ours[:2] == plain[:2] and ours[2] != plain[2]


def test_rounded_epochs_train_the_weights_and_keep_the_running_statistics_of_batch_norm(tiny_data):
    states = [copy.deepcopy(each.state.network.state_dict()) for each in train(SPEC, 0, data=tiny_data, device="cpu")]
    changed = {name for name in states[0] if not torch.equal(states[1][name], states[2][name])}
    statistics = {name for name in states[0] if "running" in name}
    assert statistics and changed == states[0].keys() - statistics - {n for n in states[0] if n.endswith("tracked")}


def test_c_is_as_accurate_after_a_rounded_epoch_as_after_another():
    data = load("mnist5k", offline=True)
    data = replace(data, train=Images(data.train.images[::4], data.train.labels[::4]))
    state, found = start(SPEC, 0, data, torch.device("cpu")), []
    training = train(SPEC.but(quantise=Quantise()), 0, data=data, device="cpu", state=state)
    next(training), next(training)
    for quantise, each in ((Quantise(), copy.deepcopy(state)), (Quantise(1), state)):
        (last,) = train(SPEC.but(quantise=quantise), 0, data=data, device="cpu", state=each)
        found.append(right(each.network, data, corrected=not quantise.epochs))
        assert last.epoch == 3
    plain, ours = found
    assert plain > 0.4 and ours > plain - 2 * np.sqrt(2 * plain * (1 - plain) / len(data.evaluation.labels)), found


@pytest.mark.parametrize(("weights", "epochs"), [("as trained", 1), ("averaged", 1), ("as trained", 0)])
def test_biases_are_corrected_unless_the_very_weights_were_trained_with_rounding(tiny_data, weights, epochs):
    network = fresh(SPEC.model, tiny_data.shape, 10).eval().requires_grad_(False)
    spec, facts = SPEC.but(quantise=Quantise(epochs)), (tiny_data.mean, tiny_data.std, {"weights": weights})
    found = Subject(spec, network, tiny_data.shape, 10, *facts)
    found.__dict__["data"] = tiny_data  # in place of the whole data set
    graph, made = in_integers(found)
    plain = program_of(graph, tiny_data.train.images, corrected=False)
    same = all(np.array_equal(a.operation.bias, b.operation.bias)
               for a, b in zip(made.steps, plain.steps, strict=True) if hasattr(a.operation, "bias"))  # fmt: skip
    assert same == (weights == "as trained" and epochs > 0)


def test_a_network_without_a_rule_or_without_earlier_epochs_is_one_line():
    for spec, words in (
        (SPEC.but(model=Custom("tests/notebooks.py:Functional"), target=NO_LIMIT), "must be 0, since model: Func"),
        (SPEC.but(quantise=Quantise(3)), "quantise.epochs: 3 of train.epochs = 3 leave none before them"),
    ):
        with pytest.raises(SpecError) as error:
            check(spec)
        assert words in str(error.value) and "\n" not in str(error.value) and error.value.exit_code == USAGE
    assert check(SPEC.but(model=networks.everything(), target=NO_LIMIT))


def test_rounded_seeds_are_not_trained_as_one_computation(tiny_data):
    assert batched.obstacle(SPEC.but(quantise=Quantise()), tiny_data) == ""
    assert "last epochs" in batched.obstacle(SPEC, tiny_data)


def test_only_runs_with_rounded_epochs_depend_on_the_code_of_rounding():
    plain, ours = (provenance.code(SPEC.but(quantise=each), "torch") for each in (Quantise(), Quantise(1)))
    added = ours.keys() - plain.keys()
    assert not any(name.startswith(("tinycnn/integers", "tinycnn/train/quantised")) for name in plain)
    assert {"tinycnn/train/quantised.py:train_epoch", "tinycnn/integers/rounded.py:Rounded"} <= added
    rules = {name.rpartition(":")[2] for name in added if "rules.py" in name}
    assert "_max_pool" in rules and "_squeeze_excite" not in rules
