"""``Custom`` takes the networks of notebooks as they are: measured, checked and trained like those of layers."""

from dataclasses import replace

import notebooks
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, UserError
from tinycnn.network.profile import count_parameters, measure
from tinycnn.spec import Custom, Spec, Target, explain
from tinycnn.track import tables
from tinycnn.train.loop import train

MNIST = DATASETS["mnist"]


def spec_of(network, *args, **arguments):
    return Spec(name="some", model=Custom(network, *args, **arguments), target=Target(parameter_limit=None))


def rows(spec, facts=MNIST):
    return [(r.name, r.kind, r.output, r.parameters, r.macs, r.receptive_field) for r in measure(spec, facts).layers]


# All by hand: parameters k*k*in*out + out, multiply-accumulates k*k*in*out times the pixels of the map.
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
    ("dropout", "dropout 0.1", (6,), 0, 0, 28),
    ("classifier", "linear, 10, bias", (10,), 70, 60, 28),
]
BRANCHES = [
    ("one", "conv 1×1, 4, bias", (4, 28, 28), 8, 3_136, 1),
    ("three", "conv 3×3, 4, padding 1, bias", (4, 28, 28), 40, 28_224, 3),
    ("five", "conv 5×5, 4, padding 2, bias", (4, 28, 28), 104, 78_400, 5),
    ("out", "linear, 10, bias", (10,), 5_890, 5_880, 28),
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
    ("conv", "conv 5×5, 28, stride 4, bias", (28, 6, 6), 28 * 25 + 28 + 28, 25_200, 5),  # and a length of each filter
    ("head", "linear, 10, bias", (10,), 290, 280, 25),  # the last three columns are in no window
]
BY_HAND = {
    "Functional": FUNCTIONAL, "Sized": SIZED, "Branches": BRANCHES, "Twice": TWICE, "sequential": SEQUENTIAL,
    "WeightNormed": WEIGHT_NORMED,
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_rows_are_those_worked_out_by_hand(name):
    assert rows(spec_of(getattr(notebooks, name))) == BY_HAND[name]


ALL = [*BY_HAND, "SmallResNet", "Plain", "Lazy"]


@pytest.mark.parametrize("name", ALL)
def test_totals_are_what_torch_counts(name):
    spec = spec_of(getattr(notebooks, name))
    found, network = measure(spec, MNIST), spec.model.build((1, 28, 28), 10)
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 1, 28, 28))
    assert found.macs == counter.get_total_flops() // 2 == sum(row.macs for row in found.layers)
    parameters = sum(p.numel() for p in network.parameters())
    assert found.parameters == parameters == count_parameters(spec, MNIST)
    in_rows = sum(row.parameters for row in found.layers)
    assert parameters - in_rows == (1 if name == "SmallResNet" else 0)  # ``scale`` is the network's own
    table = tables.layer_table(found.layers, (found.parameters, found.macs))
    assert max(map(len, table.splitlines())) <= 80 and f"{parameters:,}" in table.splitlines()[-1]


@pytest.mark.parametrize("name", ALL)
def test_a_network_of_a_notebook_trains(name, tiny, tiny_data):
    spec = tiny.but(model=Custom(getattr(notebooks, name)), train={"epochs": 3}, optimizer={"lr": 0.005})
    again = Spec.from_json(spec.to_json())
    assert again == spec
    first, _, last = train(spec, 0, data=tiny_data)
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


def test_dropout_as_a_function_is_off_in_evaluation(tiny, tiny_data):
    (epoch,) = train(tiny.but(model=Custom(notebooks.Functional), train={"epochs": 1}), 0, data=tiny_data)
    network, pictures = epoch.state.network, torch.randn(4, 1, 28, 28)
    assert torch.equal(network.eval()(pictures), network(pictures))
    assert not torch.equal(network.train()(pictures), network(pictures))


def test_what_the_data_set_has_is_told_under_any_of_its_names():
    facts = replace(DATASETS["cifar10"], classes=tuple("abcde"))
    built = spec_of(notebooks.Sized).model.build((3, 32, 32), 5)
    assert built.features[0].in_channels == 3 and built.classifier.out_features == 5  # not its default, 1000
    assert rows(spec_of(notebooks.SmallResNet), facts)[-1][2] == (5,)
    assert spec_of(notebooks.Branches).model.build((1, 32, 32), 10).out.in_features == 3 * 4 * 64
    assert spec_of(notebooks.Sized, in_channels=1).model.build((3, 32, 32), 5).features[0].in_channels == 1


def test_arguments_are_fields_with_the_types_of_their_annotations_or_defaults():
    spec = spec_of(notebooks.Required, depth=3)
    assert spec.model.arguments == {
        "depth": 3, "width": 4, "rate": 0.5, "names": ["a", "b"], "maybe": None, "flag": True,
        "pairs": [[1, 2]],
    }  # fmt: skip
    for depth in (3, "deep", [1, 2], None):
        built = spec.but(model={"depth": depth}).model.build((1, 28, 28), 10)
        assert built.pairs == ((1, 2),)
        assert built.given == (depth, 4, 0.5, ("a", "b"), None, True)
    changed = spec.but(model={"rate": 1, "names": ["c"], "maybe": 3, "flag": False}).model.build((1, 28, 28), 10)
    assert changed.given == (3, 4, 1, ("c",), 3, False)


