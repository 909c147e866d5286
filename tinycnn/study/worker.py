"""Study -> trials, tracked: workers that ask Optuna for values, train them, and tell what came of it."""

import functools
import json
import tempfile
import time
from pathlib import Path

from tinycnn import source
from tinycnn.errors import OverLimit, StoreTrouble, UserError
from tinycnn.launch import local as launch
from tinycnn.study import results as findings
from tinycnn.study import storage as search
from tinycnn.study.definition import Study, check_study
from tinycnn.study.trial import Outcome, recorded, study_tags, train_trial
from tinycnn.track import provenance
from tinycnn.track.mlflow_store import Store
from tinycnn.track.run import Plan, Reporter, prepare

LOSSES = 10
"""A session that has lost so many workers is given up: something kills them all."""


class Watcher(Reporter):
    """What a study tells whoever watches it; this one keeps silent."""

    def study(self, study: Study, budget: int, done: int, best: float | None, workers: int, run_id: str): ...
    def trial(self, number: int, outcome: Outcome, values: dict, parameters: int): ...


def run(
    study: Study, *, trials: int | None = None, workers: int | None = 1, device="auto", offline=False, reporter=None
) -> dict:
    """Search until ``trials`` (or the study's own number) have been trained, in all, and return what was found.

    What other processes and earlier sessions did counts. ``workers`` processes share the cores; None is one per core,
    and on an accelerator one in all. Raises SpecError for a study that cannot be, UserError where its storage or the
    store cannot be used, and OverLimit where so few values keep to the parameter limit that the search was given up:
    what there is is kept.
    """
    reporter, budget = reporter or Watcher(), trials or study.trials
    for line in check_study(study):
        reporter.notice(line)
    unjudged = study.trained.with_values({"target.parameter_limit": None, "target.accuracy": None})
    plan = prepare(unjudged, device=device, offline=offline, reporter=reporter)
    if plan.fallback:
        stand_in = {f"data.{name}": getattr(plan.spec.data, name) for name in ("name", "images", "validation")}
        study = study.model_copy(update={"fidelity": study.fidelity | stand_in})
    workers = workers or (launch.cores() if plan.device.type == "cpu" else 1)
    code = provenance.code(plan.spec, plan.kernels[0], study.used)
    identity = {"definition": study.digest, "data": plan.data.digest, "code": source.code_hash(code)}
    store = Store(reporter.notice)
    with search.troubles(), search.alone(study.name):
        found = search.opened(study, make=True, identity=identity)
        _own_run(store, found, study, plan)
        before = findings.findings(study, found)
    reporter.study(study, budget, before["trained"], before.get("value"), workers, found.user_attrs["mlflow_run"])
    with store.run("", {}, run_id=found.user_attrs["mlflow_run"]) as tracked:
        tracked.open()
        tracked.tags({"tinycnn.process": json.dumps(search.process())})
        try:
            _work_on(study, plan, budget, workers, tracked.id, reporter)
        finally:
            with search.troubles(), search.alone(study.name):
                _close(store, search.sweep(found, leaving=True))
        result = findings.findings(study, found) | {"run_id": tracked.id, "budget": budget}
        _record(tracked, study, found, result, reporter)
    if search.counted(found) < budget and search.given_up(found, budget):
        over = result["states"].get(search.OVER_LIMIT, 0)
        raise OverLimit(
            f"study {study.name}: given up with {search.counted(found)} of {budget} trials. Of {len(found.trials)} "
            f"tries {over} had more parameters than target.parameter_limit = {study.base.target.parameter_limit}, "
            f"{search.in_vain(found) - over} values that do not go together. Search smaller widths, or raise the limit"
        )
    if result["trained"] < budget:
        others = search.counted(found) - result["trained"]
        reporter.notice(
            f"{result['trained']} of {budget} trials are trained"
            + (f", {others} are in the hands of other processes" if others else "")
            + "; search again for what is missing then"
        )
    return result


def _own_run(store: Store, found, study: Study, plan: Plan) -> None:
    """Make the study's own run unless it has one in this store."""
    try:
        store.entity(found.user_attrs.get("mlflow_run", ""))
        return
    except (UserError, StoreTrouble):
        pass  # none yet, or in another store
    tags = study_tags(study, plan, search.shown_address())
    with store.run(f"study {study.name}", tags) as tracked:
        tracked.open()
        tracked.params(
            {f"range.{name}": each.model_dump_json() for name, each in study.parameters.items()}
            | {"objective": study.objective, "seeds": study.seeds, "base": study.base.name}
            | {f"fidelity.{name}": value for name, value in study.fidelity.items()}
            | {"parameter_limit": study.base.target.parameter_limit}
        )
        tracked.text("spec.json", study.trained.to_json())
        found.set_user_attr("mlflow_run", tracked.id)


