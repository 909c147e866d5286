"""A spec holds all that changes a number, in JSON and under dotted names, and refuses what cannot be run."""

import json  # noqa: I001

import networks
import pytest
from torch import nn

from tinycnn.data import files as data
from tinycnn.errors import OVER_LIMIT, USAGE, OverLimit, SpecError
from tinycnn.network.check import check
from tinycnn.spec import (
    SGD, Adam, AdamW, Augment, Average, Constant, Cosine, CrossEntropy, Data, Distillation, GatedPool, OneCycle,
    Pointwise, Quantise, RMSprop, Spec, StepLR, Target, Train, parse_settings,
)  # fmt: skip
from tinycnn.spec import load as experiments

BASE = Spec(
    name="base",
    model=networks.model_3(dropout=0.05),
    data=Data(name="mnist"),
    augment=Augment(rotation=7.0),
    optimizer=SGD(lr=0.05, momentum=0.9),
    schedule=StepLR(step_size=6, gamma=0.1),
    train=Train(epochs=15, batch_size=64),
)
OPTIMIZERS = (
    *(SGD(lr=0.3, momentum=0.9, nesterov=True), Adam(lr=0.1 + 0.2, eps=1e-300), AdamW(beta1=0.8)),
    RMSprop(0.1, alpha=0.9),
)
SCHEDULES = (Constant(), StepLR(), OneCycle(anneal="linear"), Cosine(floor=0.01))
VARIANTS = [
    *(BASE.but(model=network(), target={"parameter_limit": None}) for network in networks.NAMED.values()),
    BASE.but(model=networks.everything(), target={"parameter_limit": None}, average=Average(0.99, every=3)),
    BASE.but(quantise=Quantise(2)),
    *(BASE.but(optimizer=kind) for kind in OPTIMIZERS),
    *(BASE.but(schedule=kind) for kind in SCHEDULES),
    BASE.but(data=Data(name="cifar10", fallback=None, validation=0.1), loss=CrossEntropy(label_smoothing=0.1)),
    BASE.but(loss=Distillation("teacher.pt", temperature=2.0), data=Data(name="npz", path="a.npz")),
    BASE.but(
        target=Target(parameter_limit=None, accuracy=None),
        train={"precision": "bfloat16", "compile": True, "kernels": "torch"},
    ),
]
MODEL = '"name": "a", "model": {"kind": "Network", "layers": [{"kind": "Head"}]}'
EVERY = [*experiments.names(), *range(len(VARIANTS))]
FIELDS = {  # for every field of every kind of section or layer, at each depth, a spec that has it
    f"{flat.get(f'{section}.kind') or type(getattr(spec, section)).__name__}-{section.count('layers')}-{field}": (
        spec,
        dotted,
    )
    for spec in VARIANTS
    for flat in (spec.flat(),)
    for dotted in flat
    for section, _, field in (dotted.rpartition("."),)
    if dotted not in ("model.kind", "augment.name", "loss.name", "data.path")  # there is no other, or none for mnist
}
CANDIDATES = [
    *(False, True, 1, 2, 3, 40, 0.25, 0.5, 7.5, 1.5, None, "cos", "linear", "mnist", "fashion_mnist", "mnist5k"),
    *("float32", "bfloat16", "native", "torch", "SGD", "Adam", "StepLR", "Cosine", "raw", "AdamW", "CrossEntropy"),
    *("none", "prelu", "elements", "maps", "conv", "linear", "flatten", "MaxPool", "Conv", "Pointwise", "Norm"),
    *("Network", "Head", "Activation", "AvgPool"),
]


def another(spec, dotted):
    """Return a spec with another permitted value in one field."""
    now = spec.flat()[dotted]
    for value in CANDIDATES:
        if value != now or type(value) is not type(now):
            try:
                changed = spec.with_values({dotted: value})
            except SpecError:
                continue
            if changed.flat()[dotted] != now:
                return changed
    raise AssertionError(f"no second value for {dotted} among the candidates: add one")


def refused(*settings, base=BASE):
    """Return the error of a changed spec, which is one line."""
    with pytest.raises(SpecError) as caught:
        check(base.with_values(parse_settings(list(settings))))
    assert "\n" not in str(caught.value)
    return caught.value


# --- JSON and names --------------------------------------------------------------------------------------------------


@pytest.fixture(params=EVERY)
def spec(request):
    """Every experiment, and a spec for every kind of network, optimizer and schedule."""
    return experiments.load(request.param) if isinstance(request.param, str) else VARIANTS[request.param]


def test_json_and_back_is_the_same_spec(spec):
    again = Spec.from_json(spec.to_json())
    assert again == spec and again.hash == spec.hash and again.flat() == spec.flat()
    assert type(again.model) is type(spec.model) and type(again.optimizer) is type(spec.optimizer)
    assert Spec.from_dict(json.loads(spec.to_json())) == spec


def test_set_accepts_every_field_under_its_recorded_name(spec):
    for spell in (json.dumps, str):  # as JSON, and as Python prints it
        settings = [f"{dotted}={spell(value)}" for dotted, value in spec.flat().items()]
        assert BASE.but(model=spec.model).with_values(parse_settings(settings)).flat() == spec.flat()


