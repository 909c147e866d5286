"""Nothing is lost, nothing doubled: resuming, refusing, making again and closing runs."""

import io
import json
import os
import random
import re
import socket
import sqlite3
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import torch
from interrupting import Stop, interrupted, process

from tinycnn import source
from tinycnn.cli import doctor
from tinycnn.errors import Diverged, UserError
from tinycnn.launch.slurm import Cluster
from tinycnn.spec import SGD, AdamW, Average, Cosine, OneCycle, Quantise, StepLR
from tinycnn.spec import load as experiments
from tinycnn.track import close, provenance, resume, select
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import run as runs
from tinycnn.track.plan import Plan, prepare
from tinycnn.train import checkpoint


@pytest.fixture
def plan(plan, few_images, no_artifacts):
    """``tiny`` on few images, which is also what resuming loads; without the model at the end."""
    return plan


def numbers(store, run_id):
    """Return every point of every metric that is no clock: (epoch, value) as often as it is there."""
    names = {name for name in store.entity(run_id).data.metrics if name.startswith(("train/", "test/"))}
    points = {name: store.client.get_metric_history(run_id, name) for name in names}
    return {name: [(point.step, point.value) for point in found] for name, found in points.items()}


def weights(store, run_id):
    return store.entity(run_id).data.tags["tinycnn.weights"]


def file_of(run_id, seed=0) -> Path:
    return checkpoint.folder(run_id) / f"seed-{seed}.pt"


# --- resuming --------------------------------------------------------------------------------------------------------

KINDS = [
    ({"optimizer": SGD(lr=0.05, momentum=0.9, nesterov=True), "schedule": OneCycle()}, 1),
    ({"schedule": StepLR(step_size=1, gamma=0.5)}, 3),
    (
        {"optimizer": AdamW(lr=0.01), "schedule": Cosine(), "loss": {"label_smoothing": 0.1},
         "average": Average(0.9, every=3), "train": {"precision": "bfloat16"}},
        2,
    ),
    ({"average": Average(0.5), "quantise": Quantise(2)}, 2),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "epoch"), KINDS)
def test_interrupted_and_resumed_gives_the_numbers_and_weights_of_an_uninterrupted_run(store, plan, changes, epoch):
    plan = Plan(plan.spec.but(**changes), plan.data, plan.measured, plan.device)
    whole = runs.run(plan)
    run_id = interrupted(plan, epoch)
    assert store.entity(run_id).info.status == "KILLED"
    reporter = Stop()
    after = resume.resume(run_id, reporter=reporter)
    assert reporter.trained == [(0, each) for each in range(epoch + 1, 4)]
    assert after["run_id"] == run_id and after["last"] == whole["last"] and after["undelivered"] is None
    assert numbers(store, run_id) == numbers(store, whole["run_id"])
    assert [epoch for epoch, _ in numbers(store, run_id)["train/loss"]] == [1, 2, 3]
    assert weights(store, run_id) == weights(store, whole["run_id"])
    assert store.entity(run_id).info.status == "FINISHED" and not checkpoint.folder(run_id).exists()


def test_without_its_checkpoint_a_run_begins_again_and_no_epoch_is_logged_twice(store, plan, database):
    whole = runs.run(plan)
    run_id = interrupted(plan, 2)
    file_of(run_id).unlink()
    reporter = Stop()
    resume.resume(run_id, reporter=reporter)
    assert reporter.trained == [(0, 1), (0, 2), (0, 3)]
    assert numbers(store, run_id) == numbers(store, whole["run_id"])

    other = interrupted(plan, 2)
    file_of(other).unlink()
    alter(database, other, "train/loss", 1)
    before = numbers(store, other)
    with pytest.raises(UserError, match=r"train/loss of epoch 1 is .* left as it is"):
        resume.resume(other)
    assert numbers(store, other) == before


def test_before_its_first_epoch_ends_a_run_leaves_nothing(store, plan):
    reporter = Stop()
    reporter.images = lambda seed, count: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.run(plan, reporter=reporter)
    assert store.search({}, tracking.EVERY) == [] and not checkpoint.folder(".").exists()


