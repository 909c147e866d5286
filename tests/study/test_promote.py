"""A promoted spec is the trial's, written as by hand, and what it brings is said with its interval."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from scipy import stats

from tinycnn import ROOT
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import BlurPool, Conv, OneCycle, Repeat
from tinycnn.spec import load as experiments
from tinycnn.study import definition, promote, storage
from tinycnn.study.definition import Choice, Float, Int, Study


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of a copy of the experiments, and a storage of the test's own."""
    monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "studies.journal"))
    folder = tmp_path / "experiments"
    folder.mkdir()
    for path in experiments.FOLDER.glob("*.py"):
        (folder / path.name).write_text(path.read_text())
    monkeypatch.setattr(experiments, "FOLDER", folder)
    return folder


@pytest.fixture
def study():
    ranges = {
        "model.layers.0.channels": Int(4, 20, step=2),
        "optimizer.lr": Float(0.001, 0.1, log=True),
        "optimizer.name": Choice("Adam", "AdamW", "SGD"),
        "schedule.name": Choice("StepLR", "OneCycle"),
    }
    return Study(name="some", base=experiments.load("exp3"), ranges=ranges, fidelity={"data.images": 1000})


def searched(study, *trials):
    """Put trials of (values, objective) into the storage after the base's; None is one that was pruned."""
    found = storage.opened(study, identity={"definition": study.digest})
    for changes, value in [({}, 0.5), *trials]:
        if changes:
            found.enqueue_trial(study.base_parameters() | changes)
        trial, _, _ = storage.ask(found, study, 1)
        shape = {"state": "pruned" if value is None else "complete", "accuracy": 99.0, "seconds": 1.0, "overhead": 1.0}
        shape["epochs"] = [[0, epoch, 1.0, 1.0, 99.0, 0.01] for epoch in range(1, 16)]
        storage.finish(found, trial, value, **shape)


def test_the_file_is_a_spec_that_differs_from_its_base_as_the_trial_did(study):
    searched(study, ({"optimizer.lr": 0.0123456, "model.layers.0.channels": 6}, 0.4))
    path = promote.promote(study, "exp9")
    spec = experiments.load("exp9")
    changed = {"model.layers.0.channels": (8, 6), "optimizer.lr": (0.007, 0.0123)}
    assert spec.parent == "exp3" and spec.difference(experiments.load("exp3")) == changed
    text = " ".join(path.read_text().split())
    assert '{ "model.layers.0.channels": 6, "optimizer.lr": 0.0123, }' in text
    assert "optimizer.lr 0.007 -> 0.0123" in text and "trial 1 of the study some" in text
    assert "validation loss 0.40000, its base's 0.50000" in text
    lint = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", path]
    assert subprocess.run(lint, capture_output=True).returncode == 0
    assert not spec.data.validation and spec.data.images is None  # all images, and the test set


def test_a_base_that_is_no_experiment_is_taken_from_the_study_and_layers_are_written_as_such():
    layout = definition.load("layout")
    searched(layout, ({"model.layers.2": "BlurPool(2)", "model.layers.3.times": 1}, 0.4))
    text = promote.promote(layout, "exp9").read_text()
    assert "from experiments.studies.layout import STUDY\nfrom tinycnn.spec import BlurPool\n" in text
    spec = experiments.load("exp9")
    assert spec.parent == "exp3" and spec.model.layers[2:4] == (BlurPool(2), Repeat(Conv(12), times=1))


@pytest.mark.parametrize(
    "field, word, gone",
    [("optimizer.name", "AdamW", None), ("optimizer.name", "SGD", "beta1"), ("schedule.name", "OneCycle", "gamma")],
)
def test_a_section_of_another_kind_is_promoted_as_a_whole(study, field, word, gone):
    searched(study, ({field: word}, 0.4))
    promote.promote(study, "exp9")
    section = getattr(experiments.load("exp9"), field.partition(".")[0])
    assert section.name == word and not hasattr(section, gone or "none")


def test_a_trial_may_be_named_and_must_have_come_to_its_end(study):
    searched(study, ({"optimizer.lr": 0.02}, 0.4), ({"optimizer.lr": 0.03}, 0.45), ({"optimizer.lr": 0.04}, None))
    promote.promote(study, "exp9", 2)
    assert experiments.load("exp9").optimizer.lr == 0.03
    for number in (3, 9):
        with pytest.raises(UserError, match=f"has no complete trial {number}"):
            promote.promote(study, "exp8", number)


