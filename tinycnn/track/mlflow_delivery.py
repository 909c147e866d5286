"""MLflow: runs of a store on this machine are copied to the store in use, each once, however often that is done.

The copy has the id of its original as a tag from the moment it is made, and the time at which that ended when all of
it is there. A copy without that, or with another time, is brought up to date: what it has is not taken twice.
"""

import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

import mlflow
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, RunTag, ViewType
from mlflow.entities import LoggedModelOutput as Output
from mlflow.entities import LoggedModelStatus as Status

from tinycnn.errors import UserError
from tinycnn.track.mlflow_run import PARENT, store_errors
from tinycnn.track.mlflow_store import EVERY, EXPERIMENT, ORIGIN, Store

_ENDED = "tinycnn.delivered"  # the time at which the original had ended, in ms since 1970, when it was copied
_OF_ITS_STORE = ("tinycnn.rerun_of", "tinycnn.best_run")  # tags that are ids of runs
_IN_A_PAGE = 1000


def deliver(source: Path, announce=lambda line: None) -> dict:
    """Copy the runs that have finished from the database ``source`` to the store in use, unless they are there.

    Also trials of a study that were pruned or diverged. Returns how many were ``delivered``, were ``there``, and are
    ``unfinished``, which is also a run whose parent is. Raises UserError where there is no such database or another
    process delivers from it, and StoreTrouble where a store cannot be used.
    """
    if not source.exists():
        raise UserError(f"deliver: there is no store {source}; set MLFLOW_TRACKING_URI to the file of another")
    try:
        with FileLock(f"{source}.deliver.lock", timeout=0):
            return _Delivery(source, announce).all()
    except Timeout:
        raise UserError(f"deliver: another process delivers the runs of {source}; wait for it") from None


class _Delivery:
    """One pass over the runs of a database; ``copies`` has, by the id of a run, the one it became, an entity."""

    def __init__(self, source, announce):
        self.announce, self.store = announce, Store(announce)
        self.there, self.here = self.store.client, MlflowClient(f"sqlite:///{source}")
        with store_errors():
            experiment = self.here.get_experiment_by_name(EXPERIMENT)
            runs = _search(self.here, experiment.experiment_id) if experiment else []
            copies = _search(self.there, self.store.experiment_id, f"tags.`{ORIGIN}` LIKE '%'", ViewType.ALL)
        self.runs = sorted(runs, key=lambda run: run.info.start_time)  # parents before their children
        self.copies = {copy.data.tags[ORIGIN]: copy for copy in copies}

    def all(self) -> dict:
        counts = {"delivered": 0, "there": 0, "unfinished": 0}
        known = {run.info.run_id for run in self.runs}
        for run in self.runs:
            copy, parent = self.copies.get(run.info.run_id), run.data.tags.get(PARENT)
            if not _has_ended(run) or parent in known - self.copies.keys():
                counts["unfinished"] += 1
            elif copy and copy.data.tags.get(_ENDED) == str(run.info.end_time):
                counts["there"] += 1
            elif copy is None or copy.info.lifecycle_stage == "active":  # a deleted one is not wanted there
                self.announce(f"delivering {run.info.run_name}, run {run.info.run_id}")
                with store_errors():
                    self.one(run, copy)
                counts["delivered"] += 1
        return counts

    def one(self, run, copy):
        """Copy a run, or bring its copy up to date."""
        tags = dict(run.data.tags) | {ORIGIN: run.info.run_id}
        for name in {PARENT, *_OF_ITS_STORE} & tags.keys():
            known = self.copies.get(tags[name])
            tags[name] = known.info.run_id if known else tags[name]
        if copy is None:
            how = {"start_time": run.info.start_time, "run_name": run.info.run_name, "tags": tags}
            copy = self.copies[run.info.run_id] = self.there.create_run(self.store.experiment_id, **how)
        new = copy.info.run_id
        self.there.update_run(new, status="SCHEDULED")  # not RUNNING, which doctor would offer to resume
        known = set()
        for name in run.data.metrics:
            known |= {(name, p.value, p.timestamp, p.step) for p in self.here.get_metric_history(run.info.run_id, name)}
        metrics, params = [Metric(*each) for each in sorted(known)], [Param(*each) for each in run.data.params.items()]
        self.there.log_batch(new, metrics, params, [RunTag(*each) for each in tags.items()])
        if run.inputs.dataset_inputs and not copy.inputs.dataset_inputs:
            inputs = [DatasetInput(each.dataset, each.tags) for each in run.inputs.dataset_inputs]
            self.there.log_inputs(new, inputs)
        files = _path(run.info.artifact_uri)
        if files.is_dir() and any(files.iterdir()):
            self.there.log_artifacts(new, str(files))
        for output in run.outputs.model_outputs if run.outputs else ():
            self._model(output, run, copy)
        self.there.set_terminated(new, run.info.status, run.info.end_time)
        self.there.set_tag(new, _ENDED, str(run.info.end_time))

    def _model(self, output, run, copy):
        """Copy the model of a run, unless the copy has it."""
        new, model = copy.info.run_id, self.here.get_logged_model(output.model_id)
        found = self.there.search_logged_models(
            [self.store.experiment_id], filter_string=f"source_run_id = '{new}' AND name = '{model.name}'"
        )
        if any(each.status == Status.READY for each in found):
            return
        how = {"tags": {name: each for name, each in model.tags.items() if name == "mlflow.note.content"}}
        made = found[0] if found else self.there.create_logged_model(
            self.store.experiment_id, model.name, new, params=model.params, **how
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            where = mlflow.artifacts.download_artifacts(model.artifact_location, dst_path=folder)
            description = Path(where) / "MLmodel"
            text = description.read_text(encoding="utf-8")
            names = {model.artifact_location: made.artifact_location, model.model_id: made.model_id}
            for old, now in (names | {run.info.run_id: new}).items():
                text = text.replace(old, now)
            description.write_text(text, encoding="utf-8")
            self.there.log_model_artifacts(made.model_id, where)
        if not (copy.outputs and copy.outputs.model_outputs):
            self.there.log_outputs(new, [Output(made.model_id, output.step)])
        of_model = {"model_id": made.model_id, "run_id": new}
        self.there.log_batch(new, metrics=[
            Metric(m.key, m.value, m.timestamp, m.step, dataset_name=m.dataset_name, dataset_digest=m.dataset_digest,
                   **of_model) for m in model.metrics or ()
        ])  # fmt: skip
        self.there.finalize_logged_model(made.model_id, Status.READY)


def _search(client, experiment_id, wanted="", view=ViewType.ACTIVE_ONLY) -> list:
    found, token = [], None
    while True:
        page = client.search_runs([experiment_id], wanted, view, _IN_A_PAGE, page_token=token)
        found, token = found + page, page.token
        if not token:
            return found


def _has_ended(run) -> bool:
    trial = run.data.tags.get("tinycnn.role") == "trial"
    return run.info.status == "FINISHED" or (trial and run.info.status in set(EVERY) - {"RUNNING", "SCHEDULED"})


def _path(address: str) -> Path:
    return Path(unquote(urlparse(address).path))
