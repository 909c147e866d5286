"""What ``tracking.py`` promises: where the store is, that it can be used by many at once, and how runs end."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import torch

from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.track import mlflow_store as tracking

EVERY = tracking.EVERY


@contextlib.contextmanager
def opened(store, name, params, tags, parent=None):
    """A run of a store, made and with its parameters."""
    with store.run(name, tags, parent) as run:
        run.open()
        run.params(params)
        yield run


def children(parent):
    return sorted(path.name for path in parent.iterdir())


# --- where it is -----------------------------------------------------------------------------------------------------


def test_unless_told_otherwise_the_store_is_at_the_root_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert tracking.uri() == f"sqlite:///{ROOT}/mlflow.db"
    assert tracking.database() == ROOT / "mlflow.db"
    assert children(tmp_path) == []


def test_a_run_leaves_nothing_in_the_folder_one_stands_in(database, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = tracking.Store()
    with opened(store, "a", {}, {}) as run:
        run.text("note.txt", "words")
    assert children(tmp_path / "here") == []
    assert (tmp_path / "store" / "mlruns" / run.id / "artifacts" / "note.txt").read_text() == "words"


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////some where/a.db", Path("/some where/a.db")),
        ("sqlite:///a#b.db", Path("a#b.db")),
        ("sqlite://", None),
        ("http://localhost:5000", None),
        ("postgresql://user:secret@host/runs", None),
        ("nonsense", None),
    ],
)
def test_mlflows_own_variable_wins(monkeypatch, uri, file):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking.uri() == uri
    assert tracking.database() == file


@pytest.mark.parametrize("what", ["a text file", "a folder", "inside a file", "no server", "nonsense"])
def test_a_store_that_cannot_be_used_is_one_line_at_once(tmp_path, monkeypatch, what):
    (tmp_path / "text.db").write_text("no database\n" * 500)
    uri = {
        "a text file": f"sqlite:///{tmp_path / 'text.db'}",
        "a folder": f"sqlite:///{tmp_path}",
        "inside a file": f"sqlite:///{tmp_path / 'text.db' / 'mlflow.db'}",
        "no server": "http://127.0.0.1:1",
        "nonsense": "nonsense",
    }[what]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    begun = time.monotonic()
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI") as caught:
        tracking.Store()
    assert "\n" not in str(caught.value) and uri in str(caught.value) and caught.value.exit_code == 1
    assert time.monotonic() - begun < 20
    assert (tmp_path / "text.db").read_text() == "no database\n" * 500


# --- making it -------------------------------------------------------------------------------------------------------


def test_making_it_is_announced_once_and_what_an_interruption_left_is_no_hindrance(tmp_path):
    said = []
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mlflow.db.partial").write_text("half")
    tracking.Store(said.append)
    tracking.Store(said.append)
    assert len(said) == 1 and str(tmp_path / "store" / "mlflow.db") in said[0]
    assert children(tmp_path / "store") == ["mlflow.db", "mlflow.db.lock"]


def test_an_interruption_while_it_is_made_leaves_no_store_behind(tmp_path, monkeypatch):
    def interrupted(uri, artifacts):
        Path(uri.removeprefix("sqlite:///")).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(tracking, "SqlAlchemyStore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracking.Store()
    assert not (tmp_path / "store" / "mlflow.db").exists()


ONE_RUN = """
import sys, time
from pathlib import Path
from tinycnn.track.mlflow_store import Store
number = sys.argv[1]
Path(f"ready {number}").touch()
while not Path("go").exists():
    time.sleep(0.01)
with Store().run(f"run {number}", {}) as run:
    run.open()
    run.params({"number": number})
    for epoch in range(1, 4):
        run.metrics({"accuracy": 10 * epoch}, epoch)
    run.text("note.txt", number)
