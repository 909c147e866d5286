"""What ``resume.py`` and ``checkpoint.py`` promise: nothing is lost, nothing doubled, and no checkpoint is trusted."""

import errno
import io
import json
import os
import pickle
import random
import re
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinycnn import ROOT, source
from tinycnn.cli import commands as cli
from tinycnn.cli import doctor
from tinycnn.errors import Diverged, UserError
from tinycnn.spec import SGD, AdamW, Average, Constant, Cosine, OneCycle, StepLR
from tinycnn.spec import load as experiments
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import provenance, record, resume
from tinycnn.track import run as runs
from tinycnn.track.run import Reporter, claimed
from tinycnn.train import checkpoint
from tinycnn.train.loop import start


class Stop(Reporter):
    """Press Ctrl-C after an epoch of a seed, or before the first; remember what was said."""

    def __init__(self, epoch=None, seed=None):
        self.at, self.seed, self.lines, self.trained, self.ids = epoch, seed, [], [], []

    def notice(self, line):
        self.lines.append(line)

    warning = notice

    def started(self, plan, seed, run_id, history):
        self.now = seed
        self.ids.append(run_id)
        if self.at == 0:
            raise KeyboardInterrupt

    def epoch(self, seed, result):
        self.trained.append((self.now, result.epoch))
        if result.epoch == self.at and self.seed in (None, self.now):
            raise KeyboardInterrupt


@pytest.fixture
def plan(plan, few_images, no_artifacts):
    """``tiny`` on few images, which is also what resuming loads; without the pictures and the model at the end."""
    return plan


def interrupted(plan, epoch, **options):
    """Train until Ctrl-C after ``epoch``; return the id of the (parent) run."""
    reporter = Stop(epoch)
    reporter.parent = lambda plan, seeds, run_id: reporter.ids.insert(0, run_id)
    with pytest.raises(KeyboardInterrupt):
        runs.run(plan, reporter=reporter, **options)
    return reporter.ids[0]


def numbers(store, run_id):
    """Return every point of every metric that is no clock: (epoch, value) as often as it is there."""
    names = store.entity(run_id).data.metrics.keys() - record.CLOCKS
    points = {name: store.client.get_metric_history(run_id, name) for name in names}
    return {name: [(point.step, point.value) for point in found] for name, found in points.items()}


def weights(store, run_id):
    return store.entity(run_id).data.tags["tinycnn.weights"]


def file_of(run_id, seed=0) -> Path:
    return checkpoint.folder(run_id) / f"seed-{seed}.pt"


# --- going on --------------------------------------------------------------------------------------------------------

KINDS = [
    {"optimizer": SGD(lr=0.05, momentum=0.9, nesterov=True), "schedule": OneCycle()},
    {"schedule": StepLR(step_size=1, gamma=0.5)},
    {"optimizer": AdamW(lr=0.01), "schedule": Cosine(), "loss": {"label_smoothing": 0.1}},
    {"schedule": Constant(), "train": {"precision": "bfloat16"}},
    {"average": Average(0.9, every=3)},
]


@pytest.mark.parametrize(
    ("changes", "epoch"), [(KINDS[0], 1), (KINDS[0], 0), (KINDS[1], 2), (KINDS[1], 3), (KINDS[2], 1), (KINDS[3], 2)]
    + [(KINDS[4], 2)],
)
def test_interrupted_and_resumed_gives_the_numbers_and_weights_of_one_go(store, plan, changes, epoch):
    plan = runs.Plan(plan.spec.but(**changes), plan.data, plan.measured, plan.device)
    whole = runs.run(plan)
    run_id = interrupted(plan, epoch)
    assert store.entity(run_id).info.status == "KILLED"
    reporter = Stop()
    after = resume.resume(run_id, reporter=reporter)
    assert reporter.trained == [(0, each) for each in range(epoch + 1, 4)]
    assert after["run_id"] == run_id and after["last"] == whole["last"] and after["undelivered"] is None
    assert numbers(store, run_id) == numbers(store, whole["run_id"])
    assert [epoch for epoch, _ in numbers(store, run_id)["train_loss"]] == [1, 2, 3]
    assert weights(store, run_id) == weights(store, whole["run_id"])
    assert store.entity(run_id).info.status == "FINISHED" and not checkpoint.folder(run_id).exists()