def test_a_parent_resumes_the_seeds_that_are_missing_and_one_seed_can_be_resumed_by_itself(store, plan):
    whole = runs.run(plan, seeds=3)
    reporter = Stop(2, seed=1)
    with pytest.raises(KeyboardInterrupt):
        runs.run(plan, seeds=3, reporter=reporter)
    child = reporter.ids[-1]
    parent = store.entity(child).data.tags[tracking.PARENT]
    resume.resume(child)
    assert store.entity(child).info.status == "FINISHED" and store.entity(parent).info.status == "KILLED"
    again = Stop()
    after = resume.resume(parent, reporter=again)
    assert again.trained == [(2, 1), (2, 2), (2, 3)]
    assert [s["last"] for s in after["seeds"]] == [s["last"] for s in whole["seeds"]] and after["n"] == 3
    kept = {each.data.tags["tinycnn.seed"]: each for each in store.search({tracking.PARENT: parent}, tracking.EVERY)}
    assert len(kept) == 3 and {each.info.status for each in kept.values()} == {"FINISHED"}
    for summary in whole["seeds"]:
        assert numbers(store, kept[str(summary["seed"])].info.run_id) == numbers(store, summary["run_id"])
    assert numbers(store, parent) == numbers(store, whole["run_id"])
    assert store.entity(parent).info.status == "FINISHED"


def test_a_finished_run_is_not_changed(store, plan):
    done = runs.run(plan)
    before = store.entity(done["run_id"])
    reporter = Stop()
    after = resume.resume(done["run_id"], reporter=reporter)
    assert after["last"] == done["last"] and reporter.trained == [] and "nothing to resume" in reporter.lines[-1]
    assert store.entity(done["run_id"]).info.end_time == before.info.end_time


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_diverged_run_is_recorded_as_failed_and_leaves_no_checkpoint(store, plan, epoch):
    class Poison(Stop):
        def epoch(self, seed, result):
            next(result.state.network.parameters()).data.fill_(float("nan"))

    bad = replace(plan, data=replace(plan.data, std=(float("nan"),))) if epoch == 0 else plan
    reporter = Poison() if epoch else Stop()
    with pytest.raises(Diverged):
        runs.run(bad, reporter=reporter)
    (failed,) = store.search({}, ("FAILED",))
    assert "became nan" in failed.data.tags["tinycnn.failure"]
    assert not checkpoint.folder(failed.info.run_id).exists()


# --- refusing --------------------------------------------------------------------------------------------------------


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
    used = provenance._code(tuple(map(source.reference, spec.used())), kernels == "native", published=True)
    return used | {"tinycnn/train/loop.py:train": "0" * 12}


def test_a_run_of_other_code_packages_or_data_is_refused(store, plan, monkeypatch):
    run_id = interrupted(plan, 1)
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code", other_code)
        assert "the code is not that of commit" in refusal(store, run_id)
        assert "tinycnn/train/loop.py:train has changed" in refusal(store, run_id)
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "number_versions", lambda: {"torch": "1.0"})
        assert f"the torch was {torch.__version__.partition('+')[0]}" in refusal(store, run_id)
    store.client.set_tag(run_id, "tinycnn.data_digest", "e" * 64)
    assert "the data was eeee" in refusal(store, run_id)


def forge(path, **changes):
    """Write a checkpoint with other content, and the checksum that belongs to it."""
    content = torch.load(path, weights_only=True) | changes
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(checkpoint._with_digest(buffer.getvalue()))


def test_a_checkpoint_of_another_run_or_that_is_damaged_is_refused(store, plan):
    run_id = interrupted(plan, 1)
    path = file_of(run_id)
    good = path.read_bytes()
    others = {
        "another spec": {"spec_hash": "0" * 12},
        "another seed": {"seed": 1},
        "another run": {"run_id": "0" * 32},
        "another code": {"code": {"tinycnn/train/loop.py:train": "0" * 12}},
        "another versions": {"versions": {"torch": "1.0"}},
        "another threads": {"threads": 77},
    }
    for what, other in others.items():
        path.write_bytes(good)
        forge(path, **other)
        line = refusal(store, run_id)
        assert what in line and "checkpoint" in line and "delete" in line
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for content in (b"", good[:-100], bytes(flipped)):
        path.write_bytes(content)
        assert "damaged" in refusal(store, run_id)


def test_a_checkpoint_is_replaced_whole_or_not_at_all(store, plan, monkeypatch):
    run_id = interrupted(plan, 1)
    before = file_of(run_id).read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    reporter = Stop()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        reporter.at = 2
        with pytest.raises(KeyboardInterrupt):
            resume.resume(run_id, reporter=reporter)
    assert file_of(run_id).read_bytes() == before and len(list(file_of(run_id).parent.glob("seed-*"))) == 1


