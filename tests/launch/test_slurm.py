"""Jobs of a cluster: each task is done once, whatever becomes of its job and of the process that submitted it.

Without a cluster submitit's own processes are the jobs. The slow tests start a real Slurm (``slurm_cluster``).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import submitit
from job_work import work
from slurm_cluster import SLOTS, slurm  # noqa: F401  a fixture

from tinycnn import ROOT
from tinycnn.errors import Diverged, SpecError, UserError
from tinycnn.launch import slurm as launch
from tinycnn.track import close, jobs
from tinycnn.track import mlflow_store as tracking
from tinycnn.train import checkpoint

HERE = launch.Cluster({"timeout_min": 15})


def states():
    """Return submitit's own processes that still run, as Slurm's queue would be."""
    found = psutil.process_iter(["status"])  # without those that end while it looks
    return {str(each.pid): "RUNNING" for each in found if each.info["status"] != psutil.STATUS_ZOMBIE}


@pytest.fixture
def processes(monkeypatch):
    """Have submitit's own processes in place of Slurm."""

    def executor(folder, cluster):
        made = submitit.AutoExecutor(folder, cluster="local")
        made.update_parameters(timeout_min=cluster.options["timeout_min"])
        return made

    monkeypatch.setattr(launch, "executor", executor)
    monkeypatch.setattr(launch, "_states", states)
    monkeypatch.setattr(launch, "_SHORTEST", 0.2)  # seconds: a queue is asked less often than these processes may be


def test_each_task_is_a_job_that_is_not_done_again_when_another_failed(processes, tmp_path):
    events, tasks = [], [(name, tmp_path / name) for name in ("first", "diverge", "die")]
    how = {"names": ["a", "b", "c"], "folder": tmp_path / "jobs", "cluster": HERE}

    def submitted(tasks, **more):
        return launch.map_tasks(work, tasks, **how, on_event=lambda *event: events.append(event), **more)

    with pytest.raises(Diverged, match="became nan"):
        submitted(tasks)
    assert {("notice", "first was done"), ("notice", "diverge was done")} <= set(events)
    cluster, left = launch.recorded(tmp_path / "jobs")
    assert cluster == HERE and [*left] == ["a"]
    found = submitted([tasks[0], ("second", tmp_path / "second"), ("third", tmp_path / "third")])
    assert found == [(name, "1") for name in ("first", "second", "third")]
    done = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert done == {"first": "x", "second": "x", "third": "x", "diverge": "x", "die": "x"}
    assert not (tmp_path / "jobs").exists()


def test_a_job_that_is_not_the_one_recorded_for_its_task_does_nothing(processes, tmp_path):
    folder = tmp_path / "jobs"
    (job,) = launch._submit(work, [("a", ("first", tmp_path / "first"))], folder, HERE, 1)
    launch._write(folder, HERE, {"a": "1"})  # as if another had taken its place
    until(lambda: (folder / f"{job}_0_result.pkl").exists())
    what, error, _ = launch._read(folder, job)
    assert what == "error" and str(error) == f"a: is the task of job 1, not of this one, {job}"
    assert not (tmp_path / "first").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("partitoin=gpu", "'partitoin' is not known; did you mean 'partition'?"),
        ("timeout_min", "'timeout_min' has no value"),
        ("nodes=2", "not known"),
        ("timeout_min=long", "timeout_min=long is not a number"),
    ],
)
def test_an_option_that_slurm_has_not_is_one_line(words, problem):
    with pytest.raises(SpecError) as raised:
        launch.options_of(words)
    assert problem in str(raised.value) and "\n" not in str(raised.value)
    assert launch.options_of("partition=a timeout_min=5 mem_gb=1.5 exclusive=True") == {
        "partition": "a", "timeout_min": 5, "mem_gb": 1.5, "exclusive": True,
    }  # fmt: skip


def test_without_slurm_launching_there_is_refused_before_anything_is_done(tmp_path):
    def said(*words):
        command = [sys.executable, "-m", "tinycnn", "run", "exp3", "--seeds", "2", *words]
        environment = os.environ | {"PATH": str(tmp_path)}
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        return ended.returncode, ended.stderr.splitlines()[-1]

    code, line = said("--launch", "slurm")
    assert code == 1 and "there is no sbatch on this machine" in line
    assert said("--slurm", "partition=a") == (2, "tinycnn: --slurm: is for --launch slurm, which is not given")


