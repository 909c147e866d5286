"""MLflow: the store of runs. Only the modules ``mlflow_...`` of this package import it."""

import contextlib
import json
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from tinycnn.errors import SpecError, StoreTrouble, UserError
from tinycnn.track.address import check_store, database, first_line, shown, uri, with_cure
from tinycnn.track.mlflow_run import ERRORS, Run, store_errors, system_metrics
from tinycnn.track.mlflow_run import PARENT as PARENT

EXPERIMENT = "tinycnn"
EVERY = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")
ORIGIN = "tinycnn.delivered_from"
"""A tag of a run that was copied from another store: its id there, by which it is found here too."""

_ABOUT = {
    "mlflow.experimentKind": "custom_model_development",  # opens as model training, and not as evaluation of LLMs
    "mlflow.note.content": (
        "Runs of one seed, below a parent where there are several. Columns worth showing: `test/accuracy`, "
        "`test/accuracy_std`, `parameters` and `tinycnn.verdict`.\n\n"
        "The metric `test/accuracy` of a parent is the mean of its seeds, with `test/accuracy_std` and "
        "`test/accuracy_min`. Also useful: `train/clean_accuracy`, `macs`, `train.epochs`, `seed`, "
        "`tinycnn.experiment`, `tinycnn.settings`. ``tags.`tinycnn.role` = 'seeds'`` shows the parents alone."
    ),
}
_IN_BULK = 25_000  # values of one metric that MLflow gives in one call


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
        except ERRORS as error:
            raise StoreTrouble(f"the store {shown(uri())} cannot be used: {with_cure(error)}") from None

    def _connect(self):
        mlflow.set_tracking_uri(uri())
        self.client = MlflowClient()  # which makes the database

    def _open(self, artifacts=None):
        self._connect()
        if self.client.get_experiment_by_name(EXPERIMENT) is None:
            with contextlib.suppress(MlflowException):  # on a server, another process may have been faster
                self.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        self.experiment_id = experiment.experiment_id
        for tag, value in _ABOUT.items() if "mlflow.experimentKind" not in experiment.tags else ():
            self.client.set_experiment_tag(self.experiment_id, tag, value)

    @contextlib.contextmanager
    def run(self, name: str, tags: dict, parent: str | None = None, run_id: str | None = None):
        """Yield a run that ``open()`` makes, or sets RUNNING again if ``run_id`` is given; afterwards it has ended.

        FINISHED, KILLED on Ctrl-C or when the reader of the output has gone, FAILED with the reason on any other
        exception or where ``run.failure`` says what the store did not take.
        """
        run = Run(self, name, tags, parent, run_id)
        try:
            with contextlib.nullcontext() if parent else system_metrics(run):
                yield run
        except BaseException as error:
            with contextlib.suppress(StoreTrouble):
                killed = isinstance(error, KeyboardInterrupt | BrokenPipeError)
                run.end("KILLED") if killed else run.end("FAILED", first_line(error))
            raise
        with contextlib.suppress(StoreTrouble) if run.failure else contextlib.nullcontext():
            run.end("FAILED", run.failure) if run.failure else run.end("FINISHED")

    def kill(self, run_id: str):
        """End a run that its process has left."""
        with store_errors():
            self.client.set_terminated(run_id, "KILLED")

    def delete(self, run_id: str):
        """Delete a run; MLflow can restore it."""
        with store_errors():
            self.client.delete_run(run_id)

    def entity(self, run_id: str):
        """Return a run as MLflow's entity. Raises UserError where there is none of this id, or a deleted one."""
        with store_errors():
            try:
                found = self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                if copies := self.search({ORIGIN: run_id}, EVERY):
                    return copies[0]
                raise UserError(f"run {run_id}: not in the store {shown(uri())}; see MLFLOW_TRACKING_URI") from None
        if found.info.lifecycle_stage != "active":
            raise UserError(f"run {run_id}: is deleted; restore it with: mlflow runs restore --run-id {run_id}")
        return found

    def read(self, run_id: str, name: str) -> str | None:
        """Return the text of a file of a run, None where it cannot be had."""
        return read_file(self.entity(run_id).info.artifact_uri, name)

    def register(self, run_id: str, name: str | None = None) -> tuple[str, str]:
        """Put a run's model into the registry, by default under its experiment's name; return name and version.

        Raises UserError where the run has none.
        """
        entity = self.entity(run_id)
        models = entity.outputs.model_outputs if entity.outputs else ()
        if not models:
            raise UserError(f"run {run_id}: has no model; give the id of one seed that has finished")
        name = name or entity.data.tags["tinycnn.experiment"]
        if re.search("[/:]", name):
            raise SpecError(f"--name {name}: a model's name has no / or :; take another")
        with store_errors():
            return name, mlflow.register_model(f"models:/{models[0].model_id}", name).version

    def fetch_checkpoint(self, run_id: str, to: Path) -> None:
        """Copy the checkpoint of a finished run to a path of this machine. Raises UserError where it cannot be had."""
        try:
            run_id = self.entity(run_id).info.run_id
            with store_errors():
                to.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=to.parent) as folder:
                    os.replace(self.client.download_artifacts(run_id, "checkpoint.pt", folder), to)
        except StoreTrouble as error:
            raise UserError(f"run {run_id}: its checkpoint cannot be had ({error})") from None

    def with_facts(self, tags: dict, statuses) -> list[tuple]:
        """Return (run, ``facts`` of it) of the runs that ``search`` finds everywhere."""
        found = self.search(tags, statuses, everywhere=True)
        with ThreadPoolExecutor(8) as pool:  # a server takes a call for each file
            return list(zip(found, pool.map(facts, found), strict=True))

    def search(self, tags: dict | None = None, statuses=("FINISHED",), everywhere=False) -> list:
        """Return the runs (mlflow entities) whose tags have these values, the newest first.

        ``everywhere``: not only those in our MLflow experiment; in another's store it may have another name.
        """
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in (tags or {}).items())
        where = {"search_all_experiments": True} if everywhere else {"experiment_ids": [self.experiment_id]}
        how = {"order_by": ["attributes.start_time DESC"], "output_format": "list"}
        with store_errors():
            found = mlflow.search_runs(**where, filter_string=wanted, **how)
        return [run for run in found if run.info.status in statuses]

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return the values of a metric of a run by epoch."""
        return {epoch: value for _, _, epoch, value, _ in self.histories([run_id], metric)}

    def histories(self, run_ids: list[str], metric: str) -> list[tuple]:
        """Return (run, metric, epoch, value, time) of a metric of up to 100 runs, also under its former name."""
        found = self._histories(run_ids, metric, metric)
        others = sorted(set(run_ids) - {row[0] for row in found})
        return found + (self._histories(others, metric, former(metric)) if others else [])

    def _histories(self, run_ids, metric, key):
        behind = self.client._tracking_client.store
        with store_errors():
            if hasattr(behind, "get_metric_history_bulk"):  # one call, in its databases; the client of a server has not
                found = [each.to_dict() for each in behind.get_metric_history_bulk(run_ids, key, _IN_BULK)]
                if len(found) < _IN_BULK:
                    return [(each["run_id"], metric, each["step"], each["value"], each["timestamp"]) for each in found]
            points = ((run_id, each) for run_id in run_ids for each in self.client.get_metric_history(run_id, key))
            return [(run_id, metric, each.step, each.value, each.timestamp) for run_id, each in points]


def read_file(artifacts: str, name: str) -> str | None:
    """Return the text of a run's file, None where it cannot be had; ``artifacts`` is the address of the run's files."""
    try:
        return mlflow.artifacts.load_text(f"{artifacts.rstrip('/')}/{name}")
    except ERRORS:
        return None


def facts(entity) -> dict:
    """Return what identifies a run, and its environment: the values of its tags ``tinycnn.NAME`` and environment.json.

    A run whose files are not there yet has that as a tag, and one made before there was such a file has tags for all.
    """
    tags = {name.removeprefix("tinycnn."): value for name, value in entity.data.tags.items()}
    if "version.torch" in tags:
        return tags | {"spec": json.loads(tags.get("spec", "{}"))}
    return tags | json.loads(tags.get("environment") or read_file(entity.info.artifact_uri, "environment.json") or "{}")


def former(metric: str) -> str:
    """Return the name that a metric had before names were grouped as ``train/...``, ``test/...`` and ``time/...``."""
    own = {"train/clean_accuracy": "clean_train_accuracy", "train/learning_rate": "learning_rate"}
    return own.get(metric, metric.removeprefix("time/").replace("/", "_"))


def last(entity, metric: str) -> float | None:
    """Return the last value of a metric of a run, also under its former name; None where it has none."""
    return entity.data.metrics.get(metric, entity.data.metrics.get(former(metric)))
