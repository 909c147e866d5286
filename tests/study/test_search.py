"""What a search promises: its budget to the trial, the limit as a gate, a comparison that is fair, honest records."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
from matplotlib.figure import Figure
from optuna.trial import TrialState
from postgres import postgresql  # noqa: F401
from torch import nn

from tinycnn.data import files as data
from tinycnn.errors import DataMissing, Diverged, OverLimit, StoreTrouble, UserError
from tinycnn.spec import AvgPool, Conv, Head, Layer, MaxPool, Network, Repeat
from tinycnn.study import results, storage, worker
from tinycnn.study.definition import Choice, Float, Int, Study
from tinycnn.track.mlflow_store import EVERY, Run, Store
from tinycnn.train.loop import EpochResult


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "studies.journal"))


@pytest.fixture
def small(tiny):
    base = tiny.but(name="base", model=Network(Conv(4), Head()), train={"epochs": 2}, target={"accuracy": None})
    return Study(name="small", base=base, ranges={"optimizer.lr": Float(0.001, 0.1, log=True)}, trials=3)


class NoStore(contextlib.nullcontext):
    """A store, and each run in it, that takes everything and keeps nothing."""

    id, failure, info = "0" * 32, "", SimpleNamespace(run_id="0" * 32)

    def __getattr__(self, name):
        return lambda *_, **__: NoStore()

    def search(self, *_):
        return []

    def __enter__(self):
        return self


@pytest.fixture(autouse=True)
def unrecorded(monkeypatch, request):
    """Leave MLflow, which takes longer than all the rest, to the tests that look into the store."""
    if "store" not in request.fixturenames:
        monkeypatch.setattr(worker, "Store", NoStore)


@pytest.fixture
def trained(monkeypatch, few_images):
    """The (spec, seed) of trainings that are none: their loss is a function of learning rate, seed and epoch."""
    trained = []

    def train(spec, seed, **_):
        trained.append((spec, seed))
        for epoch in range(1, spec.train.epochs + 1):
            loss = abs(spec.optimizer.lr - 0.02) + 0.001 * seed + 1 / epoch
            yield EpochResult(epoch, 1.0, 50.0, loss, 90.0, spec.optimizer.lr, 1.0, 1.0, 0.0)

    monkeypatch.setattr(worker, "train", train)
    return trained


def failing(monkeypatch, error, when):
    """Let trainings raise an error when a function of their spec and number says so."""
    train, numbers = worker.train, iter(range(1000))

    def failing_train(spec, seed, **options):
        if when(spec, next(numbers)):
            raise error
        yield from train(spec, seed, **options)

    monkeypatch.setattr(worker, "train", failing_train)


def found(study):
    return storage.opened(study).trials


def states(study):
    return [storage.state(trial) for trial in found(study)]


def test_trial_0_is_the_base_with_all_its_digits_and_the_budget_is_in_all(trained, small):
    exact = small.model_copy(update={"base": small.base.but(optimizer={"lr": 0.0123456})})
    result = worker.run(exact)
    assert trained[0][0].optimizer.lr == 0.0123456 and result["base_value"] == pytest.approx(0.5076544)
    assert states(exact) == ["complete"] * 3 and result["trained"] == 3
    worker.run(exact, trials=5)
    worker.run(exact, trials=5)
    assert worker.run(exact, trials=2)["trained"] == 5 == len(trained)
    assert len({trial.params["optimizer.lr"] for trial in found(exact)}) == 5  # no two sessions sample alike
    outside = small.model_copy(update={"name": "outside", "base": small.base.but(optimizer={"lr": 0.5})})
    assert worker.run(outside)["base_value"] is None


def test_the_objective_is_the_mean_over_the_seeds_after_the_last_epoch(trained, small):
    several = small.model_copy(update={"seeds": 3})
    worker.run(several, trials=1)
    (trial,) = found(several)
    assert trial.value == pytest.approx(0.01 + 0.5 + 0.001)  # |0.01 - 0.02| + 1/2, and the mean of seeds 0, 1, 2
    assert [seed for _, seed in trained] == [0, 1, 2]


@pytest.mark.parametrize("objective, best", [("validation_loss", min), ("validation_accuracy", max)])
def test_the_best_trial_has_the_least_loss_or_the_highest_accuracy(trained, small, objective, best):
    chosen = small.model_copy(update={"objective": objective})
    assert worker.run(chosen)["value"] == best(trial.value for trial in found(chosen))


def test_over_the_limit_nothing_is_trained_or_tracked_and_the_budget_is_not_touched(trained, small, store):
    base = small.base.but(model=Network(Conv(4), Head()), target={"parameter_limit": 150})
    wide = Study(name="wide", base=base, ranges={"model.layers.0.channels": Int(1, 30)}, trials=4)
    result = worker.run(wide)
    refused = [trial for trial in found(wide) if storage.state(trial) == "over_limit"]
    assert refused and result["states"] == {"complete": 4, "over_limit": len(refused)} and len(trained) == 4
    for trial in refused:
        assert trial.state == TrialState.PRUNED and trial.user_attrs["parameters"] > 150
        assert trial.constraints == {"parameters": trial.user_attrs["parameters"] - 150}
    assert all(trial.constraints["parameters"] <= 0 for trial in found(wide) if trial not in refused)
    assert len(store.search({"tinycnn.role": "trial"}, EVERY)) == 4


def test_a_limit_that_nothing_satisfies_ends_with_a_line_and_exit_code_3(trained, small, monkeypatch):
    monkeypatch.setattr(storage, "REFUSED", 9)
    tight = small.model_copy(update={"base": small.base.but(target={"parameter_limit": 10})})
    for _ in range(2):
        with pytest.raises(OverLimit, match="0 of 3 trials.* = 10 .*'over_limit': 30") as caught:
            worker.run(tight)
        assert caught.value.exit_code == 3 and trained == [] and len(found(tight)) == 30


def test_values_that_do_not_go_together_are_refused_and_not_counted(trained, small):
    base = small.base.but(model=Network(Conv(8), Repeat(Conv(8), times=2), MaxPool(2), Head()))
    ranges = {"model.layers.1.times": Int(1, 40), "model.layers.2": Choice(MaxPool(2), AvgPool(2))}
    layout = Study(name="layout", base=base, ranges=ranges)
    assert worker.run(layout, trials=3)["trained"] == 3
    deep = [trial for trial in found(layout) if trial.params["model.layers.1.times"] > 12]
    assert deep and all(spec.model.layers[1].times <= 12 for spec, _ in trained)
    for trial in deep:
        assert storage.state(trial) == "invalid" and "below 1×1" in trial.user_attrs["reason"]


class Masked(Layer):
    """Multiplies with what is no torch tensor, as a layer of one's own may: PyTorch's meta device refuses that."""

    def build(self, shape):
        return _Mask(np.ones(shape, np.float32))


class _Mask(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = torch.from_numpy(mask)

    def forward(self, images):
        return images * self.mask if float(images.sum()) > -1e9 else images


def test_a_layer_of_one_s_own_that_computes_with_numbers_is_searched_as_any_other(trained, small):
    base = small.base.but(model=Network(Conv(4), Masked(), Conv(4), Head()), target={"parameter_limit": 8000})
    result = worker.run(Study(name="masked", base=base, ranges={"model.layers.0.channels": Int(2, 8)}, trials=2))
    assert result["states"] == {"complete": 2}


def test_a_search_in_which_nothing_goes_together_names_the_reason(trained, small, monkeypatch):
    monkeypatch.setattr(storage, "REFUSED", 9)
    deep = Network(Conv(4), Repeat(Conv(4), times=2), Head())
    layout = small.base.but(model=deep, target={"parameter_limit": 8000})
    ranges = {"model.layers.1.times": Int(30, 40)}
    with pytest.raises(OverLimit, match="'invalid': 30.*The last that do not: .*below 1×1"):
        worker.run(Study(name="layout", base=layout, ranges=ranges, trials=3))


def test_a_study_begun_with_another_definition_or_data_set_is_refused(trained, small, no_data, monkeypatch):
    worker.run(small, trials=1)
    other = small.model_copy(update={"ranges": {"optimizer.lr": Float(0.001, 0.2, log=True)}})
    for read in (worker.run, storage.opened):
        with pytest.raises(UserError, match="begun with another definition: its trials cannot be compared"):
            read(other)
    monkeypatch.setattr(worker.source, "code_hash", lambda code: "other")
    with pytest.raises(UserError, match="begun with another code"):
        worker.run(small)


def test_nothing_is_searched_on_stand_in_data(small, no_data):
    far = small.model_copy(update={"base": small.base.but(data={"name": "mnist"})})
    with pytest.raises(DataMissing, match="TINYCNN_DATA"):
        worker.run(far, offline=True)


def test_the_test_set_is_not_even_read(tiny, monkeypatch):
    read, original = [], data._read_mnist5k
    monkeypatch.setattr(data, "_read_mnist5k", lambda *given: read.append(given[-1]) or original(*given))
    base = tiny.but(name="base", train={"epochs": 1})
    short = Study(name="short", base=base, fidelity={"data.images": 100}, ranges={"model.dropout": Float(0.0, 0.1)})
    assert worker.run(short, trials=1)["trained"] == 1 and set(read) == {"train"}


def test_ctrl_c_gives_the_trial_back_and_the_study_goes_on(trained, small, store, monkeypatch):
    with monkeypatch.context() as patch:
        failing(patch, KeyboardInterrupt(), lambda spec, number: number == 1)
        with pytest.raises(KeyboardInterrupt):
            worker.run(small)
    assert states(small) == ["complete", "interrupted", "waiting"]
    assert store.search({"tinycnn.role": "study"}, ("KILLED",)) and not store.search({}, ("RUNNING",))
    assert worker.run(small)["trained"] == 3
    assert states(small) == ["complete", "interrupted", "complete", "complete"]
    assert found(small)[2].params == found(small)[1].params


def test_a_trial_killed_while_it_is_stored_is_tried_again(trained, small):
    worker.run(small, trials=1)
    trial, *_ = storage.ask(storage.opened(small), small, worker=1)
    trial.set_user_attr("state", "complete")  # which is stored before Optuna is told
    assert states(small) == ["complete", "running"]
    assert worker.run(small)["trained"] == 3 and states(small) == ["complete", "lost", "complete", "complete"]


def test_a_trial_that_fails_is_tried_three_times(trained, small, monkeypatch):
    failing(monkeypatch, RuntimeError("out of memory"), lambda spec, number: spec.optimizer.lr == 0.01)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="out of memory"):
            worker.run(small)
    assert worker.run(small)["trained"] == 3 and states(small) == ["failed"] * 3 + ["complete"] * 3


def test_mlflow_has_a_parent_and_lean_children_linked_both_ways(trained, small, store):
    def draw(result, trials):
        assert result["best"] in [row["number"] for row in trials]
        yield "history", Figure()

    worker.run(small, draw=draw)
    optuna_study = storage.opened(small)
    parent = store.entity(optuna_study.user_attrs["mlflow_run"])
    assert parent.info.status == "FINISHED" and parent.data.metrics["trials"] == 3
    assert parent.data.tags["tinycnn.best_trial"] == str(optuna_study.best_trial.number)
    files = {file.path for file in store.client.list_artifacts(parent.info.run_id)}
    assert files == {"spec.json", "environment.json", "study.json", "history.png"}
    for trial in optuna_study.trials:
        child = store.entity(trial.user_attrs["run_id"])
        assert child.data.tags["tinycnn.trial"] == str(trial.number) and child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.metrics["objective"] == trial.value and not store.client.list_artifacts(child.info.run_id)


def test_a_store_in_trouble_does_not_stop_the_study(trained, small, store, monkeypatch):
    def refuse(self, *_):
        raise StoreTrouble("the store is full")

    lines = []
    reporter = worker.Watcher()
    reporter.warning = lines.append
    with monkeypatch.context() as patch:
        patch.setattr(Run, "params", refuse)
        assert worker.run(small, reporter=reporter)["trained"] == 3
        assert "trial 0 is not in the store" in lines[0] and len(lines) == 4  # each at its end, then the first again
        patch.setattr(Store, "entity", refuse)
        with pytest.raises(StoreTrouble):  # and no second run of the study is made
            worker.run(small)
    result = worker.run(small)  # what is missing is recorded when the study is looked at again, once
    assert worker.run(small)["best_run"] == result["best_run"]
    for trial, row in zip(found(small), results.trials(small, storage.opened(small)), strict=True):
        (run,) = store.search({"tinycnn.trial": trial.number}, EVERY)
        assert run.info.run_id == row["run_id"] and run.data.metrics["objective"] == trial.value


def test_a_pruned_trial_is_killed_and_a_diverged_one_failed(trained, small, store, monkeypatch):
    failing(monkeypatch, Diverged("the training loss became nan"), lambda spec, number: number == 1)
    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", lambda self, study, trial: trial.number == 2)
    monkeypatch.setattr(type(small.base.schedule), "settles", lambda self, epochs: 0)
    assert worker.run(small)["epochs_saved_by_pruning"] == 1 and states(small) == ["complete", "diverged", "pruned"]
    runs = {run.data.tags["tinycnn.trial_state"]: run for run in store.search({"tinycnn.role": "trial"}, EVERY)}
    assert runs["pruned"].info.status == "KILLED" and runs["diverged"].info.status == "FAILED"
    assert "became nan" in runs["diverged"].data.tags["tinycnn.failure"]


def test_nothing_is_pruned_in_the_warm_up_or_after_the_last_epoch(trained, small, plan):
    stepped = plan.but(small.base.but(schedule={"name": "StepLR", "step_size": 2}, train={"epochs": 5}), plan.measured)
    outcome = worker.train_trial(small, stepped, lambda value, epoch: epoch != 4)
    assert outcome.state == "complete" and len(outcome.epochs) == 5
    outcome = worker.train_trial(small, stepped, lambda value, epoch: epoch == 4)
    assert outcome.state == "pruned" and len(outcome.epochs) == 4 and outcome.value is None


def test_trials_of_different_lengths_are_not_compared_by_epoch(trained, small):
    longer = Study(name="longer", base=small.base, ranges={"train.epochs": Int(2, 6)}, trials=4)
    result = worker.run(longer)
    assert isinstance(storage.opened(longer).pruner, optuna.pruners.NopPruner) and result["trained"] == 4
    assert result["epochs_trained"] == sum(trial.params["train.epochs"] for trial in found(longer))


def test_two_seeds_that_are_both_worse_are_enough_to_prune_a_third(trained, small):
    several = small.model_copy(update={"seeds": 4, "ranges": {"optimizer.lr": Float(0.01, 0.1, log=True)}})
    worker.run(several, trials=6)
    pruned = [trial for trial in found(several) if storage.state(trial) == "pruned"]
    assert pruned and all(len(trial.intermediate_values) == 2 for trial in pruned)


def test_results_name_the_best_its_edge_and_the_base(trained, small):
    edge = small.model_copy(update={"ranges": {"optimizer.lr": Float(0.001, 0.02, log=True)}})
    worker.run(edge, trials=1)
    storage.opened(edge).enqueue_trial({"optimizer.lr": 0.02})
    result = worker.run(edge, trials=6)
    assert result["best_values"] == {"optimizer.lr": 0.02} and result["base_value"] == pytest.approx(0.51)
    (line,) = result["edges"]
    assert line == "optimizer.lr: the best value, 0.02, is at the upper end, 0.02, of its range"
    text = results.text(edge, result)
    assert "best: trial" in text and line in text and json.loads(json.dumps(result)) == result
    assert result["importances"] == {} and "importance" not in text  # of six trials
    assert "0 s of asking" not in text
    rows, curves = results.trials(edge, storage.opened(edge)), results.curves(storage.opened(edge))
    assert [row["number"] for row in rows] == list(range(6)) and rows[0]["optimizer.lr"] == 0.01
    assert sum(row["epochs"] for row in rows) == 12 == len(curves)
    assert curves[0] == {
        "trial": 0, "seed": 0, "epoch": 1, "train_loss": 1.0, "validation_loss": 1.01, "validation_accuracy": 90.0,
        "learning_rate": 0.01,
    }  # fmt: skip


def test_importances_are_said_of_twenty_trials_and_not_of_fewer(trained, small):
    two = small.model_copy(update={"ranges": {"optimizer.lr": Float(0.001, 0.1), "model.dropout": Float(0.0, 0.1)}})
    assert worker.run(two, trials=results.ENOUGH - 1)["importances"] == {}
    result = worker.run(two, trials=results.ENOUGH + 8)  # some are pruned
    assert result["importances"].keys() == two.ranges.keys() and "; importance " in results.text(two, result)


def test_without_a_limit_there_is_a_best_trial_too(trained, small):
    free = small.model_copy(update={"base": small.base.but(target={"parameter_limit": None})})
    assert worker.run(free)["best"] is not None and found(free)[0].constraints == {}


def test_sqlite_keeps_a_study_as_well(trained, small, tmp_path, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path / 'studies.db'}")
    worker.run(small, trials=2)
    assert worker.run(small)["trained"] == 3 and storage.names() == ["small"]


def test_a_storage_that_cannot_be_used_is_one_line_without_the_password(monkeypatch, tmp_path, small, trained):
    (tmp_path / "text").write_text("no journal\nat all\n")
    places = "postgresql://me:secret@127.0.0.1:1/none", "mysql://me:secret@host/name", tmp_path / "text", tmp_path
    for where in places:
        monkeypatch.setenv("OPTUNA_STORAGE", str(where))
        with pytest.raises(UserError, match=r"\A[^\n]*OPTUNA_STORAGE[^\n]*\Z") as caught:
            worker.run(small)
        assert "secret" not in str(caught.value)
