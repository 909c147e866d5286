"""MLflow: one run in the store being written. Only the modules ``mlflow_...`` of this package import it."""

import contextlib
import getpass
import json
import logging
import re
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import LoggedModelOutput as Output
from mlflow.entities import LoggedModelStatus as Status
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from tinycnn.errors import StoreTrouble
from tinycnn.track.address import shown, uri, with_cure
from tinycnn.track.interruption import uninterrupted
from tinycnn.track.provenance import commit, versions

PARENT = "mlflow.parentRunId"
ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError, ValueError, TypeError)
"""What MLflow, and what is below it, raise; the last three of an address or a file that cannot be used."""
_LONG, _SAMPLED = 60.0, 10.0  # seconds: of a run whose use of the machine is logged, and between two samples
_ANY = TensorSpec(np.dtype("O"), (-1,))  # MLflow's own check takes one type of numbers or any, the network two

for _name, _level in (("mlflow", logging.CRITICAL), ("alembic", logging.ERROR), ("urllib3", logging.ERROR)):
    logging.getLogger(_name).setLevel(_level)  # MLflow prints a traceback for what it then raises


@contextlib.contextmanager
def store_errors():
    """Turn what a store, or the disk below it, raises into StoreTrouble with the line that says what is wrong.

    A call to the store is not interrupted half way: it might have made a run of which nobody knows, or keep a database
    locked for the call that ends the run.
    """
    try:
        with uninterrupted():
            yield
    except ERRORS as error:
        raise StoreTrouble(f"the store {shown(uri())}: {with_cure(error)}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, of a number without a name
        return "unknown"


class Run:
    """One MLflow run being written. Every method raises StoreTrouble where the store does not take it.

    ``failure`` says what the store has not taken, "" while it has taken everything: it is known here and nowhere else.
    """

    def __init__(self, store, name: str, tags: dict, parent: str | None, run_id: str | None):
        self.store, self.client, self.id, self.failure = store, store.client, run_id, ""
        self.new, self._experiment = run_id is None, store.experiment_id
        self._name, self._open = name, False
        own = {"mlflow.user": _user(), "mlflow.source.name": f"tinycnn run {name.partition(',')[0]}"}
        own |= {"mlflow.source.git.commit": commit(), **({PARENT: parent} if parent else {})}
        self._tags = {key: str(value) for key, value in tags.items()} | own

    def open(self):
        """Make the run, or set one that has an id RUNNING again, unless that is done."""
        if not self._open:
            with store_errors():
                if self.id is None:
                    made = self.client.create_run(self._experiment, run_name=self._name, tags=self._tags)
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
            self.client.log_batch(self.id, params=[Param(key, str(value)[:6000]) for key, value in values.items()])

    def metrics(self, values: dict, step: int = 0, when: float | None = None):
        """Log numbers of one step as ``curves`` does."""
        self.curves([(step, values)], when)

    def curves(self, points: list[tuple[int, dict]], when: float | None = None):
        """Log numbers of many steps, but those that are None; ``when`` in seconds since 1970, or else now.

        MLflow's databases keep one of two that agree in name, step, time and value: a call may be repeated.
        """
        stamp = int((time.time() if when is None else when) * 1000)
        metrics = [
            Metric(key, float(value), stamp, step)
            for step, values in points
            for key, value in values.items()
            if value is not None
        ]
        with store_errors():
            self.client.log_batch(self.id, metrics=metrics)

    def tags(self, values: dict):
        """Set tags in one call."""
        with store_errors():
            self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def drop_tag(self, name: str):
        """Delete a tag, if the run has it."""
        with store_errors():
            if name in self.client.get_run(self.id).data.tags:
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
            digest=_digest(split),
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

    def json(self, name: str, values: dict):
        """Store plain values as a JSON file."""
        self.text(name, json.dumps(values, indent=1) + "\n")

    def file(self, name: str, write):
        """Store the file that ``write(path)`` makes."""
        with store_errors(), tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / name)
            self.client.log_artifact(self.id, str(Path(folder) / name))

    def figure(self, name: str, figure):
        """Store a matplotlib figure."""
        with store_errors():
            self.client.log_figure(self.id, figure, name, save_kwargs={"dpi": 120})

    def model(self, name: str, module, example, split, metrics: dict, step: int, when: float):
        """Store a network that maps pixels (N, C, H, W), uint8 or float32, to logits, unless the run has one.

        ``example`` is a batch of pixels; ``metrics`` are those that the run has of ``step``, logged at the time
        ``when``: they become the model's, as of the data set ``split``. Pickled: the alternative, ``pt2``, needs
        torch's compiler and with it four times as long.
        """
        import mlflow.pytorch

        with store_errors():
            models = self.client.search_logged_models([self._experiment], filter_string=f"source_run_id = '{self.id}'")
            if any(model.status == Status.READY for model in models):
                return
            entity = self.client.get_run(self.id)
            made = models[0] if models else self._make_model(name, entity.data.params, split.shape)
            mlmodel = Model(made.artifact_location, self.id, model_uuid=made.model_id, model_id=made.model_id)
            with tempfile.TemporaryDirectory() as folder, _by_value(module):
                mlflow.pytorch.save_model(
                    module,
                    f"{folder}/model",
                    mlflow_model=mlmodel,
                    signature=ModelSignature(Schema([_ANY]), Schema([TensorSpec(np.dtype("float32"), (-1, -1))])),
                    input_example=example,
                    pip_requirements=[f"torch=={versions()['torch']}"],
                    serialization_format="pickle",
                )
                self.client.log_model_artifacts(made.model_id, f"{folder}/model")
            if not (entity.outputs and entity.outputs.model_outputs):  # by a process that was killed before the end
                self.client.log_outputs(self.id, [Output(made.model_id, step)])
            of_model = {"model_id": made.model_id, "dataset_name": split.name, "dataset_digest": _digest(split)}
            points = [
                Metric(key, value, int(when * 1000), step, run_id=self.id, **of_model) for key, value in metrics.items()
            ]
            self.client.log_batch(self.id, metrics=points)
            self.client.finalize_logged_model(made.model_id, Status.READY)

    def _make_model(self, name, params, shape):
        plain = re.sub(r"[^\w-]", "-", name)  # MLflow takes no others
        words = f"Maps pixels (N, {', '.join(map(str, shape))}), uint8 from 0 to 255 or floats from 0 to 1, to logits."
        how = {"params": params, "tags": {"mlflow.note.content": words}}
        return self.client.create_logged_model(self._experiment, plain, self.id, **how)