def test_without_its_checkpoint_a_run_begins_again_and_what_the_store_has_is_not_logged_twice(store, plan):
    whole = runs.run(plan)
    run_id = interrupted(plan, 2)
    file_of(run_id).unlink()
    reporter = Stop()
    resume.resume(run_id, reporter=reporter)
    assert reporter.trained == [(0, 1), (0, 2), (0, 3)]
    assert numbers(store, run_id) == numbers(store, whole["run_id"])


def test_an_epoch_that_comes_out_otherwise_than_the_store_has_it_is_refused(store, plan, database):
    run_id = interrupted(plan, 2)
    file_of(run_id).unlink()
    alter(database, run_id, "train_loss", 1)
    before = numbers(store, run_id)
    with pytest.raises(UserError, match=r"epoch 1 has train_loss .* left as it is"):
        resume.resume(run_id)
    assert numbers(store, run_id) == before


def test_a_run_that_was_only_just_made_can_be_resumed(store, plan, monkeypatch):
    whole = runs.run(plan)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # nothing but the run itself is in the store
        patch.setattr(runs, "claimed", lambda run_id: (_ for _ in ()).throw(KeyboardInterrupt))
        runs.run(plan)
    (made,) = store.search({}, ("KILLED",))
    assert not made.data.params
    resume.resume(made.info.run_id)
    assert numbers(store, made.info.run_id) == numbers(store, whole["run_id"])
    assert store.read(made.info.run_id, "spec.json") is not None
    assert store.entity(made.info.run_id).data.params == store.entity(whole["run_id"]).data.params


def test_a_parent_resumes_the_seeds_that_are_missing(store, plan):
    whole = runs.run(plan, seeds=3)
    reporter = Stop(2, seed=1)
    with pytest.raises(KeyboardInterrupt):
        runs.run(plan, seeds=3, reporter=reporter)
    parent = store.entity(reporter.ids[-1]).data.tags[tracking.PARENT]
    again = Stop()
    after = resume.resume(parent, reporter=again)
    assert again.trained == [(1, 3), (2, 1), (2, 2), (2, 3)]
    assert [s["last"] for s in after["seeds"]] == [s["last"] for s in whole["seeds"]] and after["n"] == 3
    kept = {each.data.tags["tinycnn.seed"]: each for each in store.search({tracking.PARENT: parent}, tracking.EVERY)}
    assert len(kept) == 3 and {each.info.status for each in kept.values()} == {"FINISHED"}
    for summary in whole["seeds"]:
        assert numbers(store, kept[str(summary["seed"])].info.run_id) == numbers(store, summary["run_id"])
    assert numbers(store, parent) == numbers(store, whole["run_id"])
    assert store.entity(parent).info.status == "FINISHED"


def test_one_of_several_seeds_can_be_resumed_by_itself(store, plan):
    parent = interrupted(plan, 1, seeds=2)
    (child,) = store.search({tracking.PARENT: parent}, tracking.EVERY)
    resume.resume(child.info.run_id)
    assert store.entity(child.info.run_id).info.status == "FINISHED" and store.entity(parent).info.status == "KILLED"
    reporter = Stop()
    resume.resume(parent, reporter=reporter)
    assert {seed for seed, _ in reporter.trained} == {1}


def test_a_finished_run_is_not_touched(store, plan):
    done = runs.run(plan)
    before = store.entity(done["run_id"])
    reporter = Stop()
    after = resume.resume(done["run_id"], reporter=reporter)
    assert after["last"] == done["last"] and reporter.trained == []
    assert "nothing to resume" in reporter.lines[-1]
    assert store.entity(done["run_id"]).info.end_time == before.info.end_time


