"""``Custom`` takes the networks of notebooks as they are: measured, checked and trained like those of layers."""

from dataclasses import replace

import notebooks
import pytest
import torch
from torch import nn

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError
from tinycnn.network.profile import count_parameters, measure
from tinycnn.spec import Custom, Spec, Target, explain
from tinycnn.train.loop import train

MNIST = DATASETS["mnist"]


def spec_of(network, *args, **arguments):
    return Spec(name="some", model=Custom(network, *args, **arguments), target=Target(parameter_limit=None))


def rows(spec, facts=MNIST):
    return [(r.name, r.kind, r.output, r.parameters, r.macs, r.receptive_field) for r in measure(spec, facts).layers]


# Worked out by hand: parameters k*k*in*out + out, multiply-accumulates k*k*in*out times the pixels of the map.
FUNCTIONAL = [
    ("conv1", "conv 3×3, 8, bias", (8, 26, 26), 80, 48_672, 3),
    ("conv2", "conv 3×3, 12", (12, 24, 24), 864, 497_664, 5),
    ("bn2", "BN", (12, 24, 24), 24, 0, 5),
    ("conv3", "conv 1×1, 10, bias", (10, 12, 12), 130, 17_280, 6),
    ("conv4", "conv 12×12, 10, bias", (10, 1, 1), 14_410, 14_400, 28),
]
SIZED = [
    ("features.0", "conv 3×3, 4, padding 1, bias", (4, 28, 28), 40, 28_224, 3),
    ("features.1", "BN", (4, 28, 28), 8, 0, 3),
    ("features.2", "ReLU", (4, 28, 28), 0, 0, 3),
    ("features.3", "max-pool 2", (4, 14, 14), 0, 0, 4),
    ("features.4", "conv 3×3, 6, padding 1, bias", (6, 14, 14), 222, 42_336, 8),
    ("features.5", "BN", (6, 14, 14), 12, 0, 8),
    ("features.6", "ReLU", (6, 14, 14), 0, 0, 8),
    ("features.7", "max-pool 2", (6, 7, 7), 0, 0, 10),
    ("dropout", "dropout 0.1 of elements", (6,), 0, 0, 28),
    ("classifier", "linear, 10, bias", (10,), 70, 60, 28),
]
TWICE = [
    ("stem", "conv 3×3, 6, padding 1, bias", (6, 28, 28), 60, 42_336, 3),
    ("act", "ReLU", (6, 28, 28), 0, 0, 3),
    ("again", "conv 3×3, 6, padding 1, groups=2, bias", (6, 28, 28), 168, 162 * (784 + 196), 5),  # both calls
    ("act", "ReLU", (6, 28, 28), 0, 0, 5),
    ("pool", "max-pool 2", (6, 14, 14), 0, 0, 6),
    ("again", "conv 3×3, 6, padding 1, groups=2, bias", (6, 14, 14), 0, 0, 10),
    ("act", "ReLU", (6, 14, 14), 0, 0, 10),
    ("pool", "max-pool 2", (6, 7, 7), 0, 0, 12),
    ("head", "conv 1×1, 10, bias", (10, 1, 1), 70, 60, 28),
]
SEQUENTIAL = [
    ("0", "conv 3×3, 4", (4, 26, 26), 36, 24_336, 3),
    ("1", "ReLU", (4, 26, 26), 0, 0, 3),
    ("2", "max-pool 2", (4, 13, 13), 0, 0, 4),
    ("3", "conv 13×13, 10, bias", (10, 1, 1), 6_770, 6_760, 28),
    ("4", "flatten", (10,), 0, 0, 28),
]
WEIGHT_NORMED = [
    ("conv", "conv 5×5, 28, stride 4, bias", (28, 6, 6), 28 * 25 + 28 + 28, 25_200, 5),  # and the norm of each filter
    ("head", "linear, 10, bias", (10,), 290, 280, 25),  # the last three columns are in no window
]
BY_HAND = {
    "Functional": FUNCTIONAL, "Sized": SIZED, "Twice": TWICE, "sequential": SEQUENTIAL,
    "WeightNormed": WEIGHT_NORMED,
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_rows_and_totals_are_those_worked_out_by_hand(name):
    spec = spec_of(getattr(notebooks, name))
    assert rows(spec) == BY_HAND[name]
    found = measure(spec, MNIST)
    assert found.macs == sum(row[4] for row in BY_HAND[name])
    assert found.parameters == sum(row[3] for row in BY_HAND[name]) == count_parameters(spec, MNIST)


def test_parameters_of_no_module_are_in_the_totals():
    found = measure(spec_of(notebooks.SmallResNet), MNIST)
    assert found.parameters == 1 + sum(row.parameters for row in found.layers)


@pytest.mark.parametrize("name", [*BY_HAND, "SmallResNet", "Lazy"])
def test_a_network_of_a_notebook_trains_and_trains_the_same_from_json(name, tiny, tiny_data):
    spec = tiny.but(model=Custom(getattr(notebooks, name)), train={"epochs": 2}, optimizer={"lr": 0.005})
    again = Spec.from_json(spec.to_json())
    assert again == spec and again.hash == spec.hash
    first, last = train(spec, 0, data=tiny_data)
    *_, same = train(again, 0, data=tiny_data)
    assert last.accuracy == same.accuracy and last.loss == same.loss
    assert last.train_loss < first.train_loss


def test_lazy_weights_are_drawn_from_the_seed_like_all_others():
    model, drawn = Custom(notebooks.Lazy), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(model.build((1, 28, 28), 10).head.weight)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    with pytest.raises(SpecError, match="some: model.network: shrinks a map of 1×28×28 below 1×1"):
        count_parameters(spec_of(notebooks.Lazy, kernel=30), MNIST)


def test_facts_of_the_data_set_are_passed_under_any_of_their_names():
    facts = replace(DATASETS["cifar10"], classes=tuple("abcde"))
    built = spec_of(notebooks.Sized).model.build((3, 32, 32), 5)
    assert built.features[0].in_channels == 3 and built.classifier.out_features == 5  # not its default, 1000
    assert rows(spec_of(notebooks.SmallResNet), facts)[-1][2] == (5,)
    assert spec_of(notebooks.Sized, in_channels=1).model.build((3, 32, 32), 5).features[0].in_channels == 1


def test_arguments_are_fields_of_the_types_of_their_annotations_or_defaults():
    spec = spec_of(notebooks.Required, depth=3)
    assert spec.model.arguments == {
        "depth": 3, "width": 4, "rate": 0.5, "names": ["a", "b"], "maybe": None, "flag": True, "pairs": [[1, 2]],
    }  # fmt: skip
    assert spec.flat()["model.rate"] == 0.5 and spec.but(model={"rate": 0.2}).hash != spec.hash
    changed = spec.but(model={"rate": 1, "names": ["c"], "maybe": 3, "flag": False}).model.build((1, 28, 28), 10)
    assert changed.given == (3, 4, 1, ("c",), 3, False) and changed.pairs == ((1, 2),)
    assert "activation" not in spec_of(notebooks.Sized).model.arguments  # an object stays the default


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        ("Required", {}, "depth: missing"),
        ("Required", {"depth": 1, "width": 2.5}, "width: must be a valid integer, got 2.5"),
        ("Required", {"depth": 1, "width": "4"}, "width: must be a valid integer, got '4'"),
        ("Required", {"depth": 1, "flag": 1}, "flag: must be a valid boolean, got 1"),
        ("Required", {"depth": 1, "widht": 4}, "widht: no such field; did you mean 'width'?"),
        ("Sized", {"activation": "relu"}, "activation: no such field;"),
    ],
)
def test_an_impossible_argument_is_refused_in_one_line(network, arguments, message):
    network = getattr(notebooks, network)
    reference = Custom(notebooks.Functional).network.replace("Functional", network.__name__)
    with pytest.raises(ValueError) as caught:
        Custom(network, **arguments)
    assert f"Custom.{message}" in explain(caught.value)
    with pytest.raises(SpecError) as refused:
        Spec.from_dict({"name": "some", "model": {"kind": "Custom", "network": reference, **arguments}})
    assert str(refused.value).startswith(f"spec: model.{message}") and "\n" not in str(refused.value)


