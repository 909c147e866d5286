"""The profile of a network, against tables worked out by hand."""

from dataclasses import replace

import networks
import pytest
import torch
from torch import nn

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError
from tinycnn.network.check import check
from tinycnn.network.profile import count_parameters, measure
from tinycnn.spec import (
    AvgPool,
    BlurPool,
    Conv,
    Custom,
    Depthwise,
    GatedPool,
    Head,
    Layer,
    MaxPool,
    Network,
    Optimizer,
    Pointwise,
    Repeat,
    Residual,
    Spec,
    SqueezeExcite,
    Target,
)

MNIST = DATASETS["mnist"]

# Worked out by hand for an image of 1x28x28. A row for each layer: what it is, output, parameters (k*k*in*out; batch
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
NESTED = Network(
    Conv(8, stride=2),  # 13x13
    Residual(Depthwise(padding=1), Pointwise(8)),
    Residual(Conv(12, stride=2, padding=1), Conv(12, groups=4, padding=1)),  # 7x7; a 1x1 convolution of the input
    Repeat(Conv(12, dilation=2, padding="same"), times=3, shared=True),
    Repeat(Conv(12, padding="same"), times=2),
    SqueezeExcite(3),
    Residual(Conv(12)),  # 5x5; cropped by a pixel
    Head(reduce="flatten", bias=True),
)
BY_HAND = [
    ("0", "conv 3×3, 8, stride 2, BN, ReLU", (8, 13, 13), 72 + 16, 72 * 169, 3, 2, 0),
    ("1.layers.0", "depthwise 3×3, padding 1, BN, ReLU", (8, 13, 13), 72 + 16, 72 * 169, 7, 2, -2),
    ("1.layers.1", "conv 1×1, 8, BN, ReLU", (8, 13, 13), 64 + 16, 64 * 169, 7, 2, -2),
    ("1", "sum with input", (8, 13, 13), 0, 0, 7, 2, -2),
    ("2.layers.0", "conv 3×3, 12, padding 1, stride 2, BN, ReLU", (12, 7, 7), 864 + 24, 864 * 49, 11, 4, -4),
    ("2.layers.1", "conv 3×3, 12, padding 1, groups=4, BN, ReLU", (12, 7, 7), 324 + 24, 324 * 49, 19, 4, -8),
    ("2", "sum with input by 1×1 conv, BN", (12, 7, 7), 96 + 24, 96 * 49, 19, 4, -8),
    ("3.0.0", "conv 3×3, 12, padding 2, dilation 2, BN, ReLU", (12, 7, 7), 1_296 + 24, 1_296 * 49, 35, 4, -16),
    ("3.1.0", "conv 3×3, 12, padding 2, dilation 2, BN, ReLU", (12, 7, 7), 0, 1_296 * 49, 51, 4, -24),
    ("3.2.0", "conv 3×3, 12, padding 2, dilation 2, BN, ReLU", (12, 7, 7), 0, 1_296 * 49, 67, 4, -32),
    ("4.0.0", "conv 3×3, 12, padding 1, BN, ReLU", (12, 7, 7), 1_296 + 24, 1_296 * 49, 75, 4, -36),
    ("4.1.0", "conv 3×3, 12, padding 1, BN, ReLU", (12, 7, 7), 1_296 + 24, 1_296 * 49, 83, 4, -40),
    ("5", "SqueezeExcite(3)", (12, 7, 7), 39 + 48, 72, 107, 0, -40),  # every unit sees the whole map
    ("6.layers.0", "conv 3×3, 12, BN, ReLU", (12, 5, 5), 1_296 + 24, 1_296 * 25, 107, 0, -40),
    ("6", "sum with input, cropped by 1", (12, 5, 5), 0, 0, 107, 0, -40),
    ("7", "flatten, linear to classes, bias", (10,), 3_010, 3_000, 107, 0, -40),
]


def spec_of(network):
    return Spec(name="some", model=network, target=Target(parameter_limit=None))


@pytest.mark.parametrize(
    ("network", "table", "parameters", "macs"),
    [(networks.model_1(), MODEL_1, 28_624, 8_114_560), (networks.model_2(), MODEL_2, 7_344, 1_675_744)],
    ids=["model_1", "model_2"],
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


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (networks.model_3(), (7_872, 1_383_840, 28)),  # 676*72 + 576*864 + 484*1296 + 81*1296 + 49*1296 + 25*1080 + ...
        (networks.early_pool(), (7_728, 455_240, 28)),  # 576*200 + 100*1440 + 64*2880 + 4*2880 + 200
        (networks.model_2(dropout=0.25), (7_344, 1_675_744, 28)),
    ],
)
def test_totals_are_those_worked_out_by_hand(network, expected):
    measured = measure(spec_of(network), MNIST)
    assert (measured.parameters, measured.macs, measured.receptive_field) == expected


