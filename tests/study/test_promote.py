"""A promoted spec is the trial's, in the manner of the house, and what it brings is said with its interval."""

import subprocess
import sys

import pytest
from scipy import stats

from tinycnn import ROOT, source
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import BlurPool, Conv, GatedPool, Repeat
from tinycnn.spec import load as experiments
from tinycnn.study import promote
from tinycnn.study import storage as search
from tinycnn.study.definition import Choice, Float, Int, Study


@pytest.fixture(autouse=True)
def surroundings_of_studies(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "studies.journal"))
    folder = tmp_path / "experiments"
    folder.mkdir()
    for path in experiments.FOLDER.glob("*.py"):
        (folder / path.name).write_text(path.read_text())
    monkeypatch.setattr(experiments, "FOLDER", folder)


@pytest.fixture
def study():
    ranges = {
        **{f"model.layers.{layer}.channels": Int(4, 20, step=2) for layer in (0, 1, 2, 4, 5, 6, 7)},
        "optimizer.lr": Float(0.001, 0.1, log=True),
        "optimizer.name": Choice("Adam", "AdamW"),
        "schedule.step_size": Int(2, 10),
    }
    return Study(name="some", base=experiments.load("exp3"), ranges=ranges, fidelity={"data.images": 1000})


def searched(study, *trials):
    """Put trials of (values, objective) into the storage; None is one that was pruned."""
    with search.alone(study.name):
        found = search.opened(study, make=True, identity={})
        for changes, value in [({}, 0.5), *trials]:
            if changes:
                found.enqueue_trial(study.base_parameters() | changes)
            trial, _, _ = search.attempt(found, study, 1)
            outcome = search.Outcome(state="pruned" if value is None else "complete", value=value, accuracy=99.0)
            search.finish(found, trial, outcome, 0.0)


def test_the_file_is_a_spec_that_differs_from_its_base_as_the_trial_did(study):
    searched(study, ({"optimizer.lr": 0.0123456, "model.layers.0.channels": 10, "model.layers.7.channels": 16}, 0.4))
    path = promote.promote(study, "exp9")
    spec = experiments.load("exp9")
    assert spec.parent == "exp3" and spec.difference(experiments.load("exp3")) == {
        "model.layers.0.channels": (8, 10),
        "model.layers.7.channels": (18, 16),
        "optimizer.lr": (0.007, 0.0123),
    }
    text = " ".join(path.read_text().split())
    assert "optimizer.lr 0.007 -> 0.0123" in text and "trial 1 of the study some" in text
    assert "validation loss 0.40000, its base's 0.50000" in text and "Run make exp9 (2 min)" in text
    lint = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", path]
    assert subprocess.run(lint, capture_output=True).returncode == 0
    assert not spec.data.validation and spec.data.images is None  # all images, and the test set


def test_a_layout_is_promoted_as_a_network_that_can_be_read(study, monkeypatch):
    changes = {"layers.4": Repeat(Conv(12), times=2), "layers.3": GatedPool(2)}
    base = study.base.but(model=changes, target={"parameter_limit": None})
    (experiments.FOLDER / "layout.py").write_text(
        "from experiments.exp3 import SPEC as S\nfrom tinycnn.spec import Conv, GatedPool, Repeat\n"
        f"SPEC = S.but('layout', model={changes!r},\n target={{'parameter_limit': None}})\n"
    )
    module = source.load_file(experiments.FOLDER / "layout.py")
    monkeypatch.setitem(sys.modules, "experiments.layout", module)
    assert experiments.load("layout").hash == base.hash
    ranges = {"model.layers.3": Choice(GatedPool(2), BlurPool(2)), "model.layers.4.times": Int(1, 4)}
    layout = Study(name="some", base=experiments.load("layout"), ranges=ranges)
    searched(layout, ({"model.layers.3": "BlurPool(2)", "model.layers.4.times": 1}, 0.4))
    path = promote.promote(layout, "exp9")
    text = path.read_text()
    assert "BlurPool(2), Repeat(Conv(12), times=1)," in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 120
    assert "from tinycnn.spec import BlurPool, Conv, Head, MaxPool, Network, Repeat\n" not in text  # only what it needs
    assert experiments.load("exp9").model.layers[3:5] == (BlurPool(2), Repeat(Conv(12), times=1))
    assert "model.layers Conv(8)" in " ".join(text.split())


