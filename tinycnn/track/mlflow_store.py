"""MLflow: the only module that imports it. The store, and one run in it being written or read."""

import contextlib
import importlib
import json
import logging
import math
import os
import re
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

# Set before mlflow is imported: it reads some of them once.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A server that does not answer is given up soon (MLflow's own: minutes): what it misses now is delivered later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow.pytorch
import numpy as np
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelStatus, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import _TEMP_ARTIFACT_PREFIX
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.types import Schema, TensorSpec
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.rest_utils import http_request_safe
from mlflow.utils.uri import is_local_uri
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH
from sqlalchemy.exc import SQLAlchemyError

from tinycnn.errors import StoreTrouble, UserError
from tinycnn.track import verdict
from tinycnn.track.address import database, first_line, keep_apart, shown, uri, with_cure

EXPERIMENT = "tinycnn"
PARENT = "mlflow.parentRunId"
EVERY = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")

LONGEST_TAG = MAX_TAG_VAL_LENGTH
"""Characters; of a longer value MLflow would keep the beginning."""
_TROUBLES = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError, ValueError)
"""What MLflow and what is below it raise; the last two of an address or a file that nobody can use."""
_IN_A_CALL = 800
"""Metrics; MLflow takes 1,000 entries in a call, parameters and tags included."""

for _noisy, _level in (("mlflow", logging.CRITICAL), ("alembic", logging.ERROR), ("urllib3", logging.ERROR)):
    logging.getLogger(_noisy).setLevel(_level)  # MLflow prints a traceback for what it then raises


