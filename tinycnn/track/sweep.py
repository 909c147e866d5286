"""A sweep -> one parent run, and below it a run for each arm and seed; what has been trained is not trained again."""

import functools
import itertools

from tinycnn.errors import Diverged, UserError
from tinycnn.launch import slurm
from tinycnn.launch.local import WorkerLost, map_tasks
from tinycnn.spec.sweep import BASE, Sweep
from tinycnn.track import jobs, select, tables
from tinycnn.track.description import describe
from tinycnn.track.mlflow_store import EVERY
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.track.record import Record
from tinycnn.track.seed import opened
from tinycnn.track.statistics import difference, over_seeds
from tinycnn.track.together import fit_together, train_group, train_job
from tinycnn.train import checkpoint


class SweepReporter(Reporter):
    """What a sweep tells whoever watches it; this one keeps silent."""

    def sweep(self, name: str, plans: dict, seeds: int, todo: list, run_id: str): ...
    def images(self, count: int): ...
    def trained(self, label: str, seed: int, accuracy: float | None): ...


def plans(sweep: Sweep, *, reporter=None, **options) -> dict[str, Plan]:
    """Return the plan of each arm by its label. Raises SpecError, OverLimit and UserError that name the arm."""
    made, loaded = {}, {}
    for label, spec in sweep.specs().items():
        try:
            key = spec.data.model_dump_json()  # so that arms share the images, which are large
            share = {"data": loaded[key]} if key in loaded else {}
            made[label] = prepare(spec, settings=label, reporter=reporter, **share, **options)
            loaded[key] = made[label].data
        except UserError as error:
            raise type(error)(f"sweep {sweep.name}, arm {label!r}: {error}") from None
    return made


def run_sweep(sweep: Sweep, plans: dict[str, Plan], *, seeds=None, workers=1, cluster=None, reporter=None) -> dict:
    """Train each arm with each seed, ``workers`` at a time or as jobs of a ``cluster``, and return ``results``.

    A sweep that was begun before goes on in its own run: what has finished, there or anywhere in the store with the
    same spec, data and code, is taken, and what was interrupted continues from its checkpoint. A training whose loss
    becomes infinite is left out, and counted. Raises UserError where a worker was killed, or the store takes no run.
    """
    reporter, count = reporter or SweepReporter(), seeds or sweep.seeds
    store, wanted = opened(reporter), range(sweep.first_seed, sweep.first_seed + count)
    workers = workers if plans[BASE].device.type == "cpu" else 1  # processes on one accelerator slow each other down
    summaries = {label: select.finished(store(), plan) for label, plan in plans.items()}
    with _SweepRecord(sweep, plans, store, reporter) as record:
        parent = record.open()
        begun = {label: select.children(store(), parent, plan.tags) for label, plan in plans.items()}
        todo = [(label, seed) for seed in wanted for label in plans if seed not in summaries[label]]
        reporter.sweep(sweep.name, plans, count, todo, parent)
        tasks = _tasks(plans, todo, begun, reporter)
        how = {"on_event": lambda what, *content: getattr(reporter, what)(*content), "workers": workers}
        codes, map_all = {}, map_tasks
        if cluster := jobs.cluster_of(parent, cluster):
            codes, map_all = {label: plan.tags["tinycnn.code_hash"] for label, plan in plans.items()}, slurm.map_tasks
            names = [label if len(group) > 1 else f"{label}, seed {group[0][0]}" for label, group in tasks]
            how |= {"names": names, "folder": record.folder / checkpoint.JOBS, "cluster": cluster}
            del how["workers"]
        try:
            done = map_all(functools.partial(_train_arm, plans, codes, parent, record.folder), tasks, **how)
        except WorkerLost as error:
            raise UserError(f"sweep {sweep.name}: {error}; the same command continues from there") from None
        diverged, failures = dict.fromkeys(plans, 0), []
        for label, seed, summary, failure in itertools.chain(*done):
            if summary is None:
                diverged[label] += 1
            else:
                summaries[label][seed] = summary
            failures += [failure] if failure else []
        chosen = {label: {s: each[s] for s in wanted if s in each} for label, each in summaries.items()}
        result = results(sweep, plans, chosen, diverged) | {"run_id": parent, "undelivered": None}
        if failures:
            record.run.failure = result["undelivered"] = failures[0]
        elif not record.complete(result):
            result["undelivered"] = record.run.failure
    return result


def _tasks(plans, todo, begun, reporter) -> list[tuple[str, list]]:
    """Return what one process does at a time: a seed of an arm, or all seeds of one that are trained together."""
    arms = {label: [] for label, _ in todo}
    for label, seed in todo:
        arms[label].append((seed, begun[label][seed].info.run_id if seed in begun[label] else None))
    together, tasks = {label for label, seeds in arms.items() if fit_together(plans[label], seeds, reporter)}, []
    for label, _ in todo:
        if seeds := arms[label]:
            tasks.append((label, seeds[:] if label in together else seeds[:1]))
            del seeds[: len(tasks[-1][1])]
    return tasks


