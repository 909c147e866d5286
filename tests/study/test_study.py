"""What a study may be: ranges that fit the spec's fields, a budget, and never the test set."""

import pickle

import pytest
from torch import nn

from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Conv, Custom, GatedPool, Head, MaxPool, Repeat, StepLR
from tinycnn.spec import load as experiments
from tinycnn.study import definition as studies_of
from tinycnn.study.definition import Choice, Float, Int, Study, check_study


@pytest.fixture(scope="module")
def exp3():
    return experiments.load("exp3")


def study(base, ranges, **more):
    return Study(name="some", base=base, ranges=ranges, **more)


@pytest.mark.parametrize("name", studies_of.names())
def test_every_study_file_is_sound_and_its_trial_0_is_the_base(name):
    found = studies_of.load(name)
    assert check_study(found) == [] and found.notes.strip()
    own = found.spec(found.base_parameters())
    assert own.difference(found.base).keys() == {"data.validation", *found.fidelity}
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_study_is_evaluated_on_the_standard_validation_split_unless_told_another(exp3):
    assert study(exp3, {"model.dropout": Float(0, 0.1)}).trained.data.validation == pytest.approx(1 / 6)
    other = study(exp3, {"model.dropout": Float(0, 0.1)}, fidelity={"data.validation": 0.5})
    assert other.trained.data.validation == 0.5
    with pytest.raises(SpecError, match="never sees the test set"):
        check_study(study(exp3, {"model.dropout": Float(0, 0.1)}, fidelity={"data.validation": 0.0}))


@pytest.mark.parametrize(
    "ranges, words",
    [
        ({"model.dropuot": Float(0, 0.1)}, "'model.dropuot': no such field of exp3; did you mean 'model.dropout'?"),
        ({"zzz": Float(0, 0.1)}, "no such field of exp3; known: model.*, data.*"),
        ({"model.dropout": Float(0, 1.5)}, "model.dropout: must be less than 1, got 1.5"),
        ({"model.dropout": Float(-0.1, 0.5)}, "model.dropout: must be greater than or equal to 0, got -0.1"),
        ({"train.epochs": Float(1, 9)}, "train.epochs: must be a valid integer, got 1.0"),
        ({"model.layers.0.channels": Int(0, 8)}, "model.layers.0.channels: must be greater than or equal to 1, got 0"),
        ({"model.layers.3.channels": Int(4, 8)}, "'model.layers.3.channels': no such field of exp3"),
        ({"model.layers.9.channels": Int(4, 8)}, "'model.layers.9.channels': no such field of exp3; did you mean"),
        ({"model.dropout": (Float(0, 0.1),)}, "model.dropout: needs one range"),
        ({"schedule.step_size": Int(2, 16)}, "up to 16, more than the 15 epochs that a trial may have"),
        ({"optimizer.name": Choice("SGD", "Adm")}, "'Adm' is unknown; did you mean 'Adam'?"),
        ({"target.accuracy": Float(1, 2)}, "target.accuracy: nothing to search by"),
        ({"train.seed": Int(1, 9)}, "train.seed: nothing to search by"),
        ({"data.validation": Float(0.1, 0.2)}, "data.validation: nothing to search by"),
        ({"data.name": Choice("mnist", "cifar10")}, "data.name: nothing to search by"),
        ({"data.images": Int(100, 200)}, "data.images: nothing to search by"),
        ({"train.epochs": Int(4, 15)}, "schedule.step_size: up to 5, more than the 4 epochs that a trial may have"),
    ],
)
def test_a_range_the_spec_cannot_have_is_refused_by_name_in_one_line(exp3, ranges, words):
    with pytest.raises(SpecError) as caught:
        check_study(study(exp3, ranges))
    assert str(caught.value).startswith("study some: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_searched_is_not_also_set_by_fidelity(exp3):
    with pytest.raises(SpecError, match="model.dropout: is set by fidelity, and searched"):
        check_study(study(exp3, {"model.dropout": Float(0, 0.1)}, fidelity={"model.dropout": 0.1}))


def test_a_base_outside_its_ranges_is_told(exp3):
    (line,) = check_study(study(exp3, {"optimizer.lr": Float(0.01, 0.1), "model.dropout": Float(0, 0.1)}))
    assert line == "optimizer.lr: exp3's own value is outside the range"


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Float(1, 1), "low 1.0 is not below high 1.0"),
        (lambda: Float(0, 1, log=True), "log needs a low above 0"),
        (lambda: Int(2, 5, step=2), "high 5 is no whole number of steps of 2 above low 2"),
        (lambda: Int(1, 8, step=7, log=True), "log goes with steps of 1 only"),
        (lambda: Choice(1, 1), "the same value stands there twice"),
        (lambda: Choice(1), "at least 2 items"),
        (lambda: Float(0, 1, lgo=True), "Extra inputs are not permitted"),
    ],
)
def test_a_range_that_is_none_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_floats_are_trained_with_three_digits_and_never_beyond_the_range(exp3):
    found = study(exp3, {"optimizer.lr": Float(0.0012345, 0.0678912, log=True), "schedule.step_size": Int(2, 5)})
    assert found.values({"optimizer.lr": 0.00765432, "schedule.step_size": 3}) == {
        "optimizer.lr": 0.00765,
        "schedule.step_size": 3,
    }
    assert found.values({"optimizer.lr": 0.0678912, "schedule.step_size": 3})["optimizer.lr"] == 0.0678912