class Store:
    """The store at ``uri()``: made ready on first use, under a lock, so that many processes may start at once.

    Racing migrations leave a new SQLite file unusable, hence the lock. Raises UserError where the store cannot be used.
    """

    def __init__(self, announce=lambda line: None):
        self._announce, self._left_out = announce, set()
        file = database()
        try:
            keep_apart("MLFLOW_TRACKING_URI")
            if uri().startswith("sqlite:") and file is None:
                raise UserError(f"the store {uri()} is no file, and would be lost; set MLFLOW_TRACKING_URI to another")
            if file is None:
                self._open()
            else:
                artifacts = (file.parent / "mlruns").resolve().as_uri()
                file.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{file}.lock", timeout=300):  # not for ever: where no file can be made, it waits
                    if not file.exists():
                        announce(f"Making the store {file} (once, some 10 seconds)")
                        _make(file, artifacts)
                    with contextlib.closing(sqlite3.connect(file)) as opened:
                        opened.execute("PRAGMA schema_version")  # fails at once where MLflow tries for 100 s
                    self._open(artifacts)
        except (*_TROUBLES, TypeError) as error:  # the last of an address with a word that its driver does not know
            raise UserError(f"the store {shown(uri())} cannot be used: {with_cure(error)}") from None

    @classmethod
    def to_read(cls) -> "Store":
        """Return the store as it is, for searches everywhere and histories: nothing is made in it.

        Raises StoreTrouble.
        """
        store = cls.__new__(cls)
        with troubles():
            keep_apart("MLFLOW_TRACKING_URI")
            mlflow.set_tracking_uri(uri())
            store.client, store.experiment_id = MlflowClient(), None
        return store

    def _open(self, artifacts=None):
        mlflow.set_tracking_uri(uri())
        self.client = MlflowClient()
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                self.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
            except MlflowException:  # on a server, another process may have been faster
                if self.client.get_experiment_by_name(EXPERIMENT) is None:
                    raise
            found = self.client.get_experiment_by_name(EXPERIMENT)
        _must_take_artifacts(found.artifact_location)
        self.experiment_id = found.experiment_id
        mlflow.set_experiment(experiment_id=self.experiment_id)  # where Model.log puts models; it takes no argument

    @contextlib.contextmanager
    def run(self, name: str, tags: dict, parent: str | None = None, run_id: str | None = None):
        """Yield a run that ``open()`` makes, or takes up again if ``run_id`` is given; afterwards it has ended.

        FINISHED, KILLED on Ctrl-C or when whoever reads the output has gone, FAILED with the reason on any other
        exception or where ``run.failure`` says why it is not complete. A store that is out of reach is left alone.
        """
        run = Run(self, name, tags, parent, run_id)
        try:
            yield run
        except BaseException as error:
            with contextlib.suppress(StoreTrouble):
                killed = isinstance(error, KeyboardInterrupt | BrokenPipeError)
                run.end("KILLED") if killed else run.end("FAILED", first_line(error))
            raise
        with contextlib.suppress(StoreTrouble) if run.failure else contextlib.nullcontext():
            run.end("FAILED", run.failure) if run.failure else run.end("FINISHED")

    def entity(self, run_id: str):
        """Return a run as MLflow's entity. Raises UserError where there is none of this id, or a deleted one."""
        with troubles():
            try:
                found = self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise UserError(f"run {run_id}: not in the store {shown(uri())}; see MLFLOW_TRACKING_URI") from None
        if found.info.lifecycle_stage != "active":
            raise UserError(f"run {run_id}: is deleted; bring it back with: mlflow runs restore --run-id {run_id}")
        return found

    def read(self, run_id: str, name: str) -> str | None:
        """Return the text of a file of a run, None where the run has none of this name."""
        with troubles():
            if name not in (file.path for file in self.client.list_artifacts(run_id)):
                return None
            place = self.client.get_run(run_id).info.artifact_uri
            return mlflow.artifacts.load_text(f"{place.rstrip('/')}/{name}")

    def fetch(self, run_id: str, name: str, to: Path) -> None:
        """Copy a file of a run to a place of this machine. Raises UserError where the run has none of this name."""
        self.entity(run_id)
        with troubles():
            if name not in (file.path for file in self.client.list_artifacts(run_id)):
                raise UserError(f"run {run_id}: has no {name}; give the id of a run that has finished")
            to.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=to.parent) as folder:
                os.replace(self.client.download_artifacts(run_id, name, folder), to)

    def search(self, tags: dict | None = None, statuses=("FINISHED",), everywhere=False) -> list:
        """Return the runs (mlflow entities) whose tags have these values, the newest first.

        ``everywhere``: not only those in our MLflow experiment; a store of others may call it otherwise.
        """
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in (tags or {}).items())
        found, token, places = [], None, [self.experiment_id]
        if everywhere:
            with troubles():
                places = [each.experiment_id for each in self.client.search_experiments()]
        while True:
            with troubles():
                page = self.client.search_runs(
                    places, wanted, ViewType.ACTIVE_ONLY, 1000, ["attributes.start_time DESC"], token
                )
            found += [run for run in page if run.info.status in statuses]
            token = page.token
            if not token:
                return found

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return the values of a metric of a run by epoch."""
        with troubles():
            return {point.step: point.value for point in self.client.get_metric_history(run_id, metric)}

    def histories(self, run_ids: list[str], metric: str) -> list[tuple]:
        """Return (run, metric, epoch, value, time) of a metric of up to 100 runs, in one call where there is one.

        MLflow's databases and its server have it, the latter for 25,000 values at most; its client has not.
        """
        with troubles():
            found = _in_bulk(self.client._tracking_client.store, run_ids, metric)
            if found is not None and len(found) < _MOST:
                return [(each["run_id"], metric, each["step"], each["value"], each["timestamp"]) for each in found]
            points = ((run_id, each) for run_id in run_ids for each in self.client.get_metric_history(run_id, metric))
            return [(run_id, metric, each.step, each.value, each.timestamp) for run_id, each in points]

    def leave_out(self, run, why: str):
        """Say, once, that a run is not counted: a store may hold what others put there."""
        if run.info.run_id not in self._left_out:
            self._left_out.add(run.info.run_id)
            self._announce(f"run {run.info.run_id} in the store is left out: {why}")

    def summary(self, run, target) -> dict | None:
        """Return what a finished run came to, as ``verdict.summarise`` does, with regard to ``target`` as it is now.

        None, and the run is left out, where its record is not as tinycnn writes it.
        """
        if why := oddity(run):
            return self.leave_out(run, why)
        metrics, tags = run.data.metrics, run.data.tags
        accuracies = self.history(run.info.run_id, _accuracy(run))
        trained = {name: metrics.get(name) for name in ("train_accuracy", "clean_train_accuracy")}
        numbers = [*accuracies.values(), *(value for value in trained.values() if value is not None)]
        if not all(map(_finite, numbers)):
            return self.leave_out(run, "an accuracy of it is no number")
        epochs = [SimpleNamespace(epoch=e, accuracy=value, **trained) for e, value in sorted(accuracies.items())]
        return verdict.summarise(epochs, target) | {"seed": int(tags["tinycnn.seed"]), "run_id": run.info.run_id}


def oddity(run) -> str:
    """Return what in the record of a run of one seed is not as tinycnn writes it, "" where nothing is."""
    if not is_number(run.data.tags.get("tinycnn.seed")):
        return "its tag tinycnn.seed is no number"
    if run.info.status == "FINISHED" and not _finite(run.data.metrics.get(_accuracy(run))):
        return f"it has finished, and its metric {_accuracy(run)} is no number"
    return ""


def _accuracy(run) -> str:
    return f"{run.data.tags.get('tinycnn.evaluated_on')}_accuracy"


def _finite(value) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def is_number(tag: str | None) -> bool:
    """Tell whether the value of a tag, None if there is none, is a whole number that can be a seed."""
    return re.fullmatch(r"[0-9]{1,10}", tag or "") is not None


class Run:
    """One MLflow run being written. Every method raises StoreTrouble where the store does not take it."""

    def __init__(self, store: Store, name: str, tags: dict, parent: str | None, run_id: str | None):
        self.store, self.client, self.id, self.failure = store, store.client, run_id, ""
        self.new = run_id is None
        self._name, self._parent, self._open = name, parent, False
        self._tags = {key: str(value) for key, value in tags.items()} | ({PARENT: parent} if parent else {})

    def open(self):
        """Make the run, or set one that has an id RUNNING again, unless that is done."""
        if not self._open:
            with troubles(), _undisturbed():
                if self.id is None:
                    made = self.client.create_run(self.store.experiment_id, run_name=self._name, tags=self._tags)
                    self.id = made.info.run_id
                else:
                    self.client.update_run(self.id, status="RUNNING")
                self._open = True

    def clear_uploads(self):
        """Delete what uploads that were killed left half written, where the run's files lie in a folder of its own."""
        place = self.store.entity(self.id).info.artifact_uri
        with troubles():
            if is_local_uri(place) and self.id in (folder := Path(local_file_uri_to_path(place))).parts:
                for path in folder.rglob(f"{_TEMP_ARTIFACT_PREFIX}*"):
                    path.unlink()

    def end(self, status: str, reason: str = ""):
        """End the run if it is open: FINISHED, KILLED, or FAILED for a reason."""
        if self._open:
            with troubles(), _undisturbed():
                if reason:
                    self.client.set_tag(self.id, "tinycnn.failure", reason[:5000])
                self.client.set_terminated(self.id, status)
                self._open = False

    def params(self, values: dict):
        """Log parameters, once and for all."""
        with troubles():
            params = [Param(key, str(value)[:6000]) for key, value in values.items()]
            for start in range(0, len(params), 100):  # MLflow takes no more in a call
                self.client.log_batch(self.id, params=params[start : start + 100])

    def metrics(self, values: dict, step: int = 0, when: float | None = None):
        """Log numbers in one call, leaving out those that are None; ``when`` in seconds since 1970, or else now.

        MLflow's databases keep one of two that agree in name, step, time and value: a call may be repeated.
        """
        stamp = int((time.time() if when is None else when) * 1000)
        kept = [Metric(key, float(value), stamp, step) for key, value in values.items() if value is not None]
        with troubles():
            self.client.log_batch(self.id, metrics=kept)

    def everything(self, params: dict, curves: list[tuple[int, dict]], tags: dict):
        """Log parameters, the numbers of many steps and tags, in two calls where they are not too many."""
        self.params(params)
        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, step) for step, values in curves for key, value in values.items()]
        with troubles():
            self.client.log_batch(
                self.id,
                metrics=metrics[:_IN_A_CALL],
                tags=[RunTag(key, str(value)) for key, value in tags.items()],
            )
            for start in range(_IN_A_CALL, len(metrics), _IN_A_CALL):
                self.client.log_batch(self.id, metrics=metrics[start : start + _IN_A_CALL])

    def tags(self, values: dict):
        """Set tags in one call."""
        with troubles():
            self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def untag(self, *names: str):
        """Take tags away that are there."""
        with troubles():
            for name in names:
                self.client.delete_tag(self.id, name)

    def description(self, markdown: str):
        """Set what the UI shows in the description pane."""
        self.tags({"mlflow.note.content": markdown})

    def dataset(self, split):
        """Record the data set of a ``tinycnn.data.Split`` as the run's input."""
        used = {"train": split.train, split.kind: split.evaluation}
        profile = {f"{part}_images": len(images.labels) for part, images in used.items()}
        entity = Dataset(
            name=split.name,
            digest=split.digest[:16],  # MLflow takes 36 characters at most
            source_type="local",
            source=json.dumps({"uri": split.path}),
            profile=json.dumps(profile | {"classes": len(split.classes)}),
        )
        with troubles():
            self.client.log_inputs(
                self.id, [DatasetInput(entity, [InputTag("mlflow.data.context", f"train and {split.kind}")])]
            )

    def text(self, name: str, content: str):
        """Store a text file."""
        with troubles():
            self.client.log_text(self.id, content, name)

    def file(self, path: Path):
        """Store a file that exists."""
        with troubles():
            self.client.log_artifact(self.id, str(path))

    def figure(self, name: str, figure):
        """Store a matplotlib figure."""
        with troubles():
            self.client.log_figure(self.id, figure, name, save_kwargs={"dpi": 120})

    def model(self, module, shape: tuple[int, int, int], classes: int, torch_version: str):
        """Store a network that maps float32 images (N, *shape) to logits (N, classes), unless the run has one.

        ``module`` may consist of torch's own modules only, so that it can be loaded without this project. Pickled: the
        alternative, ``pt2``, needs torch's compiler and with it four times as long.
        """
        single = np.dtype("float32")
        with troubles():
            begun = self.client.search_logged_models(
                [self.store.experiment_id], filter_string=f"source_run_id = '{self.id}'"
            )
            if any(model.status == LoggedModelStatus.READY for model in begun):
                return
            outputs = self.client.get_run(self.id).outputs
            linked = bool(outputs and outputs.model_outputs)  # by a process that was killed then; once is all it takes
            Model.log(
                artifact_path=None,
                name="model",
                flavor=mlflow.pytorch,
                run_id=None if linked else self.id,
                model_id=begun[0].model_id if begun else None,
                pytorch_model=module,
                signature=ModelSignature(
                    inputs=Schema([TensorSpec(single, (-1, *shape))]),
                    outputs=Schema([TensorSpec(single, (-1, classes))]),
                ),
                pip_requirements=[f"torch=={torch_version}"],
                serialization_format="pickle",
            )