def test_where_no_checkpoint_can_be_kept_training_goes_on_and_that_is_said_once(store, plan, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYCNN_CHECKPOINTS", str(tmp_path / "file" / "below"))
    reporter = Stop()
    done = runs.run(plan, reporter=reporter)
    assert done["undelivered"] is None and len(reporter.trained) == 3
    assert len([line for line in reporter.lines if "No checkpoint can be kept" in line]) == 1


def test_a_run_that_was_killed_before_its_files_were_there_is_taken_up_from_its_tags(store, plan, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*arguments):
        raise Killed

    whole = runs.run(plan)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(tracking.Run, "params", killed)
        runs.run(plan)
    (left,) = store.search({}, ("FAILED",))
    assert store.client.list_artifacts(left.info.run_id) == []
    reporter = Stop()
    assert resume.resume(left.info.run_id, reporter=reporter)["last"] == whole["last"]
    entity = store.entity(left.info.run_id)
    assert reporter.trained == [(0, 2), (0, 3)] and "tinycnn.environment" not in entity.data.tags
    files = {file.path for file in store.client.list_artifacts(left.info.run_id)}
    assert {"environment.json", "spec.json", "layers.md"} <= files and entity.data.params["seed"] == "0"


def test_what_a_failing_store_does_not_take_is_delivered_once_by_resume(store, plan, monkeypatch):
    whole = runs.run(plan)
    reporter, log = Stop(), tracking.MlflowClient.log_batch

    def failing(self, run_id, metrics=(), **others):
        if any(metric.step > 1 for metric in metrics):
            raise OSError(28, "No space left on device")
        return log(self, run_id, metrics=metrics, **others)

    with monkeypatch.context() as patch:
        patch.setattr(tracking.MlflowClient, "log_batch", failing)
        done = runs.run(plan, reporter=reporter)
    assert "No space left" in done["undelivered"] and len(reporter.trained) == 3
    assert len([line for line in reporter.lines if "delivered later" in line]) == 1
    assert store.entity(done["run_id"]).info.status == "FAILED" and file_of(done["run_id"]).exists()
    again = Stop()
    assert resume.resume(done["run_id"], reporter=again)["undelivered"] is None and again.trained == []
    assert numbers(store, done["run_id"]) == numbers(store, whole["run_id"])
    assert weights(store, done["run_id"]) == weights(store, whole["run_id"])


def test_a_run_that_is_still_trained_is_left_alone(store, plan):
    run_id = interrupted(plan, 1)
    with checkpoint.claimed(run_id):
        assert "another process" in refusal(store, run_id)
        with pytest.raises(UserError, match="another process"):
            close.close(run_id)
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


def test_a_run_begun_on_a_gpu_is_refused_without_one_and_goes_on_as_jobs(store, plan, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        runs.run(plan, seeds=2, reporter=Stop(1))
    (parent,) = store.search({"tinycnn.role": "seeds"}, tracking.EVERY)
    path = Path(unquote(urlsplit(parent.info.artifact_uri).path)) / "environment.json"
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "cuda:99"'))
    run_id = parent.info.run_id
    assert re.search("trained on cuda:99, which is not available .* DEVICE=cpu", refusal(store, run_id))
    handed = {}
    monkeypatch.setattr(resume, "_differences", lambda *_: [])  # it was trained here, with the native kernels
    monkeypatch.setattr(resume, "train_several", lambda plan, *_, **how: handed.update(how, device=plan.device))
    cluster = Cluster({}, 1)
    resume.resume(run_id, cluster=cluster)
    assert handed["cluster"] is cluster and handed["device"] == torch.device("cuda:99")


# --- making again ----------------------------------------------------------------------------------------------------


def alter(database, run_id, metric, step):
    """Change a recorded number behind MLflow's back."""
    with sqlite3.connect(database) as opened:
        where = "where run_uuid = ? and key = ? and step = ?"
        opened.execute(f"update metrics set value = value * 1.0000001 {where}", (run_id, metric, step))
    opened.close()


def test_a_rerun_finds_every_number_the_same(store, plan):
    made = runs.run(plan, seeds=2, first_seed=4)
    for compared, seed in zip(resume.rerun(made["run_id"]), made["seeds"], strict=True):
        assert compared["same"] and compared["same_weights"] and compared["epochs"] == 3 and compared["first"] is None
        assert compared["numbers"] == 5 * 3 + 1
        again = store.entity(compared["rerun"])
        assert again.data.tags["tinycnn.rerun_of"] == seed["run_id"] and again.info.status == "FINISHED"
    # a second run of the same seed is no further evidence
    assert select.finished(store, plan) == {seed["seed"]: seed for seed in made["seeds"]}
    assert len(store.search({"tinycnn.role": "seed"})) == 2


def test_a_rerun_says_where_the_numbers_first_differ(store, plan, database):
    run_id = runs.run(plan)["run_id"]
    alter(database, run_id, "test/loss", 3)
    alter(database, run_id, "train/loss", 2)
    (compared,) = resume.rerun(run_id)
    assert not compared["same"] and compared["same_weights"] and compared["differing"] == 2
    first = compared["first"]
    assert (first["epoch"], first["metric"]) == (2, "train/loss") and first["then"] != first["now"]


def test_a_rerun_says_what_differs_here(store, plan):
    run_id = runs.run(plan)["run_id"]
    path = Path(unquote(urlsplit(store.entity(run_id).info.artifact_uri).path)) / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version.torch": "1.0"}))
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
    return [each for each in doctor._store() if each["name"] == "interrupted run"]


def test_the_doctor_lists_what_was_left_and_close_ends_it(store, plan):
    run_id = interrupted(plan, 1)
    store.client.update_run(run_id, status="RUNNING")  # as SIGKILL leaves it
    (found,) = left(store)
    assert run_id in found["found"] and "RUNNING" in found["found"]
    assert f"resume {run_id}" in found["cure"] and f"close {run_id}" in found["cure"]
    with checkpoint.claimed(run_id):
        assert left(store) == []
    before = numbers(store, run_id)
    assert "KILLED" in close.close(run_id)
    assert left(store) == [] and store.entity(run_id).info.status == "KILLED" and numbers(store, run_id) == before
    assert resume.resume(run_id)["undelivered"] is None  # from its first epoch


def test_a_parent_is_listed_once_and_closed_with_its_seeds(store, plan):
    parent = interrupted(plan, 1, seeds=2)
    (child,) = store.search({tracking.PARENT: parent}, tracking.EVERY)
    for run_id in (parent, child.info.run_id):
        store.client.update_run(run_id, status="RUNNING")
    (found,) = left(store)
    assert parent in found["found"]
    close.close(parent)
    assert {each.info.status for each in store.search({}, tracking.EVERY)} == {"KILLED"} and left(store) == []


@pytest.mark.parametrize("command", [resume.resume, resume.rerun, close.close])
def test_unknown_deleted_and_others_runs_are_refused_in_one_line(store, command):
    foreign = store.client.create_run(store.experiment_id).info.run_id
    deleted = store.client.create_run(store.experiment_id).info.run_id
    store.client.delete_run(deleted)
    wrong = {"0" * 32: "not in the store", foreign: "not made by tinycnn", deleted: "is deleted"}
    for run_id, words in wrong.items():
        with pytest.raises(UserError, match=f"^run {run_id}: .*{words}.*$"):
            command(run_id)


# --- SIGKILL ---------------------------------------------------------------------------------------------------------


def finish(*arguments):
    child = process(*arguments)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    return json.loads(out)


@pytest.fixture
def small(tiny, tmp_path):
    """A spec of some seconds, as a file."""
    path = tmp_path / "spec.json"
    path.write_text(tiny.but(data={"images": 1000}, train={"epochs": 6, "batch_size": 125}).to_json())
    return str(path)


def test_a_run_killed_while_it_trains_goes_on_as_if_nothing_had_happened(small, database, no_artifacts):
    whole = runs.run(prepare(experiments.load(small), device="cpu", offline=True))
    child = process("run", small)
    said = []
    for line in child.stderr:
        said.append(line)
        if ": epoch 2/6" in line:
            child.kill()
    child.communicate()
    run_id = re.search(r"MLflow run ([0-9a-f]{32})", "".join(said))[1]
    store = tracking.Store()
    assert store.entity(run_id).info.status == "RUNNING"
    (found,) = left(store)
    assert run_id in found["found"]
    after = resume.resume(run_id)
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
