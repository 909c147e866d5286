"""Spec x seeds -> tracked runs: ``train()`` joined to its record. Prints nothing; a reporter is told what happens.

A new run in a local store is made after its first epoch: importing MLflow takes longer than getting to a first batch.
"""

import contextlib
import functools
import itertools
from dataclasses import replace
from pathlib import Path

from tinycnn.data.files import Images
from tinycnn.errors import Diverged, SpecError, StoreTrouble, UserError
from tinycnn.launch import slurm
from tinycnn.launch.local import WorkerLost, computing_with, map_tasks
from tinycnn.track import verdict
from tinycnn.track.address import check_store, database
from tinycnn.track.forwarding import Ended, Forwarding, pass_on
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.track.record import ParentRecord, SeedRecord
from tinycnn.train import batched, checkpoint, train
from tinycnn.train.device import accelerated
from tinycnn.train.loop import predict, start

__all__ = ["Plan", "Reporter", "prepare", "run"]


def run(
    plan: Plan, *, seeds=1, first_seed: int | None = None, missing=False, workers=1, cluster=None, reporter=None
) -> dict:
    """Train ``plan`` once per seed and return the results as plain values, as ``run --json`` prints them.

    One seed makes one MLflow run; several make a parent run with a child each, which up to ``workers`` processes train
    side by side on the CPU, each child with one thread: the numbers do not depend on the processes. With ``missing``,
    seeds that have finished before with the same spec, data and code are not trained again, and their figures are taken
    from the store. With a ``cluster`` each seed is a job there, and a run that was left to its jobs is joined. Raises
    UserError where the store takes no run at all; what it refuses later waits in a checkpoint, and the result says so
    under ``undelivered``.
    """
    reporter = reporter or Reporter()
    first = plan.spec.train.seed if first_seed is None else first_seed
    if first + seeds > 2**32:
        raise SpecError(f"{plan.spec.name}: train.seed: the last seed, {first + seeds - 1}, is more than {2**32 - 1}")
    store = opened(reporter)
    done = {}
    if missing:
        from tinycnn.track import select

        done = select.finished(store(), plan)
    if seeds > 1 or cluster:
        several, run_id = range(first, first + seeds), None
        if cluster:
            from tinycnn.track import jobs

            run_id = jobs.to_join(store(), plan, several)
        return train_several(plan, several, done, store, reporter, run_id, workers=workers, cluster=cluster)
    if first in done:
        return outcome(plan, [done[first]], done[first]["run_id"], store)
    summary, failure = train_seed(plan, first, store, reporter)
    return outcome(plan, [summary], summary["run_id"], store, failure)


def opened(reporter):
    """Return a function that returns the store: opened now where it is a server, else when first asked for."""

    @functools.cache
    def store():
        from tinycnn.track.mlflow_store import Store

        return Store(reporter.notice)

    if not check_store():
        store()
    return store


def train_seed(plan: Plan, seed: int, store, reporter, **where) -> tuple[dict, str]:
    """Train one seed as one run, from its checkpoint if it has one; return its summary and what the store lacks.

    ``where``: the ``run_id`` to continue, or else a new run; the ``parent`` of which it is a child; the ``folder`` of
    checkpoints, where the caller has claimed that.
    """
    recording, progress = _recorded(plan, seed, store, reporter, **where), functools.partial(reporter.images, seed)
    try:
        state = next(recording)
        for result in train(plan.spec, seed, data=plan.data, device=str(plan.device), progress=progress, state=state):
            recording.send(result)
    except StopIteration as finished:
        return finished.value
    except BaseException as error:
        recording.throw(error)
        raise


def _recorded(plan, seed, store, reporter, *, run_id=None, parent: str | None = None, folder: Path | None = None):
    """Record the training of one seed: yields its state until it is sent the EpochResult that the state has reached.

    Returns the run's summary and what the store lacks. What is thrown in is recorded as the end of the run.
    """
    spec, state, history = plan.spec, start(plan.spec, seed, plan.data, plan.device), []
    with SeedRecord(plan, seed, store, reporter, parent, folder) as record:
        if run_id or database() is None:  # a server may refuse the run, which is better known before training
            record.open(run_id)
            history = record.restored(state)
        reporter.started(plan, seed, history)
        try:
            while state.epoch < spec.train.epochs:
                result = yield state
                history.append(result)
                record.epoch(state, history)
                reporter.epoch(seed, result)
        except Diverged:
            record.diverged()
            raise
        if state.logits is None:  # the checkpoint was that of the last epoch
            images = Images(plan.data.evaluation.images.to(plan.device), plan.data.evaluation.labels)
            state.logits = predict(accelerated(spec, state.result, plan.device), images, plan.data, spec)
        summary = verdict.summarise(history, spec.target) | {"seed": seed, "run_id": record.run.id}
        record.complete(history, state, summary)
    reporter.finished(seed, history)
    return summary, record.run.failure


