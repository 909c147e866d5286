"""A run's jobs on a cluster: where they are recorded, and what one that begins anew finds done."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from tinycnn.errors import UserError
from tinycnn.launch import slurm
from tinycnn.track import select
from tinycnn.train import checkpoint
from tinycnn.train.device import pick_device


def folder(run_id: str) -> Path:
    """Return the folder that holds the jobs of a run, whether there are any or not."""
    return checkpoint.folder(run_id) / checkpoint.JOBS


def cluster_of(run_id: str, given: slurm.Cluster | None) -> slurm.Cluster | None:
    """Return the cluster that a run is continued on: the one given, or else where its jobs are, None for neither."""
    return given or slurm.recorded(folder(run_id))[0]


def queued() -> dict[str, Counter]:
    """Return of each run that has jobs in the queue, by id, how many by state. Raises UserError without Slurm."""
    runs = (path.parent.parent.name for path in sorted(checkpoint.folder(".").glob(f"*/{checkpoint.JOBS}/jobs.json")))
    return {run_id: states for run_id in runs if (states := slurm.queued(folder(run_id)))}


def to_join(store, plan, seeds: range) -> str | None:
    """Return the run of these seeds of a plan that was left to its jobs, None if there is none."""
    own = {"role": "seeds", "first_seed": seeds[0], "seeds": len(seeds)}
    tags = plan.tags | {f"tinycnn.{name}": value for name, value in own.items()}
    found = (each.info.run_id for each in store.search(tags, ("RUNNING", "KILLED", "FAILED")))
    return next((run_id for run_id in found if cluster_of(run_id, None)), None)


def on_node(plan, code: str):
    """Return a plan as a job has it: with this node's kernels. Raises UserError where it would not compute the same."""
    pick_device(str(plan.device))
    here = replace(plan)  # without the kernels that were found where it was submitted
    must_be_same(code, here.tags["tinycnn.code_hash"])
    return here


def must_be_same(submitted: str, here: str):
    """Raise UserError where the code of a job, a hash, is not that which it was submitted with."""
    if submitted != here:
        raise UserError("the code, or the compiler of its kernels, is another here than where the job was submitted")


def begun(store, plan, parent: str, tasks: list) -> tuple[dict, list]:
    """Return what seeds came to that have finished below a parent, by seed, and the other tasks.

    ``tasks``: of each seed, it and the id of the run to continue; that is here the one which a job, before it was
    requeued, may have begun.
    """
    found, finished, left = select.children(store, parent, plan.tags), {}, []
    for seed, run_id in tasks:
        entity = found.get(seed)
        done = entity is not None and entity.info.status == "FINISHED"
        if done and (summary := select.summary(store, entity, plan.spec.target)):
            finished[seed] = summary, ""
        else:
            left.append((seed, entity.info.run_id if entity else run_id))
    return finished, left
