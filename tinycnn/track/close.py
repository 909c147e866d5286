"""Runs that were left by the process that trained them: which there are, where they can be continued, closing one."""

import contextlib
import socket
from pathlib import Path

from tinycnn.errors import UserError
from tinycnn.launch import slurm
from tinycnn.spec.load import FOLDER, names
from tinycnn.track import jobs, select
from tinycnn.track.mlflow_store import PARENT, Store, facts
from tinycnn.train import checkpoint

_ROLES = ("seed", "rerun", "seeds")


def close(run_id: str, announce=lambda line: None) -> str:
    """End an interrupted run for good: KILLED, with what was logged; its checkpoint goes. Return what was done.

    Its jobs on a cluster are cancelled.
    """
    store = Store(announce)
    entity = made_here(store.entity(run_id), store)
    must_be_here(entity)
    deleted, ended = discard_checkpoints(entity), "had ended"
    for each in {each.info.run_id: each for each in [*seeds_of(store, entity), entity]}.values():
        if each.info.status == "RUNNING":
            ended = "is now KILLED"
            store.kill(each.info.run_id)
    gone = f"deleted: {', '.join(map(str, deleted))}" if deleted else "there was no checkpoint to delete"
    return f"run {run_id} {ended}; what was logged is kept, {gone}"


def left_over(store: Store) -> list[dict]:
    """Return the runs that no living process of this machine is training, though they are RUNNING or have a checkpoint.

    ``where`` is "" for those that can be resumed from here; ``again`` is the command that continues a study or sweep.
    """
    every = {each.info.run_id: each for each in store.search({}, ("RUNNING",))}
    roles = *_ROLES, "study", "sweep"
    running = {i: each for i, each in every.items() if each.data.tags.get("tinycnn.role") in roles}
    left_to_jobs = jobs.queued()
    found, parents = [], {each.data.tags.get(PARENT) for each in running.values()}
    for run_id, entity in running.items():
        tags, owner = entity.data.tags, entity.data.tags.get(PARENT) or run_id
        if tags.get(PARENT) not in running and not checkpoint.is_claimed(owner) and owner not in left_to_jobs:
            row = {"run_id": run_id, "name": entity.info.run_name, "status": "RUNNING", "where": ""}
            if again := _continued_by(tags):
                row["again"] = again
            elif not _is_here(entity):
                row["where"] = ", ".join(_begun(entity))
            found.append(row)
    root = checkpoint.folder(".")
    waiting = {path.relative_to(root).parts[0]: path for path in sorted(root.rglob("seed-*.pt"))}
    for run_id, path in waiting.items():
        if run_id not in running.keys() | parents | left_to_jobs.keys() and not checkpoint.is_claimed(run_id):
            found.append({"run_id": run_id, "name": f"checkpoint {path}", "status": "ended", "where": ""})
            if path.parent.parent != root:  # an arm of a sweep
                with contextlib.suppress(UserError):  # whose run is in another store
                    found[-1]["again"] = _continued_by(store.entity(run_id).data.tags)
    return found


def again(run_id: str) -> str:
    """Return the command that continues a run, or the study or sweep that it is of."""
    return _continued_by(Store().entity(run_id).data.tags) or f"resume {run_id}"


def made_here(entity, store=None):
    """Return a run that tinycnn made, and can make again. Raises UserError for any other.

    With its ``store``, for one to be continued: what is below a sweep is not.
    """
    run_id, tags = entity.info.run_id, entity.data.tags
    parent = tags.get(PARENT) if store else None
    if again := _continued_by(tags) or (parent and _continued_by(store.entity(parent).data.tags)):
        raise UserError(f"run {run_id}: belongs to a study or sweep: `python -m tinycnn {again}` continues that")
    if tags.get("tinycnn.role") not in _ROLES:
        raise UserError(f"run {run_id}: was not made by tinycnn")
    return entity


def _continued_by(tags) -> str:
    """Return the command that continues the study or sweep whose run this is, "" for other runs.

    Of one that is not in its folder, as it was given as a file, the path is not known.
    """
    for command, kind, folder in (("search", "study", "studies"), ("sweep", "sweep", "sweeps")):
        if name := tags.get(f"tinycnn.{kind}"):
            return f"{command} {name if name in names(FOLDER / folder) else f'PATH/{name}.py'}"
    return ""


def seeds_of(store, entity) -> list:
    """Return the runs of one seed that a run consists of: itself, or a parent's children and those that it took."""
    tags = entity.data.tags
    if tags["tinycnn.role"] != "seeds":
        return [entity]
    found, first = select.children(store, entity.info.run_id, tags), int(tags["tinycnn.first_seed"])
    return [found[seed] for seed in range(first, first + int(tags["tinycnn.seeds"])) if seed in found]


def discard_checkpoints(entity) -> list[Path]:
    """Delete the checkpoints of a run that has ended, and return them. Raises UserError where it is being trained."""
    tags = entity.data.tags
    with checkpoint.claimed(tags.get(PARENT) or entity.info.run_id) as folder:
        name = "seed-*.pt" if tags["tinycnn.role"] == "seeds" else f"seed-{tags['tinycnn.seed']}.pt"
        if tags["tinycnn.role"] == "seeds":
            slurm.cancel(folder / checkpoint.JOBS)
        found = sorted(folder.glob(name))
        for path in found:
            checkpoint.discard(path)
    return found


def must_be_here(entity):
    """Raise UserError where a run's checkpoints lie on another machine or in another folder, or a job trains it."""
    parent = entity.data.tags.get(PARENT)
    if parent and slurm.queued(jobs.folder(parent)):
        raise UserError(f"run {entity.info.run_id}: its parent has jobs in the queue: resume or close that, {parent}")
    if not _is_here(entity):
        host, folder = _begun(entity)
        raise UserError(
            f"run {entity.info.run_id}: was begun on {host} with its checkpoints in {folder}; continue there, or set "
            "TINYCNN_CHECKPOINTS to that folder"
        )


def _is_here(entity) -> bool:
    here = checkpoint.folder(".")
    own = here / (entity.data.tags.get(PARENT) or entity.info.run_id)
    return own.is_dir() or _begun(entity) == (socket.gethostname(), str(here))


def _begun(entity) -> tuple[str, str]:
    """Return the machine that a run was begun on, and the folder of its checkpoints there."""
    found = facts(entity)
    return found.get("host", "an unknown machine"), found.get("checkpoints", "an unknown folder")
