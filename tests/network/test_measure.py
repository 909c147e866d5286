"""What ``profile.py`` promises, against tables worked out by hand and against what autograd and torch's counter say."""

from dataclasses import replace

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError
from tinycnn.network.check import check
from tinycnn.network.profile import count_parameters, measure
from tinycnn.spec import (
    AvgPool,
    BlurPool,
    Conv,
    Depthwise,
    GatedPool,
    Head,
    Layer,
    MaxPool,
    Network,
    Pointwise,
    Repeat,
    Residual,
    Spec,
    SqueezeExcite,
    Target,
)

MNIST = DATASETS["mnist"]
LARGE = replace(MNIST, size=64)

# Worked out by hand for a picture of 1x28x28. A row for each layer: what it is, output, parameters (k*k*in*out; batch
# norm 2*out), multiply-accumulates (k*k*in*out times the pixels of the map), receptive field, jump.
MODEL_1 = [
    ("conv 3×3, 16, ReLU", (16, 26, 26), 144, 97_344, 3, 1),
    ("conv 3×3, 32, ReLU", (32, 24, 24), 4_608, 2_654_208, 5, 1),
    ("conv 3×3, 32, ReLU", (32, 22, 22), 9_216, 4_460_544, 7, 1),
    ("max-pool 2", (32, 11, 11), 0, 0, 8, 2),
    ("conv 1×1, 16, ReLU", (16, 11, 11), 512, 61_952, 8, 2),
    ("conv 3×3, 32, ReLU", (32, 9, 9), 4_608, 373_248, 12, 2),
    ("conv 3×3, 32, ReLU", (32, 7, 7), 9_216, 451_584, 16, 2),
    ("1×1 conv to classes, average", (10,), 320, 15_680, 28, 14),
]
MODEL_2 = [
    ("conv 3×3, 16, BN, ReLU", (16, 26, 26), 144 + 32, 97_344, 3, 1),
    ("conv 3×3, 16, BN, ReLU", (16, 24, 24), 2_304 + 32, 1_327_104, 5, 1),
    ("max-pool 2", (16, 12, 12), 0, 0, 6, 2),
    ("conv 3×3, 16, BN, ReLU", (16, 10, 10), 2_304 + 32, 230_400, 10, 2),
    ("max-pool 2", (16, 5, 5), 0, 0, 12, 4),
    ("conv 3×3, 16, BN, ReLU", (16, 3, 3), 2_304 + 32, 20_736, 20, 4),
    ("average, 1×1 conv to classes", (10,), 160, 160, 28, 12),
]
MODEL_3 = [
    ("conv 3×3, 16, BN, ReLU", (16, 26, 26), 144 + 32, 97_344, 3, 1),
    ("conv 3×3, 16, BN, ReLU", (16, 24, 24), 2_304 + 32, 1_327_104, 5, 1),
    ("conv 3×3, 16, BN, ReLU", (16, 22, 22), 2_304 + 32, 1_115_136, 7, 1),
    ("max-pool 2", (16, 11, 11), 0, 0, 8, 2),
    ("conv 3×3, 8, BN, ReLU", (8, 9, 9), 1_152 + 16, 93_312, 12, 2),
    ("conv 3×3, 8, BN, ReLU", (8, 7, 7), 576 + 16, 28_224, 16, 2),
    ("conv 3×3, 8, BN, ReLU", (8, 5, 5), 576 + 16, 14_400, 20, 2),
    ("conv 3×3, 8, BN, ReLU", (8, 3, 3), 576 + 16, 5_184, 24, 2),
    ("average, 1×1 conv to classes", (10,), 80, 80, 28, 6),
]
SIXTEENS = (16, 16, 16, 8, 8, 8, 8)
NESTED = Network(
    Conv(8, stride=2),  # 13x13
    Residual(Depthwise(padding=1), Pointwise(8)),
    Residual(Conv(12, stride=2, padding=1), Conv(12, groups=4, padding=1)),  # 7x7; the input by a 1x1 convolution
    Repeat(Conv(12, dilation=2, padding="same"), times=3, shared=True),
    Repeat(Conv(12, padding="same"), times=2),
    SqueezeExcite(3),
    Residual(Conv(12)),  # 5x5; a pixel off each side
    Head(reduce="flatten", bias=True),
)
BY_HAND = [
    ("0", "conv 3×3, 8, stride 2, BN, ReLU", (8, 13, 13), 72 + 16, 72 * 169, 3, 2, 0),
    ("1.layers.0", "depthwise 3×3, padding 1, BN, ReLU", (8, 13, 13), 72 + 16, 72 * 169, 7, 2, -2),
    ("1.layers.1", "pointwise, 8, BN, ReLU", (8, 13, 13), 64 + 16, 64 * 169, 7, 2, -2),
    ("1", "sum with input", (8, 13, 13), 0, 0, 7, 2, -2),
    ("2.layers.0", "conv 3×3, 12, padding 1, stride 2, BN, ReLU", (12, 7, 7), 864 + 24, 864 * 49, 11, 4, -4),
    ("2.layers.1", "conv 3×3, 12, padding 1, groups=4, BN, ReLU", (12, 7, 7), 324 + 24, 324 * 49, 19, 4, -8),
    ("2", "sum with input by 1×1 conv, BN", (12, 7, 7), 96 + 24, 96 * 49, 19, 4, -8),
    ("3.0.0", "conv 3×3, 12, padding 2, dilation 2, BN, ReLU", (12, 7, 7), 1_296 + 24, 1_296 * 49, 35, 4, -16),
    ("3.1.0", "conv 3×3, 12, padding 2, dilation 2, BN, ReLU", (12, 7, 7), 0, 1_296 * 49, 51, 4, -24),
    ("3.2.0", "conv 3×3, 12, padding 2, dilation 2, BN, ReLU", (12, 7, 7), 0, 1_296 * 49, 67, 4, -32),
    ("4.0.0", "conv 3×3, 12, padding 1, BN, ReLU", (12, 7, 7), 1_296 + 24, 1_296 * 49, 75, 4, -36),
    ("4.1.0", "conv 3×3, 12, padding 1, BN, ReLU", (12, 7, 7), 1_296 + 24, 1_296 * 49, 83, 4, -40),
    ("5", "squeeze-and-excite, 3", (12, 7, 7), 39 + 48, 72, 107, 0, -40),  # every unit sees the same: all there is
    ("6.layers.0", "conv 3×3, 12, BN, ReLU", (12, 5, 5), 1_296 + 24, 1_296 * 25, 107, 0, -40),
    ("6", "sum with input, 1 pixel off each side", (12, 5, 5), 0, 0, 107, 0, -40),
    ("7", "flatten, linear to classes, bias", (10,), 3_010, 3_000, 107, 0, -40),
]
PADDED = [networks.some(seed) for seed in range(24)]
UNPADDED = [networks.some(seed, padded=False) for seed in range(16)]
NAMED = [network() for network in networks.NAMED.values()]
FIXED = [*NAMED, networks.model_2(padding=1), networks.everything(), NESTED]
ALL = [*FIXED, *PADDED, *UNPADDED]


