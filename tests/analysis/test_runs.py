"""Stores -> frames: what MLflow itself says, which runs count for a spec, and runs whose record is incomplete."""

import dataclasses

import numpy as np
import pytest
from foreign import TAGS, foreign_run
from mlflow import MlflowClient

from analysis import evidence, runs, statistics
from tinycnn.spec import Target
from tinycnn.track import provenance, run


@pytest.fixture
def theirs(store):
    """A store with runs of another program: two finished, one failed, one deleted, one that is not tinycnn's."""
    client, experiment = MlflowClient(), MlflowClient().create_experiment("another name")
    ids = [foreign_run(client, experiment, [98.0, 99.0], seed=seed) for seed in (1, 0)]
    ids.append(foreign_run(client, experiment, [97.0], "FAILED", seed=2))
    client.delete_run(foreign_run(client, experiment, [1.0], seed=3))
    client.create_run(experiment)
    return ids


def test_runs_and_epochs_are_what_mlflow_itself_says(theirs):
    client, frame = MlflowClient(), runs.read()
    assert frame["run_id"].tolist() == theirs[:2]
    assert frame[["experiment", "seed"]].values.tolist() == [["theirs", 1], ["theirs", 0]]
    assert runs.read(names=["theirs", "theirs"]).equals(frame) and runs.read(names=["others"]).empty
    assert runs.read(runs.EVERY)["status"].value_counts().to_dict() == {"FINISHED": 2, "FAILED": 1}
    epochs = runs.epochs(theirs[::-1])
    assert epochs["run_id"].drop_duplicates().tolist() == theirs[::-1]
    for run_id in theirs:
        history = client.get_metric_history(run_id, "test_accuracy")
        mine = epochs[epochs["run_id"] == run_id]
        assert mine[["epoch", "test_accuracy"]].values.tolist() == [[each.step, each.value] for each in history]
        assert mine["train_loss"].isna().all()


def test_data_sets_of_your_own_are_told_apart_by_their_files(tmp_path, database, no_artifacts, tiny):
    images, labels = np.arange(20 * 28 * 28).astype(np.uint8).reshape(20, 28, 28), np.arange(20) % 10
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        data = {"name": "npz", "path": str(tmp_path / f"{name}.npz")}
        target = Target(accuracy=1.0, last_epochs=1)
        spec = tiny.but(name=name, data=data, train={"epochs": 1, "batch_size": 10}, target=target)
        run.run(run.prepare(spec, device="cpu"))
    frame = runs.read()
    assert frame["data"].tolist() == ["npz_one", "npz_two"]
    assert evidence.evaluations(frame).set_index("data")["specs"].loc[["npz_one", "npz_two"]].tolist() == [1, 1]
    summary = statistics.summarise(evidence.of_runs(frame[frame["experiment"] == "two"]), spec)
    assert summary["verdict"] in ("met", "missed") and summary["target_accuracy"] == 1.0


def test_a_missing_store_has_no_runs_and_is_not_created(tmp_path):
    assert runs.read().empty and runs.epochs([]).empty
    assert not (tmp_path / "store").exists()


def test_runs_with_an_incomplete_record_are_named_and_left_out(store, monkeypatch):
    client, expected, notes = MlflowClient(), {}, []
    for tag in {*TAGS, "tinycnn.experiment", "tinycnn.seed"} - {"tinycnn.role"}:
        client.delete_tag(run_id := foreign_run(client, "0", [99.0]), tag)
        expected[run_id] = f"its record has no {tag.removeprefix('tinycnn.')}."
    good = [foreign_run(client, "0", [98.0, 99.0], seed=seed) for seed in (1, 0)]
    assert runs.read(notes=notes)["run_id"].tolist() == good
    assert {note.split()[1].rstrip(":"): note.partition("out, ")[2] for note in notes} == expected
    monkeypatch.setattr(runs, "_MOST_NOTES", 3)
    runs.read(notes=(few := []))
    assert len(few) == 4 and few[-1].startswith(f"{len(expected) - 3} more runs")


def test_only_runs_of_the_spec_as_it_is_count_for_it(two_seeds, plan, tiny):
    changed = dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02}))
    fallback = dataclasses.replace(plan, fallback="FALLBACK: mnist is missing")
    validation = dataclasses.replace(plan, data=dataclasses.replace(plan.data, kind="validation"))
    for other in (changed, fallback, validation, plan):  # the last is a seed run twice: the first counts, not the best
        run.run(other)
    frame = runs.read()
    assert len(frame) == 6
    assert runs.of_spec(frame, tiny)["run_id"].tolist() == [each["run_id"] for each in two_seeds["seeds"]]


def test_runs_of_older_code_are_not_mixed_with_newer_ones(two_seeds, plan, tiny, monkeypatch):
    monkeypatch.setattr(provenance, "code", lambda *_: {"tinycnn/train/loop.py:train": "0" * 12})
    newest = run.run(dataclasses.replace(plan), first_seed=1)
    assert runs.of_spec(runs.read(), tiny)["run_id"].tolist() == [newest["run_id"]]
