"""What several processes of a study promise: nothing is lost to a kill, nobody waits for ever, the budget holds."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from optuna.trial import TrialState
from postgres import postgresql  # noqa: F401

from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.study import definition, storage

REAL = """
from tinycnn.spec import Adam, Conv, Data, Head, MaxPool, Network, Spec, Target, Train
from tinycnn.study import Float, Study

MODEL = Network(Conv(16), Conv(16), MaxPool(2), Conv(16), MaxPool(2), Conv(16), Head())
BASE = Spec(name="base", model=MODEL, data=Data(name="mnist5k"), optimizer=Adam(lr=0.01),
            train=Train(epochs=4, batch_size=32), target=Target(accuracy=None))
STUDY = Study(name="real", base=BASE, fidelity={"data.images": 2000},
              ranges={"optimizer.lr": Float(0.001, 0.1, log=True)})
"""


@pytest.fixture
def real(tmp_path, monkeypatch, database):
    """A study of some seconds a trial, by its file."""
    monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "studies.journal"))
    path = tmp_path / "real.py"
    path.write_text(REAL)
    return path


def start(real, workers, budget):
    command = [sys.executable, "-m", "tinycnn", "search", real, "--json", "--workers", workers, "--trials", budget]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(list(map(str, command)), cwd=ROOT, text=True, **pipes)


def trials(real):
    try:
        return storage.opened(definition.load(str(real))).trials
    except UserError:
        return []


def wait_for(number, real, process):
    """Wait until so many trials are being trained, with an epoch behind them."""
    while process.poll() is None:
        running = [each for each in trials(real) if each.state == TrialState.RUNNING and each.intermediate_values]
        if len(running) >= number:
            return running
        time.sleep(0.3)
    raise AssertionError(process.communicate()[1])


def finish(process, code=0):
    out, errors = process.communicate(timeout=600)
    assert process.returncode == code and "Traceback" not in errors, errors
    return out, errors


def check_complete(real, store, budget):
    """Check that the budget was trained, and no more, and return the trials."""
    found = trials(real)
    assert sum(storage.state(trial) in storage.TRAINED for trial in found) == budget
    assert not [trial for trial in found if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
    assert not store.search({"tinycnn.study": "real"}, ("RUNNING",))
    assert not list(real.parent.glob("*.worker-*"))
    return found


def lost(found):
    return [trial for trial in found if storage.state(trial) == "lost"]


def children(process):
    """Return the process ids of a session's workers, which a process of it has forked."""
    below = ["ps", "-o", "pid=", "--ppid"]
    helpers = subprocess.run([*below, str(process.pid)], capture_output=True, text=True).stdout.split()
    return list(map(int, subprocess.run([*below, ",".join(helpers)], capture_output=True, text=True).stdout.split()))


def kill_a_worker(real, store, workers, budget):
    process = start(real, workers, budget)
    wait_for(workers, real, process)
    os.kill(children(process)[-1], signal.SIGKILL)
    out, errors = finish(process)
    found = check_complete(real, store, budget)
    (gone,) = lost(found)
    (again,) = [trial for trial in found if trial.user_attrs.get("retry_of") == gone.number]
    assert again.params == gone.params and again.user_attrs["tries"] == 2
    assert json.loads(out)["trained"] == budget and "worker process was killed" in errors


def test_a_worker_killed_loses_only_its_trial_which_is_tried_again(real, store):
    kill_a_worker(real, store, workers=2, budget=2)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["sqlite", "postgresql"])
def test_databases_keep_a_study_as_well(real, store, scheme, request, tmp_path, monkeypatch):
    sqlite = f"sqlite:///{tmp_path / 'studies.db'}"
    where = request.getfixturevalue(scheme).url() if scheme == "postgresql" else sqlite
    monkeypatch.setenv("OPTUNA_STORAGE", where)
    kill_a_worker(real, store, workers=2, budget=4)


@pytest.mark.slow
def test_a_session_killed_as_a_whole_is_taken_up_by_the_next(real, store):
    process = start(real, 2, 4)
    wait_for(2, real, process)
    process.kill()
    process.communicate()
    finish(start(real, 1, 4))
    assert len(lost(check_complete(real, store, 4))) in (1, 2)  # one may have ended meanwhile


@pytest.mark.slow
def test_two_sessions_at_once_share_the_budget(real, store):
    for process in [start(real, 2, 6) for _ in range(2)]:
        finish(process)
    found = check_complete(real, store, 6)
    assert len({trial.params["optimizer.lr"] for trial in found}) == len(found)


@pytest.mark.slow
def test_ctrl_c_stops_a_study_cleanly_and_it_goes_on(real, store):
    process = start(real, 2, 6)
    wait_for(2, real, process)
    process.send_signal(signal.SIGINT)
    _, errors = finish(process, code=130)
    assert "interrupting" in errors and "search" in errors.splitlines()[-1]
    assert not [trial for trial in trials(real) if trial.state == TrialState.RUNNING]
    finish(start(real, 1, 6))
    check_complete(real, store, 6)