def spec_of(network, **fields):
    return Spec(name="some", model=network, target=Target(parameter_limit=None), **fields)


@pytest.mark.parametrize(
    ("network", "table", "parameters", "macs"),
    [
        (networks.model_1(), MODEL_1, 28_624, 8_114_560),
        (networks.model_2(), MODEL_2, 7_344, 1_675_744),
        (networks.model_3(SIXTEENS), MODEL_3, 7_872, 2_680_784),
    ],
    ids=["model_1", "model_2", "model_3"],
)
def test_the_layer_table_is_the_one_worked_out_by_hand(network, table, parameters, macs):
    measured = measure(spec_of(network), MNIST)
    assert [(r.kind, r.output, r.parameters, r.macs, r.receptive_field, r.jump) for r in measured.layers] == table
    assert (measured.parameters, measured.macs, measured.receptive_field) == (parameters, macs, 28)


def test_nested_layers_strides_dilation_groups_and_shared_weights_count_as_by_hand():
    measured = measure(spec_of(NESTED), MNIST)
    for row, expected in zip(measured.layers, BY_HAND, strict=True):
        found = (row.name, row.kind, row.output, row.parameters, row.macs, row.receptive_field, row.jump, row.start)
        assert found == expected
    assert measured.parameters == sum(row[3] for row in BY_HAND) and measured.macs == sum(row[4] for row in BY_HAND)


def test_the_default_layout_of_the_third_iteration_counts_as_by_hand():
    measured = measure(spec_of(networks.model_3()), MNIST)
    # 676*72 + 576*864 + 484*1296 + 81*1296 + 49*1296 + 25*1080 + 9*1620 + 180
    assert (measured.parameters, measured.macs, measured.receptive_field) == (7_872, 1_383_840, 28)