def test_a_diverged_run_leaves_no_checkpoint(plan):
    class Poison(Stop):
        def epoch(self, seed, result):
            next(result.state.network.parameters()).data.fill_(float("nan"))

    reporter = Poison()
    with pytest.raises(Diverged):
        runs.run(plan, reporter=reporter)
    assert not checkpoint.folder(reporter.ids[0]).exists()


# --- what is refused -------------------------------------------------------------------------------------------------


def refusal(store, run_id):
    """Return the one line with which resuming is refused; the store is as it was."""
    before, metrics = store.entity(run_id), numbers(store, run_id)
    with pytest.raises(UserError) as caught:
        resume.resume(run_id)
    after = store.entity(run_id)
    assert after.data.tags == before.data.tags and numbers(store, run_id) == metrics
    assert after.info.status == before.info.status
    assert "\n" not in str(caught.value)
    return str(caught.value)


def other_code(spec, kernels, more=()):
    """Return the code as if the training loop were another."""
    used = source.used_by(spec.used()) | provenance._code((), kernels == "native")
    return used | {"tinycnn/train/loop.py:train": "0" * 12}


def test_a_run_of_other_code_packages_or_data_is_refused(store, plan, monkeypatch):
    run_id = interrupted(plan, 1)
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code", other_code)
        assert "the code is not that of commit" in refusal(store, run_id)
        assert "tinycnn/train/loop.py:train has changed" in refusal(store, run_id)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "number_versions", lambda: {"torch": "1.0"})
        assert f"the torch was {torch.__version__.partition('+')[0]}" in refusal(store, run_id)
    store.client.set_tag(run_id, "tinycnn.data_digest", "e" * 64)
    assert "the data was eeee" in refusal(store, run_id)


def test_a_checkpoint_that_is_not_this_runs_is_refused(store, plan):
    run_id = interrupted(plan, 1)
    path, spec = file_of(run_id), plan.spec.but(optimizer={"lr": 0.5})
    others = {
        "spec": {"spec": spec.to_json(), "spec_hash": spec.hash},
        "seed": {"seed": 1},
        "run": {"run_id": "0" * 32},
        "code": {"code": {"tinycnn/train/loop.py:train": "0" * 12}},
        "packages": {"versions": {"torch": "1.0"}},
        "threads": {"threads": 77},
        "random": {"random": {"weights": 1}},
    }
    good = path.read_bytes()
    for what, other in others.items():
        path.write_bytes(good)
        forge(path, **other)
        said = refusal(store, run_id)
        assert f"is of another {what}" in said and str(path) in said and "delete" in said


def forge(path, **changes):
    """Write a checkpoint with other content, and the checksum that belongs to it."""
    content = torch.load(path, weights_only=True) | changes
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(checkpoint._seal(buffer.getvalue()))


