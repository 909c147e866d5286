"""Runs made offline are delivered to another store later: all of them, once, and read there as if made there."""

import os
import shutil

import pytest

from analysis import runs as frames
from tinycnn.cli.commands import main
from tinycnn.errors import UserError
from tinycnn.track import mlflow_delivery, resume, select
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import run as running


@pytest.fixture
def local(plan, database, few_images, monkeypatch):
    """A store with a run of two seeds and a single one that has a model; how many epochs each has."""
    made = [running.run(plan, seeds=2), running.run(plan, first_seed=7)]
    with tracking.Store().run("left", {"tinycnn.role": "seed", "tinycnn.experiment": "tiny"}) as left:
        left.open()
        left.end("KILLED")
    return database, [each["run_id"] for each in made]


@pytest.fixture
def other(template, tmp_path, monkeypatch):
    """Make another, empty store the one in use."""

    def use():
        (tmp_path / "other").mkdir()
        file = shutil.copy(template, tmp_path / "other" / "mlflow.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")

    return use


def content(store) -> dict:
    """Return all that a store holds of its finished runs, by name and seed, without what is an id or a place."""
    found = {}
    for run in store.search():
        tags = {k: v for k, v in run.data.tags.items() if not k.startswith(("tinycnn.delivered", "mlflow.parentRunId"))}
        points = {
            name: [(p.step, p.timestamp, p.value) for p in store.client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
        files = sorted(each.path for each in store.client.list_artifacts(run.info.run_id))
        models = [store.client.get_logged_model(each.model_id) for each in run.outputs.model_outputs]
        of_models = [(m.name, m.params, [(p.key, p.value, p.step, p.dataset_name) for p in m.metrics]) for m in models]
        data = [(each.dataset.name, each.dataset.digest, each.tags) for each in run.inputs.dataset_inputs]
        times = run.info.start_time, run.info.end_time
        key = run.info.run_name
        assert key not in found
        found[key] = tags, run.data.params, points, files, of_models, data, times
    return found


def test_all_that_a_run_holds_is_delivered_once_even_if_that_was_cut_off(local, other, monkeypatch):
    source, (parent, single) = local
    before, started = content(tracking.Store()), frames.read().drop(columns=["run_id", "artifacts"])
    other()

    def cut_off(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_delivery.MlflowClient, "log_model_artifacts", cut_off)
        with pytest.raises(KeyboardInterrupt):
            mlflow_delivery.deliver(source)
    half = tracking.Store()
    assert [run.info.run_name for run in half.search()] == ["tiny, seeds 0 to 1"]
    assert [run.info.status for run in half.search({}, tracking.EVERY)] == ["SCHEDULED", "FINISHED"]
    assert mlflow_delivery.deliver(source) == {"delivered": 3, "there": 1, "unfinished": 1}
    assert mlflow_delivery.deliver(source) == {"delivered": 0, "there": 4, "unfinished": 1}
    store = tracking.Store()
    assert content(store) == before and len(store.search({}, tracking.EVERY)) == 4
    assert frames.read().drop(columns=["run_id", "artifacts"]).equals(started)
    copy = store.entity(parent)
    assert copy.info.run_id != parent and select.children(store, copy.info.run_id, copy.data.tags).keys() == {0, 1}
    assert store.read(single, "spec.json") and store.register(single)[1]


def test_what_is_delivered_counts_as_finished_there_and_can_be_made_again(no_artifacts, local, other, plan):
    source, (_, single) = local
    other()
    mlflow_delivery.deliver(source)
    assert running.run(plan, seeds=2, missing=True)["n"] == 2
    assert len(tracking.Store().search({"tinycnn.role": "seed"})) == 3
    (compared,) = resume.rerun(single, offline=True)
    assert compared["same"] and compared["numbers"] > 10


def test_a_run_that_went_on_after_it_was_delivered_is_brought_up_to_date(no_artifacts, local, other, monkeypatch):
    source, (parent, _) = local
    here = os.environ["MLFLOW_TRACKING_URI"]
    other()
    mlflow_delivery.deliver(source)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", here)
        with tracking.Store().run("", {}, run_id=parent) as again:
            again.open()
            again.metrics({"later": 1.0})
    assert mlflow_delivery.deliver(source)["delivered"] == 1
    assert tracking.Store().entity(parent).data.metrics["later"] == 1.0


def test_without_a_server_or_a_store_it_is_one_line_and_no_password_is_taken_as_an_argument(tmp_path, capsys, database):
    assert main(["deliver"]) == 2 and "no server is given" in capsys.readouterr().err
    assert main(["deliver", "http://me:secret@127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert "MLFLOW_TRACKING_PASSWORD" in said and "secret" not in said
    with pytest.raises(UserError, match="there is no store"):
        mlflow_delivery.deliver(tmp_path / "none.db")