@pytest.mark.parametrize("thing", [lambda: nn.Linear(1, 10), nn.Linear(1, 10), 3], ids=["lambda", "module", "number"])
def test_a_network_without_a_name_of_its_own_is_refused(thing):
    with pytest.raises(SpecError, match="at the top level of a file"):
        Custom(thing)


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        ("Vanishing", {}, "model.network: tests/notebooks.py:Vanishing cannot be made (KeyError: 'gone"),
        ("Vanishing", {"when": "called"}, "model.network: cannot take a map of 1×28×28 (KeyError: 'gone"),
        ("Vanishing", {"when": "shape"}, "model.network: gives (2, 10, 1, 1) for 2 pictures; (2, 10) is needed"),
        ("Vanishing", {"when": "tuple"}, "model.network: gives tuple for 2 pictures; (2, 10) is needed"),
        ("Vanishing", {"when": "nan"}, "model.network: gives numbers that are infinite or NaN before any training"),
        ("nothing", {}, "model.network: tests/notebooks.py:nothing returned NoneType, not a torch module"),
    ],
)
def test_a_network_that_fails_is_refused_in_one_line_with_its_own_message(network, arguments, message, tiny, tiny_data):
    spec = spec_of(getattr(notebooks, network), **arguments)
    with pytest.raises(SpecError) as caught:
        measure(spec, MNIST)
    assert str(caught.value).startswith(f"some: {message}") and "\n" not in str(caught.value)
    with pytest.raises(SpecError) as caught:
        next(train(tiny.but(model=spec.model), 0, data=tiny_data))
    assert str(caught.value).startswith(f"tiny: {message}")


def test_images_of_the_wrong_size_are_refused():
    with pytest.raises(SpecError, match="some: model.network: shrinks a map of 1×8×8 below 1×1; use fewer"):
        measure(spec_of(notebooks.Functional), replace(MNIST, size=8))
    with pytest.raises(SpecError, match=r"cannot take a map of 3×32×32 \(RuntimeError: Given groups=1"):
        measure(spec_of(notebooks.Functional), DATASETS["cifar10"])
