"""What happens to a training whose store fails under it, each tried for real: it ends, and what it found is delivered.

Real processes, a real MLflow server, real small disks (``tmpfs``, which takes root to mount) and real locks.
"""

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tinycnn import ROOT
from tinycnn.spec import load as experiments
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import record, resume
from tinycnn.track import run as runs

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
    done = runs.run(runs.prepare(experiments.load(spec), device="cpu", offline=True))
    return recorded(done["run_id"])


def recorded(run_id):
    """Return what a store holds of a run: status, every point of every metric but the clock readings, and weights."""
    store = tracking.Store()
    entity = store.entity(run_id)
    names = entity.data.metrics.keys() - record.CLOCKS
    points = {name: [(p.step, p.value) for p in store.client.get_metric_history(run_id, name)] for name in names}
    return entity.info.status, points, entity.data.tags.get("tinycnn.weights")


def process(*arguments):
    command = [sys.executable, "-m", "tinycnn", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)


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
    """All epochs were trained, and one line, the last, says with code 5 that and how the results are to be had."""
    assert code == 5, said
    assert sum(f": epoch {each}/{EPOCHS}" in line for each in range(1, EPOCHS + 1) for line in said) % EPOCHS == 0
    assert said[-1].startswith("tinycnn: the store ") and f"resume {run_id}` delivers" in said[-1]
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
    assert len(entity.outputs.model_outputs) == 1 and "tinycnn.failure" not in entity.data.tags


@pytest.mark.slow
def test_seeds_that_cannot_even_be_made_in_the_store_are_trained_and_delivered(undisturbed, server, spec):
    code, said, parent = disturbed(server.kill, "run", spec, "--seeds", "2")
    assert_waiting(code, said, parent)
    server.start()
    delivered(parent)
    store = tracking.Store()
    found = {each.data.tags["tinycnn.seed"]: each for each in store.search({tracking.PARENT: parent}, tracking.EVERY)}
    assert sorted(found) == ["0", "1"] and {each.info.status for each in found.values()} == {"FINISHED"}
    assert recorded(found["0"].info.run_id) == undisturbed
    assert store.entity(parent).info.status == "FINISHED"
    assert len(recorded(found["1"].info.run_id)[1]["train_loss"]) == EPOCHS


# --- a lock ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lock(database):
    """A connection that keeps everyone else out of the store between ``take`` and ``let_go``."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)

    class Lock:
        def take(self):
            connection.execute("PRAGMA busy_timeout = 20000")
            connection.execute("BEGIN EXCLUSIVE")

        def let_go(self):
            connection.execute("ROLLBACK")

    yield Lock()
    connection.close()


@pytest.mark.slow
def test_a_database_locked_until_after_the_end_gets_all_of_it_once(undisturbed, lock, spec):
    code, said, run_id = disturbed(lock.take, "run", spec)
    assert_waiting(code, said, run_id)
    assert "locked" in said[-1] and "end the process that holds it" in said[-1]
    lock.let_go()
    delivered(run_id)
    assert recorded(run_id) == undisturbed


@pytest.mark.slow
def test_a_database_locked_for_a_while_is_no_matter(undisturbed, lock, spec):
    def for_a_while():
        lock.take()
        subprocess.Popen(["sleep", "25"]).wait()
        lock.let_go()

    code, said, run_id = disturbed(for_a_while, "run", spec)
    assert code == 0, said
    assert recorded(run_id) == undisturbed


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


@pytest.mark.parametrize("checkpoints", ["elsewhere", pytest.param("there too", marks=pytest.mark.slow)])
def test_a_disk_that_fills_up_gets_all_of_it_once_there_is_room(undisturbed, disk, spec, monkeypatch, checkpoints):
    if checkpoints == "there too":
        monkeypatch.setenv("TINYCNN_CHECKPOINTS", str(disk / "checkpoints"))
    code, said, run_id = disturbed(lambda: fill(disk), "run", spec)
    assert_waiting(code, said, run_id)
    assert "make room" in said[-1]
    (disk / "filler").unlink()
    delivered(run_id)
    assert recorded(run_id) == undisturbed


@pytest.fixture
def read_only(database):
    """What makes the store read-only, root or not, and what makes it writable again."""
    paths = [database, Path(database).parent]

    def change(flag):
        return subprocess.run(["chattr", flag, *paths], capture_output=True).returncode

    if not shutil.which("chattr") or change("+i"):
        pytest.skip("needs root and a file system whose files can be made immutable")
    change("-i")
    yield change
    change("-i")


@pytest.mark.slow
def test_a_store_that_becomes_read_only_gets_all_of_it_once_it_is_writable(undisturbed, read_only, spec):
    code, said, run_id = disturbed(lambda: read_only("+i"), "run", spec)
    assert_waiting(code, said, run_id)
    assert "writable" in said[-1]
    read_only("-i")
    delivered(run_id)
    assert recorded(run_id) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("how", ["read-only", "full"])
def test_a_store_that_takes_nothing_from_the_start_is_said_before_anything_is_trained(disk, spec, how):
    if how == "full":
        fill(disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    child = process("run", spec)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 1 and ": epoch " not in err
    assert err.splitlines()[-1].startswith("tinycnn: the store ") and "Traceback" not in err


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
    assert resume.left_over() == []
