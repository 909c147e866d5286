"""What a study may be: ranges that fit the spec's fields, a budget, and never the test set."""

import pickle

import pytest
from torch import nn

from tinycnn.errors import SpecError
from tinycnn.spec import SGD, AdamW, Conv, Custom, GatedPool, Head, MaxPool, Repeat, StepLR
from tinycnn.spec import load as experiments
from tinycnn.study import definition
from tinycnn.study.definition import Choice, Float, Int, Study, check_study


@pytest.fixture(scope="module")
def exp3():
    return experiments.load("exp3")


def study(base, ranges, **more):
    return Study(name="some", base=base, ranges=ranges, **more)


@pytest.mark.parametrize("name", definition.names())
def test_every_study_file_is_valid_and_its_trial_0_is_the_base(name):
    found = definition.load(name)
    assert check_study(found) == [] and found.notes.strip()
    own = found.trained.with_values(found.values(found.base_parameters()))
    assert own.difference(found.base).keys() == {"data.validation", *found.fidelity}
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_study_is_evaluated_on_validation_images_the_standard_split_unless_told_another(exp3):
    ranges = {"model.dropout": Float(0, 0.1)}
    assert study(exp3, ranges).trained.data.validation == pytest.approx(1 / 6)
    assert study(exp3, ranges, fidelity={"data.validation": 0.5}).trained.data.validation == 0.5


@pytest.mark.parametrize(
    "ranges, words",
    [
        ({"model.dropuot": Float(0, 0.1)}, "model.dropuot: no such field; did you mean 'dropout'?"),
        ({"model.dropout": Float(0, 1.5)}, "model.dropout: must be less than 1, got 1.5"),
        ({"train.epochs": Float(1, 9)}, "train.epochs: must be a valid integer, got 1.0"),
        ({"model.layers.0.channels": Int(0, 8)}, "model.layers.0.channels: must be greater than or equal to 1, got 0"),
        ({"optimizer.name": Choice("SGD", "Adm")}, "'Adm' is unknown; did you mean 'Adam'?"),
        ({"train.seed": Int(1, 9)}, "train.seed: cannot be searched"),
        ({"data.images": Int(100, 200)}, "data.images: cannot be searched"),
    ],
)
def test_a_range_the_spec_cannot_have_is_refused_by_name_in_one_line(exp3, ranges, words):
    with pytest.raises(SpecError) as caught:
        check_study(study(exp3, ranges))
    assert str(caught.value).startswith("study some: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fidelity, words",
    [
        ({"data.validation": 0.0}, "a study needs validation images"),
        ({"data.imagse": 100}, "data.imagse: no such field; did you mean 'images'?"),
    ],
)
def test_a_fidelity_that_cannot_be_is_refused(exp3, fidelity, words):
    with pytest.raises(SpecError, match=words):
        check_study(study(exp3, {"model.dropout": Float(0, 0.1)}, fidelity=fidelity))


def test_a_base_outside_its_ranges_is_told(exp3):
    found = study(exp3, {"model.layers.0.channels": Int(3, 9, step=2), "model.dropout": Float(0, 0.1)})
    assert check_study(found) == ["model.layers.0.channels: exp3's own value is outside the range"]
    assert found.base_parameters() == {"model.dropout": 0.003}


def test_a_field_that_is_inherited_has_no_value_of_its_own_to_begin_with(exp3):
    found = study(exp3, {"model.layers.0.dropout": Float(0.0, 0.1)})
    assert check_study(found) == ["model.layers.0.dropout: exp3's own value is outside the range"]
    assert found.base_parameters() == {}


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Float(1, 1), "low must be below high"),
        (lambda: Float(0, 1, log=True), "with log, low above 0"),
        (lambda: Int(1, 8, step=7, log=True), "no step"),
        (lambda: Int(1, 8, step=0), "a step 1 or more"),
    ],
)
def test_a_range_that_is_none_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_floats_are_trained_with_three_digits_and_never_beyond_the_range(exp3):
    found = study(exp3, {"optimizer.lr": Float(0.0012345, 0.0678912, log=True)})
    assert found.values({"optimizer.lr": 0.00765432}) == {"optimizer.lr": 0.00765}
    assert found.values({"optimizer.lr": 0.0678912}) == {"optimizer.lr": 0.0678912}