# With a real Slurm

SLOW = """
import time
from torch import nn
from tinycnn.spec import Adam, Custom, Spec

class Slow(nn.Sequential):
    def forward(self, images):
        time.sleep(self.training * PAUSE)
        return super().forward(images)

def network(width=3):
    return Slow(nn.Conv2d(1, width, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))

SPEC = Spec(
    name="NAME", model=Custom(network), optimizer=Adam(lr=0.01),
    data={"name": "mnist5k", "validation": 0.2, "images": 256}, train={"epochs": 8, "batch_size": 64},
    target={"accuracy": None, "last_epochs": 1},
)
"""
EPOCHS = 8


class Launched:
    """A command of tinycnn that launches jobs, in a process of its own."""

    begun = []

    def __init__(self, *words):
        command = [sys.executable, "-m", "tinycnn", *map(str, words), "--json"]
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
        self.process = subprocess.Popen(command, start_new_session=True, **how)
        self.begun.append(self.process)

    def end(self, code=0):
        """Wait for the end with this exit code; return what was printed, as values, and said."""
        out, self.said = self.process.communicate(timeout=1800)
        assert self.process.returncode == code, self.said
        return json.loads(out) if code == 0 else self.said.splitlines()[-1]


@pytest.fixture
def cluster(slurm, database, tmp_path):  # noqa: F811
    """Slurm, without any jobs of another test."""
    yield slurm
    for process in Launched.begun:  # which has ended, unless the test failed
        process.kill()
    slurm("scancel", "--user=root")
    until(lambda: not slurm("squeue", "--noheader"))


def until(true, seconds=600):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited for {seconds} s")


def spec_file(tmp_path, name, pause):
    path = tmp_path / f"{name}.py"
    path.write_text(SLOW.replace("NAME", name).replace("PAUSE", str(pause)))
    return path


def checkpoints() -> dict[int, Path]:
    return {int(path.stem.removeprefix("seed-")): path for path in checkpoint.folder(".").glob("*/seed-*.pt")}


def trained(result) -> dict[int, tuple]:
    """Return of each seed of a run its losses by epoch and its weights, having checked that each is there once."""
    store, found = tracking.Store(), {}
    children = store.search({tracking.PARENT: result["run_id"], "tinycnn.role": "seed"}, tracking.EVERY)
    assert Counter(child.data.tags["tinycnn.seed"] for child in children).most_common(1)[0][1] == 1
    for child in children:
        assert child.info.status == "FINISHED"
        points = store.client.get_metric_history(child.info.run_id, "train/loss")
        assert [point.step for point in points] == [*range(1, EPOCHS + 1)]
        values = tuple(point.value for point in points), child.data.tags["tinycnn.weights"]
        found[int(child.data.tags["tinycnn.seed"])] = values
    return found


def first_epoch_ended(result, seed, tmp_path) -> float:
    """Return when the first epoch of a seed was trained, by the checkpoint at its end."""
    run_id = next(each["run_id"] for each in result["seeds"] if each["seed"] == seed)
    tracking.Store().fetch_checkpoint(run_id, tmp_path / "end.pt")
    return checkpoint.load(tmp_path / "end.pt")["history"][0].ended


