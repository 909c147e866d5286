"""Every file in ``experiments/`` is an experiment that can be run; adding a file adds one."""

import ast
import math
import re
import shutil

import numpy as np
import pytest
import torch

from tinycnn.data import Images, Split
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError
from tinycnn.network.check import check
from tinycnn.spec import Distillation, Spec
from tinycnn.spec import load as experiments
from tinycnn.train import checkpoint
from tinycnn.train.loop import start, train

NAMES = experiments.names()
every = pytest.mark.parametrize("name", NAMES)


def few_images(name, count=16):
    """Return noise in the shape of a data set's images."""
    facts, rng = DATASETS[name], np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, facts.channels, facts.size, facts.size), np.uint8)
    images = Images(torch.from_numpy(pixels), torch.arange(count) % 10)
    half = (0.5,) * facts.channels
    return Split(name, images, images, "test", "", "", facts.classes, half, half)


# --- those that are there --------------------------------------------------------------------------------------------


def test_the_iterations_have_exactly_the_stated_parameters():
    for name, parameters in (("exp1", 28_624), ("exp2", 7_344), ("exp3", 7_872)):
        spec = experiments.load(name)
        assert check(spec)[0].parameters == parameters and check(spec)[1] == []
        assert spec.target.parameter_limit == (None if name == "exp1" else 8000)


@every
def test_an_experiment_can_be_run_as_it_is_and_on_its_fallback(name):
    spec = experiments.load(name)
    assert Spec.from_json(spec.to_json()) == spec
    measured, _ = check(spec)
    assert spec.name == name
    assert spec.target.parameter_limit is None or measured.parameters <= spec.target.parameter_limit
    if spec.data.fallback:
        check(spec.with_values({"data.name": spec.data.fallback}))


@pytest.mark.parametrize("name", ["cifar1", "exp1", "exp2", "exp3"])  # not required of a user's own
def test_an_experiment_states_target_change_analysis_and_command(name):
    notes = experiments.load(name).notes
    parts = dict(re.findall(r"^(Target|Change|Analysis|Run) +(.*(?:\n +.*)*)", notes, re.M))
    assert notes.splitlines()[0].endswith(".") and parts["Target"] and parts["Change"] and "Analysis" in parts
    assert re.fullmatch(rf"make {name} \(\d+ min\)", parts["Run"].strip())
    assert not re.search(r"\d\d\.\d", parts["Analysis"]), "results are generated from runs, never typed in"


