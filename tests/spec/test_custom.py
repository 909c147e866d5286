"""Networks of one's own, as public notebooks have them, are measured, checked and trained as they are."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError
from tinycnn.network.profile import count_parameters, measure
from tinycnn.spec import Custom, Spec, Target
from tinycnn.track.tables import layer_table
from tinycnn.train.loop import train

MNIST = DATASETS["mnist"]


class Functional(nn.Module):
    """As in most notebooks: no arguments, activations and dropout as functions, ``view``, ``log_softmax``."""

    def __init__(self):
        super(Functional, self).__init__()  # noqa: UP008  as it is found
        self.conv1 = nn.Conv2d(1, 8, 3)  # 26
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 10, 3, bias=False)  # 11
        self.conv3 = nn.Conv2d(10, 10, 5)  # 1, after a pool

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)  # 13
        x = F.dropout(F.relu(self.conv2(x)), 0.1, training=self.training)
        x = self.conv3(F.max_pool2d(x, 2))
        x = x.view(-1, 10)
        return F.log_softmax(x, dim=-1)


class Told(nn.Module):
    """Asks for channels and classes by other names, and has options."""

    def __init__(
        self, in_channels=3, num_classes=1000, width=8, drop=0.1, widths=(8, 16), act=nn.ReLU, name: str = "x"
    ):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), act(),
            nn.Conv2d(width, widths[-1], 3, groups=width, bias=False), nn.BatchNorm2d(widths[-1]), act(),
            nn.Dropout2d(drop),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, images):
        return self.classifier(torch.flatten(self.pool(self.features(images)), 1))


class Branches(nn.Module):
    """Two paths side by side, then what both found."""

    def __init__(self, num_classes):
        super().__init__()
        self.wide = nn.Conv2d(1, 4, 5, padding=2, bias=False)
        self.narrow = nn.Conv2d(1, 4, 1, bias=False)
        self.last = nn.Conv2d(8, num_classes, 3, bias=False)

    def forward(self, x):
        x = torch.cat([F.relu(self.wide(x)), F.relu(self.narrow(x))], 1)
        return self.last(x).mean((2, 3))


class Shared(nn.Module):
    """Calls the same modules twice, with a residual and a squeeze-and-excite."""

    def __init__(self, channels, classes, times=2):
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, bias=False)  # 26
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.relu = nn.ReLU(inplace=True)
        self.squeeze = nn.Linear(8, 2)
        self.excite = nn.Linear(2, 8)
        self.head = nn.Linear(8, classes, bias=False)
        self.times = times

    def forward(self, x):
        x = self.relu(self.stem(x))
        for _ in range(self.times):
            x = self.relu(self.block(x) + x)
        gate = torch.sigmoid(self.excite(self.relu(self.squeeze(x.mean((2, 3))))))
        x = x * gate[:, :, None, None]
        return self.head(x.mean((2, 3)))


class InPlace(nn.Module):
    """Adds and activates in place, and squeezes what has length 1."""

    def __init__(self):
        super().__init__()
        self.short = nn.Conv2d(1, 4, 1, bias=False)
        self.long = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 10, 28, bias=False)

    def forward(self, x):
        y = self.short(x)
        y += self.long(x)
        return F.log_softmax(self.last(self.act(y)).squeeze(), dim=1)


def sequential(channels, classes, width=8):
    """Return a network, which no class was written for."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(width, width, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes),
    )  # fmt: skip


