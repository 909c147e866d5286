"""Study -> tracked runs: workers that ask Optuna for values, train them, and record what came of it."""

import contextlib
import functools
import json
import time
from dataclasses import dataclass, field, replace
from statistics import mean

from tinycnn import source
from tinycnn.errors import Diverged, OverLimit, SpecError, StoreTrouble, UserError
from tinycnn.launch import local as launch
from tinycnn.launch import slurm
from tinycnn.network.check import check
from tinycnn.study import results, storage
from tinycnn.study.definition import Study, check_study
from tinycnn.track import jobs, provenance
from tinycnn.track.address import shown, studies
from tinycnn.track.mlflow_store import PARENT, Store
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.train import checkpoint, train

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


class Watcher(Reporter):
    """What a study reports to whoever watches it; this one keeps silent."""

    def study(self, study: Study, budget: int, done: int, best: float | None, workers: int, run_id: str): ...
    def trial(self, number: int, outcome: Outcome, values: dict, parameters: int): ...


def run(
    study: Study, *, trials=None, workers=1, cluster=None, device="auto", offline=False, reporter=None, draw=None
) -> dict:
    """Search until ``trials`` (or the study's own number) have been trained, in all, and return ``results.results``.

    What other processes and earlier sessions did counts. ``workers`` processes share the cores; None is one per core,
    and on an accelerator one in all. On a ``cluster`` they are jobs, those of an earlier call included. ``draw(result,
    trials, curves)`` yields (name, figure) for the study's MLflow run. Raises SpecError for a study that is not valid,
    UserError where its data, its storage or the store cannot be used, and OverLimit where so many trials were refused
    that the search was given up: what there is is kept.
    """
    reporter, budget = reporter or Watcher(), trials or study.trials
    for line in check_study(study):
        reporter.notice(line)
    if cluster and not workers:
        raise SpecError("--launch slurm: say how many jobs search, e.g. --workers 8")
    unjudged = study.trained.with_values({"target.parameter_limit": None, "target.accuracy": None})
    plan = prepare(unjudged, device=device, offline=offline, fallback=False, reporter=reporter)
    workers = workers or (launch.cores() if plan.device.type == "cpu" else 1)
    code = source.code_hash(provenance.code(plan.spec, plan.kernels[0], study.classes))
    identity = {"definition": study.digest, "data": plan.data.digest, "code": code}
    store = Store(reporter.notice)
    with storage.errors(), storage.locked(study.name):
        found = storage.opened(study, identity=identity)
        run_id = _own_run(store, found, study, plan)
        if cluster := jobs.cluster_of(run_id, cluster):
            workers = max(workers, len(slurm.recorded(jobs.folder(run_id))[1]))  # so as to join all of them
        first = found.user_attrs.get("workers", 0) + 1
        found.set_user_attr("workers", first + workers - 1)  # no two workers ever have the same number
    before = results.results(study, found)
    reporter.study(study, budget, before["trained"], before.get("value"), workers, run_id)
    with store.run("", {}, run_id=run_id) as tracked:
        tracked.open()
        numbers = range(first, first + workers)
        try:
            if cluster:
                _launch_jobs(study, plan, budget, numbers, run_id, cluster, code, reporter)
            else:
                _launch(study, plan, budget, numbers, run_id, reporter)
        finally:
            with storage.errors(), storage.locked(study.name):
                storage.retry_lost(found)
            _end_left_runs(store, run_id)
        result = results.results(study, found) | {"run_id": run_id, "budget": budget}
        _record(tracked, study, found, result, draw, reporter)
    if storage.given_up(found, budget):
        raise OverLimit(
            f"study {study.name}: given up after {result['trained']} of {budget} trials, because most values have more "
            f"parameters than target.parameter_limit = {study.base.target.parameter_limit} or do not go together: "
            f"{result['states']}. Search smaller widths, or raise the limit"
        )
    if result["trained"] < budget:
        reporter.notice(f"{result['trained']} of {budget} trials are trained, others run elsewhere; search again then")
    return result


def _end_left_runs(store, run_id):
    """End the runs of trials that a killed worker left RUNNING; one that is just being recorded ends itself after."""
    with contextlib.suppress(StoreTrouble):
        for each in store.search({PARENT: run_id}, ("RUNNING",)):
            store.kill(each.info.run_id)


def _own_run(store, found, study, plan) -> str:
    """Return the study's own MLflow run, made unless this store has it."""
    with contextlib.suppress(UserError):  # none yet, or in another store
        return store.entity(found.user_attrs.get("mlflow_run", "")).info.run_id
    own = {"study_digest": study.digest, "role": "study", "storage": shown(studies())}
    with store.run(f"study {study.name}", _tags(study, plan, **own)) as tracked:
        tracked.open()
        tracked.json("environment.json", plan.environment)
        tracked.text("spec.json", study.trained.to_json())
    found.set_user_attr("mlflow_run", tracked.id)
    return tracked.id


def _tags(study, plan, **own) -> dict:
    return plan.tags | {f"tinycnn.{name}": each for name, each in {"study": study.name, **own}.items()}