def _digest(split) -> str:
    return split.digest[:16]  # MLflow takes 36 characters at most


@contextlib.contextmanager
def _by_value(module):
    """Pickle the classes of a network with their code in this block, but torch's: they are not importable elsewhere."""
    names = {type(each).__module__ for each in module.modules()} | {"tinycnn", "experiments"}
    own = [sys.modules[name] for name in names if name in sys.modules and not name.startswith("torch")]
    for each in own:
        cloudpickle.register_pickle_by_value(each)
    try:
        yield
    finally:
        for each in own:
            cloudpickle.unregister_pickle_by_value(each)


@contextlib.contextmanager
def system_metrics(run: "Run"):
    """Log the use of processors, memory and GPU to a run of more than a minute, every ten seconds, in a thread.

    MLflow's monitor ends for good at its first error, such as a locked database; then another one goes on.
    """
    ended, monitors = threading.Event(), []

    def watch():
        wait = _LONG
        while not ended.wait(wait):
            with contextlib.suppress(Exception):  # what is missing, psutil say, is not worth a word
                from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

                if not monitors or not monitors[-1]._process.is_alive():
                    monitors.append(SystemMetricsMonitor(run.id, resume_logging=True))
                    monitors[-1].start()
            wait = _SAMPLED

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()
        for monitor in monitors[-1:]:
            monitor.finish()
