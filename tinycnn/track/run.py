"""Spec x seeds -> tracked runs: ``train()`` joined to tracking. Prints nothing; a reporter is told what happens.

A new run in a local store is made after its first epoch: importing MLflow takes as long as many trainings' first batch.
"""

import contextlib
import functools
import time
from dataclasses import replace
from pathlib import Path

import torch

from tinycnn.data.files import Images
from tinycnn.errors import Diverged, SpecError, StoreTrouble, UserError
from tinycnn.launch.local import WorkerLost, computing_with, map_tasks
from tinycnn.track import verdict
from tinycnn.track.address import check_store
from tinycnn.track.plan import Plan, Reporter, prepare, record_tags
from tinycnn.train import checkpoint
from tinycnn.train.device import accelerated
from tinycnn.train.loop import predict, start, train

__all__ = ["Plan", "Reporter", "open_store", "prepare", "run", "train_seed", "train_several"]


def run(
    plan: Plan, *, seeds: int = 1, first_seed: int | None = None, missing=False, workers: int = 1, reporter=None
) -> dict:
    """Train ``plan`` once per seed and return the results as plain values, as ``run --json`` prints them.

    One seed makes one MLflow run; several make a parent run with a child each, which up to ``workers`` processes train
    side by side on the CPU, each child with one thread: the numbers do not depend on the processes. With ``missing``,
    seeds that have finished before with the same spec, data and code are not trained again, and their figures are taken
    from the store. Raises UserError where the store takes no run at all; what it refuses later waits in a
    checkpoint, and the result says so under ``undelivered``.
    """
    reporter = reporter or Reporter()
    first = plan.spec.train.seed if first_seed is None else first_seed
    if first + seeds > 2**32:
        raise SpecError(f"{plan.spec.name}: train.seed: the last seed, {first + seeds - 1}, is more than {2**32 - 1}")
    store = open_store(reporter)
    done = {}
    if missing:
        from tinycnn.track import select

        done = select.finished(store(), plan)
    if seeds > 1:
        return train_several(plan, range(first, first + seeds), done, store, reporter, workers=workers)
    if first in done:
        return outcome(plan, [done[first]], done[first]["run_id"], store)
    summary, failure = train_seed(plan, first, store, reporter)
    return outcome(plan, [summary], summary["run_id"], store, failure)


def open_store(reporter):
    """Return a function that returns the store: opened now where it is a server, else when first asked for."""

    @functools.cache
    def store():
        from tinycnn.track.mlflow_store import Store

        return Store(reporter.notice)

    if not check_store():
        store()
    return store


def train_seed(
    plan: Plan,
    seed: int,
    store,
    reporter,
    *,
    run_id: str | None = None,
    parent: str | None = None,
    folder: Path | None = None,
) -> tuple[dict, str]:
    """Train one seed as one run, from its checkpoint if it has one; return its summary and what the store lacks.

    ``run_id``: the run to continue, or else a new one; ``parent``: of which it is a child; ``folder``: of checkpoints,
    where the caller has claimed that.
    """
    spec, state, history = plan.spec, start(plan.spec, seed, plan.data, plan.device), []
    tracked = _Tracked(plan, seed, store, reporter, parent, folder)
    with tracked:
        if run_id or not check_store():
            tracked.open(run_id)
            history = tracked.restored(state)
        reporter.started(plan, seed, history)
        progress = functools.partial(reporter.images, seed)
        try:
            for result in train(spec, seed, data=plan.data, device=str(plan.device), progress=progress, state=state):
                history.append(result)
                tracked.epoch(state, history)
                reporter.epoch(seed, result)
        except Diverged:
            if tracked.run is None:  # in its first epoch, and that is worth a record
                tracked.open()
            raise
        if state.logits is None:  # the checkpoint was that of the last epoch
            evaluated_on = plan.data.evaluation.images.to(plan.device), plan.data.evaluation.labels
            network = accelerated(spec, state.result, plan.device)
            state.logits = predict(network, Images(*evaluated_on), plan.data, spec)
        summary = verdict.summarise(history, spec.target) | {"seed": seed, "run_id": tracked.run.id}
        tracked.complete(history, state, summary)
    reporter.finished(seed, history)
    return summary, tracked.run.failure


class _Tracked(contextlib.ExitStack):
    """A training's run, record and checkpoint, which are opened when there is something to keep."""

    def __init__(self, plan, seed, store, reporter, parent, folder):
        super().__init__()
        self.plan, self.seed, self.store, self.reporter = plan, seed, store, reporter
        self.parent, self.folder, self.run, self._history, self._warned = parent, folder, None, [], False

    def open(self, run_id: str | None = None):
        from tinycnn.track.record import SeedRecord

        name, tags = self.plan.name(f"seed {self.seed}"), self.plan.seed_tags(self.seed)
        self.run = self.enter_context(self.store().run(name, tags, self.parent, run_id))
        if run_id is None:
            self.run.open()
        self.folder = self.folder or self.enter_context(checkpoint.claimed(self.parent or self.run.id))
        self.path = self.folder / f"seed-{self.seed}.pt"
        self.record = SeedRecord(self.run, self.plan, self.seed, self.reporter.warning)
        self.push(self._give_up)
        self.reporter.recorded(self.seed, self.run.id)

    def restored(self, state) -> list:
        """Put the checkpoint, if there is one, into ``state``; return the history, and deliver what the store lacks."""
        if self.path.exists():
            self._history = checkpoint.restore(state, _fitting(self.path, self.plan, self.seed, self.run.id))
            self.record.log_epochs(self._history)
        return list(self._history)

    def epoch(self, state, history):
        if self.run is None:
            self.open()
        self._history = history
        try:
            checkpoint.save(self.path, self._identity(), state, history)
        except OSError as error:
            if not self._warned:
                self._warned = True
                self.reporter.warning(f"No checkpoint can be kept: {error}. Training continues, but cannot be resumed")
        self.record.log_epochs(history)

    def complete(self, history, state, summary):
        if self.record.complete(history, state, summary):
            checkpoint.discard(self.path)

    def _identity(self):
        from tinycnn.track.record import identity

        return identity(self.plan, self.seed, self.run.id)

    def _give_up(self, kind, error, trace):
        if error is not None:
            self.record.give_up(self._history)
        if isinstance(error, Diverged):
            checkpoint.discard(self.path)  # it would diverge again


