"""What ``measure.py`` promises, against tables worked out by hand and against what autograd says."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError
from tinycnn.network.check import check
from tinycnn.network.profile import measure, measure_network
from tinycnn.spec import Data, Model, Spec

MNIST = DATASETS["mnist"]

# Worked out by hand for a picture of 1x28x28. A row for each layer that computes or pools: what it is, output,
# parameters (k*k*in*out; batch norm 2*out), multiply-accumulates (k*k*in*out times the pixels of the map), receptive
# field, jump.
MODEL_1 = [
    ("conv 3x3, 16", (16, 26, 26), 144, 97_344, 3, 1),
    ("conv 3x3, 32", (32, 24, 24), 4_608, 2_654_208, 5, 1),
    ("conv 3x3, 32", (32, 22, 22), 9_216, 4_460_544, 7, 1),
    ("max-pool 2", (32, 11, 11), 0, 0, 8, 2),
    ("conv 1x1, 16", (16, 11, 11), 512, 61_952, 8, 2),
    ("conv 3x3, 32", (32, 9, 9), 4_608, 373_248, 12, 2),
    ("conv 3x3, 32", (32, 7, 7), 9_216, 451_584, 16, 2),
    ("conv 1x1, 10", (10, 7, 7), 320, 15_680, 16, 2),
    ("global average", (10, 1, 1), 0, 0, 28, 14),
]
MODEL_2 = [
    ("conv 3x3, 16", (16, 26, 26), 144, 97_344, 3, 1),
    ("batch norm", (16, 26, 26), 32, 0, 3, 1),
    ("conv 3x3, 16", (16, 24, 24), 2_304, 1_327_104, 5, 1),
    ("batch norm", (16, 24, 24), 32, 0, 5, 1),
    ("max-pool 2", (16, 12, 12), 0, 0, 6, 2),
    ("conv 3x3, 16", (16, 10, 10), 2_304, 230_400, 10, 2),
    ("batch norm", (16, 10, 10), 32, 0, 10, 2),
    ("max-pool 2", (16, 5, 5), 0, 0, 12, 4),
    ("conv 3x3, 16", (16, 3, 3), 2_304, 20_736, 20, 4),
    ("batch norm", (16, 3, 3), 32, 0, 20, 4),
    ("global average", (16, 1, 1), 0, 0, 28, 12),
    ("conv 1x1, 10", (10, 1, 1), 160, 160, 28, 12),
]
MODEL_3 = [
    ("conv 3x3, 16", (16, 26, 26), 144, 97_344, 3, 1),
    ("batch norm", (16, 26, 26), 32, 0, 3, 1),
    ("conv 3x3, 16", (16, 24, 24), 2_304, 1_327_104, 5, 1),
    ("batch norm", (16, 24, 24), 32, 0, 5, 1),
    ("conv 3x3, 16", (16, 22, 22), 2_304, 1_115_136, 7, 1),
    ("batch norm", (16, 22, 22), 32, 0, 7, 1),
    ("max-pool 2", (16, 11, 11), 0, 0, 8, 2),
    ("conv 3x3, 8", (8, 9, 9), 1_152, 93_312, 12, 2),
    ("batch norm", (8, 9, 9), 16, 0, 12, 2),
    ("conv 3x3, 8", (8, 7, 7), 576, 28_224, 16, 2),
    ("batch norm", (8, 7, 7), 16, 0, 16, 2),
    ("conv 3x3, 8", (8, 5, 5), 576, 14_400, 20, 2),
    ("batch norm", (8, 5, 5), 16, 0, 20, 2),
    ("conv 3x3, 8", (8, 3, 3), 576, 5_184, 24, 2),
    ("batch norm", (8, 3, 3), 16, 0, 24, 2),
    ("global average", (8, 1, 1), 0, 0, 28, 6),
    ("conv 1x1, 10", (10, 1, 1), 80, 80, 28, 6),
]
SIXTEENS = (16, 16, 16, 8, 8, 8, 8)


def spec_of(name, **arguments):
    return Spec(name="some", model=Model(name=name, **arguments), data=Data(name="mnist"))


@pytest.mark.parametrize(
    ("name", "arguments", "table", "parameters", "macs"),
    [
        ("model_1", {}, MODEL_1, 28_624, 8_114_560),
        ("model_2", {}, MODEL_2, 7_344, 1_675_744),
        ("model_3", {"widths": SIXTEENS}, MODEL_3, 7_872, 2_680_784),
    ],
)
def test_the_layer_table_is_the_one_worked_out_by_hand(name, arguments, table, parameters, macs):
    measured = measure(spec_of(name, **arguments), MNIST)
    rows = [(r.kind, r.output, r.parameters, r.macs, r.receptive_field, r.jump) for r in measured.layers]
    assert [row for row in rows if row[0] not in ("ReLU", "flatten")] == table
    assert (measured.parameters, measured.macs, measured.receptive_field) == (parameters, macs, 28)


def test_the_default_layout_of_the_third_iteration_counts_as_by_hand():
    measured = measure(spec_of("model_3"), MNIST)  # 676*72 + 576*864 + 484*1296 + 81*1296 + 49*1296 + 25*1080 + 9*1620
    assert (measured.parameters, measured.macs, measured.receptive_field) == (7_872, 1_383_840, 28)


def test_the_network_that_pools_at_once_counts_as_by_hand():
    measured = measure(spec_of("early_pool"), MNIST)  # 576*200 + 100*1440 + 64*2880 + 4*2880 + 200
    assert (measured.parameters, measured.macs, measured.receptive_field) == (7_728, 455_240, 28)


def test_dropout_costs_nothing_and_is_in_the_table():
    plain, dropped = (measure(spec_of("model_2", dropout=p), MNIST) for p in (0.0, 0.25))
    assert (plain.parameters, plain.macs, plain.receptive_field) == (
        dropped.parameters,
        dropped.macs,
        dropped.receptive_field,
    )
    assert [row.kind for row in dropped.layers].count("dropout 0.25") == 4


@pytest.mark.parametrize("data", DATASETS)
@pytest.mark.parametrize("name", models.NETWORKS)
def test_totals_are_those_of_the_network_as_built(name, data):
    facts = DATASETS[data]
    measured, network = measure(spec_of(name), facts), models.build(spec_of(name), facts)
    assert measured.parameters == sum(p.numel() for p in network.parameters())
    assert measured.parameters == sum(row.parameters for row in measured.layers)
    assert measured.macs == sum(row.macs for row in measured.layers)
    assert measured.layers[-1].output == (10,)
    assert measured.receptive_field == measured.layers[-1].receptive_field


# --- receptive field -------------------------------------------------------------------------------------------------


def seen_by_autograd(network, size, upto):
    """Return how many columns and rows of the picture change one output unit of layer ``upto``, by the gradient.

    Weights are made positive and max-pools averages, so that nothing cancels and every connection shows.
    """
    leaves = [module for module in network.modules() if not list(module.children())][: upto + 1]
    leaves = [nn.AvgPool2d(m.kernel_size, m.stride) if isinstance(m, nn.MaxPool2d) else m for m in leaves]
    picture = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    output = nn.Sequential(*leaves).double().eval()(picture)
    place = () if output.dim() < 4 else (output.shape[2] // 2, output.shape[3] // 2)
    output[(0, 0, *place)].backward()
    touched = picture.grad[0, 0] != 0
    return int(touched.any(0).sum()), int(touched.any(1).sum())


def positive(network):
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.1)
    return network


@pytest.mark.parametrize("name", ["model_1", "model_2", "model_3"])
def test_receptive_fields_without_padding_are_those_of_autograd(name):
    measured = measure(spec_of(name), MNIST)
    for number, row in enumerate(measured.layers):
        field = row.receptive_field
        assert seen_by_autograd(positive(models.build(spec_of(name), MNIST)), 28, number) == (field, field), row


INSIDE = [*((name, {}) for name in models.NETWORKS), ("model_2", {"padding": 1})]


@pytest.mark.parametrize(("name", "arguments"), INSIDE)
def test_receptive_fields_inside_a_large_picture_are_those_of_autograd(name, arguments):
    facts = replace(MNIST, size=96)
    for number, row in enumerate(measure(spec_of(name, **arguments), facts).layers):
        if row.kind == "global average":
            break
        if not row.kind.startswith(("conv", "max-pool")):
            continue
        network = positive(models.build(spec_of(name, **arguments), facts))
        assert seen_by_autograd(network, 96, number) == (row.receptive_field, row.receptive_field), row


def test_strides_dilation_and_oblong_steps_count():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, bias=False),  # field 3, jump 2
        nn.Conv2d(2, 2, 3, dilation=2, bias=False),  # field 3 + 2*2*2 = 11
        nn.AvgPool2d(2),  # field 13, jump 4
        nn.Conv2d(2, 2, 5, bias=False),  # field 13 + 4*4 = 29
    )
    measured = measure_network(network, torch.zeros(1, 1, 60, 60))
    assert [row.receptive_field for row in measured.layers] == [3, 11, 13, 29]
    assert [row.jump for row in measured.layers] == [2, 2, 4, 4]
    assert seen_by_autograd(positive(network), 60, 3) == (29, 29)


# --- what cannot be --------------------------------------------------------------------------------------------------


# Backwards from a map of 1x1: a convolution adds 2, a pool doubles.
# model_1: 1, 3, 5, 10, 12, 14, 16.  model_2: 1, 3, 6, 8, 16, 18, 20.  model_3: 1, 3, 5, 7, 9, 18, 20, 22, 24.
# early_pool: 1, 3, 6, 8, 10, 20, and 24 before its 5x5 convolution.
SMALLEST = {"model_1": 16, "model_2": 20, "model_3": 24, "early_pool": 24}


@pytest.mark.parametrize(("name", "size"), SMALLEST.items())
def test_a_network_that_shrinks_its_map_below_one_pixel_is_refused_in_one_line(monkeypatch, name, size):
    spec = spec_of(name).but(target={"parameter_limit": None})
    monkeypatch.setitem(DATASETS, "mnist", replace(MNIST, size=size))
    assert check(spec)[0].layers[-1].output == (10,)
    monkeypatch.setitem(DATASETS, "mnist", replace(MNIST, size=size - 1))
    with pytest.raises(SpecError) as caught:
        check(spec)
    error = str(caught.value)
    assert f"model.name: {name}" in error and f"{size - 1}x{size - 1} picture below 1x1" in error
    assert "use fewer layers, padding or a larger picture" in error and "\n" not in error
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([nn.Conv2d(1, 4, 3), nn.Conv2d(8, 4, 3)], "layer 1 (Conv2d) gets 4x26x26, and torch says: "),
        ([nn.Conv2d(1, 4, 3), nn.BatchNorm2d(8)], "layer 1 (BatchNorm2d) gets 4x26x26, and torch says: "),
        ([nn.Flatten(), nn.Linear(10, 10)], "layer 1 (Linear) gets 784, and torch says: "),
        ([nn.Conv2d(1, 4, 3), nn.BatchNorm1d(4)], "layer 1 (BatchNorm1d) gets 4x26x26, and torch says: "),
        ([nn.Flatten(9)], "layer 0 (Flatten) gets 1x28x28, and torch says: "),
    ],
)
def test_layers_that_do_not_fit_together_are_refused_in_torchs_words(layers, said):
    with pytest.raises(SpecError) as caught:
        measure_network(nn.Sequential(*layers), torch.zeros(1, 1, 28, 28), "here")
    error = str(caught.value)
    assert error.startswith(f"here does not fit together: {said}") and "below 1x1" not in error
    assert error.endswith("; correct it in tinycnn/models.py") and "\n" not in error


@pytest.mark.parametrize("last", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(1, 1, 2)])
def test_a_layer_of_any_kind_may_be_the_one_without_room(last):
    with pytest.raises(SpecError, match=r"shrinks a 28x28 picture below 1x1: layer 1 .* gets 1x1x1; use fewer layers"):
        measure_network(nn.Sequential(nn.AdaptiveAvgPool2d(1), last), torch.zeros(1, 1, 28, 28))


def test_a_network_that_fails_before_its_first_layer_is_refused_too():
    class Network(nn.Sequential):
        def forward(self, picture):
            return picture.view(3, 3)

    with pytest.raises(SpecError, match="network cannot take a picture of 1x28x28: shape"):
        measure_network(Network(nn.Flatten()), torch.zeros(1, 1, 28, 28))