def _work_on(study, plan, budget, workers, run_id, reporter):
    on_cpu = plan.device.type == "cpu"
    lost = []

    def again(error):
        lost.append(error)
        reporter.warning(f"{error.args[0].partition(';')[0]}. Another takes its place, and its trial is tried again")
        return len(lost) < LOSSES

    launch.side_by_side(
        functools.partial(_work, study, plan, budget, run_id),
        list(range(workers)),
        workers=workers,
        threads=max(1, launch.cores() // workers) if on_cpu else 1,
        hear=lambda what, *content: getattr(reporter, what)(*content),
        name=lambda number: f"study {study.name}, worker {number + 1} of {workers}",
        again=again,
    )


def _work(study: Study, plan: Plan, budget: int, parent: str, task: int, tell) -> int:
    """Train trials until the budget is spent; return how many. Runs in a process of its own, or in the caller's."""
    store, done = Store(), 0
    with search.troubles(), search.alone(study.name):
        worker = search.new_worker(search.opened(study))
    found = search.opened(study, worker=worker)
    while True:
        begun = time.monotonic()
        with search.troubles(), search.alone(study.name):
            _close(store, search.sweep(found))
            if search.counted(found) >= budget or search.given_up(found, budget):
                return done
            admitted = search.attempt(found, study, worker)
        if admitted:
            _train(study, plan, store, found, parent, worker, admitted, begun, tell)
            done += 1


def _train(study, plan, store, found, parent, worker, admitted, begun, tell):
    """Train one trial, and tell Optuna, MLflow and the watcher; interrupted, it is given back to be tried again."""
    trial, spec, measured = admitted
    plan = plan.but(spec.but(train={"compile": plan.spec.train.compile}), measured)  # off without a compiler

    def report(value, step):
        with search.troubles():
            trial.report(value, step)
            return trial.should_prune()

    def seen():
        with search.troubles():
            trial.set_user_attr("seen", time.time())

    try:
        outcome = recorded(
            store, study, plan, trial.number, parent, worker,
            begun=lambda run_id: trial.set_user_attr("run_id", run_id),
            training=lambda: train_trial(study, plan, report, seen),
            warn=lambda line: tell("warning", line),
        )  # fmt: skip
        with search.troubles():
            search.finish(found, trial, outcome, time.monotonic() - begun - outcome.seconds)
    except BaseException as error:
        with search.alone(study.name):
            interrupted = isinstance(error, KeyboardInterrupt)
            search.give_back(found, trial.number, search.INTERRUPTED if interrupted else search.FAILED)
        raise
    tell("trial", trial.number, outcome, study.values(trial.params), measured.parameters)


def _close(store: Store, run_ids: list[str]):
    """End the runs of trials whose process was killed; a run that is not there any more is none to end."""
    for run_id in run_ids:
        try:
            with store.run("", {}, run_id=run_id) as tracked:
                tracked.open()
                tracked.tags({"tinycnn.trial_state": search.LOST})
                tracked.end("KILLED")
        except StoreTrouble:
            continue


def _record(tracked, study: Study, found, result: dict, reporter):
    """Add to the study's own run what was found: numbers, tables, figures."""
    try:
        numbers = {name: result[name] for name in ("value", "accuracy", "parameters") if result.get("best") is not None}
        shares = {f"importance.{name}": share for name, share in result["importances"].items()}
        best = {f"best_{name}": value for name, value in numbers.items()}
        tracked.metrics(best | shares | {"trials": result["trained"]})
        tracked.tags({"tinycnn.best_trial": result["best"], "tinycnn.best_run": result["best_run"]})
        tracked.text("study.json", json.dumps(result, indent=1, default=str) + "\n")
        tracked.text("best.md", findings.text(study, result))
        tracked.description(findings.text(study, result))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trials.csv"
            findings.frame(study, found).to_csv(path, index=False)
            tracked.file(path)
        for name, figure in findings.figures(found):
            tracked.figure(f"{name}.png", figure)
    except StoreTrouble as error:
        reporter.warning(f"{error}. The study is whole in its storage; search again to record it")
        tracked.failure = str(error)