def _fitting(path, plan, seed, run_id):
    """Return a checkpoint that this training can continue from. Raises UserError, saying what differs."""
    from tinycnn.track.record import identity

    now = identity(plan, seed, run_id)
    saved = checkpoint.load(path, tuple(now))
    for what in now:
        then, here = saved.identity[what], now[what]
        if what == "spec" or then == here:  # its notes may have changed: the hash is compared
            continue
        if what == "code":
            problem = f"other code, {changed(then, here)} changed"
        else:
            problem = f"another {what.replace('_', ' ')}, {_plain(then)}, here {_plain(here)}"
        raise UserError(f"checkpoint {path}: is of {problem}; go back to that, or delete the checkpoint")
    return saved


def changed(then: dict, now: dict) -> str:
    """Name what differs in the code of two runs, e.g. ``tinycnn/train/loop.py:train and 2 more have``."""
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{shown} {'has' if len(names) == 1 else 'have'}"


def _plain(value):
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else value


def train_several(
    plan: Plan, seeds: range, done: dict, store, reporter, run_id: str | None = None, *, workers=1, threads=1
) -> dict:
    """Train the seeds that are not ``done``, each as a child of a parent, a new one, or the one of that id."""
    from tinycnn.track import select
    from tinycnn.track.record import ParentRecord

    if plan.device.type != "cpu":
        workers, threads = 1, torch.get_num_threads()
    with computing_with(threads):  # so it stands in the parent's record, as in those of its children
        tags = plan.tags | record_tags(plan) | {"tinycnn.role": "seeds", "tinycnn.first_seed": seeds[0]}
    tags |= {"tinycnn.seeds": len(seeds), "tinycnn.seeds_taken": " ".join(map(str, done))}
    summaries = {seed: done[seed] for seed in seeds if seed in done}
    with store().run(plan.name(f"seeds {seeds[0]} to {seeds[-1]}"), tags, run_id=run_id) as tracked:
        if run_id is None:
            tracked.open()
        with checkpoint.claimed(tracked.id) as folder:
            record = ParentRecord(tracked, plan, reporter.warning)
            record.deliver()
            reporter.parent(plan, seeds, tracked.id)
            begun = {} if run_id is None else select.children(store(), tracked.id, plan.spec.hash)
            for seed in [seed for seed, child in begun.items() if child.info.status == "FINISHED"]:
                if summary := select.summary(store(), begun.pop(seed), plan.spec.target):
                    summaries[seed] = summary
            tasks = [(seed, begun[seed].info.run_id if seed in begun else None) for seed in seeds]
            tasks = [(seed, child) for seed, child in tasks if seed not in summaries]
            try:
                trained = map_tasks(
                    functools.partial(_train_child, plan, tracked.id, folder),
                    tasks,
                    workers=workers,
                    threads=threads,
                    on_event=functools.partial(_report, plan, reporter),
                )
            except WorkerLost as error:
                way = f"; `python -m tinycnn resume {tracked.id}` continues from there"
                raise UserError(f"{plan.spec.name}: {error}{way}") from None
            summaries |= {summary["seed"]: summary for summary, _ in trained}
            failure = next((failure for _, failure in trained if failure), "")
            result = outcome(plan, [summaries[seed] for seed in seeds], tracked.id, store, failure)
            if failure:
                tracked.failure = failure
            elif not record.complete(result):
                result["undelivered"] = tracked.failure
    return result


def _train_child(plan, parent, folder, task, send):
    """Train one of several seeds, perhaps in a process of its own."""
    seed, run_id = task
    reporter = _Forwarding(send)
    return train_seed(plan, seed, open_store(reporter), reporter, run_id=run_id, parent=parent, folder=folder)


class _Forwarding(Reporter):
    """Reports to the process that ``send`` leads to: what can be pickled, and not each batch at once."""

    def __init__(self, send):
        self._send, self._count, self._sent = send, 0, time.monotonic()

    def notice(self, line):
        self._send("notice", line)

    def warning(self, line):
        self._send("warning", line)

    def started(self, plan, seed, history):
        self._send("started", seed, [replace(result, state=None) for result in history])

    def recorded(self, seed, run_id):
        self._send("recorded", seed, run_id)

    def images(self, seed, count):
        self._count += count
        if time.monotonic() - self._sent > 0.1:  # seconds
            self._send("images", seed, self._count)
            self._count, self._sent = 0, time.monotonic()

    def epoch(self, seed, result):
        self._send("images", seed, self._count)
        self._count = 0
        self._send("epoch", seed, replace(result, state=None))

    def finished(self, seed, history):
        self._send("finished", seed, [replace(result, state=None) for result in history])


def _report(plan, reporter, what, *content):
    getattr(reporter, what)(*((plan,) if what == "started" else ()), *content)


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
