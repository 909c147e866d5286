"""One seed -> one tracked run: ``train()`` joined to its record and its checkpoint.

A new run in a local store is made after its first epoch: importing MLflow takes longer than getting to a first batch.
"""

import contextlib
import functools
from pathlib import Path

from tinycnn.data.files import Images
from tinycnn.errors import Diverged, StoreTrouble, UserError
from tinycnn.track import verdict
from tinycnn.track.address import check_store, database
from tinycnn.track.plan import Plan
from tinycnn.train import checkpoint
from tinycnn.train.device import accelerated
from tinycnn.train.loop import predict, start, train


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
        if run_id or database() is None:  # a server may refuse the run, which is better known before training
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
            checkpoint.save(self.path, self.plan.identity(self.seed, self.run.id), state, history)
        except OSError as error:
            if not self._warned:
                self._warned = True
                self.reporter.warning(f"No checkpoint can be kept: {error}. Training continues, but cannot be resumed")
        self.record.log_epochs(history)

    def complete(self, history, state, summary):
        if self.record.complete(history, state, summary):
            checkpoint.discard(self.path)

    def _give_up(self, kind, error, trace):
        if error is not None:
            self.record.give_up(self._history)
        if isinstance(error, Diverged):
            checkpoint.discard(self.path)  # it would diverge again


def _fitting(path, plan, seed, run_id):
    """Return a checkpoint that this training can continue from. Raises UserError, saying what differs."""
    now = plan.identity(seed, run_id)
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
