"""A sweep trains every arm with every seed, once, and compares the arms by seed."""

import shutil
from dataclasses import replace

import pytest
import torch

from tinycnn.errors import OverLimit, SpecError, StoreTrouble, UserError
from tinycnn.spec import SGD, Adam, Conv, Head, MaxPool, Network, Spec
from tinycnn.spec.sweep import BASE, Sweep, grid, load
from tinycnn.track import close, provenance, resume
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import run as runs
from tinycnn.track import sweep as sweeps

pytestmark = pytest.mark.usefixtures("database", "no_artifacts")

TINY = Spec(
    name="tiny",
    model=Network(Conv(2, 5), MaxPool(6), Head()),
    optimizer=Adam(lr=0.01),
    data={"name": "mnist5k", "validation": 0.2, "images": 256},
    train={"epochs": 2, "batch_size": 64},
    target={"accuracy": None, "last_epochs": 1},
)


class Watcher(sweeps.SweepReporter):
    """Remember what was trained; interrupt as if by Ctrl-C after so many images."""

    def __init__(self, most=10**9):
        self.done, self.left = [], most

    def trained(self, label, seed, accuracy):
        self.done.append((label, seed))

    def images(self, count):
        self.left -= count
        if self.left < 0:
            raise KeyboardInterrupt


def swept(sweep, **options):
    options = {"reporter": Watcher()} | options
    return sweeps.run_sweep(sweep, sweeps.plans(sweep), **options), options["reporter"].done


def a_sweep(seeds=2, **arms):
    return Sweep(name="rates", base=TINY, arms=arms or {"fast": {"optimizer.lr": 0.05}}, seeds=seeds)


def test_every_arm_gets_every_seed_in_one_parent_run_and_is_compared_by_seed():
    result, done = swept(a_sweep())
    assert done == [(BASE, 0), ("fast", 0), (BASE, 1), ("fast", 1)]  # stopped early, it would be balanced
    base, fast = (arm["accuracies"] for arm in result["arms"])
    differences = [fast[seed] - base[seed] for seed in (0, 1)]
    assert result["arms"][1]["against_base"]["difference"] == pytest.approx(sum(differences) / 2)
    store = tracking.Store()
    children = store.search({tracking.PARENT: result["run_id"]})
    assert len(children) == 4
    assert store.entity(result["run_id"]).info.status == "FINISHED"


def test_an_arm_that_is_evaluated_on_other_images_is_not_compared():
    arms = {"fast": {"optimizer.lr": 0.05}, "fewer": {"data.images": 128}, "other": {"data.validation": 0.1}}
    result, _ = swept(a_sweep(seeds=1, **arms))
    assert [bool(arm["against_base"]) for arm in result["arms"]] == [False, True, True, False]


def test_what_has_been_trained_anywhere_is_not_trained_again():
    first, _ = swept(a_sweep())
    again, done = swept(a_sweep())
    assert done == []
    assert again == first
    runs.run(runs.prepare(TINY.with_values({"optimizer.lr": 0.02})))  # an experiment of its own, not of the sweep
    more, done = swept(a_sweep(seeds=3, fast={"optimizer.lr": 0.05}, slow={"optimizer.lr": 0.02}))
    assert done == [("slow", 1), (BASE, 2), ("fast", 2), ("slow", 2)]
    assert more["run_id"] == first["run_id"]


def test_an_interrupted_sweep_goes_on_where_it_was_with_the_same_numbers(tmp_path, monkeypatch, template):
    with pytest.raises(KeyboardInterrupt):
        swept(a_sweep(), reporter=Watcher(most=3 * 256 + 64))  # in the second arm's second epoch
    result, done = swept(a_sweep())
    assert done == [("fast", 0), (BASE, 1), ("fast", 1)]
    assert len(tracking.Store().search({tracking.PARENT: result["run_id"]}, tracking.EVERY)) == 4
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(template, tmp_path / 'other.db')}")
    whole, _ = swept(a_sweep())
    assert [arm["accuracies"] for arm in result["arms"]] == [arm["accuracies"] for arm in whole["arms"]]


def test_a_sweep_whose_process_was_killed_is_listed_with_the_command_that_continues_it(monkeypatch):
    monkeypatch.setattr(close, "names", lambda folder: ["rates"])
    result, _ = swept(a_sweep())
    tracking.Store().client.update_run(result["run_id"], status="RUNNING")  # as SIGKILL leaves it
    (left,) = close.left_over(tracking.Store())
    assert (left["run_id"], left["again"]) == (result["run_id"], "sweep rates")
    child = tracking.Store().search({tracking.PARENT: result["run_id"]})[0].info.run_id
    for run_id, command in ((result["run_id"], resume.resume), (child, resume.resume), (child, close.close)):
        with pytest.raises(UserError, match="`python -m tinycnn sweep rates` continues"):
            command(run_id)


def test_a_sweep_that_ended_is_listed_as_long_as_it_has_a_checkpoint():
    with pytest.raises(KeyboardInterrupt):
        swept(a_sweep(), reporter=Watcher(most=3 * 256 + 64))
    (left,) = close.left_over(tracking.Store())
    assert (left["status"], left["again"]) == ("ended", "sweep PATH/rates.py"), "it is not in experiments/sweeps"
    assert "seed-0.pt" in left["name"]


def test_under_other_code_a_sweep_trains_anew_and_leaves_the_runs_there_are(monkeypatch):
    first, _ = swept(a_sweep(seeds=1))
    store = tracking.Store()
    before = {each.info.run_id: each.data.tags for each in store.search({tracking.PARENT: first["run_id"]})}
    monkeypatch.setattr(provenance, "code", lambda *_: {"tinycnn/train/loop.py:train": "0" * 12})
    again, done = swept(a_sweep(seeds=1))
    assert done == [(BASE, 0), ("fast", 0)] and again["run_id"] == first["run_id"]
    after = {each.info.run_id: each.data.tags for each in store.search({tracking.PARENT: first["run_id"]})}
    assert len(after) == 4 and {run_id: after[run_id] for run_id in before} == before