def _launch(study, plan, budget, workers: range, run_id, reporter):
    """Let workers of these numbers search, and replace those that are killed, nine of them at most."""
    lost = []

    def retry(worker, error):
        lost.append(worker)
        reporter.warning(f"{str(error).partition(';')[0]}. Another takes its place, and its trial is tried again")
        return worker if len(lost) < 10 else None

    launch.map_tasks(
        functools.partial(_work, study, plan, budget, run_id),
        list(workers),
        workers=len(workers),
        threads=max(1, launch.cores() // len(workers)) if plan.device.type == "cpu" else 1,
        on_event=lambda name, *content: getattr(reporter, name)(*content),
        retry=retry,
    )


def _launch_jobs(study, plan, budget, workers: range, run_id, cluster, code, reporter):
    """Let workers search as jobs; what one leaves that is cancelled or fails, the others do."""
    names = [f"worker {number + 1}" for number in range(len(workers))]  # the same in every call
    how = {"names": names, "folder": jobs.folder(run_id), "cluster": cluster}
    how["threads"] = cluster.options.get("cpus_per_task", 1)
    how["on_event"] = lambda name, *content: getattr(reporter, name)(*content)
    with checkpoint.claimed(run_id):
        try:
            slurm.map_tasks(functools.partial(_work_in_job, study, plan, budget, run_id, code), [*workers], **how)
        except launch.WorkerLost as error:
            reporter.warning(str(error))


def _work_in_job(study, plan, budget, parent, code, worker, send):
    plan = replace(plan)  # with the kernels of this node
    jobs.must_be_same(code, source.code_hash(provenance.code(plan.spec, plan.kernels[0], study.classes)))
    _work(study, plan, budget, parent, worker, send)


def _work(study: Study, plan: Plan, budget: int, parent: str, worker: int, send) -> None:
    """Train trials until the budget is spent, in a process of its own or in the caller's."""
    store = Store()
    check(plan.spec)  # loads what ``ask`` needs, before the study is locked
    with storage.worker_lock(study.name, worker):
        found = storage.opened(study, worker=worker)
        while True:
            begun = time.monotonic()
            with storage.errors(), storage.locked(study.name):
                storage.retry_lost(found, worker)
                if storage.taken(found) >= budget or storage.given_up(found, budget):
                    return
                asked = storage.ask(found, study, worker)
            if asked:
                _train(study, plan, store, found, parent, asked, begun, send)


def _train(study, plan, store, found, parent, asked, begun, send):
    """Train a trial and report it. One that does not come to its end is tried again."""
    trial, spec, measured = asked
    plan = plan.but(spec.but(train={"compile": plan.spec.train.compile}), measured)  # off without a compiler

    def report(value, step):
        with storage.errors():
            trial.report(value, step)
            return trial.should_prune()

    try:
        outcome = train_trial(study, plan, report)
        run_id = _record_trial(store, study, plan, trial, parent, outcome, send)
        overhead = time.monotonic() - begun - outcome.seconds
        with storage.errors():
            storage.finish(found, trial, run_id=run_id, overhead=overhead, **vars(outcome))
    except BaseException as error:
        with storage.locked(study.name):
            trial.set_user_attr("state", "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            storage.retry(found, trial.number)
        raise
    send("trial", trial.number, outcome, study.values(trial.params), measured.parameters)


def _record_trial(store, study, plan, trial, parent, outcome, send) -> str | None:
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


def train_trial(study, plan: Plan, report) -> Outcome:
    """Train ``plan`` once per seed of ``study`` and return what came of it.

    ``report(value, step)`` gets each epoch of the only seed, or each of several seeds, and returns whether to stop.
    """
    spec, outcome, last, begun = plan.spec, Outcome(), [], time.monotonic()
    wanted = study.objective.removeprefix("validation_")
    warm_up = spec.schedule.settles(spec.train.epochs)
    try:
        for number in range(study.seeds):
            seed = spec.train.seed + number
            for result in train(spec, seed, data=plan.data, device=str(plan.device)):
                row = (result.epoch, result.train_loss, result.loss, result.accuracy, result.learning_rate)
                outcome.epochs.append((seed, *row))
                stop = study.seeds == 1 and report(getattr(result, wanted), result.epoch)
                if stop and warm_up < result.epoch < spec.train.epochs:
                    outcome.state = "pruned"
                    return outcome
            last.append(result)
            if study.seeds > 1 and report(getattr(result, wanted), number) and number + 1 < study.seeds:
                outcome.state = "pruned"
                return outcome
        outcome.value = mean(getattr(result, wanted) for result in last)
        outcome.accuracy = mean(result.accuracy for result in last)
    except Diverged as error:
        outcome.state, outcome.reason = "diverged", str(error)
    finally:
        outcome.seconds = time.monotonic() - begun
    return outcome


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


def _record(tracked, study, found, result, draw, reporter):
    """Add to the study's own run what was found: numbers, tables, figures."""
    trials, curves, text = results.trials(study, found), results.curves(found), results.text(study, result)
    numbers = {f"best_{name}": result.get(name) for name in ("value", "accuracy", "parameters")}
    numbers |= {f"importance.{name}": share for name, share in result["importances"].items()}
    try:
        tracked.metrics(numbers | {"trials": result["trained"]})
        tracked.tags({"tinycnn.best_trial": result["best"], "tinycnn.best_run": result["best_run"]})
        tracked.text("study.json", json.dumps(result | {"rows": trials, "curves": curves}, indent=1) + "\n")
        tracked.description(text)
        for name, figure in draw(result, trials, curves) if draw else ():
            tracked.figure(f"{name}.png", figure)
    except StoreTrouble as error:
        reporter.warning(f"{error}. The study is complete in its storage; search again to record it")
        tracked.failure = str(error)
