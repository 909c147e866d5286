"""Spec x seeds -> tracked runs: ``train()`` joined to tracking. Prints nothing; a reporter is told what happens."""

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tinycnn import checkpoint, pictures, provenance, tables, verdict
from tinycnn.check import check
from tinycnn.data import Split, load
from tinycnn.describe import describe
from tinycnn.errors import DataMissing, SpecError
from tinycnn.measure import Measured
from tinycnn.tracking import Run, Store
from tinycnn.train import pick_device, train


class Reporter:
    """What a run tells whoever watches it; this one keeps silent."""

    def notice(self, line: str): ...
    def warning(self, line: str): ...
    def started(self, plan: "Plan", seed: int, run_id: str): ...
    def images(self, count: int): ...
    def epoch(self, result): ...
    def finished(self, seed: int, history: list): ...


@dataclass(frozen=True)
class Plan:
    """A spec made ready to run: checked, and its data loaded.

    ``fallback`` says what is missing; ``settings`` are the words a spec was derived by, for the run's name.
    """

    spec: object
    data: Split
    measured: Measured
    device: torch.device
    fallback: str = ""
    settings: str = ""

    @property
    def tags(self) -> dict:
        """Return what identifies the numbers of this plan's runs in the store."""
        return {
            "tinycnn.experiment": self.spec.name,
            "tinycnn.spec_hash": self.spec.hash,
            "tinycnn.data_digest": self.data.digest,
            "tinycnn.code_hash": provenance.code_hash(),
            "tinycnn.fallback": str(bool(self.fallback)).lower(),
            "tinycnn.evaluated_on": self.data.kind,
        }


def prepare(spec, *, device="auto", offline=False, fallback=True, settings="", reporter=None) -> Plan:
    """Check ``spec`` before any data is read, then load its data set, or the fallback that the spec states.

    Raises SpecError, OverLimit, UserError for damaged data, and DataMissing where there is no fallback.
    """
    reporter = reporter or Reporter()
    measured, notices = check(spec)
    device = pick_device(device)
    for line in notices:
        reporter.notice(line)
    missing = ""
    try:
        data = load(spec.data.name, spec.data.validation, offline=offline)
    except DataMissing as error:
        stand_in = spec.data.fallback
        if not fallback or stand_in is None or stand_in == spec.data.name:
            raise
        missing = f"FALLBACK: {spec.data.name} is missing, so this trains on {stand_in} and is not judged"
        reporter.warning(f"{missing}. {error}")
        spec = spec.with_values({"data.name": stand_in})
        measured, _ = check(spec)
        data = load(stand_in, spec.data.validation, offline=offline)
    return Plan(spec, data, measured, device, missing, settings)


def run(plan: Plan, *, seeds: int = 1, first_seed: int | None = None, missing=False, reporter=None) -> dict:
    """Train ``plan`` once per seed and return the results as plain values, as ``run --json`` prints them.

    One seed makes one MLflow run; several make a parent run with a child each. With ``missing``, seeds that have
    finished before with the same spec, data and code are not trained again, and their figures are taken from the store.
    """
    reporter = reporter or Reporter()
    spec = plan.spec
    first = spec.train.seed if first_seed is None else first_seed
    if first + seeds > 2**32:
        raise SpecError(f"{spec.name}: train.seed: the last seed, {first + seeds - 1}, is more than {2**32 - 1}")
    store = Store(reporter.notice)
    done = finished(store, plan) if missing else {}
    chosen = range(first, first + seeds)
    if seeds == 1:
        summaries = [done.get(seed) or _train_one(store, plan, seed, None, reporter) for seed in chosen]
        return _outcome(store, plan, summaries, summaries[0]["run_id"])
    params, tags = _params(plan), plan.tags | _record(plan) | {"tinycnn.role": "seeds"}
    with store.run(f"{_run_name(plan)}, seeds {first} to {first + seeds - 1}", params, tags) as parent:
        parent.description(describe(spec, plan.measured, None, None, plan.fallback))
        _log_start(parent, plan)
        summaries = [done.get(seed) or _train_one(store, plan, seed, parent.id, reporter) for seed in chosen]
        outcome = _outcome(store, plan, summaries, parent.id)
        parent.metrics(
            {f"{name}_accuracy_{what}": outcome[key] for name, what, key in _PARENT_METRICS} | {"seeds": seeds}
        )
        judged = (outcome["verdict"], outcome["reason"])
        parent.tags({"tinycnn.verdict": outcome["verdict"]})
        parent.description(describe(spec, plan.measured, outcome, judged, plan.fallback))
        parent.text("seeds.md", tables.seed_table(summaries))
    return outcome