class Touch:
    """Pickled, this makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_no_code_from_a_checkpoint_is_ever_run(store, plan, tmp_path):
    run_id = interrupted(plan, 1)
    path = file_of(run_id)
    forge(path, schedule={"step_size": Touch(tmp_path / "ran")})
    assert "damaged" in refusal(store, run_id)
    path.write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    assert "damaged" in refusal(store, run_id)
    assert not (tmp_path / "ran").exists()


def other_shape(content):
    return {name: torch.zeros(3) for name in content["network"]}


MISFITS = {
    "network": lambda c: {"network": other_shape(c)},
    "optimizer": lambda c: {"optimizer": {**c["optimizer"], "state": {i: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(9), "exp_avg_sq": torch.zeros(9)} for i in c["optimizer"]["state"]}}},  # noqa: E501
    "no groups": lambda c: {"optimizer": {"state": {}, "param_groups": []}},
    "schedule": lambda c: {"schedule": {**c["schedule"], "optimizer": 1}},
    "history": lambda c: {"history": c["history"] * 2},
    "history of what": lambda c: {"history": [{**c["history"][0], "state": 1}]},
    "infinite": lambda c: {"history": [{**c["history"][0], "loss": float("nan")}]},
    "epoch": lambda c: {"epoch": -1, "history": []},
    "type": lambda c: {"threads": "1"},
    "more": lambda c: {"more": 1},
    "another thing": lambda c: {"spec": "{}"},
}  # fmt: skip


def test_a_checkpoint_with_the_right_checksum_and_the_wrong_content_is_refused(store, plan):
    run_id = interrupted(plan, 1)
    path = file_of(run_id)
    good = path.read_bytes()
    for misfit in MISFITS.values():
        path.write_bytes(good)
        forge(path, **misfit(torch.load(path, weights_only=True)))
        said = refusal(store, run_id)
        assert "checkpoint" in said and "delete it" in said


@pytest.mark.parametrize("what", ["folder", "empty", "zip", "bomb", "huge", "device", "loop", "fifo"])
def test_what_is_no_checkpoint_is_refused_without_delay(what, tmp_path):
    path = tmp_path / "seed-0.pt"
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    elif what == "huge":
        with open(path, "wb") as file:
            file.truncate(2**40)
    elif what in ("device", "loop"):
        path.symlink_to("/dev/zero" if what == "device" else path)
    elif what == "fifo":
        os.mkfifo(path)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", bytes(10**8) if what == "bomb" else b"x")
        path.write_bytes(checkpoint._seal(path.read_bytes()))
    with pytest.raises(UserError, match="damaged or not one of tinycnn's") as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def written(tiny, tiny_data, tmp_path_factory):
    """A good checkpoint."""
    path = tmp_path_factory.mktemp("checkpoint") / "seed-0.pt"
    state = start(tiny, 0, tiny_data, torch.device("cpu"))
    checkpoint.save(path, spec=tiny, seed=0, run_id="0" * 32, state=state, history=[])
    assert checkpoint.load(path).seed == 0
    return path.read_bytes()


@settings(max_examples=200, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_whatever_is_damaged_is_noticed(written, tmp_path, data):
    where = data.draw(st.integers(0, len(written) - 1))
    damage = data.draw(st.sampled_from(["flip", "cut", "insert", "random"]))
    if damage == "flip":
        content = bytearray(written)
        content[where] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "cut":
        content = written[:where]
    elif damage == "insert":
        content = written[:where] + data.draw(st.binary(min_size=1, max_size=20)) + written[where:]
    else:
        content = data.draw(st.binary(max_size=500))
    path = tmp_path / "seed-0.pt"
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="damaged or not one of tinycnn's"):
        checkpoint.load(path)


def test_a_checkpoint_is_written_into_its_folder_alone(written, plan, tmp_path):
    (tmp_path / "own").mkdir()
    outside, path = tmp_path / "outside", tmp_path / "own" / "seed-0.pt"
    outside.write_text("mine")
    for name in ("seed-0.pt", "seed-0.partial", "seed-0.reserve"):
        (tmp_path / "own" / name).symlink_to(outside)
    state = start(plan.spec, 0, plan.data, plan.device)
    checkpoint.save(path, spec=plan.spec, seed=0, run_id=None, state=state, history=[])
    assert outside.read_text() == "mine" and checkpoint.load(path).epoch == 0 and not path.is_symlink()


def test_checkpoints_that_are_a_link_are_refused(store, plan, tmp_path):
    run_id = interrupted(plan, 1)
    os.rename(checkpoint.folder(run_id), tmp_path / "elsewhere")
    checkpoint.folder(run_id).symlink_to(tmp_path / "elsewhere")
    before = sorted((each.name, each.stat().st_mtime_ns) for each in (tmp_path / "elsewhere").iterdir())
    assert "link" in refusal(store, run_id)
    assert sorted((each.name, each.stat().st_mtime_ns) for each in (tmp_path / "elsewhere").iterdir()) == before


def test_a_disk_that_has_become_full_gets_the_reserve(written, plan, tmp_path, monkeypatch):
    path = tmp_path / "seed-0.pt"
    state = start(plan.spec, 0, plan.data, plan.device)
    values = {"spec": plan.spec, "seed": 0, "run_id": None, "state": state, "history": []}
    checkpoint.save(path, **values)
    assert path.with_suffix(".reserve").stat().st_size >= 2 * path.stat().st_size

    def full(descriptor):
        if path.with_suffix(".reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = path.read_bytes()
    state.last_rate = 0.5
    checkpoint.save(path, **values)
    assert checkpoint.load(path).last_rate == 0.5 and path.read_bytes() != before
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
    with pytest.raises(OSError):
        checkpoint.save(path, **values)
    assert checkpoint.load(path).last_rate == 0.5
    assert [each.name for each in tmp_path.iterdir()] == ["seed-0.pt"]


def test_where_no_checkpoint_can_be_kept_training_goes_on_and_that_is_said_once(store, plan, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYCNN_CHECKPOINTS", str(tmp_path / "file" / "below"))
    reporter = Stop()
    done = runs.run(plan, reporter=reporter)
    assert done["undelivered"] is None and len(reporter.trained) == 3
    assert len([line for line in reporter.lines if "No checkpoint can be kept" in line]) == 1


def test_a_record_without_what_it_takes_is_refused(store, plan):
    run_id = interrupted(plan, 1)
    tags = store.entity(run_id).data.tags
    for name in ("role", "spec_hash", "device", "machine.threads", "seed"):
        store.client.delete_tag(run_id, f"tinycnn.{name}")
        assert f"no tinycnn.{name}" in refusal(store, run_id)
        store.client.set_tag(run_id, f"tinycnn.{name}", tags[f"tinycnn.{name}"])
    store.client.set_tag(run_id, "tinycnn.seed", "../0")
    assert "tinycnn.seed is no number" in refusal(store, run_id)


@pytest.mark.parametrize("change", ["spec", "json", "none"])
def test_a_record_that_was_altered_is_refused(store, plan, change):
    run_id = runs.run(plan)["run_id"]
    text = {"spec": plan.spec.but(optimizer={"lr": 0.5}).to_json(), "json": "{", "none": ""}[change]
    if change == "none":
        store.client.set_tag(run_id, "tinycnn.spec", "[]")
    store.client.log_text(run_id, text, "spec.json")
    for verb in (resume.resume, resume.rerun):
        with pytest.raises(UserError, match=f"run {run_id}.*spec") as caught:
            verb(run_id)
        assert "\n" not in str(caught.value)
    assert len(store.search({}, tracking.EVERY)) == 1


def test_a_run_that_is_still_trained_is_left_alone(store, plan):
    run_id = interrupted(plan, 1)
    with claimed(run_id):
        assert "another process" in refusal(store, run_id)
        with pytest.raises(UserError, match="another process"):
            resume.close(run_id)
    assert resume.resume(run_id)["undelivered"] is None


def test_a_run_begun_elsewhere_is_refused_with_where_that_is(store, plan, tmp_path, monkeypatch):
    run_id = interrupted(plan, 1)
    there = checkpoint.folder(".")
    monkeypatch.setenv("TINYCNN_CHECKPOINTS", str(tmp_path / "other"))
    assert str(there) in refusal(store, run_id) and socket.gethostname() in refusal(store, run_id)
    (tmp_path / "other" / run_id).mkdir(parents=True)
    os.replace(there / run_id / "seed-0.pt", tmp_path / "other" / run_id / "seed-0.pt")
    reporter = Stop()
    resume.resume(run_id, reporter=reporter)
    assert reporter.trained == [(0, 2), (0, 3)]


# --- again -----------------------------------------------------------------------------------------------------------


def alter(database, run_id, metric, step):
    """Change a recorded number behind MLflow's back."""
    with sqlite3.connect(database) as opened:
        where = "where run_uuid = ? and key = ? and step = ?"
        opened.execute(f"update metrics set value = value * 1.0000001 {where}", (run_id, metric, step))
    opened.close()