_MOST = 25_000  # values of one metric that a server gives in one call


def _in_bulk(behind, run_ids, metric) -> list[dict] | None:
    """Return a metric of many runs from what is behind MLflow's client; None where that cannot be done in one call."""
    if hasattr(behind, "get_metric_history_bulk"):
        return [each.to_dict() for each in behind.get_metric_history_bulk(run_ids, metric, _MOST)]
    if hasattr(behind, "get_host_creds"):
        wanted = {"run_id": run_ids, "metric_key": metric, "max_results": _MOST}
        place = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
        with contextlib.suppress(MlflowException):  # an older server
            return http_request_safe(behind.get_host_creds(), place, "GET", params=wanted).json()["metrics"]
    return None


def read_file(place: str) -> str:
    """Return the text of a run's file by its address in the store of artifacts. Raises StoreTrouble."""
    with troubles():
        return mlflow.artifacts.load_text(place)


def _must_take_artifacts(place: str):
    """Raise UserError where files cannot be stored for want of a library, which else would show after the training."""
    try:
        get_artifact_repository(place)
        if place.startswith("s3:"):
            importlib.import_module("boto3")  # which is imported at the first upload
    except Exception as error:  # each kind of store has its own
        raise UserError(f"the store {shown(uri())} keeps files in {place}: {with_cure(error)}") from None


def _make(file: Path, artifacts: str):
    """Make an empty database beside ``file`` and put it in place: interrupted, it would stay half migrated for ever."""
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{partial}", artifacts).engine.dispose()
    os.replace(partial, file)


@contextlib.contextmanager
def troubles():
    """Turn what a store, or the disk below it, can come up with into StoreTrouble with its first line."""
    try:
        yield
    except _TROUBLES as error:
        raise StoreTrouble(f"the store {shown(uri())}: {with_cure(error)}") from error


@contextlib.contextmanager
def _undisturbed():
    """Hold Ctrl-C and its like back while a run is made or ended: half of that would leave it RUNNING for ever."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    held = []
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda number, frame: held.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
