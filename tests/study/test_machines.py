"""Machines that share an MLflow server and PostgreSQL: no trial is lost or done twice, and no password is shown.

Each machine is a process with a copy of the project of its own, one of them with a clock that is five minutes fast.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from optuna.trial import TrialState
from postgres import PASSWORD, postgresql  # noqa: F401

from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.study import definition, results, storage
from tinycnn.track import mlflow_store as tracking

BUDGET, EPOCHS = 6, 3
STUDY = f"""
import os
import time
from torch import nn
from tinycnn.spec import Adam, Custom, Spec
from tinycnn.study import Float, Study

BATCHES = []

class Waiting(nn.Sequential):
    def forward(self, images):
        if self.training:
            BATCHES.append(1)  # four to an epoch, twelve to a trial
            for gate, batches in (("first", 7), ("second", 18)):
                while len(BATCHES) > batches and not os.path.exists(os.environ["GATES"] + gate):
                    time.sleep(0.1)
        return super().forward(images)

def network(width=3):
    return Waiting(nn.Conv2d(1, width, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))

BASE = Spec(
    name="base", model=Custom(network), optimizer=Adam(lr=0.01),
    data={{"name": "mnist5k", "validation": 0.2, "images": 256}}, train={{"epochs": {EPOCHS}, "batch_size": 64}},
    target={{"accuracy": None, "last_epochs": 1}},
)
STUDY = Study(name="shared", base=BASE, ranges={{"optimizer.lr": Float(0.001, 0.03, log=True)}}, trials={BUDGET})
"""


class MLflow:
    """An MLflow server over a database, as docs/shared.md starts it, that can be killed and started again."""

    def __init__(self, folder: Path, database: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        own = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.folder, self.environment = folder, os.environ | own

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--artifacts-destination", "mlartifacts", "--serve-artifacts", "--workers", "1"]
        with open(self.folder / "log", "a") as log:
            how = {"cwd": self.folder, "env": self.environment, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(command, start_new_session=True, **how)
        for _ in range(2400):
            with contextlib.suppress(OSError):
                address = f"http://127.0.0.1:{self.port}/api/2.0/mlflow/experiments/get?experiment_id=0"
                urllib.request.urlopen(address, timeout=120)  # the first answer takes long
                return
            time.sleep(0.25)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def mlflow(postgresql, tmp_path, monkeypatch):  # noqa: F811
    """An MLflow server over PostgreSQL, and Optuna's storage beside it; both addresses have a password."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")  # on a busy machine
    server = MLflow(tmp_path, postgresql.make("mlflow"))
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://tester:{PASSWORD}@127.0.0.1:{server.port}")
    monkeypatch.setenv("OPTUNA_STORAGE", postgresql.make("optuna"))
    yield server
    with contextlib.suppress(ProcessLookupError):
        server.kill()


class Machine:
    """A copy of the project that searches with one worker."""

    begun = []

    def __init__(self, folder: Path, *wrapper):
        for part in ("tinycnn", "experiments", "analysis"):
            if not (folder / part).exists():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "experiments" / "studies" / "shared.py").write_text(STUDY)
        command = [*wrapper, sys.executable, "-m", "tinycnn", "search", "shared", "--json", "--workers", "1"]
        environment = os.environ | {"PYTHONPATH": str(folder), "TINYCNN_CHECKPOINTS": str(folder / "checkpoints")}
        self.out, self.said = folder / "out", folder / "said"
        with open(self.out, "w") as out, open(self.said, "w") as said:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=said)
        self.begun.append(self)

    def end(self) -> dict:
        code = self.process.wait(timeout=1800)
        assert code == 0 and "Traceback" not in self.said.read_text(), self.said.read_text()
        return json.loads(self.out.read_text())


@pytest.fixture
def machine(tmp_path):
    yield lambda name, *wrapper: Machine(tmp_path / name, *wrapper)
    for each in Machine.begun:  # which has ended, unless the test failed
        each.process.kill()


def command_lines() -> set[bytes]:
    """Return the command lines of all processes."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.add(path.read_bytes())
    return found


def until(true, seconds=1800):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        if any(each.process.poll() not in (None, 0, -signal.SIGKILL) for each in Machine.begun):
            break
        time.sleep(0.5)
    raise AssertionError("".join(each.said.read_text() for each in Machine.begun))


@pytest.mark.slow
def test_machines_lose_and_repeat_no_trial_and_show_no_password(
    mlflow, postgresql, machine, tmp_path, monkeypatch  # noqa: F811
):
    if not shutil.which("faketime"):
        pytest.skip("needs Debian's package faketime")
    lines, found = set(), None

    def trials(state):
        nonlocal found
        lines.update(command_lines())
        if found is None:
            with contextlib.suppress(UserError):  # which is not begun
                found = storage.opened(study)
        return [each for each in found.trials if each.state == state] if found else []

    monkeypatch.setenv("GATES", str(tmp_path / "gate-"))
    first, killed, fast = machine("first"), machine("killed"), machine("fast", "faketime", "-f", "+5m")
    study = definition.load(str(tmp_path / "first/experiments/studies/shared.py"))
    until(lambda: len([each for each in trials(TrialState.RUNNING) if each.intermediate_values]) == 3)
    killed.process.kill()
    mlflow.kill()
    postgresql.stop()
    (tmp_path / "gate-first").touch()  # the others train on, and find no server at the end of the epoch
    time.sleep(5)
    postgresql.start()
    until(lambda: trials(TrialState.COMPLETE))
    mlflow.start()
    (tmp_path / "gate-second").touch()
    told = [each.end() for each in (first, fast)]

    rows = results.trials(study, found)
    trained = [row for row in rows if row["state"] in storage.TRAINED]
    (lost,) = [row for row in rows if row["state"] == "lost"]
    assert len(trained) == BUDGET == max(each["trained"] for each in told) and len(rows) == BUDGET + 1
    (again,) = [each for each in found.trials if each.user_attrs.get("retry_of") == lost["number"]]
    assert again.params == found.trials[lost["number"]].params
    assert len({row["optimizer.lr"] for row in trained}) == BUDGET
    store = tracking.Store()
    for row in trained:
        (run,) = store.search({"tinycnn.study": "shared", "tinycnn.trial": row["number"]}, tracking.EVERY)
        assert run.info.run_id == row["run_id"]
        assert run.info.status == {"pruned": "KILLED", "complete": "FINISHED"}[row["state"]]
        assert [*store.history(run.info.run_id, "validation/loss")] == [*range(1, row["epochs"] + 1)]
    assert not store.search({"tinycnn.study": "shared"}, ("RUNNING",))

    shown = postgresql.dump("mlflow", "optuna") + "".join(each.said.read_text() for each in Machine.begun)
    shown += "".join(each.out.read_text() for each in Machine.begun) + (tmp_path / "log").read_text()
    files = [path for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()]
    assert files and "environment.json" in {path.name for path in files}
    assert PASSWORD not in shown and not any(PASSWORD.encode() in path.read_bytes() for path in files)
    assert not any(PASSWORD.encode() in line for line in lines) and any(b"mlflow" in line for line in lines)