def wide(widths=(8, 12)):
    return nn.Sequential(nn.Conv2d(1, widths[0], 3), nn.Conv2d(widths[0], widths[1], 3), nn.Flatten())


def test_items_of_a_list_are_searched_by_their_index(exp3):
    found = study(exp3.but(model=Custom(wide)), {f"model.widths.{i}": Int(4, 12, step=4) for i in range(2)})
    assert check_study(found) == [] and found.base_parameters() == {"model.widths.0": 8, "model.widths.1": 12}
    trained = found.trained.with_values(found.values({"model.widths.0": 4, "model.widths.1": 8}))
    assert trained.model.widths == [4, 8]


@pytest.mark.parametrize("kind", [list, tuple])
def test_lists_are_chosen_as_lists_or_tuples_and_trial_0_is_the_base(exp3, kind):
    rows = [kind(row) for row in [(8, 12), (8, 8)]]
    found = study(exp3.but(model=Custom(wide)), {"model.widths": Choice(*rows)})
    assert check_study(found) == [] and found.values(found.base_parameters()) == {"model.widths": rows[0]}
    assert found.trained.with_values({"model.widths": rows[1]}).model.widths == [8, 8]


def test_layers_rows_of_layers_and_sections_are_chosen_like_anything_else(exp3):
    rows = (Conv(8), MaxPool(2), Head()), (Conv(4), Repeat(Conv(6), times=3), Head())
    ranges = {
        "model.layers": Choice(*rows),
        "model.layers.1": Choice(MaxPool(2), GatedPool(2)),
        "optimizer": Choice(exp3.optimizer, AdamW(lr=0.1), SGD(lr=0.1)),
    }
    found = study(exp3, ranges)
    assert check_study(found) == ["model.layers, model.layers.1: exp3's own value is outside the range"]
    own = found.base_parameters()
    assert found.values(own) == {"optimizer": exp3.optimizer}
    words = {name: given.words[1] for name, given in ranges.items()}
    trained = found.trained.with_values(found.values(words))
    assert trained.model.layers == (Conv(4), GatedPool(2), Head()) and trained.optimizer == AdamW(lr=0.1)
    assert {Repeat, MaxPool, GatedPool, SGD} <= set(found.classes)


def test_the_digest_tells_what_is_searched_from_how_long(exp3):
    one = study(exp3, {"model.dropout": Float(0, 0.1), "schedule.step_size": Int(2, 4)})
    assert one.digest == one.model_copy(update={"trials": 7, "notes": "said"}).digest
    others = [
        {"ranges": {"model.dropout": Float(0, 0.2), "schedule.step_size": Int(2, 4)}},
        {"ranges": {"model.dropout": Float(0, 0.1), "schedule.step_size": Int(2, 4, step=2)}},
        {"seeds": 2},
        {"objective": "validation_accuracy"},
        {"fidelity": {"data.images": 20_000}},
        {"base": exp3.but(schedule=StepLR(step_size=3))},
        {"base": exp3.but(target={"parameter_limit": 7000})},
    ]
    assert len({one.digest, *(one.model_copy(update=each).digest for each in others)}) == 8


FILE = "from experiments.exp3 import SPEC\nfrom tinycnn.study import Float, Study\nSTUDY = Study(base=SPEC, "


@pytest.mark.parametrize(
    "content, words",
    [
        (f"{FILE}ranges={{}}, name='mine')", "ranges"),
        (f"{FILE}name='mine', trails=3, ranges={{'model.dropout': Float(0.0, 0.1)}})", "trails"),
        (f"{FILE}name='other', ranges={{'model.dropout': Float(0.0, 0.1)}})", "STUDY.name is 'other'"),
        (f"{FILE}name='mine', ranges={{'model.dropout': Float(0.1, 0.0)}})", "low must be below high"),
    ],
)
def test_a_study_file_that_is_none_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(SpecError) as caught:
        definition.load(str(path))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_study_is_refused_with_the_nearest():
    with pytest.raises(SpecError, match="is called 'dropout_rl'; did you mean 'dropout_lr'?"):
        definition.load("dropout_rl")