@pytest.mark.parametrize("field", FIELDS)
def test_the_hash_changes_with_each_field_that_changes_numbers_and_no_other(field):
    spec, dotted = FIELDS[field]
    changed = another(spec, dotted)
    silent = dotted.startswith("target.") or dotted in ("train.seed", "data.path", "data.fallback")
    assert (changed.hash == spec.hash) == silent


def test_specs_from_before_a_field_was_there_keep_their_hash():
    values = json.loads(BASE.but("other").to_json())  # of name, parent and notes the hash takes none
    for section, field in (("data", "images"), ("augment", "elastic"), ("train", "compile")):
        del values[section][field]
    del values["average"], values["quantise"], values["model"]["dropout_of"], values["model"]["layers"][0]["dilation"]
    assert Spec.from_dict(values).hash == BASE.hash


# --- derived specs ---------------------------------------------------------------------------------------------------


def test_a_new_name_makes_a_child_and_the_difference_is_what_was_said():
    child = BASE.but("child", train={"epochs": 3}, schedule=Constant())
    assert (child.name, child.parent, BASE.parent) == ("child", "base", None)
    assert child.difference(BASE) == {
        "schedule.name": ("StepLR", "Constant"),
        "train.epochs": (15, 3),
        "schedule.step_size": (6, None),
        "schedule.gamma": (0.1, None),
    }
    assert BASE.difference(BASE) == {} and BASE.but(train={"epochs": 3}).name == "base"
    assert BASE.but(optimizer=SGD(lr=0.2)).optimizer == SGD(lr=0.2)  # a section replaces all fields
    assert BASE.but(optimizer={"lr": 0.2}).optimizer == SGD(lr=0.2, momentum=0.9)


def test_another_kind_keeps_the_fields_that_both_have():
    adam = BASE.with_values({"optimizer.name": "Adam", "optimizer.beta2": 0.99})
    assert adam.optimizer == Adam(lr=0.05, beta2=0.99)
    assert BASE.but(optimizer={"lr": 0.2, "name": "AdamW"}).optimizer == AdamW(lr=0.2, weight_decay=0.0)
    assert BASE.with_values({"schedule.name": "Cosine"}).schedule == Cosine()
    pooled = BASE.with_values({"model.layers.3.size": 3, "model.layers.3.kind": "GatedPool"}).model.layers[3]
    assert pooled == GatedPool(3)
    assert BASE.with_values({"model.layers.0.kind": "Pointwise"}).model.layers[0] == Pointwise(8)
    own = BASE.with_values({"data.name": "npz", "data.path": "a.npz"})
    assert own.with_values({"data.name": "mnist"}).data == BASE.data


def test_a_derived_spec_cannot_have_what_a_spec_cannot():
    for wrong, word in (
        ({"trian": {"epochs": 3}}, "trian.epochs: no such field; did you mean 'train.epochs'?"),
        ({"train": {"epoch": 3}}, "train.epoch: no such field; did you mean 'epochs'?"),
        ({"optimizer": StepLR()}, "optimizer: must be a Optimizer or a dict"),
        ({"schedule": StepLR}, "schedule: must be a Schedule, got StepLR; write StepLR()"),
        ({"model": nn.Flatten}, "model: must be a Model, got Flatten; write Custom(Flatten)"),
        ({"model": nn.Flatten()}, "model: must be a Model, got Flatten; write Custom(Flatten)"),
        ({"loss": nn.MSELoss()}, "loss: must be a Loss, got MSELoss; derive it from tinycnn.spec.Loss"),
        ({"name": "Two Words"}, "name: "),
    ):
        with pytest.raises(SpecError) as caught:
            BASE.but(**wrong)
        assert word in str(caught.value) and "\n" not in str(caught.value)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.fixture