def test_the_network_that_pools_at_once_counts_as_by_hand():
    measured = measure(spec_of(networks.early_pool()), MNIST)  # 576*200 + 100*1440 + 64*2880 + 4*2880 + 200
    assert (measured.parameters, measured.macs, measured.receptive_field) == (7_728, 455_240, 28)


def test_dropout_costs_nothing_and_is_in_the_table():
    plain, dropped = (measure(spec_of(networks.model_2(dropout=rate)), MNIST) for rate in (0.0, 0.25))
    assert (plain.parameters, plain.macs, plain.receptive_field) == (
        dropped.parameters,
        dropped.macs,
        dropped.receptive_field,
    )
    assert sum(row.kind.endswith(", dropout 0.25") for row in dropped.layers) == 4
    assert not any("dropout" in row.kind for row in plain.layers)


@pytest.mark.parametrize("data", DATASETS)
@pytest.mark.parametrize("number", range(len(FIXED)))
def test_totals_are_those_of_the_network_as_built(number, data):
    facts, network = DATASETS[data], FIXED[number]
    measured, built = measure(spec_of(network), facts), network.build((facts.channels, facts.size, facts.size), 10)
    assert measured.parameters == sum(p.numel() for p in built.parameters())
    assert measured.parameters == sum(row.parameters for row in measured.layers)
    assert measured.macs == sum(row.macs for row in measured.layers)
    assert measured.layers[-1].output == (10,)
    assert measured.receptive_field == measured.layers[-1].receptive_field


