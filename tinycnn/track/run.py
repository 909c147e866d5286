"""Spec x seeds -> tracked runs. Prints nothing; a reporter is told what happens."""

import contextlib
import functools
import itertools

from tinycnn.errors import Diverged, SpecError, StoreTrouble, UserError
from tinycnn.launch import slurm
from tinycnn.launch.local import WorkerLost, computing_with, map_tasks
from tinycnn.track import verdict
from tinycnn.track.forwarding import Ended, Forwarding, pass_on
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.track.record import ParentRecord
from tinycnn.track.seed import opened, train_seed
from tinycnn.track.together import fit_together, train_job, train_together
from tinycnn.train import checkpoint

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
    store, several, done = opened(reporter), range(first, first + seeds), {}
    if missing:
        from tinycnn.track import select

        done = {seed: each for seed, each in select.finished(store(), plan).items() if seed in several}
    if seeds > 1 or cluster:
        run_id = None
        if cluster:
            from tinycnn.track import jobs

            run_id = jobs.to_join(store(), plan, several)
        return train_several(plan, several, done, store, reporter, run_id, workers=workers, cluster=cluster)
    if first in done:
        return outcome(plan, [done[first]], done[first]["run_id"], store)
    summary, failure = train_seed(plan, first, store, reporter)
    return outcome(plan, [summary], summary["run_id"], store, failure)


def train_several(
    plan: Plan, seeds: range, done: dict, store, reporter, run_id=None, *, workers=1, threads=1, cluster=None
) -> dict:
    """Train the seeds that are not ``done``, each as a child of a parent, a new one, or the one of that id."""
    from tinycnn.track import select

    if plan.device.type != "cpu":
        workers = 1
    with computing_with(threads), ParentRecord(plan, seeds, done, store, reporter) as record:
        record.open(run_id)
        parent, summaries = record.run.id, dict(done)
        begun = select.children(store(), parent, plan.tags) if run_id else {}
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


def outcome(plan: Plan, summaries: list[dict], run_id: str, store, undelivered: str = "") -> dict:
    """Return what the seeds came to as plain values."""
    word, reason = verdict.judge(plan.spec, summaries, kind=plan.data.kind, fallback=bool(plan.fallback))
    evaluated = None
    if not undelivered:
        from tinycnn.track import select

        with contextlib.suppress(StoreTrouble):
            evaluated = select.specs_evaluated(store(), plan)
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
