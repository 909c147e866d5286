"""MLflow: the only module that imports it. The store, and one run in it being written or read."""

import contextlib
import json
import logging
import os
import sqlite3
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelStatus, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from tinycnn.errors import StoreTrouble, UserError
from tinycnn.track.address import check_store, database, first_line, shown, uri, with_cure

EXPERIMENT = "tinycnn"
PARENT = "mlflow.parentRunId"
EVERY = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")

_ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError, ValueError, TypeError)
"""What MLflow, and what is below it, raise; the last three of an address or a file that cannot be used."""
_IN_A_CALL = 800  # metrics; MLflow takes 1,000 entries in a call, parameters and tags included
_IN_BULK = 25_000  # values of one metric that MLflow gives in one call

for _name, _level in (("mlflow", logging.CRITICAL), ("alembic", logging.ERROR), ("urllib3", logging.ERROR)):
    logging.getLogger(_name).setLevel(_level)  # MLflow prints a traceback for what it then raises


@contextlib.contextmanager
def store_errors():
    """Turn what a store, or the disk below it, raises into StoreTrouble with the line that says what is wrong."""
    try:
        yield
    except _ERRORS as error:
        raise StoreTrouble(f"the store {shown(uri())}: {with_cure(error)}") from error


class Store:
    """The store at ``uri()``, made on first use under a lock: racing migrations leave a new SQLite file unusable.

    ``announce`` is told what takes long. Without ``make`` nothing is made: for searches everywhere, and for histories.
    Raises StoreTrouble where it cannot be used.
    """

    def __init__(self, announce=lambda line: None, *, make=True):
        self.announce, self.experiment_id = announce, None
        try:
            if not make:
                return self._connect()
            if not check_store():
                return self._open()
            file = database()
            artifacts = (file.parent / "mlruns").resolve().as_uri()
            with FileLock(f"{file}.lock", timeout=300):  # not for ever: where no file can be made, it waits
                if not file.exists():
                    announce(f"Making the store {file} (once, some 10 seconds)")
                    partial = file.with_name(f"{file.name}.partial")  # interrupted, it would stay half migrated
                    partial.unlink(missing_ok=True)
                    SqlAlchemyStore(f"sqlite:///{partial}", artifacts).engine.dispose()
                    os.replace(partial, file)
                self._open(artifacts)
        except _ERRORS as error:
            raise StoreTrouble(f"the store {shown(uri())} cannot be used: {with_cure(error)}") from None

    def _connect(self):
        mlflow.set_tracking_uri(uri())
        self.client = MlflowClient()  # which makes the database

    def _open(self, artifacts=None):
        self._connect()
        if self.client.get_experiment_by_name(EXPERIMENT) is None:
            with contextlib.suppress(MlflowException):  # on a server, another process may have been faster
                self.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        self.experiment_id = self.client.get_experiment_by_name(EXPERIMENT).experiment_id
        mlflow.set_experiment(experiment_id=self.experiment_id)  # where Model.log puts models; it takes no argument

    @contextlib.contextmanager
    def run(self, name: str, tags: dict, parent: str | None = None, run_id: str | None = None):
        """Yield a run that ``open()`` makes, or sets RUNNING again if ``run_id`` is given; afterwards it has ended.

        FINISHED, KILLED on Ctrl-C or when the reader of the output has gone, FAILED with the reason on any other
        exception or where ``run.failure`` says what the store did not take.
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
        with store_errors():
            try:
                found = self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise UserError(f"run {run_id}: not in the store {shown(uri())}; see MLFLOW_TRACKING_URI") from None
        if found.info.lifecycle_stage != "active":
            raise UserError(f"run {run_id}: is deleted; restore it with: mlflow runs restore --run-id {run_id}")
        return found

    def read(self, run_id: str, name: str) -> str | None:
        """Return the text of a file of a run, None where the run has none of this name."""
        with store_errors():
            if name not in (file.path for file in self.client.list_artifacts(run_id)):
                return None
        return read_file(f"{self.entity(run_id).info.artifact_uri.rstrip('/')}/{name}")

    def fetch(self, run_id: str, name: str, to: Path) -> None:
        """Copy a file of a run to a path of this machine."""
        with store_errors():
            to.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=to.parent) as folder:
                os.replace(self.client.download_artifacts(run_id, name, folder), to)

    def search(self, tags: dict | None = None, statuses=("FINISHED",), everywhere=False) -> list:
        """Return the runs (mlflow entities) whose tags have these values, the newest first.

        ``everywhere``: not only those in our MLflow experiment; in another's store it may have another name.
        """
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in (tags or {}).items())
        found, token = [], None
        with store_errors():
            places = [self.experiment_id]
            if everywhere:
                places = [each.experiment_id for each in self.client.search_experiments()]
            while True:
                newest = ["attributes.start_time DESC"]
                page = self.client.search_runs(places, wanted, ViewType.ACTIVE_ONLY, 1000, newest, token)
                found += [run for run in page if run.info.status in statuses]
                token = page.token
                if not token:
                    return found

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return the values of a metric of a run by epoch."""
        with store_errors():
            return {point.step: point.value for point in self.client.get_metric_history(run_id, metric)}

    def histories(self, run_ids: list[str], metric: str) -> list[tuple]:
        """Return (run, metric, epoch, value, time) of a metric of up to 100 runs, in one call where MLflow has one."""
        behind = self.client._tracking_client.store
        with store_errors():
            if hasattr(behind, "get_metric_history_bulk"):  # its databases; the client of a server has not
                found = [each.to_dict() for each in behind.get_metric_history_bulk(run_ids, metric, _IN_BULK)]
                if len(found) < _IN_BULK:
                    return [(each["run_id"], metric, each["step"], each["value"], each["timestamp"]) for each in found]
            points = ((run_id, each) for run_id in run_ids for each in self.client.get_metric_history(run_id, metric))
            return [(run_id, metric, each.step, each.value, each.timestamp) for run_id, each in points]


