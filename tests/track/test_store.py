"""The store: where it is, that many can use it at once, how runs end, and what is written into them."""

import contextlib
import json
import signal
import threading
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.track import address, mlflow_run
from tinycnn.track import mlflow_store as tracking

EVERY = tracking.EVERY


@contextlib.contextmanager
def opened(store, name, params, tags, parent=None):
    """A run of a store, made and with its parameters."""
    with store.run(name, tags, parent) as run:
        run.open()
        run.params(params)
        yield run


def test_by_default_the_store_is_at_the_root_from_every_folder_and_nothing_is_left_elsewhere(
    database, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with opened(tracking.Store(), "a", {}, {}) as run:
        run.text("note.txt", "words")
    assert (tmp_path / "store" / "mlruns" / run.id / "artifacts" / "note.txt").read_text() == "words"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert address.uri() == f"sqlite:///{ROOT}/mlflow.db" and address.database() == ROOT / "mlflow.db"
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////some where/a.db", Path("/some where/a.db")),
        ("sqlite:///a#b.db", Path("a#b.db")),
        ("http://localhost:5000", None),
        ("postgresql://user:secret@host/runs", None),
    ],
)
def test_mlflows_own_variable_wins(monkeypatch, uri, file):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert (address.uri(), address.database()) == (uri, file) and "secret" not in address.shown(uri)


@pytest.mark.parametrize(
    "address_of",
    [
        "postgresql://me:{}@host/runs",
        "postgresql+psycopg://:{}@host/runs",
        "postgresql://host/runs?user=me&password={}&sslmode=require",
        "http://me:{}@host:5000/path",
    ],
)
@pytest.mark.parametrize("password", ["secret", "sec:ret", "sec@ret", "sec/ret", "%20sec%40ret"])
def test_a_password_is_shown_nowhere_in_a_message(address_of, password):
    uri = address_of.format(password)
    line = f"API request to {uri} failed, see https://docs.host/a"
    for said in (address.shown(uri), address.first_line(ValueError(line)), address.with_cure(ValueError(line))):
        assert "sec" not in said.replace("?user=me", "").replace("sslmode", "") and "ret" not in said and "host" in said
    assert address.shown("sqlite:////a:b/c@d.db") == "sqlite:////a:b/c@d.db"


@pytest.mark.parametrize("what", ["a text file", "a folder", "inside a file", "in memory", "no server", "nonsense"])
def test_a_store_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, what):
    (tmp_path / "text.db").write_text("no database\n" * 500)
    uri = {
        "a text file": f"sqlite:///{tmp_path / 'text.db'}",
        "a folder": f"sqlite:///{tmp_path}",
        "inside a file": f"sqlite:///{tmp_path / 'text.db' / 'mlflow.db'}",
        "in memory": "sqlite://",
        "no server": "http://127.0.0.1:1",
        "nonsense": "nonsense",
    }[what]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI") as caught:
        tracking.Store()
    assert "\n" not in str(caught.value) and uri in str(caught.value) and caught.value.exit_code == 1
    assert (tmp_path / "text.db").read_text() == "no database\n" * 500


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        ("(sqlite3.OperationalError) database is locked", "end the process that holds it"),
        ("[Errno 28] No space left on device", "make room"),
        ("attempt to write a readonly database", "make the file and its folder writable"),
        ("API request failed: Connection refused", "start the server again"),
    ],
)
def test_what_is_wrong_with_a_store_comes_with_what_to_do(line, cure):
    said = f"SQLAlchemy says more\n{line}" if line.startswith("(sqlite3") else line
    assert address.with_cure(OSError(said)).startswith(f"{line}; {cure}")


def test_runs_and_studies_are_kept_apart(monkeypatch):
    for setting in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE"):
        monkeypatch.setenv(setting, "postgresql://me:secret@host/both")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI and OPTUNA_STORAGE are both .*of its own$") as caught:
        address.keep_apart("OPTUNA_STORAGE")
    assert "secret" not in str(caught.value)