class Wide(nn.Module):
    """A network with an argument that is a list."""

    def __init__(self, channels, classes, widths=(8, 12)):
        super().__init__()
        first, second = widths
        self.layers = nn.Sequential(nn.Conv2d(channels, first, 3), nn.Conv2d(first, second, 3), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(second, classes)

    def forward(self, images):
        return self.head(self.layers(images).flatten(1))


def test_items_of_a_list_are_searched_one_by_one(exp3):
    own = exp3.but(model=Custom(Wide))
    found = study(own, {"model.widths": tuple(Int(4, 8, step=4) for _ in range(2))})
    assert list(found.parameters) == ["model.widths.0", "model.widths.1"] and check_study(found)
    assert found.spec({"model.widths.0": 8, "model.widths.1": 4}).model.widths == [8, 4]
    with pytest.raises(SpecError, match="model.widths: needs a tuple of 2 ranges"):
        check_study(study(own, {"model.widths": Int(4, 8)}))


def test_layers_and_rows_of_layers_are_chosen_like_anything_else(exp3):
    pools = MaxPool(2), GatedPool(2)
    rows = (Conv(8), MaxPool(2), Head()), (Conv(4), Repeat(Conv(6), times=3), Head())
    found = study(exp3, {"model.layers.3": Choice(*pools), "model.layers.3.size": Int(2, 3)})
    assert check_study(found) == []
    assert found.base_parameters() == {"model.layers.3": "MaxPool(2)", "model.layers.3.size": 2}
    trained = found.spec({"model.layers.3": "GatedPool(2)", "model.layers.3.size": 3})
    assert trained.model.layers[3] == GatedPool(3)
    found = study(exp3, {"model.layers": Choice(*rows), "model.dropout": Float(0, 0.1)})
    (notice,) = check_study(found)
    assert notice == "model.layers: exp3's own value is outside the range"
    words = found.parameters["model.layers"].words
    assert words[1] == "Conv(4) Repeat(Conv(6), times=3) Head()"
    trained = found.spec({"model.layers": words[1], "model.dropout": 0.01})
    assert trained.model.layers == rows[1] and trained.model.dropout == 0.01
    assert {Repeat, MaxPool} <= set(found.used)
    with pytest.raises(ValueError, match="must be a number, a word, a layer or a tuple of layers"):
        Choice(MaxPool(2), exp3.optimizer)


def test_the_digest_tells_what_is_searched_from_how_long(exp3):
    one = study(exp3, {"model.dropout": Float(0, 0.1)})
    assert one.digest == one.model_copy(update={"trials": 7, "notes": "said"}).digest
    for other in (
        study(exp3, {"model.dropout": Float(0, 0.2)}),
        study(exp3, {"model.dropout": Float(0, 0.1)}, seeds=2),
        study(exp3, {"model.dropout": Float(0, 0.1)}, objective="validation_accuracy"),
        study(exp3, {"model.dropout": Float(0, 0.1)}, fidelity={"data.images": 20_000}),
        study(exp3.but(schedule=StepLR(step_size=3)), {"model.dropout": Float(0, 0.1)}),
        study(exp3.but(target={"parameter_limit": 7000}), {"model.dropout": Float(0, 0.1)}),
    ):
        assert other.digest != one.digest


@pytest.mark.parametrize(
    "content, words",
    [
        ("STUDY = 3\n", "has no STUDY"),
        ("", "has no STUDY"),
        ("from tinycnn.study import Study\nSTUDY = Study(name='mine')\n", "base: missing"),
        ("1 / 0\n", "line 1: ZeroDivisionError"),
        (
            "from experiments.exp3 import SPEC\nfrom tinycnn.study import Float, Study\n"
            "STUDY = Study(name='other', base=SPEC, ranges={'model.dropout': Float(0.0, 0.1)})\n",
            "STUDY.name is 'other'",
        ),
        (
            "from experiments.exp3 import SPEC\nfrom tinycnn.study import Float, Study\n"
            "STUDY = Study(name='mine', base=SPEC, trails=3, ranges={'model.dropout': Float(0.0, 0.1)})\n",
            "trails",
        ),
    ],
)
def test_a_study_file_that_is_none_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        studies_of.load(str(path))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_study_is_refused_with_the_nearest():
    with pytest.raises(SpecError, match="no study or file is called 'dropout_rl'; did you mean 'dropout_lr'?"):
        studies_of.load("dropout_rl")