class Run:
    """One MLflow run being written. Every method raises StoreTrouble where the store does not take it.

    ``failure`` says what the store has not taken, "" while it has taken everything: it is known here and nowhere else.
    """

    def __init__(self, store: Store, name: str, tags: dict, parent: str | None, run_id: str | None):
        self.store, self.client, self.id, self.failure = store, store.client, run_id, ""
        self.new = run_id is None
        self._name, self._open = name, False
        self._tags = {key: str(value) for key, value in tags.items()} | ({PARENT: parent} if parent else {})

    def open(self):
        """Make the run, or set one that has an id RUNNING again, unless that is done."""
        if not self._open:
            with store_errors():
                if self.id is None:
                    made = self.client.create_run(self.store.experiment_id, run_name=self._name, tags=self._tags)
                    self.id = made.info.run_id
                else:
                    self.client.update_run(self.id, status="RUNNING")
                self._open = True

    def end(self, status: str, reason: str = ""):
        """End the run if it is open: FINISHED, KILLED, or FAILED for a reason."""
        if self._open:
            with store_errors():
                if reason:
                    self.client.set_tag(self.id, "tinycnn.failure", reason[:5000])
                self.client.set_terminated(self.id, status)
                self._open = False

    def params(self, values: dict):
        """Log parameters, once and for all."""
        with store_errors():
            params = [Param(key, str(value)[:6000]) for key, value in values.items()]
            for start in range(0, len(params), 100):  # MLflow takes no more in a call
                self.client.log_batch(self.id, params=params[start : start + 100])

    def metrics(self, values: dict, step: int = 0, when: float | None = None):
        """Log numbers in one call, leaving out those that are None; ``when`` in seconds since 1970, or else now.

        MLflow's databases keep one of two that agree in name, step, time and value: a call may be repeated.
        """
        self.curves([(step, values)], when)

    def curves(self, points: list[tuple[int, dict]], when: float | None = None):
        """Log the numbers of many steps, in as few calls as MLflow takes."""
        stamp = int((time.time() if when is None else when) * 1000)
        metrics = [
            Metric(key, float(value), stamp, step)
            for step, values in points
            for key, value in values.items()
            if value is not None
        ]
        with store_errors():
            for start in range(0, len(metrics), _IN_A_CALL):
                self.client.log_batch(self.id, metrics=metrics[start : start + _IN_A_CALL])

    def tags(self, values: dict):
        """Set tags in one call."""
        with store_errors():
            self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in values.items()])

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
        context = InputTag("mlflow.data.context", f"train and {split.kind}")
        with store_errors():
            self.client.log_inputs(self.id, [DatasetInput(entity, [context])])

    def text(self, name: str, content: str):
        """Store a text file."""
        with store_errors():
            self.client.log_text(self.id, content, name)

    def file(self, path: Path):
        """Store a file that exists."""
        with store_errors():
            self.client.log_artifact(self.id, str(path))

    def figure(self, name: str, figure):
        """Store a matplotlib figure."""
        with store_errors():
            self.client.log_figure(self.id, figure, name, save_kwargs={"dpi": 120})

    def model(self, module, shape: tuple[int, int, int], classes: int, torch_version: str):
        """Store a network that maps float32 images (N, *shape) to logits (N, classes), unless the run has one.

        Pickled: the alternative, ``pt2``, needs torch's compiler and with it four times as long.
        """
        import mlflow.pytorch

        with store_errors():
            source = f"source_run_id = '{self.id}'"
            models = self.client.search_logged_models([self.store.experiment_id], filter_string=source)
            if any(model.status == LoggedModelStatus.READY for model in models):
                return
            outputs = self.client.get_run(self.id).outputs
            linked = bool(outputs and outputs.model_outputs)  # by a process that was killed before the model was whole
            Model.log(
                artifact_path=None,
                name="model",
                flavor=mlflow.pytorch,
                run_id=None if linked else self.id,
                model_id=models[0].model_id if models else None,
                pytorch_model=module,
                signature=ModelSignature(
                    inputs=Schema([TensorSpec(np.dtype("float32"), (-1, *shape))]),
                    outputs=Schema([TensorSpec(np.dtype("float32"), (-1, classes))]),
                ),
                pip_requirements=[f"torch=={torch_version}"],
                serialization_format="pickle",
            )


def read_file(address: str) -> str:
    """Return the text of a run's file by its address in the store of artifacts. Raises StoreTrouble."""
    with store_errors():
        return mlflow.artifacts.load_text(address)