"""


@pytest.mark.slow
def test_eight_processes_that_start_at_once_on_a_new_store_all_succeed(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    workers = [
        subprocess.Popen([sys.executable, "-c", ONE_RUN, str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    while len(list(tmp_path.glob("ready *"))) < 8:
        time.sleep(0.1)
        assert all(worker.poll() is None for worker in workers), "a process died before it began"
    assert not (tmp_path / "store").exists()
    (tmp_path / "go").touch()
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8, errors
    store = tracking.Store()
    found = store.search({})
    assert sorted(run.data.params["number"] for run in found) == [str(number) for number in range(8)]
    assert all(store.history(run.info.run_id, "accuracy") == {1: 10, 2: 20, 3: 30} for run in found)


# --- a run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("first line\nsecond line"), "FAILED", "first line"),
        (RuntimeError(), "FAILED", "RuntimeError"),
        (SystemExit(3), "FAILED", "3"),
        (KeyboardInterrupt(), "KILLED", None),
    ],
)
def test_a_run_that_is_left_by_an_exception_has_ended(store, error, status, reason):
    with pytest.raises(type(error)), opened(store, "a", {"x": 1}, {"kind": 2}):
        raise error
    (run,) = store.search({"kind": 2}, EVERY)
    assert (run.info.status, run.data.tags.get("tinycnn.failure")) == (status, reason)
    assert run.info.end_time is not None and run.data.params == {"x": "1"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["create_run", "set_terminated"])
def test_a_signal_while_a_run_is_made_or_ended_leaves_it_killed_and_not_running(store, monkeypatch, number, when):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    def disturbed(*arguments, **options):
        signal.raise_signal(number)
        return original(*arguments, **options)

    original = getattr(store.client, when)
    monkeypatch.setattr(store.client, when, disturbed)
    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(KeyboardInterrupt), opened(store, "a", {}, {}):
            raise KeyboardInterrupt
        assert signal.getsignal(number) is interrupt
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert [run.info.status for run in store.search({}, EVERY)] == ["KILLED"]


def test_what_is_written_is_there_and_an_unknown_number_is_left_out(store):
    with opened(store, "a", {"b.c": 0.5, "d": None}, {"kind": "x"}) as run:
        run.metrics({"accuracy": 99.5, "first": None}, 2)
        run.tags({"later": True})
        run.description("**words**")
        run.text("folder/note.md", "# Note")
    (found,) = store.search({"kind": "x"})
    assert found.data.params == {"b.c": "0.5", "d": "None"} and found.info.run_name == "a"
    assert found.data.metrics == {"accuracy": 99.5} and store.history(run.id, "accuracy") == {2: 99.5}
    assert found.data.tags["later"] == "True" and found.data.tags["mlflow.note.content"] == "**words**"
    assert [file.path for file in store.client.list_artifacts(run.id, "folder")] == ["folder/note.md"]


def test_the_data_set_is_the_runs_input(store, tiny_data):
    with opened(store, "a", {}, {}) as run:
        run.dataset(tiny_data)
    (used,) = store.client.get_run(run.id).inputs.dataset_inputs
    assert used.dataset.name == "mnist5k" and used.dataset.digest == tiny_data.digest[:16]
    assert json.loads(used.dataset.profile) == {"train_images": 200, "test_images": 100, "classes": 10}


@pytest.mark.parametrize("step", ["log_outputs", "log_model_artifacts", "finalize_logged_model"])
def test_a_model_that_was_only_half_stored_is_stored_once_in_the_end(store, monkeypatch, step):
    class Killed(BaseException):
        pass

    def killed(*arguments, **options):
        raise Killed

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    with opened(store, "a", {}, {}) as run:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(tracking.MlflowClient, step, killed)
            run.model(network, (1, 2, 2), 2, "2.0")
        run.model(network, (1, 2, 2), 2, "2.0")
        run.model(network, (1, 2, 2), 2, "2.0")
    (linked,) = store.entity(run.id).outputs.model_outputs
    loaded = mlflow.pytorch.load_model(f"models:/{linked.model_id}")
    assert torch.equal(loaded[1].weight, network[1].weight)


def test_runs_are_found_by_all_of_their_tags_the_newest_first_and_under_their_parent(store):
    for name, tags in (("1", {"a": "x", "b": "y"}), ("2", {"a": "x", "b": "z"}), ("3", {"a": "x", "b": "y"})):
        with opened(store, name, {}, tags) as parent:
            time.sleep(0.005)
    with opened(store, "child", {}, {"a": "it's"}, parent.id):
        pass
    assert [run.info.run_name for run in store.search({"a": "x", "b": "y"})] == ["3", "1"]
    assert store.search({"a": "x"}, ("FAILED",)) == []
    (child,) = [run for run in store.search() if run.info.run_name == "child"]
    assert child.data.tags["mlflow.parentRunId"] == parent.id