@pytest.mark.parametrize("number", range(len(ALL)))
def test_rows_are_what_torch_counts_and_what_the_modules_give(number):
    network = ALL[number]
    facts = MNIST if number < len(FIXED) else LARGE
    shape = (1, facts.size, facts.size)
    measured, built = measure(spec_of(network), facts), network.build(shape, 10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built(torch.zeros(1, *shape))
    assert measured.macs == sum(row.macs for row in measured.layers) == counter.get_total_flops() / 2
    assert measured.parameters == sum(row.parameters for row in measured.layers) == sum(
        p.numel() for p in built.parameters()
    ) == count_parameters(spec_of(network), facts)  # fmt: skip
    outputs = outputs_of(built, measured.layers, torch.zeros(1, *shape))
    assert [tuple(outputs[row.name].shape[1:]) for row in measured.layers] == [row.output for row in measured.layers]
    assert len({row.name for row in measured.layers}) == len(measured.layers)


def outputs_of(network, rows, pictures):
    """Return what the module of each row gives, by its name."""
    found = {}
    for row in rows:
        network.get_submodule(row.name).register_forward_hook(
            lambda module, args, out, name=row.name: found.update({name: out})
        )
    network(pictures)
    return found


# --- receptive field -------------------------------------------------------------------------------------------------


def positive(network):
    """Return a network in float64 in which nothing cancels, so that every connection shows."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network.double().eval()


@pytest.fixture
def averages(monkeypatch):
    """Let maxima be averages: of a maximum only one pixel has a gradient."""
    monkeypatch.setattr(
        functional, "max_pool2d", lambda x, size, stride=None, *_, **__: functional.avg_pool2d(x, size, stride)
    )


def seen(output, place, picture):
    """Return the first and last row and column of the picture that change a unit, by the gradient."""
    unit = output[(0, slice(None), *place)].sum()
    (gradient,) = torch.autograd.grad(unit, picture, retain_graph=True)
    touched = (gradient[0] != 0).any(0)
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def squares(network, size):
    """Yield row, place, the square of the picture that it says its middle units see, and what autograd says."""
    facts = replace(MNIST, size=size)
    rows = measure(spec_of(network), facts).layers
    picture = (torch.rand(1, 1, size, size, dtype=torch.float64) + 0.1).requires_grad_()
    outputs = outputs_of(positive(network.build((1, size, size), 10)), rows, picture)
    for row in rows:
        height, width = row.output[1:] or (1, 1)
        for place in {(height // 2, width // 2), (height // 2, (width - 1) // 2), ((height - 1) // 2, width // 2)}:
            said = []
            for index in place:
                first = row.start + row.jump * index
                said += [first, first + row.receptive_field - 1]
            yield row, place, tuple(said), seen(outputs[row.name], place if len(row.output) == 3 else (), picture)


@pytest.mark.parametrize("number", range(len(NAMED) + len(UNPADDED)))
def test_receptive_fields_without_padding_are_those_of_autograd(number, averages):
    for row, place, said, found in squares([*NAMED, *UNPADDED][number], 28 if number < len(NAMED) else 64):
        assert said == found, (row, place)


@pytest.mark.parametrize("number", range(len(PADDED) + 3))
def test_receptive_fields_inside_a_large_picture_are_those_of_autograd(number, averages):
    network, size = [networks.model_2(padding=1), networks.everything(), NESTED, *PADDED][number], 64
    for row, place, said, found in squares(network, size):
        rim = 2 * max(row.jump, 2)  # where strides leave pixels out, padding may lie over them
        if min(said) >= rim and max(said) < size - rim:
            assert said == found, (row, place)
        for low, high, first, last in (said[:2] + found[:2], said[2:] + found[2:]):
            assert low <= first and last <= high, (row, place)


@pytest.mark.parametrize(
    ("layer", "side", "jump", "start"),
    [
        (Conv(2, 5), 5, 1, 0),
        (Conv(2, 3, stride=2, padding=1), 3, 2, -1),
        (Conv(2, 3, dilation=3, padding="same"), 7, 1, -3),
        (MaxPool(3, stride=2), 3, 2, 0),
        (AvgPool(3), 3, 3, 0),
        (GatedPool(2, stride=1), 2, 1, 0),
        (BlurPool(2), 4, 2, -1),
        (BlurPool(3, stride=2, width=4), 6, 2, -1),
        (Residual(Conv(1), Conv(1)), 5, 1, 0),
        (Residual(Conv(2, 5, padding=2, stride=2)), 5, 2, -2),
        (Residual(Pointwise(2)), 1, 1, 0),
        (Repeat(Conv(1), times=4, shared=True), 9, 1, 0),
        (Repeat(Conv(1), MaxPool(2), times=2), 10, 4, 0),  # 3, 4, 8, 10
        (SqueezeExcite(2), 64, 0, 0),
    ],
    ids=repr,
)
def test_a_layer_by_itself_sees_what_its_window_is(layer, side, jump, start, averages):
    row = measure(spec_of(Network(layer, Head())), LARGE).layers[-2]
    assert (row.receptive_field, row.jump, row.start) == (side, jump, start)
    for found, _, said, touched in squares(Network(layer, Head(), norm="none"), 64):
        if found.name == row.name:
            assert said == touched


@pytest.mark.parametrize(("size", "kernel", "stride"), [(6, 3, 2), (10, 5, 2), (9, 5, 2), (12, 3, 3), (11, 7, 2)])
def test_the_input_of_a_strided_residual_is_taken_where_its_layers_look(size, kernel, stride, averages):
    """The middle of each window of the layers is the pixel that is added."""
    network = Network(Residual(Conv(2, kernel, stride=stride)), Head(), norm="none", activation="none")
    residual = network.build((1, size, size), 10)[0].double()
    nn.init.zeros_(residual.layers[0][0].weight)
    skip = next(module for module in residual.skip.modules() if isinstance(module, nn.Conv2d))
    nn.init.ones_(skip.weight), nn.init.zeros_(skip.bias)
    columns = torch.arange(size, dtype=torch.float64).expand(1, 1, size, size)
    middles = [index * stride + kernel // 2 for index in range((size - kernel) // stride + 1)]
    assert residual(columns)[0, 0, 0].tolist() == middles
    for row, place, said, found in squares(network, size):
        assert said == found, (row, place)


def test_of_layers_that_do_not_say_so_the_window_is_found_by_trying():
    rows = measure(spec_of(Network(Conv(2), Unknown(), Unknown(), Conv(2), Head(), norm="none")), LARGE).layers
    # 3, then side 4, stride 2 and padding 1 twice: 3 + 3, 6 + 3 * 2; a 3x3 convolution: 12 + 2 * 4
    assert [(row.receptive_field, row.jump, row.start) for row in rows[:4]] == [
        *((3, 1, 0), (6, 2, -1), (12, 4, -3), (20, 4, -3))
    ]  # fmt: skip


class Unknown(Layer):
    def build(self, shape):
        return nn.Conv2d(shape[0], shape[0], 4, 2, 1)


# --- what cannot be --------------------------------------------------------------------------------------------------


# Backwards from a map of 1x1: a convolution adds 2, a pool doubles.
# model_1: 1, 3, 5, 10, 12, 14, 16.  model_2: 1, 3, 6, 8, 16, 18, 20.  model_3: 1, 3, 5, 7, 9, 18, 20, 22, 24.
# early_pool: 1, 3, 6, 8, 10, 20, and 24 before its 5x5 convolution.
SMALLEST = {"model_1": 16, "model_2": 20, "model_3": 24, "early_pool": 24}


@pytest.mark.parametrize(("name", "size"), SMALLEST.items())
def test_a_network_that_shrinks_its_map_below_one_pixel_is_refused_in_one_line(monkeypatch, name, size):
    spec = spec_of(networks.NAMED[name]())
    monkeypatch.setitem(DATASETS, "mnist", replace(MNIST, size=size))
    assert check(spec)[0].layers[-1].output == (10,)
    monkeypatch.setitem(DATASETS, "mnist", replace(MNIST, size=size - 1))
    with pytest.raises(SpecError) as caught:
        check(spec)
    error = str(caught.value)
    assert error.startswith("some: model.layers.") and "below 1×1" in error
    assert "use fewer or smaller layers, padding or a larger picture" in error and "\n" not in error
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([Conv(8), Conv(9, groups=2)], "layers.1 (conv 3×3, 9, groups=2, BN, ReLU): groups: 2 does not divide 8 "),
        ([Conv(8), Pointwise(8, groups=3)], "layers.1 (pointwise, 8, groups=3, BN, ReLU): groups: 3 does not "),
        ([Conv(8, 29)], "layers.0 (conv 29×29, 8, BN, ReLU): shrinks a map of 1×28×28 below 1×1; "),
        ([Conv(2), MaxPool(27)], "layers.1 (max-pool 27): shrinks a map of 2×26×26 below 1×1; "),
        ([Conv(2), AvgPool(27)], "layers.1 (average-pool 27): shrinks a map of 2×26×26 below 1×1; "),
        ([Conv(2), GatedPool(27)], "layers.1 (gated-pool 27): shrinks a map of 2×26×26 below 1×1; "),
        ([AvgPool(14), BlurPool(2)], "layers.1 (blur-pool 2): width: 3 is too much for a map of 2×2; "),
        ([MaxPool(28), BlurPool(2)], "layers.1 (blur-pool 2): "),
        ([MaxPool(9), Residual(Conv(4), Conv(4))], "layers.1.layers.1 (conv 3×3, 4, BN, ReLU): shrinks a map of 4×1×1"),
        ([Residual(Conv(4, 2))], "layers.0 (residual): a map of 28×28 becomes 27×27 inside, which no stride gives"),
        ([Residual(Head())], "layers.0 (residual): gives (10,) inside, and the sum needs a map "),
        ([Conv(2), Repeat(Conv(4), times=2, shared=True)], "layers.1 (2 times, with the same weights): shared: "),
        ([Repeat(Residual(Conv(4)), shared=True)], "layers.0 (2 times, with the same weights): shared: "),
        ([Conv(2), Repeat(MaxPool(3), times=4)], "layers.1.layers.0 (max-pool 3): shrinks a map of 2×2×2 below 1×1"),
        ([Conv(4, 2, padding="same")], 'layers.0 (conv 2×2, 4, BN, ReLU): padding: "same" needs an odd kernel'),
        ([Head(), Conv(2)], "layers.1 (conv 3×3, 2, BN, ReLU): "),
        ([Conv(2), Layer()], "layers.1 (Layer()): "),
    ],
)
def test_what_is_infeasible_is_refused_in_a_line_that_names_the_layer(layers, said):
    with pytest.raises(SpecError) as caught:
        measure(spec_of(Network(*layers, Head())), MNIST)
    error = str(caught.value)
    assert error.startswith(f"some: model.{said}") and "\n" not in error
    with pytest.raises(SpecError) as again:  # as a search counts them
        count_parameters(spec_of(Network(*layers, Head())), MNIST)
    assert str(again.value).startswith(f"some: model.{said}")


@pytest.mark.parametrize("layers", [[Conv(10)], [Conv(10), MaxPool(26)]])
def test_what_does_not_end_in_a_number_for_each_class_is_refused(layers):
    with pytest.raises(SpecError, match=r"^some: model\.layers: gives \(2, 10, .* for 2 pictures; \(2, 10\) is needed"):
        measure(spec_of(Network(*layers)), MNIST)
