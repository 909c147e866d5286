"""Several seeds in one process: as one computation on a GPU, or in one job of a cluster."""

import contextlib
from dataclasses import replace

from tinycnn.errors import Diverged
from tinycnn.track.seed import opened, recorded, train_seed
from tinycnn.train import batched


def train_job(plan, code: str, tasks, reporter, *, parent, folder) -> list[tuple[dict, str] | Diverged]:
    """Train seeds in a job that may have been requeued; return what ``train_together`` does.

    ``code`` is the hash of the code that it was submitted with.
    """
    from tinycnn.track import jobs

    plan, store, where = jobs.on_node(plan, code), opened(reporter), {"parent": parent, "folder": folder}
    finished, left = jobs.begun(store(), plan, parent, tasks)
    trained = train_group(plan, left, store, reporter, **where)
    every = finished | {seed: result for (seed, _), result in zip(left, trained, strict=True)}
    return [every[seed] for seed, _ in tasks]


def train_group(plan, tasks, store, reporter, **where) -> list[tuple[dict, str] | Diverged]:
    """Train several seeds as ``train_together`` does, or the only one; return what that does."""
    if len(tasks) > 1:
        return train_together(plan, tasks, store, reporter, **where)
    try:
        return [train_seed(plan, seed, store, reporter, run_id=run_id, **where) for seed, run_id in tasks]
    except Diverged as error:
        return [error]


def fit_together(plan, tasks, reporter) -> bool:
    """Tell whether seeds are trained as one computation: on CUDA, where one small network leaves the device idle."""
    if plan.device.type != "cuda" or len(tasks) < 2:
        return False
    if obstacle := batched.obstacle(plan.spec, plan.data):
        reporter.notice(f"{obstacle}, so the seeds train one after the other and not as one computation")
    return not obstacle


def train_together(plan, tasks, store, reporter, **where) -> list[tuple[dict, str] | Diverged]:
    """Train seeds as one computation, each recorded as a run of its own; those that were cut off apart, in turn.

    ``tasks``: of each seed, it and the id of the run to continue, or None. Returns what ``train_seed`` does for each,
    or the exception of one that diverged, which leaves the others as they are.
    """
    plan, ended, states = replace(plan, together=len(tasks)), {}, {}
    recordings = {seed: recorded(plan, seed, store, reporter, run_id=run_id, **where) for seed, run_id in tasks}

    def record(seed, result):
        try:
            diverged = isinstance(result, Diverged)
            states[seed] = recordings[seed].throw(result) if diverged else recordings[seed].send(result)
        except StopIteration as finished:
            ended[seed] = finished.value
        except Diverged as error:
            ended[seed] = error

    try:
        for seed in recordings:
            record(seed, None)
        for epoch in sorted({state.epoch for state in states.values()}):
            seeds = [seed for seed, state in states.items() if state.epoch == epoch and seed not in ended]
            options = {"data": plan.data, "device": plan.device, "progress": reporter.images}
            for results in batched.train_together(plan.spec, seeds, [states[seed] for seed in seeds], **options):
                for seed, result in zip(seeds, results, strict=True):
                    if result is not None:
                        record(seed, result)
    except BaseException as error:
        for recording in recordings.values():
            with contextlib.suppress(BaseException):
                recording.throw(error)
        raise
    return [ended[seed] for seed in recordings]