def test_a_rerun_finds_every_number_the_same(store, plan, capsys):
    run_id = runs.run(plan, first_seed=4)["run_id"]
    (compared,) = resume.rerun(run_id)
    assert compared["same"] and compared["same_weights"] and compared["epochs"] == 3 and compared["first"] is None
    assert compared["numbers"] >= 5 * 3
    again = store.entity(compared["rerun"])
    assert again.data.tags["tinycnn.rerun_of"] == run_id and again.info.status == "FINISHED"
    # a second run of the same seed is no further evidence
    assert list(runs.finished(store, plan)) == [4]
    assert [each.info.run_id for each in store.search({"tinycnn.role": "seed"})] == [run_id]


def test_a_rerun_says_where_the_numbers_first_differ(store, plan, database):
    run_id = runs.run(plan)["run_id"]
    alter(database, run_id, "test_loss", 3)
    alter(database, run_id, "train_loss", 2)
    (compared,) = resume.rerun(run_id)
    assert not compared["same"] and compared["same_weights"] and compared["differing"] == 2
    first = compared["first"]
    assert (first["epoch"], first["metric"]) == (2, "train_loss") and first["then"] != first["now"]


def test_a_rerun_of_several_seeds_makes_each_again(plan):
    run_id = runs.run(plan, seeds=2)["run_id"]
    assert [each["same"] for each in resume.rerun(run_id)] == [True, True]