_PARENT_METRICS = (
    ("last", "mean", "last"),
    ("last", "std", "last_std"),
    ("last", "min", "last_min"),
    ("best", "mean", "best"),
    ("min_last5", "min", "min_last5"),
)


def finished(store: Store, plan: Plan) -> dict[int, dict]:
    """Return the summaries of the runs that need not be made again, by seed."""
    runs = store.search({**plan.tags, "tinycnn.role": "seed"})
    summaries = [store.summary(entity, plan.spec.target) for entity in runs]
    return {summary["seed"]: summary for summary in summaries}


def specs_judged(store: Store, data_digest: str) -> int:
    """Return how many different specs this data set's test (or validation) images have been evaluated with so far."""
    every = ("FINISHED", "FAILED", "KILLED", "RUNNING")
    runs = store.search({"tinycnn.data_digest": data_digest, "tinycnn.role": "seed"}, every)
    return len({entity.data.tags["tinycnn.spec_hash"] for entity in runs})


def _train_one(store, plan, seed, parent, reporter) -> dict:
    """Train one seed as one MLflow run; return its summary."""
    spec, history = plan.spec, []
    tags = plan.tags | _record(plan) | {"tinycnn.role": "seed", "tinycnn.seed": seed}
    with store.run(f"{_run_name(plan)}, seed {seed}", _params(plan) | {"seed": seed}, tags, parent) as tracked:
        tracked.description(describe(spec, plan.measured, None, None, plan.fallback))
        tracked.dataset(plan.data)
        _log_start(tracked, plan)
        reporter.started(plan, seed, tracked.id)
        try:
            for result in train(spec, seed, data=plan.data, device=str(plan.device), progress=reporter.images):
                tracked.metrics(epoch_metrics(result, plan.data.kind), result.epoch)
                history.append(result)
                reporter.epoch(result)
        finally:
            if history:
                tracked.tags({"tinycnn.last_good_epoch": history[-1].epoch})
        summary = verdict.summarise(history, spec.target) | {"seed": seed, "run_id": tracked.id}
        _log_end(tracked, plan, seed, history, summary)
    reporter.finished(seed, history)
    return summary


def _log_start(tracked: Run, plan: Plan):
    """Log what a run can be made again from, before it has done anything that might fail."""
    tracked.text("spec.json", plan.spec.to_json())
    tracked.text("layers.md", tables.layer_table(plan.measured.layers))
    if difference := provenance.uncommitted():
        tracked.text("uncommitted.diff", difference)


def epoch_metrics(result, kind: str) -> dict:
    """Return what is logged after an epoch; ``kind`` is what it was evaluated on, "test" or "validation"."""
    return {
        "train_loss": result.train_loss,
        "train_accuracy": result.train_accuracy,
        f"{kind}_loss": result.loss,
        f"{kind}_accuracy": result.accuracy,
        "learning_rate": result.learning_rate,
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
    }


