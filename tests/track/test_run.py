"""A spec times seeds becomes complete, truthful, reusable records in MLflow."""

import functools
import json
import multiprocessing
import os
import pickle
import signal
import socket
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch

from analysis.plots import training
from tinycnn import source
from tinycnn.errors import DataMissing, SpecError, UserError
from tinycnn.network import native
from tinycnn.network.check import check
from tinycnn.spec import Data, Spec
from tinycnn.spec.load import hash_now
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import provenance, resume, select
from tinycnn.track import run as runs
from tinycnn.track.plan import Plan, Reporter, prepare

EVERY = tracking.EVERY
NUMBERS = ("train/loss", "train/accuracy", "test/loss", "test/accuracy", "train/learning_rate")


class Recorder(Reporter):
    """Remember what was reported; ``after`` is called with each epoch's result."""

    def __init__(self, after=lambda result: None):
        self.after, self.lines, self.trained, self.results = after, [], [], []

    def notice(self, line):
        self.lines.append(line)

    warning = notice

    def started(self, plan, seed, history):
        self.trained.append(seed)

    def epoch(self, seed, result):
        self.results.append(result)
        self.after(result)


@pytest.fixture(scope="module")
def recorded(template, tmp_path_factory, plan):
    """One run with all its artifacts (seed 6), then three seeds (5 to 7), in a store that this module's tests read."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "mlflow.db").write_bytes(template.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("TINYCNN_CHECKPOINTS", str(folder / "checkpoints"))
        one = Recorder()
        single = runs.run(replace(plan, draw=training.draw), first_seed=6, reporter=one)
        patch.setattr(tracking.Run, "model", lambda *_: None)
        several = runs.run(plan, seeds=3, first_seed=5, reporter=Recorder())
        return {"store": tracking.Store(), "single": single, "several": several, "results": one.results}


@pytest.fixture
def single(recorded):
    """The MLflow run of the one seed."""
    return recorded["store"].client.get_run(recorded["single"]["run_id"])


def artifacts(entity) -> Path:
    return Path(unquote(urlsplit(entity.info.artifact_uri).path))


def history(recorded, run_id, metric):
    return recorded["store"].history(run_id, metric)


# --- one run ---------------------------------------------------------------------------------------------------------


def test_params_are_the_flat_spec_the_seed_and_the_networks_size(single, tiny):
    # by hand, for model_2: maps of 26, 24, 10 and 3 pixels; fields 3, 5, (pool) 6, 10, (pool) 12, 20, (average) 28
    sizes = {
        "parameters": 9 * 16 + 3 * 9 * 16 * 16 + 4 * 2 * 16 + 16 * 10,
        "macs": 26**2 * 9 * 16 + (24**2 + 10**2 + 3**2) * 9 * 16 * 16 + 16 * 10,
        "receptive_field": 28,
    }
    assert single.data.params == {name: str(value) for name, value in (tiny.brief() | sizes | {"seed": 6}).items()}


def test_each_epoch_is_logged_exactly_once_and_as_it_was_and_no_chart_has_one_dot(recorded, single):
    results = recorded["results"]
    assert [result.epoch for result in results] == [1, 2, 3]
    fields = {"test/loss": "loss", "test/accuracy": "accuracy", "train/loss": "train_loss",
              "train/accuracy": "train_accuracy"}  # fmt: skip
    names = (*NUMBERS, "time/seconds", "time/images_per_second")
    for metric in names:
        points = recorded["store"].client.get_metric_history(single.info.run_id, metric)
        field = fields.get(metric, metric.partition("/")[2])
        assert [(point.step, point.value) for point in points] == [(r.epoch, getattr(r, field)) for r in results]
    assert single.data.metrics.keys() == {*names, "train/clean_accuracy"}
    assert single.data.metrics["train/clean_accuracy"] == results[-1].clean_train_accuracy


def test_the_summary_is_that_of_the_history(recorded, single):
    accuracy = history(recorded, single.info.run_id, "test/accuracy")
    found, best = json.loads((artifacts(single) / "summary.json").read_text()), max(accuracy.values())
    assert (found["last"], found["best"], found["min_last5"]) == (accuracy[3], best, min(accuracy.values()))
    assert found["best_epoch"] == min(epoch for epoch, value in accuracy.items() if value == best)
    assert found["first_epoch_at_target"] == 1 and found["verdict"] == single.data.tags["tinycnn.verdict"]


@pytest.mark.parametrize("data", [Data(), Data(validation=0.1), Data(name="mnist5k", images=100)])
def test_a_spec_that_is_too_long_for_a_tag_loses_only_its_notes(plan, data, monkeypatch):
    monkeypatch.setattr("tinycnn.track.plan._LONGEST_TAG", 1000)
    spec = plan.spec.but(data=data)
    kept = json.dumps(json.loads(replace(plan, spec=spec).environment_tag)["spec"])
    assert Spec.from_json(kept) == spec.model_copy(update={"notes": ""}) and hash_now(kept, spec.hash) == spec.hash


def test_the_record_says_with_what_and_where_in_at_most_a_dozen_tags(single, plan):
    tags, (used,) = single.data.tags, single.inputs.dataset_inputs
    assert {name.removeprefix("tinycnn.") for name in tags if name.startswith("tinycnn.")} == {
        "role", "experiment", "spec_hash", "data_digest", "code_hash", "evaluated_on", "kernels", "fallback", "seed",
        "verdict", "weights",
    }  # fmt: skip
    assert tags["tinycnn.spec_hash"] == plan.spec.hash and tags["tinycnn.code_hash"] == source.code_hash(plan.code)
    assert tags["tinycnn.data_digest"] == plan.data.digest and used.dataset.digest == plan.data.digest[:16]
    assert tags["mlflow.source.git.commit"] == provenance.commit() and tags["mlflow.user"]
    found = json.loads((artifacts(single) / "environment.json").read_text())
    assert type(plan.spec).from_dict(found["spec"]) == plan.spec and found["git_dirty"] in ("true", "false", "unknown")
    assert found["version.torch"] == torch.__version__.partition("+")[0] and found["device"] == "cpu"
    assert found["machine.threads"] == torch.get_num_threads() and found["host"] == socket.gethostname()
    assert single.info.status == "FINISHED" and single.info.run_name == "tiny, seed 6"


def test_code_that_git_does_not_know_yet_counts_as_uncommitted(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    git = functools.partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "exp1.py").write_text("1\n")
    for words in (["init"], ["add", "."], [*author, "commit", "-m", "first"]):
        git(["git", *words])
    assert provenance.uncommitted.__wrapped__() == ""
    (tmp_path / "notes.txt").write_text("no code")
    assert provenance.uncommitted.__wrapped__() == ""
    (tmp_path / "experiments" / "small.py").write_text("2\n")
    assert provenance.uncommitted.__wrapped__() == "not in git:\nexperiments/small.py\n"
    (tmp_path / "experiments" / "exp1.py").write_text("3\n")
    assert "-1\n+3\nnot in git:\nexperiments/small.py\n" in provenance.uncommitted.__wrapped__()


def test_the_description_has_target_result_and_analysis(single):
    words, accuracy = single.data.tags["mlflow.note.content"], single.data.metrics["test/accuracy"]
    assert "**Target** more than chance" in words and "**Analysis** it learns" in words
    sizes = "7,344 parameters, 1,675,744 multiply-accumulates, receptive field 28"
    assert f"**Result** {sizes}; last epoch {accuracy:.2f} %" in words
    assert f"target {single.data.tags['tinycnn.verdict']}" in words


def test_the_artifacts_are_there_and_the_spec_reads_back(single, tiny):
    folder = artifacts(single)
    pictures = {"curves.png", "confusion.png", "worst_mistakes.png"}
    assert {"spec.json", "layers.md", "checkpoint.pt", *pictures} <= {path.name for path in folder.iterdir()}
    assert type(tiny).from_json((folder / "spec.json").read_text()) == tiny
    assert "7,344" in (folder / "layers.md").read_text()
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_the_checkpoint_needs_no_pickle_and_holds_everything(recorded, single, tiny):
    kept = torch.load(artifacts(single) / "checkpoint.pt", weights_only=True)
    state = recorded["results"][-1].state
    assert kept["spec"] == tiny.to_json() and kept["spec_hash"] == tiny.hash
    assert (kept["seed"], kept["epoch"], kept["run_id"]) == (6, 3, single.info.run_id)
    assert all(torch.equal(kept["network"][name], value) for name, value in state.network.state_dict().items())
    assert len(kept["history"]) == 3
    assert kept["history"][-1]["accuracy"] == single.data.metrics["test/accuracy"]
    state.optimizer.load_state_dict(kept["optimizer"])
    state.schedule.load_state_dict(kept["schedule"])


# --- several seeds ---------------------------------------------------------------------------------------------------


def test_several_seeds_give_the_numbers_of_one_at_a_time(recorded):
    alone = recorded["single"]["seeds"][0]
    among = recorded["several"]["seeds"][1]
    assert alone | {"run_id": ""} == among | {"run_id": ""} and alone["run_id"] != among["run_id"]
    for metric in NUMBERS:
        assert history(recorded, alone["run_id"], metric) == history(recorded, among["run_id"], metric)
    first, second, _ = (history(recorded, s["run_id"], "train/loss") for s in recorded["several"]["seeds"])
    assert first != second


def test_the_parent_sums_its_children_up(recorded, plan):
    outcome, client = recorded["several"], recorded["store"].client
    parent = client.get_run(outcome["run_id"])
    finished = recorded["store"].search({"mlflow.parentRunId": parent.info.run_id})
    assert {run.info.run_id for run in finished} == {s["run_id"] for s in outcome["seeds"]}
    assert sorted(run.data.params["seed"] for run in finished) == ["5", "6", "7"]
    curves = [history(recorded, run.info.run_id, "test/accuracy") for run in finished]
    for name, of in {"": np.mean, "_std": functools.partial(np.std, ddof=1), "_min": min}.items():
        by_hand = {epoch: of([curve[epoch] for curve in curves]) for epoch in (1, 2, 3)}
        assert history(recorded, parent.info.run_id, f"test/accuracy{name}") == pytest.approx(by_hand)
    found = json.loads((artifacts(parent) / "summary.json").read_text())
    assert found == outcome and (found["n"], found["last_min"]) == (3, min(curve[3] for curve in curves))
    assert parent.data.tags["tinycnn.verdict"] == outcome["verdict"] == "met"
    assert parent.info.run_name == "tiny, seeds 5 to 7" and parent.info.status == "FINISHED"
    assert {"spec.json", "seeds.md", "environment.json"} <= {path.name for path in artifacts(parent).iterdir()}
    assert "3 of 3 seeds" in parent.data.tags["mlflow.note.content"]


def test_the_outcome_is_plain_values_with_all_that_is_promised(recorded):
    for outcome in (recorded["single"], recorded["several"]):
        assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
        assert {"data", "fallback", "parameters", "epochs", "verdict"} <= set(outcome)
        for each in (outcome, *outcome["seeds"]):
            assert {"last", "best", "best_epoch", "min_last5", "run_id"} <= set(each)
        assert outcome["fallback"] is False and outcome["epochs"] == 3 and outcome["specs_evaluated"] == 1
    best = [s["best_epoch"] for s in recorded["several"]["seeds"]]
    assert recorded["several"]["best_epoch"] == statistics.median(best)


def test_specs_are_counted_by_the_images_that_evaluate_them_not_by_those_that_train_them(database, no_artifacts, tiny):
    count = [
        runs.run(runs.prepare(tiny.with_values({"train.epochs": 1} | changes), device="cpu"))["specs_evaluated"]
        for changes in ({"data.images": 200}, {"data.images": 300}, {"data.images": 300}, {"data.validation": 0.5})
    ]
    assert count == [1, 2, 2, 1]


def test_the_last_of_many_seeds_must_be_one(plan):
    with pytest.raises(SpecError, match=r"train\.seed"):
        runs.run(plan, seeds=2, first_seed=2**32 - 1)


# --- only what is missing --------------------------------------------------------------------------------------------


def test_missing_trains_only_the_seeds_that_are_missing_and_takes_the_others_as_they_are(store, plan, no_artifacts):
    before = runs.run(plan, seeds=2)
    reporter = Recorder()
    after = runs.run(plan, seeds=3, missing=True, reporter=reporter)
    assert reporter.trained == [2]
    assert after["seeds"][:2] == before["seeds"]
    again = runs.run(plan, first_seed=1, missing=True, reporter=reporter)
    assert reporter.trained == [2] and again["seeds"] == before["seeds"][1:]
    # a target that is judged differently changes no number: the runs are judged anew, and not trained
    stricter = replace(plan, spec=plan.spec.but(target={"accuracy": 99.9, "last_epochs": 3}))
    judged = runs.run(stricter, seeds=3, missing=True, reporter=reporter)
    accuracies = store.history(judged["seeds"][0]["run_id"], "test/accuracy")
    assert reporter.trained == [2] and judged["verdict"] == "missed"
    assert judged["seeds"][0]["held"] == min(accuracies.values())
    assert len(store.search({"tinycnn.role": "seed"})) == 3


def test_a_parent_has_the_seeds_it_was_asked_for_whoever_trained_them(store, plan, few_images, no_artifacts):
    before = runs.run(plan, seeds=3)["seeds"]
    parent = runs.run(plan, seeds=2, first_seed=1, missing=True)  # none is trained, and seed 0 is not one of them
    assert parent["seeds"] == before[1:] and resume.resume(parent["run_id"])["seeds"] == before[1:]
    store.client.set_tag(parent["run_id"], "tinycnn.seeds_taken", "0 1 2")  # as parents were recorded before
    assert resume.resume(parent["run_id"])["seeds"] == before[1:]
    again = resume.rerun(parent["run_id"])
    assert [each["run_id"] for each in again] == [each["run_id"] for each in before[1:]]
    assert all(each["same"] for each in again)


def test_runs_of_other_numbers_are_not_taken(store, plan, no_artifacts, monkeypatch):
    runs.run(plan)
    assert list(select.finished(store, plan)) == [0]
    others = [
        replace(plan, spec=plan.spec.but(optimizer={"lr": 0.02})),
        replace(plan, data=replace(plan.data, digest="e" * 64)),
        replace(plan, data=replace(plan.data, kind="validation")),
        replace(plan, fallback="FALLBACK"),
    ]
    assert [select.finished(store, other) for other in others] == [{}] * 4
    monkeypatch.setattr(provenance, "code", lambda *_: {"tinycnn/train/loop.py:train": "0" * 12})
    assert select.finished(store, replace(plan)) == {}


def test_code_that_is_edited_while_runs_are_trained_is_not_what_ran(plan, monkeypatch):
    before = plan.code
    sent = pickle.dumps(plan)
    monkeypatch.setattr(provenance, "code", lambda *_: {})  # as a process that reads the files later
    assert pickle.loads(sent).code == before != {}


def test_code_that_is_edited_in_the_first_epoch_is_not_what_ran(store, plan, no_artifacts, monkeypatch):
    def edit(seed, count):
        monkeypatch.setattr(provenance, "code", lambda *_: {})
        monkeypatch.setattr(provenance, "git", lambda *_: "an edit")

    monkeypatch.setattr(provenance, "git", lambda *_: "")
    monkeypatch.setattr(provenance, "uncommitted", functools.cache(provenance.uncommitted.__wrapped__))
    reporter, plan = Recorder(), replace(plan)
    reporter.images = edit
    entity = store.entity(runs.run(plan, reporter=reporter)["run_id"])
    environment = json.loads((artifacts(entity) / "environment.json").read_text())
    assert environment["git_dirty"] == "false" and json.loads((artifacts(entity) / "code.json").read_text())


# --- how runs end ----------------------------------------------------------------------------------------------------


def test_what_stops_a_training_ends_its_run_and_the_parent(store, plan):
    def stop(result):
        if result.epoch == 2:
            raise OSError("disk full\nreally")

    with pytest.raises(OSError, match="disk full"):
        runs.run(plan, seeds=2, reporter=Recorder(stop))
    found = store.search({}, EVERY)
    assert [run.info.status for run in found] == ["FAILED"] * 2
    assert [run.data.tags.get("tinycnn.failure") for run in found] == ["disk full"] * 2
    (child,) = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    assert sorted(store.history(child.info.run_id, "test/accuracy")) == [1, 2]


def test_an_epoch_costs_one_call_to_the_store(store, plan, no_artifacts, monkeypatch):
    calls, per_epoch = [], []
    for name in ("log_batch", "log_metric", "log_param", "set_tag", "log_text", "log_artifact", "get_run"):
        original = getattr(tracking.MlflowClient, name)

        def counted(self, *arguments, _name=name, _original=original, **options):
            calls.append(_name)
            return _original(self, *arguments, **options)

        monkeypatch.setattr(tracking.MlflowClient, name, counted)

    def after(result):
        per_epoch.append(list(calls))
        calls.clear()

    runs.run(plan, reporter=Recorder(after))
    assert per_epoch[1:] == [["log_batch"], ["log_batch"]]


# --- without the data ------------------------------------------------------------------------------------------------


def test_the_fallback_is_what_gets_recorded_and_nobody_can_miss_it(
    store, tiny, tiny_data, no_data, few_images, no_artifacts
):
    wanted = tiny.but(data={"name": "mnist"})
    reporter = Recorder()
    stood_in = prepare(wanted, device="cpu", offline=True, reporter=reporter)
    assert stood_in.spec.data.name == "mnist5k" and "mnist5k" in stood_in.fallback
    (warning,) = reporter.lines
    assert "FALLBACK" in warning and "mnist is missing" in warning and "not judged" in warning

    outcome = runs.run(stood_in, reporter=reporter)
    assert outcome["fallback"] is True and outcome["data"] == "mnist5k" and outcome["verdict"] == "not judged"
    entity = store.client.get_run(outcome["run_id"])
    assert "FALLBACK mnist5k" in entity.info.run_name and entity.data.tags["tinycnn.fallback"] == "true"
    assert entity.data.params["data.name"] == "mnist5k" and entity.data.tags["tinycnn.verdict"] == "not judged"
    assert "FALLBACK" in entity.data.tags["mlflow.note.content"]
    derived = type(tiny).from_json((artifacts(entity) / "spec.json").read_text())
    assert derived == stood_in.spec and derived.hash == entity.data.tags["tinycnn.spec_hash"] != wanted.hash

    # even the same images do not make it a run of the real spec, nor of one that asks for mnist5k
    measured, device = check(wanted)[0], torch.device("cpu")
    assert list(select.finished(store, stood_in)) == [0]
    assert select.finished(store, Plan(wanted, tiny_data, measured, device)) == {}
    assert select.finished(store, Plan(tiny, tiny_data, measured, device)) == {}


def test_without_a_fallback_missing_data_is_an_error(tiny, no_data):
    forbidden = (tiny.but(data={"name": "mnist"}), False)
    none_stated = (tiny.but(data={"name": "mnist", "fallback": None}), True)
    for spec, fallback in (forbidden, none_stated):
        with pytest.raises(DataMissing) as caught:
            prepare(spec, device="cpu", offline=True, fallback=fallback)
        assert caught.value.exit_code == 1 and "mnist5k" in str(caught.value) and os.sep in str(caught.value)


def test_a_validation_run_says_so_and_is_not_judged(store, tiny, tiny_data, no_artifacts):
    spec = tiny.but(data={"validation": 0.25}, train={"epochs": 2})
    plan = Plan(spec, replace(tiny_data, kind="validation"), check(spec)[0], torch.device("cpu"))
    outcome = runs.run(plan)
    entity = store.client.get_run(outcome["run_id"])
    assert outcome["verdict"] == "not judged" and outcome["evaluated_on"] == "validation"
    assert "validation/accuracy" in entity.data.metrics and "test/accuracy" not in entity.data.metrics


# --- side by side ----------------------------------------------------------------------------------------------------


def test_seeds_side_by_side_give_the_numbers_of_one_after_the_other(store, plan, no_artifacts):
    after = runs.run(plan, seeds=2, first_seed=3)
    watch = Recorder()
    beside = runs.run(plan, seeds=2, first_seed=3, workers=2, reporter=watch)
    for one, two in zip(after["seeds"], beside["seeds"], strict=True):
        assert one | {"run_id": ""} == two | {"run_id": ""}
        entities = [store.entity(each["run_id"]) for each in (one, two)]
        assert len({entity.data.tags["tinycnn.weights"] for entity in entities}) == 1
        for name in NUMBERS:
            assert store.history(one["run_id"], name) == store.history(two["run_id"], name)
        assert entities[1].data.tags["mlflow.parentRunId"] == beside["run_id"]
        assert {tracking.facts(entity)["machine.threads"] for entity in entities} == {1}
    assert tracking.facts(store.entity(beside["run_id"]))["machine.threads"] == 1
    assert sorted(watch.trained) == [3, 4] and len(watch.results) == 2 * plan.spec.train.epochs


def test_a_seed_whose_process_is_killed_can_be_resumed_with_the_others(store, plan, few_images, no_artifacts):
    whole = runs.run(plan, seeds=2)

    class Killer(Reporter):
        def epoch(self, seed, result):
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    with pytest.raises(UserError, match=r"process was killed.* `python -m tinycnn resume [0-9a-f]{32}` continues"):
        runs.run(plan, seeds=2, workers=2, reporter=Killer())
    (parent,) = store.search({"tinycnn.role": "seeds"}, ("FAILED",))
    after = resume.resume(parent.info.run_id)
    assert [each["last"] for each in after["seeds"]] == [each["last"] for each in whole["seeds"]]
    assert store.entity(parent.info.run_id).info.status == "FINISHED"


def test_where_there_is_no_compiler_training_is_eager_and_the_record_says_so(tiny, monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(native, "missing", lambda: "no C++ compiler")
    watch = Recorder()
    made = prepare(tiny.but(train={"compile": True}), device="cpu", offline=True, reporter=watch)
    assert made.spec.train.compile is False and made.tags["tinycnn.kernels"] == "torch"
    assert len(watch.lines) == 2 and all("C++ compiler" in line for line in watch.lines)