class Weighted(nn.Module):
    """Has a parameter of its own, in no layer."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.conv = nn.Conv2d(1, 10, 28, bias=False)

    def forward(self, x):
        return self.conv(x * self.scale).flatten(1)


# of each row name, words, output, parameters, multiply-accumulates and receptive field, by hand
ROWS = {
    Functional: [
        ("conv1", "conv 3×3, 8, bias", (8, 26, 26), 80, 72 * 676, 3),
        ("bn1", "BN", (8, 26, 26), 16, 0, 3),
        ("conv2", "conv 3×3, 10", (10, 11, 11), 720, 720 * 121, 8),  # after a pool: 4, and 2 * 2
        ("conv3", "conv 5×5, 10, bias", (10, 1, 1), 2_510, 2_500, 26),  # 10, and 4 * 4
    ],
    Told: [
        ("features.0", "conv 3×3, 8, padding 1, stride 2", (8, 14, 14), 72, 72 * 196, 3),
        ("features.1", "BN", (8, 14, 14), 16, 0, 3),
        ("features.2", "ReLU", (8, 14, 14), 0, 0, 3),
        ("features.3", "conv 3×3, 16, groups=8", (16, 12, 12), 144, 144 * 144, 7),
        ("features.4", "BN", (16, 12, 12), 32, 0, 7),
        ("features.5", "ReLU", (16, 12, 12), 0, 0, 7),
        ("features.6", "dropout 0.1", (16, 12, 12), 0, 0, 7),
        ("pool", "global average", (16, 1, 1), 0, 0, 28),
        ("classifier", "linear, 10, bias", (10,), 170, 160, 28),
    ],
    Branches: [
        ("wide", "conv 5×5, 4, padding 2", (4, 28, 28), 100, 100 * 784, 5),
        ("narrow", "conv 1×1, 4", (4, 28, 28), 4, 4 * 784, 1),
        ("last", "conv 3×3, 10", (10, 26, 26), 720, 720 * 676, 7),
    ],
    Shared: [
        ("stem", "conv 3×3, 8", (8, 26, 26), 72, 72 * 676, 3),
        ("relu", "ReLU", (8, 26, 26), 0, 0, 3),
        ("block.0", "conv 3×3, 8, padding 1", (8, 26, 26), 576, 2 * 576 * 676, 5),  # both calls
        ("block.1", "BN", (8, 26, 26), 16, 0, 5),
        ("relu", "ReLU", (8, 26, 26), 0, 0, 5),
        ("block.0", "conv 3×3, 8, padding 1", (8, 26, 26), 0, 0, 7),
        ("block.1", "BN", (8, 26, 26), 0, 0, 7),
        ("relu", "ReLU", (8, 26, 26), 0, 0, 7),
        ("squeeze", "linear, 2, bias", (2,), 18, 16, 28),
        ("relu", "ReLU", (2,), 0, 0, 28),
        ("excite", "linear, 8, bias", (8,), 24, 16, 28),
        ("head", "linear, 10", (10,), 80, 80, 28),
    ],
    InPlace: [
        ("short", "conv 1×1, 4", (4, 28, 28), 4, 4 * 784, 1),
        ("long", "conv 3×3, 4, padding 1", (4, 28, 28), 36, 36 * 784, 3),
        ("act", "ReLU", (4, 28, 28), 0, 0, 3),
        ("last", "conv 28×28, 10", (10, 1, 1), 31_360, 31_360, 28),
    ],
    sequential: [
        ("0", "conv 3×3, 8, bias", (8, 26, 26), 80, 72 * 676, 3),
        ("1", "ReLU", (8, 26, 26), 0, 0, 3),
        ("2", "max-pool 2", (8, 13, 13), 0, 0, 4),
        ("3", "conv 3×3, 8, bias", (8, 11, 11), 584, 576 * 121, 8),
        ("4", "ReLU", (8, 11, 11), 0, 0, 8),
        ("5", "global average", (8, 1, 1), 0, 0, 28),
        ("6", "flatten", (8,), 0, 0, 28),
        ("7", "linear, 10, bias", (10,), 90, 80, 28),
    ],
}
STYLES = list(ROWS)
NAMES = [each.__name__ for each in STYLES]


def spec_of(model, **fields):
    return Spec(name="some", model=model, target=Target(parameter_limit=None), **fields)


@pytest.mark.parametrize("network", STYLES, ids=NAMES)
def test_rows_parameters_and_multiply_accumulates_are_those_worked_out_by_hand(network):
    measured = measure(spec_of(Custom(network)), MNIST)
    rows = [(r.name, r.kind, r.output, r.parameters, r.macs, r.receptive_field) for r in measured.layers]
    assert rows == ROWS[network]
    built = Custom(network).build((1, 28, 28), 10)
    assert measured.parameters == sum(p.numel() for p in built.parameters()) == sum(row[3] for row in rows)
    assert measured.parameters == count_parameters(spec_of(Custom(network)), MNIST)
    assert measured.macs == sum(row[4] for row in rows)
    assert max(map(len, layer_table(measured.layers, (measured.parameters, measured.macs)).splitlines())) <= 80
    assert measured.receptive_field == max(row[5] for row in rows)


def test_what_is_in_no_layer_is_in_the_totals():
    measured = measure(spec_of(Custom(Weighted)), MNIST)
    assert measured.parameters == 7_841 and sum(row.parameters for row in measured.layers) == 7_840
    assert "7,841" in layer_table(measured.layers, (measured.parameters, measured.macs)).splitlines()[-1]


@pytest.mark.parametrize("network", STYLES, ids=NAMES)
def test_json_there_and_back_builds_the_same_network(network):
    spec = spec_of(Custom(network))
    again = Spec.from_json(spec.to_json())
    assert again == spec and again.hash == spec.hash and again.model.network.endswith(f":{network.__name__}")
    states = []
    for model in (spec.model, again.model):
        torch.manual_seed(3)
        states.append(model.build((1, 28, 28), 10).state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("network", STYLES, ids=NAMES)
def test_it_trains_an_epoch(network, tiny, tiny_data):
    before = Custom(network).build((1, 28, 28), 10).state_dict()
    (result,) = train(tiny.but(model=Custom(network), train={"epochs": 1}), 0, data=tiny_data)
    state = result.state.network.state_dict()
    assert torch.isfinite(torch.tensor(result.train_loss)) and result.state.logits.shape[1] == 10
    assert any(not torch.equal(value, before[name]) for name, value in state.items())


def test_it_learns(tiny, tiny_data):
    *_, last = train(tiny.but(model=Custom(Functional), train={"epochs": 8}), 0, data=tiny_data)
    assert last.accuracy > 40


@pytest.mark.parametrize("network", [Told, Branches, Shared, sequential])
def test_it_is_told_what_the_data_set_has(network):
    classes = replace(MNIST, channels=3 if network is not Branches else 1, classes=("a", "b", "c"))
    assert measure(spec_of(Custom(network)), classes).layers[-1].output[0] == 3


def test_what_is_told_may_be_said_too_and_is_a_field():
    model = Custom(Told, width=16, num_classes=10)
    assert model.arguments == {"width": 16, "num_classes": 10, "drop": 0.1, "widths": [8, 16], "name": "x"}
    with pytest.raises(SpecError, match=r"model\.network: gives \(2, 7\) for 2 pictures; \(2, 10\) is needed"):
        measure(spec_of(Custom(Told, num_classes=7)), MNIST)


def test_objects_stay_the_defaults_they_are():
    assert "act" not in Custom(Told).arguments
    with pytest.raises(ValidationError, match="act"):
        Custom(Told, act="relu")


def test_arguments_are_fields_to_change():
    spec = spec_of(Custom(Told))
    assert spec.but(model={"width": 4, "widths": [8]}).model.arguments["width"] == 4
    assert spec.flat()["model.drop"] == 0.1
    assert spec.but(model={"drop": 0.2}).hash != spec.hash


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("width", "8", "model.width: must be a valid integer"),
        ("width", 8.5, "model.width: must be a valid integer"),
        ("width", None, "model.width: must be a valid integer"),
        ("drop", "much", "model.drop: must be a valid number"),
        ("widths", 8, "model.widths: must be a valid list"),
        ("widths", [8, "x"], "model.widths.1: must be a valid integer"),
        ("name", 3, "model.name: must be a valid string"),
        ("depth", 3, "model.depth: no such field; "),
        ("act", "nn.GELU", "model.act: no such field; "),
    ],
)
def test_arguments_are_checked_by_the_type_of_their_default(field, value, words):
    with pytest.raises(SpecError) as caught:
        spec_of(Custom(Told)).but(model={field: value})
    error = str(caught.value)
    assert words in error and "\n" not in error


class Required(nn.Module):
    def __init__(self, width, classes, depth: int = None, kind: "str" = "a"):
        super().__init__()
        self.linear = nn.Linear(784, classes)

    def forward(self, x):
        return self.linear(x.flatten(1))


def test_an_argument_without_a_default_must_be_given():
    with pytest.raises(ValidationError) as caught:
        Custom(Required)
    assert "width" in str(caught.value) and "missing" in str(caught.value)
    assert measure(spec_of(Custom(Required, width=3)), MNIST).parameters == 7_850
    assert Custom(Required, width=3).arguments == {"width": 3, "depth": None}  # in JSON, kind is Custom's own
    spec = spec_of(Custom(Required, width=3))
    assert Spec.from_json(spec.to_json()) == spec


class Broken(nn.Module):
    def __init__(self, how="raises"):
        super().__init__()
        if how == "raises":
            raise KeyError("no\nsuch thing")
        self.how, self.conv, self.linear = how, nn.Conv2d(1, 4, 3), nn.Linear(100, 10)

    def forward(self, x):
        return self.linear(self.conv(x).flatten(1)) if self.how == "shapes" else getattr(self, "nothing")(x)  # noqa: B009


def number(classes):
    return classes


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: Custom(Broken), "model.network: tests/test_custom.py:Broken cannot be made (KeyError: "),
        (lambda: Custom(Broken, how="shapes"), "model.network: cannot take a map of 1×28×28 (mat1 and mat2 shapes "),
        (lambda: Custom(Broken, how="forgets"), "model.network: cannot take a map of 1×28×28 ('Broken' object has no "),
        (lambda: Custom(number), "model.network: tests/test_custom.py:number returned int, not a torch module"),
    ],
)
def test_what_its_author_did_wrong_is_said_in_one_line(model, words):
    with pytest.raises(SpecError) as caught:
        measure(spec_of(model()), MNIST)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_pictures_too_small_for_it_are_refused():
    with pytest.raises(SpecError, match="below 1×1"):
        measure(spec_of(Custom(sequential)), replace(MNIST, size=4))


def local():
    class Local(nn.Module):
        pass

    return Local


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (lambda: 1, "top level of a file"),
        (local(), "top level of a file"),
        (3, "top level"),
        (nn.Identity(), "top level"),
    ],
    ids=["lambda", "local", "number", "module"],
)
def test_what_cannot_be_found_again_is_refused(thing, words):
    with pytest.raises(SpecError, match=words):
        Custom(thing)
