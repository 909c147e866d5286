"""Study -> tracked runs: workers that ask Optuna for values, train them, and have recorded what came of it."""

import functools
import time
from dataclasses import replace
from statistics import mean

from optuna.exceptions import UpdateFinishedTrialError

from tinycnn import source
from tinycnn.errors import Diverged, OverLimit, SpecError
from tinycnn.launch import local as launch
from tinycnn.launch import slurm
from tinycnn.network.check import check
from tinycnn.study import record, results, storage
from tinycnn.study.definition import Study, check_study
from tinycnn.study.record import Outcome
from tinycnn.track import jobs, provenance
from tinycnn.track.mlflow_store import Store
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.train import checkpoint, train


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
    trials)`` yields (name, figure) for the study's MLflow run. Raises SpecError for a study that is not valid,
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
        run_id = record.own_run(store, found, study, plan)
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
            record.end_left_runs(store, run_id)
        record.record_missing(store, study, plan, found, run_id, lambda name, line: reporter.warning(line))
        result = results.results(study, found) | {"run_id": run_id, "budget": budget}
        record.record_study(tracked, study, found, result, draw, reporter)
    if storage.given_up(found, budget):
        trials = found.get_trials(deepcopy=False)
        invalid = [trial.user_attrs["reason"] for trial in trials if storage.state(trial) == "invalid"]
        raise OverLimit(
            f"study {study.name}: given up after {result['trained']} of {budget} trials, because most values have more "
            f"parameters than target.parameter_limit = {study.base.target.parameter_limit} or do not go together: "
            f"{result['states']}. "
            + (f"The last that do not: {invalid[-1]}" if invalid else "Search smaller widths, or raise the limit")
        )
    if result["trained"] < budget:
        reporter.notice(f"{result['trained']} of {budget} trials are trained, search again for the others")
    return result


def _launch(study, plan, budget, workers: range, run_id, reporter):
    """Let workers of these numbers search, and replace those that are killed, nine of them at most."""
    lost = []

    def retry(worker, error):
        lost.append(worker)
        if len(lost) == 10:
            return None
        reporter.warning(f"{error}. Another takes its place, and its trial is tried again")
        return worker

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
        found, begun = storage.opened(study, worker=worker), time.monotonic()
        while (asked := storage.insist(_ask, study, found, budget, worker)) is not False:
            if asked:
                _train(study, plan, store, found, parent, asked, begun, send)
            begun = time.monotonic()


def _ask(study, found, budget, worker):
    """Return what ``storage.ask`` does, False where no trial is left."""
    with storage.locked(study.name):
        storage.retry_lost(found, worker)
        if storage.taken(found) >= budget or storage.given_up(found, budget):
            return False
        return storage.ask(found, study, worker)


def _train(study, plan, store, found, parent, asked, begun, send):
    """Train a trial and report it. One that does not come to its end is tried again."""
    trial, spec, measured = asked
    plan = plan.but(spec.but(train={"compile": plan.spec.train.compile}), measured)  # off without a compiler

    def report(value, step):
        storage.insist(trial.report, value, step)
        return storage.insist(trial.should_prune)

    try:
        outcome = train_trial(study, plan, report)
        run_id = record.record_trial(store, study, plan, trial, parent, outcome, send)
        overhead = time.monotonic() - begun - outcome.seconds
        end = functools.partial(storage.finish, found, trial, run_id=run_id, overhead=overhead, **vars(outcome))
        storage.insist(end)
    except UpdateFinishedTrialError:  # this machine was cut off from the storage for so long
        send("warning", f"trial {trial.number} was taken for lost and is tried again; this try does not count")
        return
    except BaseException as error:
        with storage.locked(study.name):
            trial.set_user_attr("state", "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            storage.retry(found, trial.number)
        raise
    send("trial", trial.number, outcome, study.values(trial.params), measured.parameters)


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