def _log_end(tracked: Run, plan: Plan, seed: int, history: list, summary: dict):
    """Log what a finished training comes to: figures, verdict, tables, pictures, model and checkpoint."""
    spec, data, state = plan.spec, plan.data, history[-1].state
    judged = verdict.judge(spec, [summary], kind=data.kind, fallback=bool(plan.fallback))
    tracked.metrics(
        {f"{name}_accuracy": summary[name] for name in ("last", "best", "min_last5", "clean_train")}
        | {name: summary[name] for name in ("best_epoch", "first_epoch_at_target")}
        | {
            "train_test_gap": summary["clean_train"] - summary["last"],
            "parameters": plan.measured.parameters,
            "macs": plan.measured.macs,
            "receptive_field": plan.measured.receptive_field,
        },
        step=history[-1].epoch,
    )
    tracked.tags({"tinycnn.verdict": judged[0]})
    tracked.description(describe(spec, plan.measured, summary, judged, plan.fallback))
    _log_pictures(tracked, plan, history)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        checkpoint.save(path, spec=spec, seed=seed, run_id=tracked.id, state=state, history=history)
        tracked.file(path)
    shape = tuple(data.train.images.shape[1:])
    tracked.model(with_normalisation(state.network, data), shape, len(data.classes), provenance.versions()["torch"])


def _log_pictures(tracked: Run, plan: Plan, history: list):
    data, logits = plan.data, history[-1].state.logits.cpu()
    images, labels = data.evaluation.images, data.evaluation.labels
    tracked.figure(
        "curves.png", pictures.curves(history, plan.spec.target.accuracy, kind=data.kind, evaluated=len(labels))
    )
    tracked.figure("confusion.png", pictures.confusion(labels, logits.argmax(1), data.classes))
    tracked.figure("worst_mistakes.png", pictures.worst_mistakes(images, labels, logits, data.classes))
    tracked.figure("receptive_field.png", pictures.receptive_field(images[0], plan.measured.layers))


def with_normalisation(network: nn.Module, data: Split) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, that takes pixels in [0, 1] and normalises them itself.

    A batch norm with fixed statistics and no weights does it, so that only torch is needed to load the result.
    """
    normalise = nn.BatchNorm2d(len(data.mean), eps=0.0, affine=False)
    normalise.running_mean = torch.tensor(data.mean)
    normalise.running_var = torch.tensor(data.std) ** 2
    return nn.Sequential(normalise, copy.deepcopy(network).cpu()).eval()


def _run_name(plan: Plan) -> str:
    settings = f" ({plan.settings})" if plan.settings else ""
    return plan.spec.name + settings + (f" on FALLBACK {plan.data.name}" if plan.fallback else "")


def _params(plan: Plan) -> dict:
    return plan.spec.flat()


def _record(plan: Plan) -> dict:
    """Return the tags that say where and with what a run was made."""
    difference = provenance.uncommitted()
    machine = {f"tinycnn.machine.{name}": value for name, value in provenance.machine().items()}
    versions = {f"tinycnn.version.{name}": value for name, value in provenance.versions().items()}
    return {
        "mlflow.source.name": f"tinycnn run {plan.spec.name}",
        "mlflow.source.git.commit": provenance.commit(),
        "tinycnn.git_dirty": "unknown" if difference is None else str(bool(difference)).lower(),
        "tinycnn.device": plan.device,
        "tinycnn.data": plan.data.name,
        "tinycnn.parent_experiment": plan.spec.parent,
        **machine,
        **versions,
    }


def _outcome(store: Store, plan: Plan, summaries: list[dict], run_id: str) -> dict:
    word, reason = verdict.judge(plan.spec, summaries, kind=plan.data.kind, fallback=bool(plan.fallback))
    return {
        "experiment": plan.spec.name,
        "specs_judged": specs_judged(store, plan.data.digest),
        "spec_hash": plan.spec.hash,
        "data": plan.data.name,
        "fallback": bool(plan.fallback),
        "evaluated_on": plan.data.kind,
        "parameters": plan.measured.parameters,
        "epochs": plan.spec.train.epochs,
        "run_id": run_id,
        "verdict": word,
        "reason": reason,
        **verdict.total(summaries),
        "seeds": summaries,
    }