def train_several(
    plan: Plan, seeds: range, done: dict, store, reporter, run_id=None, *, workers=1, threads=1, cluster=None
) -> dict:
    """Train the seeds that are not ``done``, each as a child of a parent, a new one, or the one of that id."""
    from tinycnn.track import select

    if plan.device.type != "cpu":
        workers = 1
    with computing_with(threads), ParentRecord(plan, seeds, done, store, reporter) as record:
        record.open(run_id)
        parent, summaries = record.run.id, {seed: done[seed] for seed in seeds if seed in done}
        begun = select.children(store(), parent, plan.spec.hash) if run_id else {}
        for seed, child in begun.items():
            if child.info.status == "FINISHED" and (summary := select.summary(store(), child, plan.spec.target)):
                summaries[seed] = summary
        tasks = [(s, begun[s].info.run_id if s in begun else None) for s in seeds if s not in summaries]
        train_child = functools.partial(_train_child, plan, parent, record.folder)
        on_event = functools.partial(pass_on, plan, reporter)
        try:
            if cluster:
                trained = _train_in_jobs(plan, parent, record.folder, tasks, cluster, threads, reporter)
            elif fit_together(plan, tasks, reporter):
                trained = train_together(plan, tasks, opened(reporter), reporter, parent=parent, folder=record.folder)
            else:
                trained = map_tasks(train_child, tasks, workers=workers, threads=threads, on_event=on_event)
        except WorkerLost as error:
            way = f"; `python -m tinycnn resume {parent}` continues from there"
            raise UserError(f"{plan.spec.name}: {error}{way}") from None
        if diverged := [each for each in trained if isinstance(each, Diverged)]:
            raise diverged[0]
        summaries |= {summary["seed"]: summary for summary, _ in trained}
        failure = next((failure for _, failure in trained if failure), "")
        result = outcome(plan, [summaries[seed] for seed in seeds], parent, store, failure)
        if failure:
            record.run.failure = failure
        elif not record.complete(result):
            result["undelivered"] = record.run.failure
    return result


def _train_child(plan, parent, folder, task, send):
    """Train one of several seeds, perhaps in a process of its own."""
    seed, run_id = task
    reporter = Forwarding(send)
    return train_seed(plan, seed, opened(reporter), reporter, run_id=run_id, parent=parent, folder=folder)


def _train_in_jobs(plan, parent, folder, tasks, cluster, threads, reporter) -> list:
    """Train each seed in a job of its own, or, where they fit together on a GPU, all in one; return as one does."""
    groups = [tasks] if fit_together(plan, tasks, reporter) else [[task] for task in tasks]
    names = ["all seeds"] if len(groups) < len(tasks) else [f"seed {seed}" for seed, _ in tasks]
    train_job = functools.partial(_train_job, plan, parent, folder, plan.tags["tinycnn.code_hash"])
    how = {"folder": folder / checkpoint.JOBS, "cluster": cluster, "threads": threads}
    on_event = functools.partial(pass_on, plan, reporter)
    return [*itertools.chain(*slurm.map_tasks(train_job, groups, names=names, on_event=on_event, **how))]


def _train_job(plan, parent, folder, code, tasks, send):
    return train_job(plan, code, tasks, Ended(send), parent=parent, folder=folder)


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
    recordings = {seed: _recorded(plan, seed, store, reporter, run_id=run_id, **where) for seed, run_id in tasks}

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


def outcome(plan: Plan, summaries: list[dict], run_id: str, store, undelivered: str = "") -> dict:
    """Return what the seeds came to as plain values."""
    word, reason = verdict.judge(plan.spec, summaries, kind=plan.data.kind, fallback=bool(plan.fallback))
    evaluated = None
    if not undelivered:
        from tinycnn.track import select

        with contextlib.suppress(StoreTrouble):
            evaluated = select.specs_evaluated(store(), plan.data.digest)
    return {
        "experiment": plan.spec.name,
        "specs_evaluated": evaluated,
        "spec_hash": plan.spec.hash,
        "data": plan.data.name,
        "fallback": bool(plan.fallback),
        "evaluated_on": plan.data.kind,
        "parameters": plan.measured.parameters,
        "epochs": plan.spec.train.epochs,
        "run_id": run_id,
        "undelivered": undelivered or None,
        "verdict": word,
        "reason": reason,
        **verdict.total(summaries, len(plan.data.evaluation.labels)),
        "seeds": summaries,
    }