def test_what_is_an_object_stays_the_default_and_no_field():
    spec = spec_of(notebooks.Sized)
    assert "activation" not in spec.model.arguments
    assert isinstance(spec.model.build((1, 28, 28), 10).features[2], nn.ReLU)


@pytest.mark.parametrize(
    ("network", "arguments", "said"),
    [
        ("Required", {}, "depth: missing"),
        ("Required", {"depth": 1, "width": 2.5}, "width: must be a valid integer, got 2.5"),
        ("Required", {"depth": 1, "width": "4"}, "width: must be a valid integer, got '4'"),
        ("Required", {"depth": 1, "rate": "much"}, "rate: must be a valid number, got 'much'"),
        ("Required", {"depth": 1, "flag": 1}, "flag: must be true or false, got 1"),
        ("Required", {"depth": 1, "names": "ab"}, "names: must be a"),
        ("Required", {"depth": 1, "names": [1]}, "names.0: must be a valid string, got 1"),
        ("Required", {"depth": 1, "widht": 4}, "widht: no such field; did you mean 'width'?"),
        ("Sized", {"activation": "relu"}, "activation: no such field;"),
        ("Sized", {"dropout": float("inf")}, "dropout: must be a finite number"),
        ("positional", {}, "network: positional: its argument width cannot be given by name"),
        ("renamed", {}, "network: renamed: its argument network has a name that Custom needs itself; call it "),
        ("Functional", {"width": 3}, "width: no such field"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_in_one_line(network, arguments, said):
    network = getattr(notebooks, network)
    reference = Custom(notebooks.Functional).network.replace("Functional", network.__name__)
    with pytest.raises(ValueError) as caught:
        Custom(network, **arguments)
    assert f"Custom.{said}" in explain(caught.value) and "\n" not in explain(caught.value)
    with pytest.raises(SpecError) as refused:
        Spec.from_dict({"name": "some", "model": {"kind": "Custom", "network": reference, **arguments}})
    if "finite" not in said:  # infinities are no JSON
        assert str(refused.value).startswith(f"spec: model.{said}") and "\n" not in str(refused.value)


@pytest.mark.parametrize("thing", [lambda: nn.Linear(1, 10), nn.Linear(1, 10), 3], ids=["lambda", "module", "number"])
def test_what_cannot_be_found_again_by_name_is_refused_in_one_line(thing):
    with pytest.raises((UserError, ValueError)) as caught:
        Custom(thing)
    error = caught.value
    assert "\n" not in (str(error) if isinstance(error, UserError) else explain(error))


@pytest.mark.parametrize(
    ("network", "arguments", "said"),
    [
        ("Vanishing", {}, "model.network: tests/notebooks.py:Vanishing cannot be made (KeyError: 'gone"),
        ("Vanishing", {"when": "called"}, "model.network: cannot take a map of 1×28×28 ('gone"),
        ("Vanishing", {"when": "shape"}, "model.network: gives (2, 10, 1, 1) for 2 pictures; (2, 10) is needed"),
        ("Vanishing", {"when": "view"}, "model.network: gives (4, 5) for 2 pictures; (2, 10) is needed"),
        ("Vanishing", {"when": "tuple"}, "model.network: gives tuple for 2 pictures; (2, 10) is needed"),
        ("Vanishing", {"when": "nan"}, "model.network: gives numbers that are infinite or NaN before any training"),
        ("nothing", {}, "model.network: tests/notebooks.py:nothing returned NoneType, not a torch module"),
    ],
)
def test_a_network_that_fails_is_refused_in_one_line_of_its_words(network, arguments, said, tiny, tiny_data):
    spec = spec_of(getattr(notebooks, network), **arguments)
    with pytest.raises(SpecError) as caught:
        measure(spec, MNIST)
    assert str(caught.value).startswith(f"some: {said}") and "\n" not in str(caught.value)
    with pytest.raises(SpecError) as caught:
        next(train(tiny.but(model=spec.model), 0, data=tiny_data))
    assert str(caught.value).startswith(f"tiny: {said}")


def test_pictures_of_another_size_are_refused_in_torchs_words():
    with pytest.raises(SpecError, match="some: model.network: shrinks a map of 1×8×8 below 1×1; use fewer"):
        measure(spec_of(notebooks.Functional), replace(MNIST, size=8))
    with pytest.raises(SpecError, match=r"some: model.network: cannot take a map of 3×32×32 \(Given groups=1"):
        measure(spec_of(notebooks.Functional), DATASETS["cifar10"])
    with pytest.raises(SpecError, match=r"some: model.network: gives .* for 2 pictures; \(2, 10\) is needed"):
        measure(spec_of(notebooks.Functional), replace(MNIST, size=32))
