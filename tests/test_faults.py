"""What goes wrong around a run (a slip of the pen, a kill, others' runs, an address that is none) ends in one line."""

import contextlib
import subprocess

import pytest
from test_make import CLEAN

from tinycnn import ROOT, experiments, resume
from tinycnn import run as runs

# --- make ------------------------------------------------------------------------------------------------------------


def make(*arguments, **variables):
    return subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, env={**CLEAN, **variables}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("SEED=5", "SEED: no such variable, did you mean 'SEEDS'?"),
        ("seeds=5", "seeds: no such variable, did you mean 'SEEDS'?"),
        ("set=a=1", "set: no such variable, did you mean 'SET'?"),
        ("EPOCHS=3", 'EPOCHS: no such variable, SET="train.epochs=3"'),
        ("FOO='; touch made; $(shell touch made)", "FOO: no such variable, known: PYTHON, PORT"),
    ],
)
def test_make_stops_at_a_variable_that_nothing_reads_and_names_the_nearest(given, hint):
    for arguments in ((given,), ("exp3", given)):
        done = make(*arguments)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and hint in done.stderr
    assert not (ROOT / "made").exists()


def test_make_names_every_unknown_variable_with_and_without_a_python():
    said = make("exp3", "SEED=5", "EPOCHS=3", "SEEDS=2").stderr
    assert "'SEEDS'?" in said and "train.epochs=3" in said and said.count("\n") == 1
    said = make("exp3", "SEED=5", "PYTHON=no-such-python").stderr
    assert "SEED: no such variable; known: PYTHON PORT" in said and said.count("\n") == 1


def test_make_lets_its_own_variables_and_all_of_the_environment_pass():
    known = ("SEEDS=2", "PORT=1", "TRIALS=3", "EXPERIMENTS=exp3", "CXX=g++", "MLFLOW_TRACKING_URI=sqlite:///a.db")
    done = make("exp3", *known, SEED="5", EPOCHS="3", **{"odd%name": "1", "MAKE_IT": "so"})
    assert done.returncode == 0 and "--seeds '2'" in done.stdout, done.stderr


# --- a kill right after the run was made -----------------------------------------------------------------------------


@pytest.fixture
def plan(plan, few_images, no_artifacts):
    """``tiny`` on few images, which is also what resuming loads; without the pictures and the model at the end."""
    return plan


def only_made(store, plan, seed=0):
    """Make a run as training does, and lose all that comes after; return its id."""
    with contextlib.suppress(KeyboardInterrupt), store.run("lost", runs._tags(plan, seed)) as tracked:
        tracked.open()
        raise KeyboardInterrupt
    assert store.client.list_artifacts(tracked.id) == []
    return tracked.id


def test_a_run_of_which_only_its_making_was_stored_has_its_notes_after_it_is_resumed(store, plan):
    run_id = only_made(store, plan)
    assert resume.resume(run_id)["undelivered"] is None
    assert store.read(run_id, "spec.json") == plan.spec.to_json()
    assert "**Analysis** it learns" in store.entity(run_id).data.tags["mlflow.note.content"]


def test_notes_too_long_for_a_tag_are_those_of_the_experiment_if_it_still_is_the_same(store, plan, monkeypatch):
    long = plan.spec.model_copy(update={"notes": plan.spec.notes + 9000 * "é"})
    plan = plan.but(long, plan.measured)
    first, second = only_made(store, plan), only_made(store, plan)
    monkeypatch.setattr(experiments, "names", lambda: [long.name])
    monkeypatch.setattr(experiments, "load", lambda name: long)
    resume.resume(first)
    assert store.read(first, "spec.json") == long.to_json()
    changed = long.but(optimizer={"lr": 0.5})
    monkeypatch.setattr(experiments, "load", lambda name: changed)
    resume.resume(second)
    assert store.read(second, "spec.json") == long.model_copy(update={"notes": ""}).to_json()