def _train_arm(plans, codes, parent, folder, task, send) -> list[tuple]:
    """Train seeds of an arm, perhaps in a process of its own; return arm, seed, summary and what the store lacks.

    The summary of a training that diverged is None. ``codes``: in a job, the hash of each arm's code.
    """
    label, seeds = task
    plan, reporter = plans[label], _Progress(send, live=not codes)
    own = f"{plan.spec.hash}-{plan.tags['tinycnn.code_hash']}"  # arms have the same seeds, and code may change
    where = {"parent": parent, "folder": folder / own}
    if codes:
        trained = train_job(plan, codes[label], seeds, reporter, **where)
        send("images", reporter.count)
    else:
        trained = train_group(plan, seeds, opened(reporter), reporter, **where)
    results = []
    for (seed, _), result in zip(seeds, trained, strict=True):
        summary, failure = (None, "") if isinstance(result, Diverged) else result
        send("trained", label, seed, summary and summary["last"])
        results.append((label, seed, summary, failure))
    return results


class _Progress(Reporter):
    """Passes on what a sweep shows of each training."""

    def __init__(self, send, live=True):
        self.notice, self.warning = functools.partial(send, "notice"), functools.partial(send, "warning")
        self.live, self.send, self.count = live, send, 0

    def images(self, seed, count):
        self.count += count
        if self.live:
            self.send("images", count)


class _SweepRecord(Record):
    """The parent run of a sweep, found again by its name and base."""

    def __init__(self, sweep, plans, store, reporter):
        super().__init__(plans[BASE], store, reporter, sweep.base.brief())
        self.sweep = sweep

    def open(self) -> str:
        """Make the run, or continue the sweep's, and return its id."""
        own = {"role": "sweep", "sweep": self.sweep.name}
        same = own | {"spec_hash": self.plan.spec.hash}
        before = self.store().search({f"tinycnn.{name}": value for name, value in same.items()}, EVERY)
        self._open("sweep", own, before[0].info.run_id if before else None)
        self.deliver()
        return self.run.id

    def complete(self, result: dict) -> bool:
        """Add what the arms came to, and end the run."""
        return self.deliver(lambda: self._log_end(result), lambda: self.run.end("FINISHED"))

    def _log_end(self, result):
        plan, table = self.plan, arms_table(result)
        self.run.json("sweep.json", result)
        self.run.text("arms.md", table)
        self.run.description(f"{describe(plan.spec, plan.measured, None, None)}\n\n{table}")


def results(sweep: Sweep, plans: dict[str, Plan], summaries: dict, diverged: dict) -> dict:
    """Return what each arm came to, as plain values: accuracies of the last epoch in percent, and against the base's.

    ``summaries``: by label and seed. Differences are paired, with intervals of 95 %; what cannot be said, as of an arm
    that is evaluated on other images, is None.
    """
    last = {label: {seed: each["last"] for seed, each in sorted(s.items())} for label, s in summaries.items()}
    images = {label: plan.spec.evaluation_images() for label, plan in plans.items()}
    comparable = [label for label in plans if label != BASE and images[label] == images[BASE] and last[BASE]]
    arms = [
        {
            "arm": label,
            "spec_hash": plan.spec.hash,
            "parameters": plan.measured.parameters,
            "macs": plan.measured.macs,
            "epochs": plan.spec.train.epochs,
            "evaluated_on": plan.data.kind,
            "code_hash": plan.tags["tinycnn.code_hash"],
            "diverged": diverged[label],
            "accuracies": own,
            **(over_seeds([*own.values()]) if own else {"n": 0}),
            "against_base": difference(own, last[BASE]) if own and label in comparable else None,
        }
        for label, plan in plans.items()
        for own in (last[label],)
    ]
    return {"sweep": sweep.name, "base": sweep.base.name, "data": plans[BASE].data.name, "arms": arms}


def arms_table(result: dict) -> str:
    """Return the arms as a Markdown table of at most 80 columns where labels are short; accuracies in percent."""
    head = ("arm", "params", "n", "mean", "std", "min", "against base")
    rows = []
    for arm in result["arms"]:
        found, against = arm["n"] > 0, arm["against_base"]
        numbers = [f"{arm[name]:.{digits}f}" if found and arm[name] is not None else "-"
                   for name, digits in (("last", 3), ("last_std", 3), ("last_min", 2))]  # fmt: skip
        n = f"{arm['n']}" + (f" ({arm['diverged']} diverged)" if arm["diverged"] else "")
        rows.append((arm["arm"], f"{arm['parameters']:,}", n, *numbers, _against(against) if against else "-"))
    return tables.markdown(head, rows, "<>>>>><")


def _against(found: dict) -> str:
    interval = "" if found["low"] is None else f" ({found['low']:+.3f} to {found['high']:+.3f})"
    return f"{found['difference']:+.3f}{interval}"
