"""What a study promises: its budget to the trial, the limit as a gate, nothing lost to a kill, honest records."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tinycnn import ROOT
from tinycnn.data import files as data
from tinycnn.errors import OverLimit, UserError
from tinycnn.spec import AvgPool, Conv, Head, MaxPool, Network, Repeat
from tinycnn.study import definition as studies_of
from tinycnn.study import results as findings
from tinycnn.study import storage as search
from tinycnn.study import worker as study_run
from tinycnn.study.definition import Choice, Float, Int, Study
from tinycnn.study.trial import PRUNED, train_trial
from tinycnn.train.loop import EpochResult


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    path = tmp_path / "studies.journal"
    monkeypatch.setenv("OPTUNA_STORAGE", str(path))
    return path


@pytest.fixture
def small(tiny):
    """A study of a second a trial."""
    base = tiny.but(name="base", train={"epochs": 2}, target={"accuracy": None})
    return Study(name="small", base=base, ranges={"optimizer.lr": Float(0.001, 0.1, log=True)}, trials=3)


@pytest.fixture
def quick(monkeypatch, request, few_images, database):
    """Trials do not train: their loss is a function of the learning rate, in both epochs."""
    from tinycnn.study import trial

    trained = []
    if "figures" not in request.keywords:
        monkeypatch.setattr(findings, "figures", lambda found: [])  # they take longer than all the rest

    def train(spec, seed, **_):
        trained.append((spec, seed))
        for epoch in range(1, spec.train.epochs + 1):
            loss = abs(spec.optimizer.lr - 0.02) + 0.001 * seed + 1 / epoch
            yield EpochResult(epoch, 1.0, 50.0, loss, 90.0, spec.optimizer.lr, 1.0, 1.0, 0.0)

    monkeypatch.setattr(trial, "train", train)
    monkeypatch.setattr(search, "process", lambda: {"host": os.uname().nodename, "pid": os.getpid(), "begun": "x"})
    monkeypatch.setattr(search, "_begun", lambda pid: "x" if pid == os.getpid() else None)
    return trained


def states(study):
    return [trial.user_attrs.get("state", trial.state.name) for trial in search.opened(study).trials]


def test_trial_0_is_the_base_and_the_budget_is_in_all(quick, small):
    result = study_run.run(small)
    assert quick[0][0].optimizer.lr == small.base.optimizer.lr == 0.01
    assert states(small) == ["complete"] * 3 and result["trained"] == 3
    study_run.run(small, trials=5)
    assert states(small) == ["complete"] * 5
    study_run.run(small, trials=5)
    study_run.run(small, trials=2)
    assert states(small) == ["complete"] * 5 and len(quick) == 5


def test_no_two_workers_or_sessions_ask_with_the_same_seed(quick, small):
    study_run.run(small, trials=2)
    study_run.run(small, trials=4)
    found = search.opened(small)
    workers = [trial.user_attrs["worker"] for trial in found.trials]
    assert workers == [1, 1, 2, 2]
    values = [trial.params["optimizer.lr"] for trial in found.trials]
    assert len(set(values)) == 4
    assert len({search._sampler_seed(small, worker) for worker in range(100)}) == 100


def test_the_objective_is_the_mean_over_the_seeds_of_the_last_epochs_loss(quick, small):
    several = small.model_copy(update={"seeds": 3})
    study_run.run(several, trials=1)
    (trial,) = search.opened(several).trials
    assert trial.value == pytest.approx(0.01 + 0.5 + 0.001)  # |0.01 - 0.02| + 1/2, and the mean of seeds 0, 1, 2
    assert [seed for _, seed in quick] == [0, 1, 2]
    assert trial.intermediate_values == pytest.approx({0: 0.51, 1: 0.511, 2: 0.512})  # what Wilcoxon's test looks at


@pytest.mark.parametrize("objective, best", [("validation_loss", min), ("validation_accuracy", max)])
def test_the_best_trial_is_the_least_loss_or_the_highest_accuracy(quick, small, objective, best):
    chosen = small.model_copy(update={"objective": objective})
    result = study_run.run(chosen)
    assert result["value"] == best(trial.value for trial in search.opened(chosen).trials)


def test_over_the_limit_nothing_is_trained_or_tracked_and_the_count_goes_on(quick, small, store):
    ranges = {"optimizer.lr": Float(0.001, 0.1, log=True), "model.dropout": Float(0.0, 0.5)}
    wide = Study(name="wide", base=small.base.but(model={"padding": 0}), ranges=ranges, trials=3)
    over = {"calls": 0}

    def heavy(spec, facts):  # every second trial has more than there may be
        over["calls"] += 1
        return 9000 if over["calls"] % 2 == 0 else 7344

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "count_parameters", heavy)
        study_run.run(wide)
    assert states(wide) == ["complete", "over_limit", "complete", "over_limit", "complete"]
    refused = search.opened(wide).trials[1]
    assert refused.state == TrialState.PRUNED and refused.constraints == {"parameters": 1000}
    assert refused.user_attrs["parameters"] == 9000 and "run_id" not in refused.user_attrs
    assert search.opened(wide).trials[0].constraints == {"parameters": -656}
    tracked = store.search({"tinycnn.role": "trial"}, ("FINISHED", "KILLED", "FAILED", "RUNNING"))
    assert sorted(run.data.tags["tinycnn.trial"] for run in tracked) == ["0", "2", "4"] and len(quick) == 3


def test_a_limit_that_nothing_satisfies_ends_with_a_line_and_exit_code_3(quick, small):
    tight = small.model_copy(update={"base": small.base.but(target={"parameter_limit": 100})})
    with pytest.raises(OverLimit) as caught:
        study_run.run(tight)
    assert "0 of 3 trials" in str(caught.value) and "100 had more parameters than target.parameter_limit = 100" in str(
        caught.value
    )
    assert caught.value.exit_code == 3 and quick == []
    begun = len(search.opened(tight).trials)
    with pytest.raises(OverLimit):
        study_run.run(tight)
    assert len(search.opened(tight).trials) == begun == 100


def test_values_that_do_not_go_together_are_refused_and_not_counted(quick, small):
    sgd = small.base.but(optimizer={"name": "SGD", "momentum": 0.9, "nesterov": True})
    odd = Study(name="odd", base=sgd, ranges={"optimizer.momentum": Float(0.0, 0.9)}, trials=2)
    with search.alone("odd"):
        found = search.opened(odd, make=True, identity={})
        found.enqueue_trial({"optimizer.momentum": 0.0})
        assert search.attempt(found, odd, 1) is not None  # the base
        assert search.attempt(found, odd, 1) is None
    refused = found.trials[1]
    assert refused.user_attrs["state"] == "invalid" and "nesterov needs a momentum" in refused.user_attrs["reason"]
    assert search.counted(found) == 1 and search.in_vain(found) == 1


def test_a_layout_whose_map_vanishes_is_refused_before_training_and_not_counted(quick, small):
    base = small.base.but(model=Network(Conv(8), Repeat(Conv(8), times=2), MaxPool(2), Head()))
    ranges = {"model.layers.1.times": Int(1, 40), "model.layers.2": Choice(MaxPool(2), AvgPool(2))}
    layout = Study(name="layout", base=base, ranges=ranges, trials=3)
    result = study_run.run(layout)
    found = search.opened(layout)
    deep = [t for t in found.trials if t.params.get("model.layers.1.times", 0) > 12]
    assert result["trained"] == 3 and deep
    for trial in deep:
        assert trial.user_attrs["state"] == "invalid" and "below 1×1" in trial.user_attrs["reason"]
    assert all(spec.model.layers[1].times <= 12 for spec, _ in quick)


def test_a_study_that_was_begun_otherwise_is_refused(quick, small):
    study_run.run(small, trials=1)
    other = small.model_copy(update={"ranges": {"optimizer.lr": Float(0.001, 0.2, log=True)}})
    with pytest.raises(UserError, match="begun with another definition: its trials cannot be compared"):
        study_run.run(other)


def test_the_test_set_is_not_even_read(tiny, monkeypatch, database):
    read = []
    original = data._read
    monkeypatch.setattr(data, "_read", lambda name, place, part: read.append(part) or original(name, place, part))
    base = tiny.but(name="base", train={"epochs": 1})
    short = Study(name="short", base=base, fidelity={"data.images": 100}, ranges={"model.dropout": Float(0.0, 0.1)})
    assert study_run.run(short, trials=1)["trained"] == 1
    assert set(read) == {"train"}


def test_a_trial_whose_process_is_gone_is_marked_and_tried_again(quick, small):
    with search.alone("small"):
        found = search.opened(small, make=True, identity={})
        trial, _, _ = search.attempt(found, small, 1)
        trial.set_user_attr("run_id", "abc")
        assert search.sweep(found) == [] and search.counted(found) == 1  # it is alive
        trial.set_user_attr("process", {**search.process(), "pid": 2**22 + 1})
        assert search.sweep(found) == ["abc"] and search.counted(found) == 0
        again, _, _ = search.attempt(found, small, 1)
    assert found.trials[0].user_attrs["state"] == "lost" and found.trials[0].state == TrialState.FAIL
    assert again.params == trial.params and again.user_attrs["retry_of"] == 0


def test_a_trial_that_kills_its_process_every_time_is_given_up(quick, small):
    with search.alone("small"):
        found = search.opened(small, make=True, identity={})
        for _ in range(3):
            trial, _, _ = search.attempt(found, small, 1)
            assert trial.params == {"optimizer.lr": 0.01}
            search.give_back(found, trial.number, search.LOST)
        trial, _, _ = search.attempt(found, small, 1)
    assert trial.params != {"optimizer.lr": 0.01}


def test_a_process_is_told_from_another_with_its_number_and_one_elsewhere_by_its_silence(monkeypatch):
    own = search.process()
    assert search.alive(own, 0.0)
    assert not search.alive({**own, "begun": "1"}, time.time())  # the number was given to another since
    assert not search.alive({**own, "pid": 2**22 + 1}, time.time())
    elsewhere = {**own, "host": "elsewhere"}
    assert search.alive(elsewhere, time.time() - 60) and not search.alive(elsewhere, time.time() - 4000)


def test_ctrl_c_gives_the_trial_back_and_ends_the_runs_as_killed(quick, small, store, monkeypatch):
    from tinycnn.study import trial

    original = trial.train

    def interrupted(spec, seed, **options):
        if len(quick) == 1:
            raise KeyboardInterrupt
        yield from original(spec, seed, **options)

    monkeypatch.setattr(trial, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study_run.run(small)
    assert states(small) == ["complete", "interrupted", "WAITING"]
    runs = store.search({"tinycnn.study": "small"}, ("FINISHED", "KILLED", "FAILED", "RUNNING"))
    assert sorted((run.data.tags["tinycnn.role"], run.info.status) for run in runs) == [
        ("study", "KILLED"), ("trial", "FINISHED"), ("trial", "KILLED"),
    ]  # fmt: skip
    monkeypatch.setattr(trial, "train", original)
    assert study_run.run(small)["trained"] == 3
    assert states(small) == ["complete", "interrupted", "complete", "complete"]


def test_the_runs_of_a_study_are_left_to_it_by_resume_close_and_doctor(quick, small, store):
    from tinycnn.track import resume

    study_run.run(small, trials=1)
    found = search.opened(small)
    for run_id in (found.user_attrs["mlflow_run"], found.trials[0].user_attrs["run_id"]):
        for verb in (resume.resume, resume.rerun, resume.close):
            with pytest.raises(UserError, match="python -m tinycnn search small goes on with that"):
                verb(run_id)
    assert resume.left_over() == []
    store.client.update_run(found.user_attrs["mlflow_run"], status="RUNNING")
    assert resume.left_over() == []  # this process is at it
    gone = json.dumps(search.process() | {"pid": 1})
    store.client.set_tag(found.user_attrs["mlflow_run"], "tinycnn.process", gone)
    (left,) = resume.left_over()
    assert left["study"] == "small" and left["run_id"] == found.user_attrs["mlflow_run"]


@pytest.mark.figures
def test_mlflow_has_a_parent_and_lean_children_linked_both_ways(quick, small, store):
    study_run.run(small)
    found = search.opened(small)
    parent = store.entity(found.user_attrs["mlflow_run"])
    assert parent.info.status == "FINISHED" and parent.data.tags["tinycnn.best_trial"] == str(found.best_trial.number)
    assert "low" in parent.data.params["range.optimizer.lr"] and parent.data.metrics["trials"] == 3
    artifacts = {file.path for file in store.client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "study.json", "history.png", "parallel.png"} <= artifacts
    for trial in found.trials:
        child = store.entity(trial.user_attrs["run_id"])
        tags = child.data.tags
        assert (tags["tinycnn.trial"], tags["mlflow.parentRunId"]) == (str(trial.number), parent.info.run_id)
        assert child.data.metrics["objective"] == trial.value and tags["tinycnn.trial_state"] == "complete"
        assert not store.client.list_artifacts(child.info.run_id) and child.info.status == "FINISHED"


def test_a_pruned_trial_is_not_failed_and_a_diverged_one_is(quick, small, store, monkeypatch):
    from tinycnn.errors import Diverged
    from tinycnn.study import trial

    original = trial.train

    def train(spec, seed, **options):
        if len(quick) == 1:
            quick.append("diverged")
            raise Diverged("the training loss became nan")
        yield from original(spec, seed, **options)

    monkeypatch.setattr(trial, "train", train)
    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", lambda self, study, trial: trial.number == 2)
    monkeypatch.setattr(type(small.base.schedule), "settles", lambda self, epochs: 0)
    result = study_run.run(small)
    assert states(small) == ["complete", "diverged", "pruned"] and result["epochs_saved_by_pruning"] == 1
    ended = store.search({"tinycnn.role": "trial"}, ("KILLED", "FAILED"))
    runs = {run.data.tags["tinycnn.trial"]: run for run in ended}
    assert runs["2"].info.status == "KILLED" and runs["2"].data.tags["tinycnn.trial_state"] == "pruned"
    assert runs["1"].info.status == "FAILED" and "became nan" in runs["1"].data.tags["tinycnn.failure"]


@pytest.mark.parametrize(
    "schedule, epochs, wanted",
    [
        ({"name": "StepLR", "step_size": 5}, 15, 6),
        ({"name": "StepLR", "step_size": 15}, 15, 15),
        ({"name": "OneCycle"}, 15, 7),
        ({"name": "Cosine"}, 15, 7),
        ({"name": "Constant"}, 15, 5),
    ],
)
def test_the_warm_up_waits_for_the_first_drop(tiny, schedule, epochs, wanted):
    assert tiny.but(schedule=schedule, train={"epochs": epochs}).schedule.settles(epochs) == wanted


def test_nothing_is_pruned_in_the_warm_up_or_after_the_last_epoch(quick, small, plan):
    stepped = small.base.but(schedule={"name": "StepLR", "step_size": 2}, train={"epochs": 5})
    asked = []

    def report(value, step):
        asked.append(step)
        return step != 4

    outcome = train_trial(small, plan.but(stepped, plan.measured), report)
    assert outcome.state != PRUNED and asked == [1, 2, 3, 4, 5]
    outcome = train_trial(small, plan.but(stepped, plan.measured), lambda value, step: step == 4)
    assert outcome.state == PRUNED and len(outcome.epochs) == 4 and outcome.value is None


def test_findings_name_the_best_its_edge_and_the_base(quick, small):
    edge = small.model_copy(update={"ranges": {"optimizer.lr": Float(0.001, 0.02, log=True)}})
    with search.alone("small"):
        found = search.opened(edge, make=True, identity={})
        found.enqueue_trial({"optimizer.lr": 0.02})
        found.set_user_attr("identity", None)
    study_run.run(edge, trials=6)
    found = search.opened(edge)
    result = findings.findings(edge, found)
    assert result["best_values"] == {"optimizer.lr": 0.02} and result["base_value"] == pytest.approx(0.51)
    (line,) = result["edges"]
    assert line.startswith("optimizer.lr: the best value, 0.02, is at the upper end, 0.02, of its range")
    said = findings.text(edge, result)
    assert "best: trial" in said and line in said and max(map(len, said.splitlines())) < 150
    frame = findings.frame(edge, found)
    assert list(frame["number"]) == list(range(len(frame))) and frame["epochs"].sum() == 12
    assert len(findings.curves(found)) == 12


def test_without_a_limit_there_is_a_best_trial_too(quick, small):
    free = small.model_copy(update={"base": small.base.but(target={"parameter_limit": None})})
    result = study_run.run(free)
    assert result["best"] is not None and result["value"] == min(trial.value for trial in search.opened(free).trials)
    assert search.opened(free).trials[0].constraints == {}


def test_the_base_is_known_by_its_values_and_trained_with_all_their_digits(quick, small):
    exact = small.model_copy(update={"base": small.base.but(optimizer={"lr": 0.0123456})})
    result = study_run.run(exact)
    assert quick[0][0].optimizer.lr == 0.0123456 and result["base_value"] == pytest.approx(0.5076544)
    outside = small.model_copy(update={"name": "outside", "base": small.base.but(optimizer={"lr": 0.5})})
    assert study_run.run(outside)["base_value"] is None


def test_a_study_whose_file_has_changed_since_is_refused_wherever_it_is_read(quick, small):
    study_run.run(small, trials=1)
    edited = small.model_copy(update={"ranges": {"model.dropout": Float(0.0, 0.1)}})
    with pytest.raises(UserError, match="begun with another definition"):
        search.opened(edited)


def test_a_trial_that_fails_is_tried_again_twice_and_then_given_up(quick, small, monkeypatch):
    from tinycnn.study import trial

    original = trial.train

    def train(spec, seed, **options):
        if spec.optimizer.lr == 0.01:
            raise RuntimeError("out of memory")
        yield from original(spec, seed, **options)

    monkeypatch.setattr(trial, "train", train)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="out of memory"):
            study_run.run(small)
    assert study_run.run(small)["trained"] == 3
    assert states(small) == ["failed"] * 3 + ["complete"] * 3


def test_trials_of_unlike_length_are_not_compared_by_epoch(quick, small):
    longer = Study(name="longer", base=small.base, ranges={"train.epochs": Int(2, 6)}, trials=4)
    result = study_run.run(longer)
    assert isinstance(search.opened(longer).pruner, optuna.pruners.NopPruner)
    assert result["epochs_saved_by_pruning"] == 0 and result["epochs_trained"] == sum(
        trial.params["train.epochs"] for trial in search.opened(longer).trials
    )
    assert json.loads(json.dumps(result))["best_values"]["train.epochs"] in range(2, 7)


def test_two_seeds_that_are_both_worse_are_enough_to_prune_a_third(quick, small):
    several = small.model_copy(update={"seeds": 4, "ranges": {"optimizer.lr": Float(0.01, 0.1, log=True)}})
    study_run.run(several, trials=6)
    trials = search.opened(several).trials
    pruned = [trial for trial in trials if trial.user_attrs["state"] == "pruned"]
    assert pruned and all(len(trial.intermediate_values) == 2 for trial in pruned)
    for trial in pruned:
        whole = [each for each in trials[: trial.number] if len(each.intermediate_values) == 4]
        best = min(whole, key=lambda each: each.value)
        assert all(trial.intermediate_values[step] > best.intermediate_values[step] for step in (0, 1))


def test_sqlite_keeps_a_study_as_well(quick, small, tmp_path, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path / 'studies.db'}")
    study_run.run(small, trials=2)
    assert study_run.run(small)["trained"] == 3 and search.names() == ["small"]
    assert len(findings.curves(search.opened(small))) == 6


def test_on_stand_in_data_the_record_is_of_what_was_trained(tiny, no_data, monkeypatch, store):
    from tinycnn.study import trial

    monkeypatch.setattr(trial, "train", lambda spec, seed, **_: iter([EpochResult(1, 1, 50, 0.5, 90, 0.1, 1, 1, 0)]))
    monkeypatch.setattr(findings, "figures", lambda found: [])
    base = tiny.but(name="base", data={"name": "mnist"}, train={"epochs": 1})
    study = Study(name="far", base=base, fidelity={"data.images": 20_000}, ranges={"model.dropout": Float(0.0, 0.1)})
    assert study_run.run(study, trials=1)["trained"] == 1
    (run,) = store.search({"tinycnn.role": "trial"}, ("FINISHED",))
    assert run.data.params["data.name"] == "mnist5k" and run.data.params["data.images"] == "None"
    assert (
        float(run.data.params["data.validation"]) == pytest.approx(1 / 6)
        and run.data.tags["tinycnn.fallback"] == "true"
    )
    with pytest.raises(UserError, match="begun with another definition"):  # it is no evidence of MNIST
        search.opened(study)


def test_storage_that_cannot_be_used_is_one_line(monkeypatch, tmp_path, small, quick):
    (tmp_path / "file").write_text("")
    for where in ("postgresql://nobody@127.0.0.1:1/none", "mysql://host/name", str(tmp_path / "file" / "x")):
        monkeypatch.setenv("OPTUNA_STORAGE", where)
        with pytest.raises(UserError) as caught:
            study_run.run(small)
        assert "\n" not in str(caught.value) and "OPTUNA_STORAGE" in str(caught.value)
    (tmp_path / "text.journal").write_text("no journal\n")
    monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "text.journal"))
    with pytest.raises(UserError, match="OPTUNA_STORAGE"):
        study_run.run(small)


def test_a_password_is_not_shown(monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql://me:secret@host/name")
    assert "secret" not in search.shown_address()


# --- real processes --------------------------------------------------------------------------------------------------

REAL = """
from tinycnn.spec import Adam, Conv, Data, Head, MaxPool, Network, Spec, Target, Train
from tinycnn.study import Float, Study

