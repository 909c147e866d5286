"""One trial of a study: the training of its seeds, and what MLflow keeps of it. Knows no Optuna."""

import contextlib
import time
from dataclasses import dataclass, field
from statistics import mean

from tinycnn.errors import Diverged, StoreTrouble
from tinycnn.track.mlflow_store import Store
from tinycnn.track.run import Plan, record_tags
from tinycnn.train.loop import train

COMPLETE, PRUNED, DIVERGED = "complete", "pruned", "diverged"
TRAINED = (COMPLETE, PRUNED, DIVERGED)
"""The states of trials that the budget counts: trained to the end, or ended while training."""
_STATUS = {COMPLETE: "FINISHED", PRUNED: "KILLED", DIVERGED: "FAILED"}
COLUMNS = ("seed", "epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate")
"""Of a trial's ``epochs``."""


@dataclass
class Outcome:
    """What came of a trial. ``value`` is the objective, None unless complete; ``accuracy`` is in percent.

    ``epochs`` has a row (see COLUMNS) for each seed and epoch trained; ``seconds`` were spent training.
    """

    state: str = COMPLETE
    value: float | None = None
    accuracy: float | None = None
    seconds: float = 0.0
    reason: str = ""
    epochs: list = field(default_factory=list)


def train_trial(study, plan: Plan, report, epoch_done=lambda: None) -> Outcome:
    """Train ``plan`` once per seed of ``study`` and return what came of it.

    ``report(value, step)`` is told of each epoch of the only seed, or of each of several seeds, and returns whether to
    stop here; ``epoch_done()`` is called after every epoch. The time both take is not counted as training.
    """
    spec, outcome, last = plan.spec, Outcome(), []
    wanted = study.objective.removeprefix("validation_")
    begun, away = time.monotonic(), 0.0
    try:
        for number in range(study.seeds):
            for result in train(spec, spec.train.seed + number, data=plan.data, device=str(plan.device)):
                row = (result.epoch, result.train_loss, result.loss, result.accuracy, result.learning_rate)
                outcome.epochs.append((spec.train.seed + number, *row))
                left = time.monotonic()
                epoch_done()
                stop = study.seeds == 1 and report(getattr(result, wanted), result.epoch)
                away += time.monotonic() - left
                if stop and spec.schedule.settles(spec.train.epochs) < result.epoch < spec.train.epochs:
                    outcome.state = PRUNED
                    return outcome
            last.append(result)
            if study.seeds > 1 and report(getattr(result, wanted), number) and number + 1 < study.seeds:
                outcome.state = PRUNED
                return outcome
        outcome.value = mean(getattr(result, wanted) for result in last)
        outcome.accuracy = mean(result.accuracy for result in last)
    except Diverged as error:
        outcome.state, outcome.reason = DIVERGED, str(error)
    finally:
        outcome.seconds = time.monotonic() - begun - away
    return outcome


def recorded(store: Store, study, plan: Plan, number: int, parent: str | None, worker: int, begun, training, warn):
    """Call ``training()`` for an Outcome, as a run below the study's; lean: no figures, no model, one call at its end.

    ``begun(run_id)`` is told the run. A store in trouble does not stop the trial: its numbers are in Optuna too.
    """
    own = {"role": "trial", "study": study.name, "trial": number, "worker": worker}
    tags = plan.tags | record_tags(plan) | {f"tinycnn.{name}": value for name, value in own.items()}
    with store.run(f"{study.name} trial {number}", tags, parent) as tracked:

        @contextlib.contextmanager
        def spared():
            try:
                yield
            except StoreTrouble as error:
                if not tracked.failure:
                    warn(f"{error}. The study goes on; the record of trial {number} is not complete")
                tracked.failure = str(error)

        with spared():
            tracked.open()
            begun(tracked.id)
        outcome = training()
        with spared():
            tracked.everything(
                plan.spec.brief(),
                curves(study, outcome) + ([] if outcome.value is None else [(0, {"objective": outcome.value})]),
                {"tinycnn.trial_state": outcome.state},
            )
            tracked.end(_STATUS[outcome.state], outcome.reason)
    return outcome


def curves(study, outcome: Outcome) -> list[tuple[int, dict]]:
    """Return (epoch, metrics) as MLflow gets them: of several seeds, the mean over those that came to the epoch."""
    by_epoch = {}
    for _, epoch, *values in outcome.epochs:
        by_epoch.setdefault(epoch, []).append(values)
    means = {epoch: [mean(each) for each in zip(*rows, strict=True)] for epoch, rows in by_epoch.items()}
    found = [(epoch, dict(zip(COLUMNS[2:], values, strict=True))) for epoch, values in means.items()]
    if outcome.accuracy is not None:
        found.append((found[-1][0], {"last_accuracy": outcome.accuracy}))
    return found


def study_tags(study, plan: Plan, storage: str) -> dict:
    """Return the tags of a study's own run."""
    identity = {"tinycnn.study": study.name, "tinycnn.study_digest": study.digest, "tinycnn.role": "study"}
    return plan.tags | record_tags(plan) | identity | {"tinycnn.storage": storage}