def test_a_rerun_says_what_is_other_here(store, plan):
    run_id = runs.run(plan)["run_id"]
    store.client.set_tag(run_id, "tinycnn.version.torch", "1.0")
    reporter = Stop()
    assert resume.rerun(run_id, reporter=reporter)[0]["same"]
    assert any("the torch was 1.0" in line for line in reporter.lines)


def test_an_interrupted_rerun_is_resumed_and_then_compared(plan):
    run_id = runs.run(plan)["run_id"]
    reporter = Stop(2)
    with pytest.raises(KeyboardInterrupt):
        resume.rerun(run_id, reporter=reporter)
    after = resume.resume(reporter.ids[0])
    assert after["rerun"]["same"] and after["rerun"]["run_id"] == run_id


# --- doctor and close ------------------------------------------------------------------------------------------------


def left(store):
    return [each for each in doctor.examine() if each["name"] == "interrupted run"]


def test_the_doctor_lists_what_was_left_and_close_ends_it(store, plan):
    run_id = interrupted(plan, 1)
    store.client.update_run(run_id, status="RUNNING")  # as SIGKILL leaves it
    (found,) = left(store)
    assert run_id in found["found"] and "RUNNING" in found["found"]
    assert f"resume {run_id}" in found["cure"] and f"close {run_id}" in found["cure"]
    with claimed(run_id):
        assert left(store) == []
    before = numbers(store, run_id)
    assert "KILLED" in resume.close(run_id)
    assert left(store) == [] and store.entity(run_id).info.status == "KILLED" and numbers(store, run_id) == before
    resume.resume(run_id)  # from its first epoch


def test_a_parent_is_listed_once_and_closed_with_its_seeds(store, plan):
    parent = interrupted(plan, 1, seeds=2)
    (child,) = store.search({tracking.PARENT: parent}, tracking.EVERY)
    for run_id in (parent, child.info.run_id):
        store.client.update_run(run_id, status="RUNNING")
    (found,) = left(store)
    assert parent in found["found"]
    resume.close(parent)
    assert {each.info.status for each in store.search({}, tracking.EVERY)} == {"KILLED"} and left(store) == []


