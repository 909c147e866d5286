"""Stores of every kind -> frames: our own by SQL, others by MLflow, the same numbers from both."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pytest
from foreign import foreign_run
from mlflow import MlflowClient
from mlflow.entities import Metric

from analysis import load, stores
from tinycnn.errors import UserError
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import run


@pytest.fixture
def by_client(monkeypatch):
    """Read the store as one that is no SQLite file."""
    monkeypatch.setattr(stores, "database", lambda: None)


@pytest.fixture
def theirs(store):
    """A store with runs of another program: two finished, one failed, one deleted, one that is none of ours."""
    client, experiment = MlflowClient(), MlflowClient().create_experiment("another name")
    ids = [foreign_run(client, experiment, [98.0, 99.0], seed=seed) for seed in (1, 0)]
    ids.append(foreign_run(client, experiment, [97.0], "FAILED", seed=2))
    client.delete_run(foreign_run(client, experiment, [1.0], seed=3))
    client.create_run(experiment)
    return ids


def test_runs_and_epochs_are_what_mlflow_itself_says(theirs):
    client, frame = MlflowClient(), load.runs()
    assert frame["run_id"].tolist() == theirs[:2]
    assert frame[["experiment", "seed"]].values.tolist() == [["theirs", 1], ["theirs", 0]]
    epochs = load.epochs(theirs[::-1])
    assert epochs["run_id"].drop_duplicates().tolist() == theirs[::-1]
    for run_id in theirs:
        history = client.get_metric_history(run_id, "test_accuracy")
        mine = epochs[epochs["run_id"] == run_id]
        assert mine[["epoch", "test_accuracy"]].values.tolist() == [[each.step, each.value] for each in history]
        assert mine["train_loss"].isna().all()


def test_sql_and_the_client_give_the_same_frames(plan, no_artifacts, store, monkeypatch):
    run.run(plan, seeds=2)
    by_sql = load.runs(stores.EVERY), load.epochs(load.runs()["run_id"].tolist())
    monkeypatch.setattr(stores, "database", lambda: None)
    by_client = load.runs(stores.EVERY), load.epochs(load.runs()["run_id"].tolist())
    for ours, theirs in zip(by_sql, by_client, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


def test_runs_that_failed_are_told_from_those_that_finished(theirs):
    assert len(load.runs()) == 2
    assert load.runs(stores.EVERY)["status"].value_counts().to_dict() == {"FINISHED": 2, "FAILED": 1}
    assert stores.foreign() == 1


def test_an_epoch_logged_twice_counts_once_as_it_was_last_and_a_loss_that_is_no_number_stays_one(store):
    client = MlflowClient()
    run_id = foreign_run(client, "0", [98.0])
    client.log_batch(run_id, [Metric("test_accuracy", 98.5, 5000, 1), Metric("test_loss", float("nan"), 5000, 1)])
    row = load.epochs([run_id]).iloc[0]
    assert row["test_accuracy"] == 98.5 and pd.isna(row["test_loss"])


def test_many_runs_take_a_handful_of_calls(theirs, by_client, monkeypatch):
    calls = []
    monkeypatch.setattr(tracking.Store, "histories", lambda self, ids, name: calls.append((len(ids), name)) or [])
    load.epochs([f"{number:032x}" for number in range(1000)])
    assert len(calls) == 10 * len(load.EPOCH_METRICS)
    assert max(count for count, _ in calls) == 100  # what MLflow's server takes


def test_a_store_that_is_not_there_has_no_runs_and_is_not_made(tmp_path):
    assert load.runs().empty
    assert not (tmp_path / "store").exists()


def test_reading_leaves_the_store_as_it_was(theirs, database):
    before = database.read_bytes()
    load.epochs(load.runs(stores.EVERY)["run_id"].tolist())
    assert database.read_bytes() == before


def test_reading_through_the_client_makes_nothing_either(database, by_client):
    assert load.runs().empty and load.epochs([]).empty
    assert MlflowClient().get_experiment_by_name(tracking.EXPERIMENT) is None


@pytest.mark.parametrize("content", [b"no database" * 100, None])
def test_a_file_that_is_no_store_is_a_line(tmp_path, monkeypatch, content):
    path = tmp_path / "file.db"
    path.write_bytes(content) if content else path.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    with pytest.raises(UserError, match=r"(cannot be read|is no regular file).*MLFLOW_TRACKING_URI") as raised:
        load.runs()
    assert "\n" not in str(raised.value)


def test_the_mistakes_of_a_run_are_those_of_its_last_weights(plan, no_artifacts, store):
    outcome = run.run(plan, seeds=2)
    frame = load.runs()
    wrong, labels = load.mistakes(frame), plan.data.evaluation.labels
    for summary in outcome["seeds"]:
        mine = wrong[wrong["seed"] == summary["seed"]]
        assert 100 * (1 - len(mine) / len(labels)) == pytest.approx(summary["last"])
        assert (mine["label"] != mine["predicted"]).all()
        assert mine["label"].tolist() == labels[mine["index"].tolist()].tolist()
    counts = [int(count) for count in frame["class_counts"].iloc[0].split()]
    assert counts == labels.bincount(minlength=10).tolist()


def test_runs_without_their_mistakes_have_none_and_a_file_that_is_gone_is_left_out(theirs, store):
    assert load.mistakes(load.runs()).empty
    MlflowClient().set_tag(theirs[0], "tinycnn.class_counts", " ".join(["1000"] * 10))
    assert load.mistakes(load.runs()).empty


@pytest.mark.slow
def test_a_server_gives_what_its_database_holds(theirs, database, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}", "--port", port,
               "--workers", "1", "--artifacts-destination", str(tmp_path / "artifacts")]  # fmt: skip
    expected = load.runs(stores.EVERY), load.epochs(theirs)
    alone = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else it starts processes that outlive it
    server = subprocess.Popen(command, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
                break
            except OSError:
                time.sleep(0.5)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        for ours, theirs_ in zip(expected, (load.runs(stores.EVERY), load.epochs(theirs)), strict=True):
            pd.testing.assert_frame_equal(ours, theirs_)
        client = tracking.Store().client
        with_file = foreign_run(client, client.create_experiment("by way of the server"), [99.0], seed=9)
        client.log_text(with_file, "index,label,predicted\n5,3,8\n", load.MISTAKES)
        client.set_tag(with_file, "tinycnn.class_counts", " ".join(["1000"] * 10))
        assert load.mistakes(load.runs())[["seed", "index", "label", "predicted"]].values.tolist() == [[9, 5, 3, 8]]
    finally:
        server.terminate()
        server.wait(30)