@every
def test_a_derived_experiment_shows_only_what_changed(name):
    spec = experiments.load(name)
    source = ast.parse((experiments.FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    derived = [n for n in ast.walk(source) if isinstance(n, ast.Call) and getattr(n.func, "attr", "") == "but"]
    if spec.parent is None:
        assert not derived
        return
    changed = {dotted.partition(".")[0] for dotted in spec.difference(experiments.load(spec.parent))}
    (call,) = derived
    assert {keyword.arg for keyword in call.keywords} - {"name"} == changed


@every
def test_an_experiment_takes_a_quick_run(name, tmp_path):
    quick = {"epochs": 1, "batch_size": 8, "compile": False}
    spec = experiments.load(name).but(train=quick)
    if isinstance(spec.loss, Distillation):
        teacher = experiments.load(spec.loss.teacher).but(train=quick)
        state = start(teacher, 0, few_images(spec.data.name), torch.device("cpu"))
        checkpoint.save(tmp_path / "teacher.pt", {"spec": teacher.to_json()}, state, [])
        spec = spec.but(loss={"teacher": str(tmp_path / "teacher.pt")})
    (result,) = train(spec, 0, data=few_images(spec.data.name), device="cpu")
    assert math.isfinite(result.train_loss) and math.isfinite(result.loss)
    assert 0 <= result.accuracy <= 100 and result.clean_train_accuracy is not None
    assert sum(p.numel() for p in result.state.network.parameters()) == check(spec)[0].parameters


# --- one more --------------------------------------------------------------------------------------------------------

NEW = '''"""Iteration 4: a longer exp3.

Target    more
Change    from exp3:
          only the rate
Analysis  none yet
Run       make exp9
"""
from experiments.exp3 import SPEC as EXP3

SPEC = EXP3.but(name="exp9", optimizer={"lr": 0.02})
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of ``experiments/`` to drop files into."""
    copy = tmp_path / "experiments"
    shutil.copytree(experiments.FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__", "studies"))
    monkeypatch.setattr(experiments, "FOLDER", copy)
    return copy


def test_dropping_a_file_into_the_folder_adds_an_experiment(folder):
    (folder / "exp9.py").write_text(NEW)
    (folder / "_draft.py").write_text(NEW)
    assert experiments.names() == sorted([*NAMES, "exp9"])
    spec = experiments.load("exp9")
    assert (spec.name, spec.parent, spec.optimizer.lr) == ("exp9", "exp3", 0.02)
    assert spec.difference(experiments.load("exp3")) == {"optimizer.lr": (experiments.load("exp3").optimizer.lr, 0.02)}
    assert spec.notes.startswith("Iteration 4: a longer exp3.")


def test_an_experiment_is_named_by_its_name_its_file_or_the_json_of_a_run(tmp_path, monkeypatch):
    spec = experiments.load("exp3")
    assert experiments.load(str(experiments.FOLDER / "exp3.py")) == spec
    (tmp_path / "spec.json").write_text(spec.to_json())
    assert experiments.load(str(tmp_path / "spec.json")) == spec
    monkeypatch.chdir(tmp_path)
    assert experiments.load("spec.json") == spec == experiments.load("exp3")
    (tmp_path / "exp9.py").write_text(NEW)
    assert experiments.load("exp9.py").name == "exp9"


# --- bad ones --------------------------------------------------------------------------------------------------------

SPECS = "from tinycnn.spec import *\n"
MINE = SPECS + "SPEC = Spec(name='bad', model=Network(Head()), {})"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", "line 1: SyntaxError: invalid syntax"),
        ("\n\nraise ValueError('one\\ntwo')", "line 3: ValueError: one two"),
        ("import sys\nsys.exit('gone')", "line 2: SystemExit: gone"),
        ("", "has no SPEC"),
        ("from experiments.exp3 import SPEC", "SPEC.name is 'exp3'; it must be the file's name, 'bad'"),
        (SPECS + "Adam(lrr=1)", "Adam.lrr: no such field; did you mean 'lr'?"),
        (SPECS + "Train(epochs='3')", "Train.epochs: must be a valid integer, got '3'"),
        (SPECS + "SGD(nesterov=True)", "SGD: nesterov needs a momentum above 0"),
        (SPECS + "Network(Conv(8), 3)", "line 2: Network.layers.1: must be a Layer"),
        (SPECS + "Conv(8, 3, 1)", "line 2: TypeError: Conv takes 2 positional values, not 3"),
        (SPECS + "Conv(8, kernl=5)", "line 2: Conv.kernl: no such field; did you mean 'kernel'?"),
        (SPECS + "Custom(lambda: 3)", "<lambda>': define it by name at the top level of a file"),
        (SPECS + "Spec(name='bad')", "model: missing"),
        (MINE.format("optimiser=SGD()"), "optimiser: no such field; did you mean 'optimizer'?"),
        (MINE.format("optimizer=StepLR()"), "optimizer: must be a Optimizer or a dict"),
        (MINE.format("train={'epoch': 3}"), "train.epoch: no such field; did you mean 'epochs'?"),
        ("from experiments.exp3 import SPEC as S\nSPEC = S.but('bad', train={'epochs': 0})", "train.epochs: must be"),
    ],
)
def test_a_file_that_is_no_experiment_is_refused_in_one_line(folder, text, words):
    (folder / "bad.py").write_text(text)
    with pytest.raises(SpecError) as caught:
        experiments.load("bad")
    error = str(caught.value)
    assert "bad.py" in error and words in error and "\n" not in error and caught.value.exit_code == 2


def test_what_names_no_experiment_is_refused_in_one_line(tmp_path):
    for which in ("x" * 5000, "exp33", "Exp3"):
        with pytest.raises(SpecError, match="no experiment or file is called .*; (did you mean 'exp3'|known: cifar1)"):
            experiments.load(which)
    for name, content, words in (
        ("spec.txt", b"", "give the spec.json of a run"),
        ("s.json", b"\xff", "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SpecError) as caught:
            experiments.load(str(tmp_path / name))
        assert words in str(caught.value) and "\n" not in str(caught.value)