def test_nothing_is_overwritten_and_no_bad_file_is_left(study, folder):
    searched(study, ({"optimizer.lr": 0.02}, 0.4))
    before = {path: path.read_text() for path in folder.iterdir()}
    with pytest.raises(SpecError, match=r"exp2.py exists"):
        promote.promote(study, "exp2")
    for name in ("Exp 4", "../exp9", ""):
        with pytest.raises(SpecError, match=r"\A[^\n]*\Z"):
            promote.promote(study, name)
    assert {path: path.read_text() for path in folder.iterdir()} == before


def test_a_base_that_no_file_can_import_is_one_line(folder):
    base = experiments.load("exp3").but(name="my-net")
    (folder / "my-net.py").write_text("from experiments.exp3 import SPEC as EXP3\nSPEC = EXP3.but(name='my-net')\n")
    study = Study(name="some", base=base, ranges={"optimizer.lr": Float(0.001, 0.1, log=True)})
    searched(study, ({"optimizer.lr": 0.02}, 0.4))
    with pytest.raises(SpecError, match="my-net: no file can import a name with -; rename it with _"):
        promote.promote(study, "exp9")


def test_changes_that_the_study_made_to_its_base_are_promoted_too(study, monkeypatch):
    base = study.base.but(augment={"rotation": 15.0}, optimizer={"lr": 0.02})  # not renamed
    study = study.model_copy(update={"base": base})
    monkeypatch.setitem(sys.modules, "experiments.studies.some", SimpleNamespace(STUDY=study))
    searched(study, ({"model.layers.0.channels": 6}, 0.4))
    promote.promote(study, "exp9")
    assert experiments.load("exp9").difference(base) == {"model.layers.0.channels": (8, 6)}


OWN = """
from torch import nn
from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import Conv, Custom, Head, Layer, MaxPool
from tinycnn.study import Choice, Study

class Mix(Layer):
    groups: int = 2
    def build(self, shape):
        return nn.ChannelShuffle(self.groups)

def other(width=8):
    return nn.Sequential(nn.Conv2d(1, width, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144 * width, 10))

STUDY = Study(name="own", base=EXP3, ranges={
    "model": Choice(EXP3.model, Custom(other, width=2)),
    "model.layers": Choice(EXP3.model.layers, (Conv(8), Mix(groups=4), Conv(8), Head())),
})
"""


@pytest.mark.parametrize("field", ["model", "model.layers"])
def test_classes_and_networks_of_the_study_s_own_file_are_found_by_another_process(tmp_path, field):
    (tmp_path / "own.py").write_text(OWN)
    own = definition.load(str(tmp_path / "own.py"))
    choice = own.ranges[field]
    study = own.model_copy(update={"ranges": {field: choice}})
    searched(study, ({field: choice.words[1]}, 0.4))
    promote.promote(study, "exp9")
    defining = [name for name, module in sys.modules.items() if vars(module).get("STUDY") == own]
    for name in defining:  # asked by ``vars``, since getattr would import what some modules load when it is needed
        del sys.modules[name]
    spec = experiments.load("exp9")
    promoted = spec.model if field == "model" else spec.model.layers
    assert repr(promoted) == repr(choice.values[1])


def test_the_base_itself_and_a_study_not_begun_are_told(study):
    with pytest.raises(UserError, match="search some` begins it"):
        promote.promote(study, "exp9")
    searched(study)
    with pytest.raises(UserError, match="is exp3 itself: there is nothing to promote"):
        promote.promote(study, "exp9")


