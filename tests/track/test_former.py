"""Runs made before metrics were grouped and tags were few: resumed, made again, counted and reported as ever."""

import json
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from interrupting import interrupted

from analysis import runs as frames
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import resume
from tinycnn.track import run as runs


@pytest.fixture
def plan(plan, few_images, no_artifacts):
    return plan


def make_former(store, database, run_id):
    """Rewrite a run as the versions before wrote it: a tag for everything, other names of metrics, other files."""
    entity = store.entity(run_id)
    file = Path(unquote(urlsplit(entity.info.artifact_uri).path)) / "environment.json"
    environment = json.loads(file.read_text())
    file.unlink()
    for name, value in environment.items():
        store.client.set_tag(run_id, f"tinycnn.{name}", json.dumps(value) if name == "spec" else value)
    for name in ("parameters", "macs"):
        store.client.log_metric(run_id, name, float(entity.data.params[name]), step=3)
    with sqlite3.connect(database) as opened:
        for name in entity.data.metrics:
            for table in ("metrics", "latest_metrics"):
                how = (tracking.former(name), name, run_id)
                opened.execute(f"update {table} set key = ? where key = ? and run_uuid = ?", how)
        opened.execute("delete from params where key in ('parameters', 'macs') and run_uuid = ?", (run_id,))
    opened.close()


def test_a_former_run_is_read_and_counts_as_the_same(store, plan, database):
    now = runs.run(plan, seeds=2)
    before, epochs = frames.read(), frames.epochs([each["run_id"] for each in now["seeds"]])
    for each in now["seeds"]:
        make_former(store, database, each["run_id"])
    assert store.entity(each["run_id"]).data.metrics.keys() >= {"train_loss", "test_accuracy", "seconds", "macs"}
    after = frames.read()
    assert after.astype(str).equals(before.astype(str)) and len(after) == 2
    assert frames.epochs(after["run_id"].tolist()).equals(epochs)
    again = runs.run(plan, seeds=3, missing=True)
    assert again["seeds"][:2] == now["seeds"] and again["seeds"][2]["run_id"] not in after["run_id"].tolist()
    assert store.history(again["run_id"], "test/accuracy").keys() == {1, 2, 3}
    assert resume.resume(now["run_id"])["seeds"] == now["seeds"]


def test_a_former_run_is_made_again_and_resumed_to_the_same_numbers(store, plan, database):
    whole = runs.run(plan)["run_id"]
    make_former(store, database, whole)
    (compared,) = resume.rerun(whole)
    assert compared["same"] and compared["epochs"] == 3 and compared["numbers"] == 5 * 3 + 1
    run_id = interrupted(plan, 2)
    make_former(store, database, run_id)
    assert resume.resume(run_id)["undelivered"] is None
    assert store.entity(run_id).data.params["macs"] == str(plan.measured.macs)
    for name in ("train/loss", "test/accuracy", "train/clean_accuracy"):
        assert store.history(run_id, name) == store.history(whole, name) != {}