MODEL = Network(Conv(16), Conv(16), MaxPool(2), Conv(16), MaxPool(2), Conv(16), Head())
BASE = Spec(name="base", model=MODEL, data=Data(name="mnist5k"), optimizer=Adam(lr=0.01),
            train=Train(epochs=3, batch_size=32), target=Target(accuracy=None))
STUDY = Study(name="real", base=BASE, fidelity={"data.images": 1500}, trials=8,
              ranges={"optimizer.lr": Float(0.001, 0.1, log=True)})
"""


@pytest.fixture
def real(tmp_path, database):
    path = tmp_path / "real.py"
    path.write_text(textwrap.dedent(REAL))
    return path


def start(real, *arguments, **environment):
    command = [sys.executable, "-m", "tinycnn", "search", str(real), "--json", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def read(real, journal):

    study = studies_of.load(str(real))
    try:
        return search.opened(study).trials
    except (UserError, OSError):
        return []


def until(true):
    for _ in range(3600):
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError("waited for three minutes")


def running(real, journal):
    return [
        trial.user_attrs["process"]["pid"]
        for trial in read(real, journal)
        if trial.state == TrialState.RUNNING and trial.user_attrs.get("epochs") is None and "run_id" in trial.user_attrs
    ]


def check_whole(real, store, budget):
    trials = read(real, None)
    counted = [trial for trial in trials if trial.user_attrs.get("state") in ("complete", "pruned", "diverged")]
    assert len(counted) == budget
    assert not [trial for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
    assert not store.search({"tinycnn.study": "real"}, ("RUNNING",))
    return trials


def kill_a_worker(real, journal, store, workers, budget):
    process = start(real, "--workers", str(workers), "--trials", str(budget))
    victim = until(lambda: running(real, journal))[0]
    os.kill(victim, signal.SIGKILL)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    trials = check_whole(real, store, budget)
    lost = [trial for trial in trials if trial.user_attrs["state"] == "lost"]
    assert len(lost) == 1 and lost[0].user_attrs["process"]["pid"] == victim
    assert [trial for trial in trials if trial.user_attrs.get("retry_of") == lost[0].number]
    assert json.loads(out)["trained"] == budget and "was killed by SIGKILL" in errors


def test_a_worker_killed_loses_only_its_trial_and_the_count_comes_out_right(real, journal, store):
    kill_a_worker(real, journal, store, workers=2, budget=4)


@pytest.mark.slow
def test_four_workers_one_of_them_killed(real, journal, store):
    kill_a_worker(real, journal, store, workers=4, budget=16)


@pytest.mark.slow
def test_a_study_killed_as_a_whole_goes_on_where_it_stopped(real, journal, store):
    process = start(real, "--workers", "2", "--trials", "6")
    until(lambda: len(running(real, journal)) == 2)
    process.kill()
    process.communicate()
    out, errors = start(real, "--workers", "2", "--trials", "6").communicate(timeout=300)
    trials = check_whole(real, store, 6)
    assert 1 <= len([trial for trial in trials if trial.user_attrs["state"] == "lost"]) <= 2


@pytest.mark.slow
def test_two_started_by_accident_share_the_work(real, journal, store):
    both = [start(real, "--workers", "2", "--trials", "6") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    trials = check_whole(real, store, 6)
    assert len({trial.params["optimizer.lr"] for trial in trials}) == len(trials)


@pytest.mark.slow
def test_sigint_stops_a_study_cleanly_and_it_goes_on(real, journal, store):
    process = start(real, "--workers", "2", "--trials", "6")
    until(lambda: len(running(real, journal)) == 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert not [trial for trial in read(real, journal) if trial.state == TrialState.RUNNING]
    assert start(real, "--trials", "6").communicate(timeout=300) and check_whole(real, store, 6)


@pytest.fixture
def postgresql():
    """A PostgreSQL server of this test's own, on a socket in its folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("needs a PostgreSQL server: Debian's package postgresql")
    folder = Path(tempfile.mkdtemp())  # not below pytest's, which only its owner may enter
    wrapper = []
    if os.getuid() == 0:  # the server refuses to run as root
        wrapper = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres")

    def call(program, *arguments):
        subprocess.run([*wrapper, found[-1] / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    call("initdb", "-D", folder / "data", "-U", "tester", "--auth=trust")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    call("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
    yield f"postgresql://tester@/postgres?host={folder}"
    call("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.mark.slow
def test_postgresql_keeps_a_study_as_well(real, journal, store, postgresql, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", postgresql)
    kill_a_worker(real, journal, store, workers=2, budget=4)


def test_an_int_range_with_steps_is_asked_for_in_steps(quick, small):
    stepped = Study(name="stepped", base=small.base, ranges={"train.batch_size": Int(16, 48, step=16)}, trials=4)
    study_run.run(stepped)
    assert {trial.params["train.batch_size"] for trial in search.opened(stepped).trials} <= {16, 32, 48}