@pytest.mark.slow
def test_requeued_cancelled_preempted_and_drained_seeds_come_to_the_numbers_of_local_ones(cluster, tmp_path):
    path = spec_file(tmp_path, "requeued", 2.0)
    local = Launched("run", path, "--seeds", SLOTS + 1, "--workers", SLOTS + 1)
    expected = trained(local.end())

    command = "run", path, "--seeds", SLOTS + 1, "--launch", "slurm", "--slurm", "partition=main timeout_min=30"
    run = Launched(*command)
    until(lambda: len(checkpoints()) == SLOTS)
    cluster("scontrol", "update", "NodeName=ALL", "State=DRAIN", "Reason=test")  # the last seed has to wait
    job = cluster("squeue", "--noheader", "--array", "--states=RUNNING", "--format=%A %i").split()[1].split("_")[0]
    requeued = time.time()
    cluster("scontrol", "requeue", f"{job}_0")
    cluster("scancel", f"{job}_1")
    until(lambda: f"{job}_1" not in cluster("squeue", "--noheader", "--array", "--format=%i").split())
    doctor = subprocess.run([sys.executable, "-m", "tinycnn", "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert "jobs in the queue" in doctor.stdout and "PENDING" in doctor.stdout and "resume" in doctor.stdout
    cluster("scontrol", "update", "NodeName=ALL", "State=RESUME")
    until(lambda: 0 in checkpoints() and checkpoints()[0].stat().st_mtime > requeued + 10)
    cluster("sbatch", "--partition=urgent", f"--ntasks={SLOTS}", "--output=/dev/null", "--wrap", "sleep 1")
    said = run.end(code=1)
    assert "1 of 4 jobs ended without a result, seed 1 first" in said and "CANCELLED" in said and "resume" in said

    done = Launched(*command).end()  # the same command goes on in the same run, with seed 1 alone
    assert trained(done) == expected
    for seed in (0, 1):
        assert first_epoch_ended(done, seed, tmp_path) < requeued
    assert not checkpoints() and not jobs.folder(done["run_id"]).exists()


@pytest.mark.slow
def test_on_ctrl_c_the_jobs_stay_and_are_joined(cluster, tmp_path):
    path = spec_file(tmp_path, "joined", 8.0)
    command = "run", path, "--seeds", 2, "--launch", "slurm", "--slurm", "partition=main timeout_min=30"
    assert "Invalid partition name" in Launched(*command[:-1], "partition=nowhere").end(code=1)
    run = Launched(*command)
    until(lambda: len(checkpoints()) == 2)
    run.process.send_signal(signal.SIGINT)
    assert "resume" in run.end(code=130) and "the jobs stay in Slurm's queue" in run.said
    run_id = next(iter(jobs.queued()))
    assert sum(jobs.queued()[run_id].values()) == 2
    child = tracking.Store().search({tracking.PARENT: run_id}, tracking.EVERY)[0].info.run_id
    with pytest.raises(UserError, match="its parent has jobs in the queue"):
        close.must_be_here(tracking.Store().entity(child))
    again = Launched("resume", run_id)
    result = again.end()
    assert result["run_id"] == run_id and "joining 2 jobs" in again.said and "submitted to Slurm" not in again.said
    assert len(trained(result)) == 2

    run = Launched(*command)
    run_id = until(lambda: next(iter(jobs.queued()), None))
    run.process.send_signal(signal.SIGINT)
    run.end(code=130)
    Launched("close", run_id).end()
    assert not cluster("squeue", "--noheader") and not jobs.folder(run_id).exists()


@pytest.mark.slow
def test_a_job_that_reaches_its_time_limit_goes_on_from_its_checkpoint(cluster, tmp_path):
    path = spec_file(tmp_path, "limited", 12.0)  # 36 s an epoch, in all more than a limit
    options = "partition=main timeout_min=5 signal_delay_s=60"
    result = Launched("run", path, "--launch", "slurm", "--slurm", options).end()
    assert len(trained(result)) == 1
    (child,) = tracking.Store().search({tracking.PARENT: result["run_id"]})
    assert int(child.data.tags["tinycnn.resumed"]) >= 1


STUDY = """
from experiments.exp3 import SPEC
from tinycnn.spec import Conv, Head, MaxPool, Network
from tinycnn.spec.sweep import Sweep
from tinycnn.study import Float, Study

BASE = SPEC.with_values({"data.name": "mnist5k", "data.images": 256, "train.epochs": 1, "data.validation": 0.2})
STUDY = Study(name="rates", base=BASE, ranges={"optimizer.lr": Float(0.001, 0.03)}, trials=4)
SWEEP = Sweep(name="rates", base=BASE, arms={"fast": {"optimizer.lr": 0.05}}, seeds=2)
"""


@pytest.mark.slow
def test_arms_and_study_workers_are_jobs_too(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "optuna.journal"))
    path = tmp_path / "rates.py"
    path.write_text(STUDY)
    where = "--launch", "slurm", "--slurm", "partition=main"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'local' / 'mlflow.db'}")
        local = Launched("sweep", path).end()
    swept = Launched("sweep", path, *where).end()
    assert [arm["n"] for arm in swept["arms"]] == [2, 2] and swept["arms"] == local["arms"]
    searched = Launched("search", path, *where, "--workers", 2).end()
    assert searched["trained"] == searched["budget"] == 4
    assert "how many jobs search" in Launched("search", path, *where).end(code=2)