def test_making_it_is_announced_once_and_an_interruption_leaves_nothing_that_hinders(tmp_path, monkeypatch):
    def interrupted(uri, artifacts):
        Path(uri.removeprefix("sqlite:///")).write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tracking, "SqlAlchemyStore", interrupted)
        tracking.Store()
    assert not (tmp_path / "store" / "mlflow.db").exists()
    said = []
    tracking.Store(said.append)
    tracking.Store(said.append)
    assert len(said) == 1 and str(tmp_path / "store" / "mlflow.db") in said[0]
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["mlflow.db", "mlflow.db.lock"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("first line\nsecond line"), "FAILED", "first line"),
        (RuntimeError(), "FAILED", "RuntimeError"),
        (KeyboardInterrupt(), "KILLED", None),
    ],
)
def test_a_run_that_is_left_by_an_exception_has_ended(store, error, status, reason):
    with pytest.raises(type(error)), opened(store, "a", {"x": 1}, {"kind": 2}):
        raise error
    (run,) = store.search({"kind": 2}, EVERY)
    assert (run.info.status, run.data.tags.get("tinycnn.failure")) == (status, reason)
    assert run.info.end_time is not None and run.data.params == {"x": "1"}


@pytest.mark.parametrize("call", ["create_run", "update_run"])
def test_an_interruption_while_a_run_is_opened_leaves_none_that_seems_to_run(store, monkeypatch, call):
    with opened(store, "a", {}, {"kind": 2}) as before:
        original, handler = getattr(store.client, call), signal.getsignal(signal.SIGINT)

    def interrupted(*arguments, **options):
        answer = original(*arguments, **options)
        signal.raise_signal(signal.SIGINT)  # the store has made the run, and we do not know of it yet
        return answer

    monkeypatch.setattr(store.client, call, interrupted)
    run_id = before.id if call == "update_run" else None
    with pytest.raises(KeyboardInterrupt), store.run("b", {"kind": 2}, None, run_id) as run:
        run.open()
    assert [each.info.status for each in store.search({"kind": 2}, EVERY)].count("KILLED") == 1
    assert store.search({"kind": 2}, ("RUNNING",)) == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_is_written_can_be_read_and_an_unknown_number_is_left_out(store, tiny_data):
    with opened(store, "a", {"b.c": 0.5, "d": None}, {"kind": "x"}) as run:
        run.metrics({"accuracy": 99.5, "first": None}, 2)
        run.tags({"later": True})
        run.text("note.md", "# Note")
        run.dataset(tiny_data)
    (found,) = store.search({"kind": "x"})
    assert found.data.params == {"b.c": "0.5", "d": "None"} and found.info.run_name == "a"
    assert found.data.metrics == {"accuracy": 99.5} and store.history(run.id, "accuracy") == {2: 99.5}
    assert [row[:4] for row in store.histories([run.id], "accuracy")] == [(run.id, "accuracy", 2, 99.5)]
    assert found.data.tags["later"] == "True"
    assert store.read(run.id, "note.md") == "# Note" and store.read(run.id, "other.md") is None
    (used,) = found.inputs.dataset_inputs
    assert used.dataset.name == "mnist5k" and used.dataset.digest == tiny_data.digest[:16]
    assert json.loads(used.dataset.profile) == {"train_images": 200, "test_images": 100, "classes": 10}


CPU, MEMORY = "system/cpu_utilization_percentage", "system/system_memory_usage_percentage"  # logged one by one


def test_the_use_of_the_machine_is_logged_for_runs_over_a_minute_and_not_for_those_below_a_parent(store, monkeypatch):
    pytest.importorskip("psutil")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    with opened(store, "short", {}, {}) as short:
        time.sleep(0.2)
    monkeypatch.setattr(mlflow_run, "_LONG", 0.5)
    monkeypatch.setattr(mlflow_run, "_SAMPLED", 0.5)
    refused, publish = [], SystemMetricsMonitor.publish_metrics

    def once_refused(monitor, metrics):  # as a locked database does, after which MLflow's monitor ends for good
        if not refused:
            refused.append(monitor)
            raise MlflowException("database is locked")
        publish(monitor, metrics)

    monkeypatch.setattr(SystemMetricsMonitor, "publish_metrics", once_refused)
    with opened(store, "long", {}, {}) as long, opened(store, "child", {}, {}, long.id) as child:
        for _ in range(600):
            if {CPU, MEMORY} <= (found := store.entity(long.id).data.metrics).keys():
                break
            time.sleep(0.1)
    assert found[MEMORY] > 0
    assert not store.entity(short.id).data.metrics and not store.entity(child.id).data.metrics
    assert not [each for each in threading.enumerate() if each.name == "SystemMetricsMonitor"]


def test_the_experiment_opens_as_model_training_and_says_which_columns_are_worth_showing(store):
    tags = store.client.get_experiment(store.experiment_id).tags
    assert (
        tags["mlflow.experimentKind"] == "custom_model_development" and "test/accuracy" in tags["mlflow.note.content"]
    )


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
