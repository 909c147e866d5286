"""A store that fails under a training loses nothing: the training ends, and the results are delivered later.

Real processes, a real MLflow server, and a real small disk (``tmpfs``, which takes root to mount).
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from interrupting import process

from tinycnn import ROOT
from tinycnn.spec import load as experiments
from tinycnn.track import close
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import run as runs
from tinycnn.track.plan import prepare

EPOCHS = 4


@pytest.fixture
def spec(tiny, tmp_path):
    """A spec of some seconds, as a file."""
    path = tmp_path / "spec.json"
    path.write_text(tiny.but(train={"epochs": EPOCHS, "batch_size": 64}).to_json())
    return str(path)


@pytest.fixture
def undisturbed(spec, database, no_artifacts):
    """The numbers and the weights of seed 0 as they should come out, from a store of their own."""
    done = runs.run(prepare(experiments.load(spec), device="cpu", offline=True))
    return recorded(done["run_id"])


def recorded(run_id):
    """Return what a store holds of a run: status, every point of every metric but the clock readings, and weights."""
    store = tracking.Store()
    entity = store.entity(run_id)
    names = {name for name in entity.data.metrics if name.startswith(("train/", "test/"))}
    points = {name: [(p.step, p.value) for p in store.client.get_metric_history(run_id, name)] for name in names}
    return entity.info.status, points, entity.data.tags.get("tinycnn.weights")


def disturbed(disturb, *arguments, epoch=2):
    """Run the command line, call ``disturb`` when epoch 2 has come; return exit code, stderr and the run's id."""
    child, said = process(*arguments), []
    try:
        for line in child.stderr:
            said.append(line)
            if f": epoch {epoch}/{EPOCHS}" in line and disturb:
                disturb()
                disturb = None
        child.communicate(timeout=300)
    finally:
        child.kill()
    return child.returncode, said, re.search(r"MLflow run ([0-9a-f]{32})", "".join(said))[1]


def assert_waiting(code, said, run_id):
    """All epochs were trained, and the last line says, with exit code 5, how the results are delivered."""
    assert code == 5, said
    assert sum(f": epoch {each}/{EPOCHS}" in line for each in range(1, EPOCHS + 1) for line in said) % EPOCHS == 0
    assert said[-1].startswith("tinycnn: the store ") and f"resume {run_id[:8]}` delivers" in said[-1]
    assert not any("Traceback" in line for line in said)


def delivered(run_id):
    done = subprocess.run(
        [sys.executable, "-m", "tinycnn", "resume", run_id],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ": epoch " not in done.stderr, "nothing was left to train"
    return done


# --- a server --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(template, tmp_path, monkeypatch):
    """An MLflow server of its own, which can be killed and started again; the runs go to it."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(template, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    class Server:
        def start(self):
            command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
            command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
            command += ["--artifacts-destination", str(folder / "artifacts")]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
            self.process = subprocess.Popen(command, cwd=folder, **quiet)
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    return
                time.sleep(0.1)
            raise AssertionError("the server did not start")

        def kill(self):
            os.killpg(self.process.pid, 9)
            self.process.wait()

    monkeypatch.setenv("no_proxy", "*")
    made = Server()
    made.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    yield made
    with contextlib.suppress(ProcessLookupError):
        made.kill()


@pytest.mark.slow
def test_a_server_killed_while_a_run_trains_gets_all_of_it_once_when_it_is_back(undisturbed, server, spec):
    code, said, run_id = disturbed(server.kill, "run", spec)
    assert_waiting(code, said, run_id)
    server.start()
    assert recorded(run_id)[0] == "RUNNING"
    delivered(run_id)
    assert recorded(run_id) == undisturbed
    entity = tracking.Store().entity(run_id)
    files = {file.path for file in tracking.Store().client.list_artifacts(run_id)}
    assert {"spec.json", "curves.png", "confusion.png", "checkpoint.pt"} <= files
    assert len(entity.outputs.model_outputs) == 1 and not entity.data.tags["tinycnn.failure"]


@pytest.mark.slow
def test_a_run_made_offline_reaches_a_server_once_though_its_delivery_is_killed(undisturbed, server, database):
    command = [sys.executable, "-m", "tinycnn", "deliver", os.environ["MLFLOW_TRACKING_URI"], "--json"]
    how = {"env": os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}, "text": True}
    for wait in (0.0, 0.5, 2.0):
        child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **how)
        next((line for line in child.stderr if "delivering" in line), None)
        time.sleep(wait)
        child.kill()
        child.communicate()
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, **how)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"delivered": 0, "there": 1, "unfinished": 0}
    (run,) = tracking.Store().search({}, tracking.EVERY)
    assert recorded(run.info.run_id) == undisturbed
    files = {file.path for file in tracking.Store().client.list_artifacts(run.info.run_id)}
    assert {"spec.json", "environment.json", "checkpoint.pt"} <= files


# --- a disk ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(template, tmp_path, monkeypatch):
    """A disk of 6 MB with the store on it."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs root, to mount a small disk")
    shutil.copy(template, place / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlflow.db'}")
    yield place
    subprocess.run(["mount", "-o", "remount,rw", place], check=True)
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path):
    with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.slow
def test_a_disk_that_fills_up_gets_all_of_it_once_there_is_room(undisturbed, disk, spec):
    code, said, run_id = disturbed(lambda: fill(disk), "run", spec)
    assert_waiting(code, said, run_id)
    assert "make room" in said[-1]
    (disk / "filler").unlink()
    delivered(run_id)
    assert recorded(run_id) == undisturbed


# --- many ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_of_two_that_resume_one_run_one_does(undisturbed, spec):
    child = process("run", spec)
    for line in child.stderr:
        if found := re.search(r"MLflow run ([0-9a-f]{32})", line):
            run_id = found[1]
        if ": epoch 1/" in line:
            child.kill()
    child.communicate()
    both = [process("resume", run_id) for _ in range(2)]
    said = [each.communicate(timeout=300)[1] for each in both]
    codes = sorted(each.returncode for each in both)
    assert codes in ([0, 0], [0, 1]), said
    if codes == [0, 1]:
        assert any("another process is training it" in each for each in said)
    assert recorded(run_id) == undisturbed


@pytest.mark.slow
def test_eight_runs_started_at_once_on_a_new_store_all_finish(undisturbed, spec, tmp_path, monkeypatch):
    expected = undisturbed
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}")
    children = [process("run", spec) for _ in range(8)]
    said = [each.communicate(timeout=900)[1] for each in children]
    assert [each.returncode for each in children] == [0] * 8, said
    found = tracking.Store().search({"tinycnn.role": "seed"})
    assert len(found) == 8 and all(recorded(each.info.run_id) == expected for each in found)
    assert close.left_over(tracking.Store()) == []