@pytest.mark.parametrize("verb", ["resume", "rerun", "close"])
def test_ids_that_are_none_and_runs_that_are_not_ours_are_one_line(store, verb, capsys):
    foreign = store.client.create_run(store.experiment_id).info.run_id
    deleted = store.client.create_run(store.experiment_id).info.run_id
    store.client.delete_run(deleted)
    cases = {"../../etc": 2, "exp3": 2, "": 2, "f" * 31 + "\n": 2, "0" * 32: 1, foreign: 1, deleted: 1}
    for run_id, expected in cases.items():
        try:
            code = cli.main([verb, run_id])
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        assert code == expected and out == "" and err.startswith("tinycnn: ") and err.count("\n") == 1, err


# --- SIGKILL ---------------------------------------------------------------------------------------------------------


def process(*arguments):
    """Start ``python -m tinycnn`` as a process of its own."""
    command = [sys.executable, "-m", "tinycnn", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)


def finish(*arguments):
    child = process(*arguments)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    return json.loads(out)


@pytest.fixture
def small(tiny, tmp_path):
    """A spec of some seconds, as a file."""
    path = tmp_path / "spec.json"
    path.write_text(tiny.but(train={"epochs": 4, "batch_size": 128}).to_json())
    return str(path)


def test_a_run_killed_while_it_trains_goes_on_as_if_nothing_had_happened(small, database, no_artifacts):
    whole = runs.run(runs.prepare(experiments.load(small), device="cpu", offline=True))
    child = process("run", small)
    said = []
    for line in child.stderr:
        said.append(line)
        if ": epoch 2/4" in line:
            child.kill()
    child.communicate()
    run_id = re.search(r"MLflow run ([0-9a-f]{32})", "".join(said))[1]
    store = tracking.Store()
    assert store.entity(run_id).info.status == "RUNNING"
    (found,) = left(store)
    assert run_id in found["found"]
    after = finish("resume", run_id, "--json")
    assert after["last"] == whole["last"]
    assert numbers(store, run_id) == numbers(store, whole["run_id"])
    assert weights(store, run_id) == weights(store, whole["run_id"])
    assert store.entity(run_id).info.status == "FINISHED" and left(store) == []


SLOW_KINDS = [
    {"optimizer": SGD(lr=0.05, momentum=0.9), "schedule": OneCycle(), "train": {"epochs": 3, "batch_size": 128}},
    {"schedule": StepLR(step_size=1, gamma=0.5), "train": {"epochs": 3, "batch_size": 250}},
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 1])
def test_twenty_kills_at_any_moment_change_nothing(tiny, tmp_path, database, kind):
    path = tmp_path / "spec.json"
    path.write_text(tiny.but(**SLOW_KINDS[kind]).to_json())
    store, rng = tracking.Store(), random.Random(kind)
    whole = finish("run", str(path), "--json")
    kills = 0
    while kills < 10:  # of each kind; every resume may be killed too
        known = {each.info.run_id for each in store.search({}, tracking.EVERY)}
        child, run_id = process("run", str(path)), None
        while run_id is None:  # not a moment is given away: as soon as the run is there
            time.sleep(0.002)
            new = {each.info.run_id for each in store.search({}, tracking.EVERY)} - known
            run_id = new.pop() if new else None
        while True:
            try:
                _, err = child.communicate(timeout=rng.choice([0, 0.02, 0.2, 1, 3, 5, 8]))
                break
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                kills += 1
                child = process("resume", run_id)
                time.sleep(rng.choice([0, 3, 4]))
        assert child.returncode == 0, err
        assert numbers(store, run_id) == numbers(store, whole["run_id"])
        assert weights(store, run_id) == weights(store, whole["run_id"])
        assert store.entity(run_id).info.status == "FINISHED"
        entity = store.entity(run_id)
        assert len(entity.outputs.model_outputs) == len(entity.inputs.dataset_inputs) == 1
    assert left(store) == []