def unread(monkeypatch):
    """Any look at data fails the test."""

    def fail(*_, **__):
        raise AssertionError("data was read")

    for name in ("load", "find", "_read", "fetch"):
        monkeypatch.setattr(data, name, fail)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("setting", "field", "allowed"),
    [
        ("train.epoch=3", "train.epoch:", "did you mean 'epochs'?"),
        ("epochs=3", "epochs:", "did you mean 'train.epochs'?"),
        ("optimizer.beta1=0.5", "optimizer.beta1:", "no such field"),
        ("model.layers.1.chanels=3", "model.layers.1.chanels:", "did you mean 'channels'?"),
        ("model.layers.9.channels=3", "model.layers.9.channels:", "did you mean 'model.layers."),
        ("model.layers.1.channels=0", "model.layers.1.channels:", "greater than or equal to 1, got 0"),
        ("model.layers.3.kind=MaxPol", "model.layers.3.kind:", "did you mean 'MaxPool'?"),
        ("model.layers=[]", "model.layers:", "at least 1 item"),
        ('model.layers=[{"kind":"Conv"}]', "model.layers.0.channels:", "missing"),
        ("model.layers.0=3", "model.layers.0:", "must be a Layer"),
        ("model.padding=-1", "model.padding:", 'a number of pixels from 0 to 64, or "same", got -1'),
        ("name=other", "name:", "no such field; "),
        ("train=3", "train:", "its fields: train.epochs, train.batch_size"),
        ("train.epochs=true", "train.epochs:", "integer, got True"),
        ("train.epochs=ten", "train.epochs:", "integer, got 'ten'"),
        ("model.dropout=NaN", "model.dropout:", "finite number, got nan"),
        ("optimizer.name=adagrad", "optimizer.name:", "'adagrad' is unknown; known: SGD, "),
        ("data.name=mnits", "data.name:", "did you mean 'mnist'?"),
        ("data.validation=1e-9", "data.validation:", "leaves one side empty"),
        ("data.images=60001", "data.images:", "mnist has 60000 training images"),
        ("augment.cutout=29", "augment.cutout:", "use at most 28"),
    ],
)
def test_an_impossible_value_is_refused_in_one_line_before_data_are_read(setting, field, allowed):
    error = refused(setting)
    assert field in str(error) and allowed in str(error) and error.exit_code == USAGE == 2


@pytest.mark.usefixtures("unread")
def test_impossible_combinations_are_refused():
    error = str(refused("data.name=mnist5k", "train.batch_size=4001"))
    assert "train.batch_size: 4001" in error and "4000" in error
    error = str(refused("data.name=mnist5k", "data.validation=true", "train.batch_size=3001"))
    assert "train.batch_size: 3001" in error and "3000" in error
    assert "nesterov needs a momentum above 0" in str(refused("optimizer.nesterov=true", "optimizer.momentum=0"))
    check(BASE.with_values({"data.name": "mnist5k", "train.batch_size": 4000, "augment.cutout": 28}))


@pytest.mark.usefixtures("unread")
def test_more_parameters_than_the_limit_has_an_exit_code_of_its_own():
    error = refused(base=BASE.but(model=networks.model_1()))
    assert isinstance(error, OverLimit) and error.exit_code == OVER_LIMIT == 3
    assert "28,624 parameters" in str(error) and "target.parameter_limit = 8,000" in str(error)
    assert check(BASE.with_values({"target.parameter_limit": 7872}))[0].parameters == 7872


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "must be an object"),
        ("{}", "name: missing; model: missing"),
        ('{"name": "a", "model": {}}', "model.kind: missing; known: Network"),
        ('{"name": "a", "model": {"kind": "Custom", "network": "x.py:Net"}}', "model.network: x.py:Net: cannot be "),
        ('{"name": "a", "model": {"kind": "Custom", "network": "numpy:Net"}}', "model.network: numpy no longer"),
        ('{"name": "a", "model": {"kind": "Custom", "network": "os:system"}}', "model.network: os:system: cannot be"),
        ("{" + MODEL + ', "trian": {}}', "trian: no such field; did you mean 'train'?"),
        ("{" + MODEL + ', "version": 3}', "version: must be 2, got 3"),
        ('{"version": 1, "name": "a", "model": {"name": "model_4"}}', "model.name: 'model_4' is unknown; did you mean"),
    ],
)
def test_a_json_that_is_no_spec_is_refused_in_one_line(text, words):
    with pytest.raises(SpecError) as caught:
        Spec.from_json(text, where="x.json")
    assert str(caught.value).startswith("x.json: ") and words in str(caught.value) and "\n" not in str(caught.value)


def test_settings_are_read_as_json_or_python_or_text():
    text = ["a.a=1", "a.b=0.5", "a.c=true", "a.d=True", "a.e=None", "a.f=null", "a.g=model_3", "a.h=x=y", "a.i=[1, 2]"]
    assert list(parse_settings(text).values()) == [1, 0.5, True, True, None, None, "model_3", "x=y", [1, 2]]
    for setting in ("epochs", "=3"):
        with pytest.raises(SpecError, match="FIELD=VALUE"):
            parse_settings([setting])


def test_true_is_the_standard_validation_share():
    for name, share in (("mnist", 1 / 6), ("fashion_mnist", 1 / 6), ("cifar10", 0.1), ("mnist5k", 0.25)):
        assert Data(name=name, validation=True).validation == share
        assert BASE.with_values({"data.name": name, "data.validation": True}).data.validation == share
        assert Data(name=name, validation=False).validation == 0


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_a_step_that_is_never_reached_and_a_target_that_is_not_judged_are_warnings():
    for size, count in ((14, 0), (15, 1), (100, 1)):  # 15 epochs; with 14 the last epoch has a lower rate
        _, notices = check(BASE.with_values({"schedule.step_size": size}))
        assert len(notices) == count and all("schedule.step_size" in line for line in notices)
    short = BASE.but(schedule=Constant(), train={"epochs": 4})
    (line,) = check(short)[1]
    assert "train.epochs: 4" in line and "not judged" in line
    assert check(short.with_values({"train.epochs": 5}))[1] == check(short.but(target={"accuracy": None}))[1] == []
