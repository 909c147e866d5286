"""One seed of a spec, trained and recorded as one run.

A new run in a local store is made after its first epoch: importing MLflow takes longer than getting to a first batch.
"""

import functools
from pathlib import Path

from tinycnn.data.files import Images
from tinycnn.errors import Diverged, UserError
from tinycnn.track import verdict
from tinycnn.track.address import check_store, database
from tinycnn.track.interruption import uninterrupted
from tinycnn.track.plan import Plan
from tinycnn.track.record import SeedRecord
from tinycnn.train import train
from tinycnn.train.device import accelerated
from tinycnn.train.loop import predict, start


def opened(reporter):
    """Return a function that returns the store: opened now where it is a server, else when first asked for."""

    @functools.cache
    def store():
        with uninterrupted():
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
    recording, progress = recorded(plan, seed, store, reporter, **where), functools.partial(reporter.images, seed)
    try:
        state = next(recording)
        for result in train(plan.spec, seed, data=plan.data, device=str(plan.device), progress=progress, state=state):
            recording.send(result)
    except StopIteration as finished:
        return finished.value
    except BaseException as error:
        recording.throw(error)
        raise


def recorded(plan, seed, store, reporter, *, run_id=None, parent: str | None = None, folder: Path | None = None):
    """Record the training of one seed: yields its state until it is sent the EpochResult that the state has reached.

    Returns the run's summary and what the store lacks. What is thrown in is recorded as the end of the run.
    """
    if any(plan.code[name] != digest for name, digest in plan.spec.loss.used().items()):
        once_more = "start this again when that has ended, or set TINYCNN_CHECKPOINTS to a folder of its own"
        raise UserError(f"{plan.spec.name}: loss: another run has brought another teacher here; {once_more}")
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