def test_a_sweep_of_another_base_is_another_run():
    first, _ = swept(a_sweep(seeds=1))
    wider = TINY.but(model={"layers.0.channels": 3})
    other, _ = swept(Sweep(name="rates", base=wider, arms={"fast": {"optimizer.lr": 0.05}}, seeds=1))
    store = tracking.Store()
    sizes = {run_id: store.entity(run_id).data.params["parameters"] for run_id in (first["run_id"], other["run_id"])}
    assert len(set(sizes.values())) == 2 and not other["undelivered"]


def test_what_the_store_does_not_take_of_a_sweep_is_delivered_by_the_same_command(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sweeps._SweepRecord, "_log_end", unreachable)
        assert swept(a_sweep())[0]["undelivered"] == "gone"
    result, done = swept(a_sweep())
    assert result["undelivered"] is None and done == []
    assert tracking.Store().entity(result["run_id"]).info.status == "FINISHED"


def unreachable(*_):
    raise StoreTrouble("gone")


def test_workers_change_no_number():
    alone, _ = swept(a_sweep(seeds=1))
    two = Sweep(name="other", base=TINY, arms={"fast": {"optimizer.lr": 0.05}}, seeds=1, notes="again")
    for run in tracking.Store().search({}):
        tracking.Store().client.delete_run(run.info.run_id)
    together, _ = swept(two, workers=2)
    assert [arm["accuracies"] for arm in alone["arms"]] == [arm["accuracies"] for arm in together["arms"]]


def test_on_an_accelerator_one_process_trains(monkeypatch):
    asked = {}
    monkeypatch.setattr(sweeps, "map_tasks", lambda function, tasks, **how: asked.update(how) or [[]])
    monkeypatch.setattr(sweeps, "fit_together", lambda *_: False)
    made = {label: replace(plan, device=torch.device("cuda")) for label, plan in sweeps.plans(a_sweep()).items()}
    sweeps.run_sweep(a_sweep(), made, workers=4)
    assert asked["workers"] == 1


def test_seeds_of_an_arm_that_fit_on_a_gpu_are_trained_together_and_interrupted_ones_go_on(monkeypatch):
    smooth = {"model": Network(Conv(2, 5, activation="silu"), Conv(2, 5, stride=3, activation="silu"), Head())}
    sweep = a_sweep(seeds=2, smooth=smooth, diverges=smooth | {"optimizer.lr": 100.0})
    alone, _ = swept(sweep)
    monkeypatch.setattr(sweeps, "fit_together", lambda plan, tasks, reporter: len(tasks) > 1)
    for run in tracking.Store().search({}):
        tracking.Store().client.delete_run(run.info.run_id)
    with pytest.raises(KeyboardInterrupt):
        swept(sweep, reporter=Watcher(most=3 * 256))  # in the second epoch of the base's two seeds
    together, done = swept(sweep)
    assert done == [(label, seed) for label in (BASE, "smooth", "diverges") for seed in range(2)]
    for one, other in zip(alone["arms"], together["arms"], strict=True):
        assert one["diverged"] == other["diverged"] and one["n"] == other["n"]
        assert [*other["accuracies"].values()] == pytest.approx([*one["accuracies"].values()], abs=1)


def test_an_arm_that_diverges_is_counted_and_the_others_go_on():
    layers = Conv(4, 5), Conv(4), Conv(4), Head()
    explodes = TINY.but(optimizer=SGD(lr=100.0), model=Network(*layers, norm="none", activation="none"))
    result, _ = swept(a_sweep(explodes=explodes, fast={"optimizer.lr": 0.05}))
    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert (arms["explodes"]["diverged"], arms["explodes"]["n"], arms["fast"]["n"]) == (2, 0, 2)
    assert "(2 diverged)" in sweeps.arms_table(result)


def test_wrong_arms_are_refused_by_name(tmp_path):
    for arms, said in (
        ({"x": {"optimizer.rate": 1}}, "arms.x: optimizer.rate: no such field"),
        ({"x": 3}, "arms.x: must be a dict"),
        ({"x": {"optimizer.lr": 0.01}}, "each is the same as the base; change something"),
        ({"base": {"optimizer.lr": 0.02}}, "'base' is the base itself; give this arm another label"),
        ({"a": {"optimizer.lr": 0.02}, "b": {"optimizer.lr": 0.02}}, "'b' is the same as 'a'"),
    ):
        with pytest.raises(ValueError, match=said):
            Sweep(name="rates", base=TINY, arms=arms)
    with pytest.raises(OverLimit, match="arm 'wide'"):
        sweeps.plans(a_sweep(wide={"model.layers.0.channels": 400}))
    with pytest.raises(SpecError, match="no sweep or .py file is called 'nothing'"):
        load("nothing")


def test_the_combination_of_a_grid_that_is_the_base_is_the_base():
    found = Sweep(name="rates", base=TINY, arms=grid(**{"optimizer.lr": [TINY.optimizer.lr, 0.5]}))
    assert [*found.specs()] == [BASE, "lr=0.5"]


def test_a_grid_has_an_arm_for_each_combination():
    assert grid(**{"optimizer.lr": [1, 2], "train.epochs": [3]}) == {
        "lr=1 epochs=3": {"optimizer.lr": 1, "train.epochs": 3},
        "lr=2 epochs=3": {"optimizer.lr": 2, "train.epochs": 3},
    }
