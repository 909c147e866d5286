"""MLflow: the only module that imports it. The store, and one run in it being written or read."""

import contextlib
import json
import logging
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path
from types import SimpleNamespace

# Set before mlflow is imported: it reads them once.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow.pytorch
import numpy as np
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.types import Schema, TensorSpec
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from tinycnn import ROOT, verdict
from tinycnn.errors import UserError

EXPERIMENT = "tinycnn"
_PARENT = "mlflow.parentRunId"

for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)


def uri() -> str:
    """Return where runs go: ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` at the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def database() -> Path | None:
    """Return the SQLite file behind ``uri()``, or None where the store is a server."""
    name = make_url(uri()).database if uri().startswith("sqlite:///") else None
    return Path(name) if name else None


class Store:
    """The store at ``uri()``: made ready on first use, under a lock, so that many processes may start at once.

    Racing migrations leave a new SQLite file unusable, hence the lock. Raises UserError where the store cannot be used.
    """

    def __init__(self, announce=lambda line: None):
        file = database()
        try:
            if file is None:
                with _impatient():
                    self._open()
            else:
                artifacts = (file.parent / "mlruns").resolve().as_uri()
                file.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{file}.lock"):
                    if not file.exists():
                        announce(f"Making the store {file} (once, some 10 seconds)")
                        _make(file, artifacts)
                    with contextlib.closing(sqlite3.connect(file)) as opened:
                        opened.execute("PRAGMA schema_version")  # fails at once where MLflow tries for 100 s
                    self._open(artifacts)
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise UserError(
                f"the store {uri()} cannot be used: {_first_line(error)}; see MLFLOW_TRACKING_URI"
            ) from None

    def _open(self, artifacts=None):
        mlflow.set_tracking_uri(uri())
        self.client = MlflowClient()
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            with contextlib.suppress(MlflowException):  # on a server, another process may have been faster
                self.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
            found = self.client.get_experiment_by_name(EXPERIMENT)
        self.experiment_id = found.experiment_id
        mlflow.set_experiment(experiment_id=self.experiment_id)  # where Model.log puts models; it takes no argument

    @contextlib.contextmanager
    def run(self, name: str, params: dict, tags: dict, parent: str | None = None):
        """Start a run, yield it, and end it: FINISHED, KILLED on Ctrl-C, FAILED with the reason on any exception."""
        tags = {key: str(value) for key, value in tags.items()} | ({_PARENT: parent} if parent else {})
        run_id, status = None, "FAILED"
        try:
            with _undisturbed():
                run_id = self.client.create_run(self.experiment_id, run_name=name, tags=tags).info.run_id
            self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
            yield Run(self.client, run_id)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        except BaseException as error:
            if run_id:
                self.client.set_tag(run_id, "tinycnn.failure", _first_line(error)[:5000])
            raise
        finally:
            if run_id:
                with _undisturbed():
                    self.client.set_terminated(run_id, status)

    def search(self, tags: dict | None = None, statuses=("FINISHED",)) -> list:
        """Return the runs (mlflow entities) whose tags have these values, the newest first."""
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in (tags or {}).items())
        found, token = [], None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], wanted, ViewType.ACTIVE_ONLY, 1000, ["attributes.start_time DESC"], token
            )
            found += [run for run in page if run.info.status in statuses]
            token = page.token
            if not token:
                return found

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return the values of a metric of a run by epoch."""
        return {point.step: point.value for point in self.client.get_metric_history(run_id, metric)}

    def summary(self, run, target) -> dict:
        """Return what a finished run came to, as ``verdict.summarise`` does, with regard to ``target`` as it is now."""
        metrics, tags = run.data.metrics, run.data.tags
        accuracies = self.history(run.info.run_id, f"{tags['tinycnn.evaluated_on']}_accuracy")
        trained = {name: metrics.get(name) for name in ("train_accuracy", "clean_train_accuracy")}
        epochs = [SimpleNamespace(epoch=e, accuracy=value, **trained) for e, value in sorted(accuracies.items())]
        return verdict.summarise(epochs, target) | {"seed": int(tags["tinycnn.seed"]), "run_id": run.info.run_id}


class Run:
    """One MLflow run being written."""

    def __init__(self, client: MlflowClient, run_id: str):
        self.client, self.id = client, run_id

    def metrics(self, values: dict, step: int = 0):
        """Log numbers in one call, leaving out those that are None."""
        now = int(time.time() * 1000)
        kept = [Metric(key, float(value), now, step) for key, value in values.items() if value is not None]
        self.client.log_batch(self.id, metrics=kept)

    def tags(self, values: dict):
        """Set tags in one call."""
        self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def description(self, markdown: str):
        """Set what the UI shows in the description pane."""
        self.client.set_tag(self.id, "mlflow.note.content", markdown)

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
        self.client.log_inputs(
            self.id, [DatasetInput(entity, [InputTag("mlflow.data.context", f"train and {split.kind}")])]
        )

    def text(self, name: str, content: str):
        """Store a text file."""
        self.client.log_text(self.id, content, name)

    def file(self, path: Path):
        """Store a file that exists."""
        self.client.log_artifact(self.id, str(path))

    def figure(self, name: str, figure):
        """Store a matplotlib figure."""
        self.client.log_figure(self.id, figure, name, save_kwargs={"dpi": 120})

    def model(self, module, shape: tuple[int, int, int], classes: int, torch_version: str):
        """Store a network that maps float32 images (N, *shape) to logits (N, classes).

        ``module`` may consist of torch's own modules only, so that it can be loaded without this project. Pickled: the
        alternative, ``pt2``, needs torch's compiler and with it four times as long.
        """
        single = np.dtype("float32")
        Model.log(
            artifact_path=None,
            name="model",
            flavor=mlflow.pytorch,
            run_id=self.id,
            pytorch_model=module,
            signature=ModelSignature(
                inputs=Schema([TensorSpec(single, (-1, *shape))]), outputs=Schema([TensorSpec(single, (-1, classes))])
            ),
            pip_requirements=[f"torch=={torch_version}"],
            serialization_format="pickle",
        )


def _make(file: Path, artifacts: str):
    """Make an empty database beside ``file`` and put it in place: interrupted, it would stay half migrated for ever."""
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{partial}", artifacts).engine.dispose()
    os.replace(partial, file)


@contextlib.contextmanager
def _impatient():
    """Give a server that does not answer up soon: MLflow's minutes of retries are for one that has answered before."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    ours = {name: value for name, value in limits.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


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


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
