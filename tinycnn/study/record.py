"""What a study leaves in the store: its own run, and a run for each trial that was trained, below that."""

import contextlib
import json
from dataclasses import dataclass, field, fields
from statistics import mean

from tinycnn.errors import StoreTrouble, UserError
from tinycnn.study import results, storage
from tinycnn.track.address import shown, studies
from tinycnn.track.mlflow_store import EVERY, PARENT

_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "diverged": "FAILED"}


@dataclass
class Outcome:
    """What came of a trial. ``value`` is the objective, None unless complete; ``accuracy`` is in percent.

    ``epochs`` has a row (see ``results.EPOCH``) for each seed and epoch trained; ``seconds`` were spent training.
    """

    value: float | None = None
    accuracy: float | None = None
    seconds: float = 0.0
    reason: str = ""
    epochs: list = field(default_factory=list)
    state: str = "complete"  # stored last, so that a trial in a state that counts has all the others


def own_run(store, found, study, plan) -> str:
    """Return the study's own MLflow run, made unless this store has it."""
    if known := found.user_attrs.get("mlflow_run"):
        try:
            return store.entity(known).info.run_id
        except StoreTrouble:
            raise
        except UserError:  # in another store
            pass
    own = {"study_digest": study.digest, "role": "study", "storage": shown(studies())}
    with store.run(f"study {study.name}", _tags(study, plan, **own)) as tracked:
        tracked.open()
        tracked.json("environment.json", plan.environment)
        tracked.text("spec.json", study.trained.to_json())
    found.set_user_attr("mlflow_run", tracked.id)
    return tracked.id


def _tags(study, plan, **own) -> dict:
    return plan.tags | {f"tinycnn.{name}": each for name, each in {"study": study.name, **own}.items()}


def record_trial(store, study, plan, trial, parent, outcome, send) -> str | None:
    """Make the MLflow run of a trial that has ended, below the study's, without figures or a model; return its id.

    So none is left RUNNING by a worker that is killed, and a trial continues where the store fails.
    """
    tags = _tags(study, plan, role="trial", trial=trial.number, worker=trial.user_attrs["worker"])
    try:
        with store.run(f"{study.name} trial {trial.number}", tags, parent) as tracked:
            tracked.open()
            tracked.params(plan.spec.brief())
            tracked.curves(_curves(outcome))
            tracked.tags({"tinycnn.trial_state": outcome.state})
            tracked.end(_STATUS[outcome.state], outcome.reason)
            return tracked.id
    except StoreTrouble as error:
        send("warning", f"{error}. The study continues, but trial {trial.number} is not in the store")


def record_missing(store, study, plan, found, parent, send):
    """Make the runs of trials that the store did not take when they ended, in place of what it has of them.

    Where the store does not take one, the others wait for the next search.
    """
    with storage.errors(), storage.locked(study.name):
        made = found.user_attrs.get("runs", {})
        for trial in found.get_trials(deepcopy=False):
            kept = trial.user_attrs
            if storage.state(trial) not in storage.TRAINED or kept["run_id"] or str(trial.number) in made:
                continue
            with contextlib.suppress(StoreTrouble):
                for each in store.search({PARENT: parent, "tinycnn.trial": trial.number}, EVERY):
                    store.delete(each.info.run_id)
            known = kept | {"value": trial.value if kept["state"] == "complete" else None}
            outcome = Outcome(**{each.name: known[each.name] for each in fields(Outcome)})
            of_trial = plan.but(study.trained.with_values(study.values(trial.params)), plan.measured)
            if not (run_id := record_trial(store, study, of_trial, trial, parent, outcome, send)):
                break
            found.set_user_attr("runs", made := made | {str(trial.number): run_id})


def end_left_runs(store, run_id):
    """End the runs of trials that a killed worker left RUNNING; one that is just being recorded ends itself after."""
    with contextlib.suppress(StoreTrouble):
        for each in store.search({PARENT: run_id}, ("RUNNING",)):
            store.kill(each.info.run_id)


def _curves(outcome) -> list[tuple[int, dict]]:
    """Return (epoch, metrics) for MLflow: of several seeds, the mean over those that reached the epoch."""
    by_epoch = {}
    for _, epoch, *values in outcome.epochs:
        by_epoch.setdefault(epoch, []).append(values)
    means = {epoch: map(mean, zip(*rows, strict=True)) for epoch, rows in by_epoch.items()}
    names = ("train/loss", "validation/loss", "validation/accuracy", "train/learning_rate")  # as a run's own
    found = [(epoch, dict(zip(names, values, strict=True))) for epoch, values in means.items()]
    if outcome.value is not None:
        found.append((0, {"objective": outcome.value}))
    return found


def record_study(tracked, study, found, result, draw, reporter):
    """Add to the study's own run what was found: numbers, tables, figures."""
    trials, curves, text = results.trials(study, found), results.curves(found), results.text(study, result)
    numbers = {f"best_{name}": result.get(name) for name in ("value", "accuracy", "parameters")}
    numbers |= {f"importance.{name}": share for name, share in result["importances"].items()}
    try:
        tracked.metrics(numbers | {"trials": result["trained"]})
        tracked.tags({"tinycnn.best_trial": result["best"], "tinycnn.best_run": result["best_run"]})
        tracked.text("study.json", json.dumps(result | {"rows": trials, "curves": curves}, indent=1) + "\n")
        tracked.description(text)
        for name, figure in draw(result, trials) if draw else ():
            tracked.figure(f"{name}.png", figure)
    except StoreTrouble as error:
        reporter.warning(f"{error}. The study is complete in its storage; search again to record it")
        tracked.failure = str(error)