def test_another_kind_of_optimizer_comes_with_its_name(study):
    searched(study, ({"optimizer.name": "AdamW", "schedule.step_size": 3}, 0.4))
    promote.promote(study, "exp9")
    assert experiments.load("exp9").optimizer.name == "AdamW" and experiments.load("exp9").schedule.step_size == 3


@pytest.mark.parametrize(
    "section, kind, gone", [("optimizer", "SGD", "optimizer.beta1"), ("schedule", "OneCycle", "schedule.gamma")]
)
def test_a_kind_that_lacks_fields_of_the_bases_is_promoted_without_them(study, section, kind, gone):
    own = getattr(study.base, section).name
    other = study.model_copy(update={"ranges": {f"{section}.name": Choice(own, kind)}})
    searched(other, ({f"{section}.name": kind}, 0.4))
    promote.promote(other, "exp9")
    spec = experiments.load("exp9")
    assert getattr(spec, section).name == kind and gone not in spec.flat()


def test_the_best_so_far_can_be_promoted_while_another_trial_waits(study):
    searched(study, ({"optimizer.lr": 0.02}, 0.4))
    search.opened(study).enqueue_trial(study.base_parameters() | {"optimizer.lr": 0.03})
    promote.promote(study, "exp9")
    assert experiments.load("exp9").optimizer.lr == 0.02


def test_nothing_is_trained_for_a_comparison_that_cannot_be_kept(study, monkeypatch):
    searched(study.model_copy(update={"name": "another"}), ({"optimizer.lr": 0.02}, 0.4))
    promote.promote(study.model_copy(update={"name": "another"}), "exp9")
    monkeypatch.setattr(promote.run, "run", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(UserError, match="search some begins it"):
        promote.confirm(study, "exp9", 5)


def test_a_trial_may_be_named_and_must_have_come_to_its_end(study):
    searched(study, ({"optimizer.lr": 0.02}, 0.4), ({"optimizer.lr": 0.03}, 0.45), ({"optimizer.lr": 0.04}, None))
    promote.promote(study, "exp9", 2)
    assert experiments.load("exp9").optimizer.lr == 0.03
    for number in (3, 9):
        with pytest.raises(UserError, match=f"has no complete trial {number}"):
            promote.promote(study, "exp8", number)


def test_nothing_that_is_there_is_overwritten_and_no_bad_file_is_left(study):
    searched(study, ({"optimizer.lr": 0.02}, 0.4))
    before = (experiments.FOLDER / "exp2.py").read_text()
    with pytest.raises(SpecError, match="exp2.py is there already"):
        promote.promote(study, "exp2")
    assert (experiments.FOLDER / "exp2.py").read_text() == before
    for name in ("Exp 4", "../exp9", "4", ""):
        with pytest.raises(SpecError) as caught:
            promote.promote(study, name)
        assert "\n" not in str(caught.value)
    assert not (experiments.FOLDER.parent / "exp9.py").exists()


def test_the_base_itself_and_a_study_not_begun_are_told(study):
    with pytest.raises(UserError, match="search some begins it"):
        promote.promote(study, "exp9")
    searched(study)
    with pytest.raises(UserError, match="is exp3 itself: there is nothing to promote"):
        promote.promote(study, "exp9")


def test_the_interval_is_students_over_pairs_by_seed():
    before, after = [99.40, 99.45, 99.52, 99.38, 99.50], [99.47, 99.46, 99.60, 99.49, 99.51]
    found = promote.compared("a", "b", before, after)
    oracle = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert found["difference"] == pytest.approx(0.056)
    assert (found["low"], found["high"]) == pytest.approx((oracle.low, oracle.high))
    assert found["word"] == "better"  # 0.056 +- 2.776 * 0.0428 / sqrt(5) = 0.003 to 0.109


@pytest.mark.parametrize(
    "before, after, word",
    [
        ([99.4, 99.5, 99.6], [99.5, 99.5, 99.5], "inconclusive"),
        ([99.4, 99.5, 99.6], [99.1, 99.2, 99.31], "worse"),
        ([99.4, 99.5, 99.6], [99.4, 99.5, 99.6], "inconclusive"),
        ([99.4], [99.9], "inconclusive"),
        ([99.4, 99.4], [99.5, 99.5], "inconclusive"),
        ([99.4, 99.4], [99.5, 99.51], "inconclusive"),
    ],
)
def test_no_more_is_claimed_than_the_seeds_can_carry(before, after, word):
    found = promote.compared("a", "b", before, after)
    assert found["word"] == word and word in promote.text(found)