def test_both_are_trained_with_the_same_fresh_seeds_on_the_test_set_and_compared(study, monkeypatch):
    searched(study, ({"optimizer.lr": 0.02}, 0.4))
    promote.promote(study, "exp9")
    asked, clusters = [], []

    def run(plan, *, seeds, first_seed, missing, cluster, **_):
        asked.append((plan, seeds, first_seed, missing))
        clusters.append(cluster)
        last = [99.4 + 0.01 * i + 0.1 * (plan[0] == "exp9") for i in range(seeds)]
        lacking = "full" if plan == ("exp9", 15) else None
        return {"seeds": [{"last": each} for each in last], "run_id": plan[0], "undelivered": lacking}

    monkeypatch.setattr(promote.run, "run", run)
    monkeypatch.setattr(
        promote.run, "prepare", lambda spec, **_: spec.data.validation or (spec.name, spec.train.epochs)
    )
    said = []
    reporter = promote.run.Reporter()
    reporter.notice = said.append
    result = promote.confirm(study, "exp9", 3, settings={}, reporter=reporter)
    assert asked == [(("exp3", 15), 3, 1000, True), (("exp9", 15), 3, 1000, True)]
    assert result.pop("undelivered") == {"exp9": "full"}
    assert result == storage.opened(study).user_attrs["comparison"]
    assert result["difference"] == pytest.approx(0.1)
    # two trials of a second, each 15 epochs of 1,000 images; now 6 seeds, each 15 epochs of 60,000
    assert len(said) == 1 and "with 3 seeds each" in said[0] and "about 6 min at the speed of the trials" in said[0]
    promote.confirm(study, "exp9", 2, settings={"train.epochs": 3}, cluster="there")
    assert clusters == [None, None, "there", "there"]
    assert asked[2:] == [(("exp3", 3), 2, 1000, True), (("exp9", 3), 2, 1000, True)]
    assert result == storage.opened(study).user_attrs["comparison"], "the comparison of other specs is not kept"


@pytest.mark.parametrize(
    "data, against", [({"name": "mnist5k"}, "own"), ({"images": 5000}, "own"), ({}, "exp3")], ids=str
)
def test_a_derived_base_is_compared_as_its_experiment_unless_that_has_other_images(monkeypatch, data, against):
    base = experiments.load("exp3").but(name="own", data=data, schedule=OneCycle(), target={"accuracy": None})
    study = Study(name="some", base=base, ranges={"optimizer.lr": Float(0.001, 0.1, log=True)})
    monkeypatch.setitem(sys.modules, "experiments.studies.some", SimpleNamespace(STUDY=study))
    searched(study)
    with pytest.raises(UserError, match="is own itself: there is nothing to promote"):
        promote.promote(study, "exp9")
    searched(study, ({"optimizer.lr": 0.02}, 0.4))
    promote.promote(study, "exp9")
    monkeypatch.setattr(promote.run, "prepare", lambda spec, **_: spec)
    monkeypatch.setattr(promote.run, "run", lambda plan, **_: {"seeds": [{"last": 99.0}], "undelivered": None})
    result = promote.confirm(study, "exp9", 1, settings={})
    assert list(result["accuracies"]) == [against, "exp9"] and result["base"] == against


def test_what_is_evaluated_on_other_images_is_not_compared(study, monkeypatch):
    searched(study, ({"optimizer.lr": 0.02}, 0.4))
    other = experiments.load("exp3").but(name="exp9", data={"name": "mnist5k"}, target={"accuracy": None})
    monkeypatch.setattr(promote.experiments, "load", lambda name: other if name == "exp9" else study.base)
    with pytest.raises(SpecError, match="exp9: is evaluated on other images than exp3"):
        promote.confirm(study, "exp9", 1, settings={})
    assert "comparison" not in storage.opened(study).user_attrs


def test_the_interval_is_students_over_pairs_by_seed():
    before, after = [99.40, 99.45, 99.52, 99.38, 99.50], [99.47, 99.46, 99.60, 99.49, 99.51]
    found = promote.compared("a", "b", before, after)
    oracle = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert found["difference"] == pytest.approx(0.056) and found["word"] == "better"
    assert (found["low"], found["high"]) == pytest.approx((oracle.low, oracle.high))


@pytest.mark.parametrize(
    "before, after, word",
    [
        ([99.4, 99.5, 99.6], [99.5, 99.5, 99.5], "inconclusive"),
        ([99.4, 99.5, 99.6], [99.1, 99.2, 99.31], "worse"),
        ([99.4], [99.9], "inconclusive"),
        ([99.4, 99.4], [99.5, 99.5], "inconclusive"),
        ([99.4, 99.4], [99.5, 99.51], "inconclusive"),
    ],
)
def test_no_more_is_claimed_than_the_seeds_can_carry(before, after, word):
    found = promote.compared("a", "b", before, after)
    assert found["word"] == word and word in promote.text(found)