@pytest.mark.parametrize(
    ("layer", "side", "jump", "start"),
    [
        (Conv(2, 3, stride=2, padding=1), 3, 2, -1),
        (Conv(2, 3, dilation=3, padding="same"), 7, 1, -3),
        (MaxPool(3, stride=2), 3, 2, 0),
        (BlurPool(3, stride=2, width=4), 6, 2, -1),
        (Residual(Conv(2, 5, padding=2, stride=2)), 5, 2, -2),
        (Repeat(Conv(1), MaxPool(2), times=2), 10, 4, 0),  # 3, 4, 8, 10
        (SqueezeExcite(2), 64, 0, 0),
    ],
    ids=repr,
)
def test_the_receptive_field_of_a_layer_is_its_window(layer, side, jump, start):
    row = measure(spec_of(Network(layer, Head())), replace(MNIST, size=64)).layers[-2]
    assert (row.receptive_field, row.jump, row.start) == (side, jump, start)


class Own(Layer):
    def build(self, shape):
        return nn.Conv2d(shape[0], shape[0], 4, 2, 1)


def test_the_window_of_your_own_layer_is_measured():
    network = Network(Conv(2), Own(), Own(), Conv(2), Head(), norm="none")
    rows = measure(spec_of(network), replace(MNIST, size=64)).layers
    # 3, then side 4, stride 2 and padding 1 twice: 3 + 3, 6 + 3 * 2; a 3x3 convolution: 12 + 2 * 4
    fields = [(row.receptive_field, row.jump, row.start) for row in rows[:4]]
    assert fields == [(3, 1, 0), (6, 2, -1), (12, 4, -3), (20, 4, -3)]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv(8), Conv(9, groups=2)], "layers.1 (Conv(9, groups=2)): cannot be built (ValueError: "),
        ([Conv(8, 29)], "layers.0 (Conv(8, kernel=29)): shrinks a map of 1×28×28 below 1×1; "),
        ([Conv(2), AvgPool(27)], "layers.1 (AvgPool(27)): shrinks a map of 2×26×26 below 1×1; "),
        ([Conv(2), GatedPool(27)], "layers.1 (GatedPool(27)): shrinks a map of 2×26×26 below 1×1; "),
        ([AvgPool(14), BlurPool(2)], "layers.1 (BlurPool(2)): cannot take a map of 1×2×2 (RuntimeError: "),
        ([AvgPool(28), BlurPool(2)], "layers.1 (BlurPool(2)): shrinks a map of 1×1×1 below 1×1; "),
        ([MaxPool(9), Residual(Conv(4), Conv(4))], "layers.1.layers.1 (Conv(4)): shrinks a map of 4×1×1"),
        ([Residual(Conv(4, 2))], "layers.0 (Residual(Conv(4, kernel=2))): a map of 28×28 becomes 27×27 inside, which"),
        ([Residual(Head())], "layers.0 (Residual(Head())): returns (10,) inside, and the sum needs a map "),
        ([Conv(2), Repeat(Conv(4), shared=True)], "layers.1 (Repeat(Conv(4), shared=True)): shared: "),
        ([Conv(4, 2, padding="same")], 'layers.0 (Conv(4, kernel=2, padding="same")): padding: "same" needs an odd'),
        ([Conv(2), Layer()], "layers.1 (Layer()): "),
    ],
)
def test_an_impossible_network_is_refused_in_one_line_that_names_the_layer(layers, message):
    with pytest.raises(SpecError) as caught:
        measure(spec_of(Network(*layers, Head())), MNIST)
    error = str(caught.value)
    assert error.startswith(f"some: model.{message}") and "\n" not in error
    with pytest.raises(SpecError) as again:  # as a study counts them
        count_parameters(spec_of(Network(*layers, Head())), MNIST)
    assert str(again.value).startswith(f"some: model.{message}")


@pytest.mark.parametrize("layers", [[Conv(10)], [Conv(10), MaxPool(26)]])
def test_a_network_without_a_number_for_each_class_is_refused(layers):
    with pytest.raises(SpecError, match=r"^some: model\.layers: gives \(2, 10, .* for 2 pictures; \(2, 10\) is needed"):
        measure(spec_of(Network(*layers)), MNIST)


class Auxiliary(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(784, 10)

    def forward(self, images):
        logits = self.linear(images.flatten(1))
        return (logits, logits) if self.training else logits


class Failing(Auxiliary):
    def forward(self, images):
        return self.linear(images.flatten(2) if self.training else images.flatten(1)[0])[None].expand(len(images), 10)


class ByClosure(Optimizer):
    def build(self, parameters):
        return torch.optim.LBFGS(parameters)


class Misspelt(Optimizer):
    def build(self, parameters):
        return torch.optim.SGD(parameters, lr=self.lr, momentun=0.9)


def test_what_could_not_be_trained_is_refused_before(tiny):
    with pytest.raises(SpecError, match="network: gives a tuple in training mode; return the logits alone"):
        check(tiny.but(model=Custom(Auxiliary)))
    with pytest.raises(SpecError, match="network: fails in training mode (.*expand.*)"):
        check(tiny.but(model=Custom(Failing)))
    with pytest.raises(SpecError, match=r"tiny: optimizer: cannot be built \(.*unexpected keyword"):
        check(tiny.but(optimizer=Misspelt()))
    with pytest.raises(SpecError, match="tiny: optimizer: its step needs a closure"):
        check(tiny.but(optimizer=ByClosure()))
