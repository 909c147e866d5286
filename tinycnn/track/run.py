"""Spec x seeds -> tracked runs: ``train()`` joined to tracking. Prints nothing; a reporter is told what happens."""

import contextlib
import functools
import os
import shutil
import socket
import sys
import time
from dataclasses import dataclass, replace

import torch
from filelock import FileLock, Timeout

from tinycnn import source
from tinycnn.data.files import Images, Split
from tinycnn.errors import DataMissing, Diverged, SpecError, StoreTrouble, UserError
from tinycnn.launch import local as launch
from tinycnn.network import teacher
from tinycnn.network.check import check
from tinycnn.network.profile import Measured
from tinycnn.spec import Distillation
from tinycnn.track import provenance, verdict
from tinycnn.track.mlflow_store import EVERY, LONGEST_TAG, PARENT, Store, oddity
from tinycnn.track.record import ParentRecord, SeedRecord
from tinycnn.train import checkpoint
from tinycnn.train.loop import accelerated, kernels, pick_device, predict, start, train


class Reporter:
    """What a run tells whoever watches it; this one keeps silent."""

    def notice(self, line: str): ...
    def warning(self, line: str): ...
    def parent(self, plan: "Plan", seeds: range, run_id: str): ...
    def started(self, plan: "Plan", seed: int, run_id: str | None, history: list): ...
    def images(self, seed: int, count: int): ...
    def epoch(self, seed: int, result): ...
    def finished(self, seed: int, history: list): ...


@dataclass(frozen=True)
class Plan:
    """A spec made ready to run: checked, and its data loaded.

    ``fallback`` says what is missing; ``settings`` are the words a spec was derived by, for the run's name; ``again``
    is the run that is made again, if this is for that.
    """

    spec: object
    data: Split
    measured: Measured
    device: torch.device
    fallback: str = ""
    settings: str = ""
    again: str = ""

    def but(self, spec, measured: Measured) -> "Plan":
        """Return this plan with another spec on the same data."""
        return replace(self, spec=spec, measured=measured)

    @functools.cached_property
    def kernels(self) -> tuple[str, str]:
        """Whose kernels compute, and why not native ones throughout; see ``train.kernels``."""
        with torch.random.fork_rng([]):
            network = self.spec.model.build(self.data.shape, len(self.data.classes))
        return kernels(self.spec, self.device, network)

    @property
    def code(self) -> dict:
        """The code that the numbers depend on; see ``provenance.code``."""
        return provenance.code(self.spec, self.kernels[0])

    @property
    def tags(self) -> dict:
        """Return what identifies the numbers of this plan's runs in the store."""
        return {
            "tinycnn.experiment": self.spec.name,
            "tinycnn.spec_hash": self.spec.hash,
            "tinycnn.data_digest": self.data.digest,
            "tinycnn.code_hash": source.code_hash(self.code),
            "tinycnn.fallback": str(bool(self.fallback)).lower(),
            "tinycnn.evaluated_on": self.data.kind,
            "tinycnn.kernels": self.kernels[0],
            **{f"tinycnn.{name}": digest for name, digest in self.spec.loss.used().items()},
        }


def prepare(spec, *, device="auto", offline=False, fallback=True, settings="", reporter=None) -> Plan:
    """Check ``spec`` before any data is read, then load its data set, or the fallback that the spec states.

    Raises SpecError, OverLimit, UserError for damaged data, and DataMissing where there is no fallback.
    """
    reporter = reporter or Reporter()
    measured, notices = check(spec)
    device = pick_device(device)
    compiler = os.environ.get("CXX", "").strip() or ("clang++" if sys.platform == "darwin" else "g++")
    if spec.train.compile and device.type == "cpu" and not shutil.which(compiler.split()[0]):
        notices = [*notices, f"train.compile: torch.compile needs a C++ compiler, and {compiler} is not here: off"]
        spec = spec.but(train={"compile": False})
    if isinstance(spec.loss, Distillation):
        fetch_teacher(spec.loss.teacher, reporter)
        teacher.check(spec.loss, spec.data)
    for line in notices:
        reporter.notice(line)
    missing = ""
    try:
        data = load(spec.data, offline=offline)
    except DataMissing as error:
        stand_in = spec.data.fallback
        if not fallback or stand_in is None or stand_in == spec.data.name:
            raise
        missing = f"FALLBACK: {spec.data.name} is missing, so this trains on {stand_in} and is not judged"
        reporter.warning(f"{missing}. {error}")
        spec = spec.with_values({"data.name": stand_in, "data.images": None})  # it has too few to choose from
        measured, _ = check(spec)
        data = load(spec.data, offline=offline)
    plan = Plan(spec, data, measured, device, missing, settings)
    if plan.kernels[1]:
        # "tinycnn" against "tinycnn, torch's kernels" in reports/bench.md, which `make bench` writes
        reporter.notice(f"{plan.kernels[1]}; with torch's kernels an epoch of exp3 takes some five times as long")
    return plan


def load(data, *, offline: bool) -> Split:
    """Return the ``Split`` of a ``Data`` section."""
    return data.load(offline=offline)


def fetch_teacher(name: str, reporter) -> None:
    """Bring the checkpoint of a run that teaches from the store to where ``network.teacher`` looks for it."""
    if teacher.is_run(name) and not teacher.kept(name).exists():
        Store(reporter.notice).fetch(name, "checkpoint.pt", teacher.kept(name))


def run(
    plan: Plan, *, seeds: int = 1, first_seed: int | None = None, missing=False, workers: int = 1, reporter=None
) -> dict:
    """Train ``plan`` once per seed and return the results as plain values, as ``run --json`` prints them.

    One seed makes one MLflow run; several make a parent run with a child each, which up to ``workers`` processes train
    side by side on the CPU, each child with one thread: the numbers do not depend on the processes. With ``missing``,
    seeds that have finished before with the same spec, data and code are not trained again, and their figures are taken
    from the store. Raises StoreTrouble where the store takes no run at all; what it refuses later waits in a
    checkpoint, and the result says so under ``undelivered``.
    """
    reporter = reporter or Reporter()
    first = plan.spec.train.seed if first_seed is None else first_seed
    if first + seeds > 2**32:
        raise SpecError(f"{plan.spec.name}: train.seed: the last seed, {first + seeds - 1}, is more than {2**32 - 1}")
    store = Store(reporter.notice)
    done = finished(store, plan) if missing else {}
    if seeds > 1:
        return train_several(store, plan, range(first, first + seeds), done, reporter, workers=workers)
    if first in done:
        return outcome(store, plan, [done[first]], done[first]["run_id"])
    return train_one(store, plan, first, reporter)


def train_one(
    store: Store, plan: Plan, seed: int, reporter, run_id: str | None = None, parent: str | None = None
) -> dict:
    """Train one seed as one run, a new one, or the one of that id, which may belong to a parent."""
    with store.run(_run_name(plan, f"seed {seed}"), _tags(plan, seed), parent, run_id) as tracked:
        if run_id is None:
            tracked.open()
        with claimed(parent or tracked.id) as folder:
            summary, trouble = _train(plan, seed, tracked, folder, reporter)
    return outcome(store, plan, [summary], summary["run_id"], trouble)


def train_several(
    store: Store, plan: Plan, seeds: range, done: dict, reporter, run_id: str | None = None, *, workers=1, threads=1
) -> dict:
    """Train the seeds that are not ``done``, each as a child of a parent, a new one, or the one of that id."""
    if plan.device.type != "cpu":
        workers, threads = 1, torch.get_num_threads()
    with launch.computing_with(threads):  # so it stands in the parent's record, as in those of its children
        tags = plan.tags | record_tags(plan) | {"tinycnn.role": "seeds", "tinycnn.first_seed": seeds[0]}
    tags |= {"tinycnn.seeds": len(seeds), "tinycnn.seeds_taken": " ".join(map(str, done))}
    with store.run(_run_name(plan, f"seeds {seeds[0]} to {seeds[-1]}"), tags, run_id=run_id) as tracked:
        if run_id is None:
            tracked.open()
        with claimed(tracked.id) as folder:
            record, trouble = ParentRecord(tracked, plan, reporter.warning), ""
            begun = {} if run_id is None else children(store, tracked.id, plan.spec.hash)
            record.attempt()
            reporter.parent(plan, seeds, tracked.id)
            summaries = {seed: done[seed] for seed in seeds if seed in done}
            ended = [seed for seed, child in begun.items() if child.info.status == "FINISHED"]
            for seed in ended:
                if summary := store.summary(begun.pop(seed), plan.spec.target):
                    summaries[seed] = summary
            tasks = [
                (seed, begun[seed].info.run_id if seed in begun else None) for seed in seeds if seed not in summaries
            ]
            try:
                trained = launch.side_by_side(
                    functools.partial(_train_child, plan, tracked.id, folder),
                    tasks,
                    workers=workers,
                    threads=threads,
                    hear=functools.partial(_hear, plan, reporter),
                    name=lambda task: f"{plan.spec.name} seed {task[0]}",
                )
            except launch.Lost as error:
                seeds_now = children(store, tracked.id, plan.spec.hash).values()
                kept = checkpoint.trained(tracked.id) or any(each.info.status == "FINISHED" for each in seeds_now)
                way_on = f"; `python -m tinycnn resume {tracked.id}` goes on from there" if kept else ""
                raise UserError(f"{error}{way_on}") from None
            for (seed, _), (summary, waiting) in zip(tasks, trained, strict=True):
                summaries[seed] = summary
                trouble = trouble or waiting
            result = outcome(store, plan, [summaries[seed] for seed in seeds], tracked.id, trouble)
            if trouble:
                tracked.failure = trouble
            elif not record.complete(result):
                result["undelivered"] = record.trouble
    return result


def _train_child(plan, parent, folder, task, tell):
    """Train one of several seeds, perhaps in a process of its own."""
    seed, run_id = task
    with Store().run(_run_name(plan, f"seed {seed}"), _tags(plan, seed), parent, run_id) as tracked:
        return _train(plan, seed, tracked, folder, _Teller(tell))


class _Teller(Reporter):
    """Tells a reporter in another process, by ``_hear`` there: what can be pickled, and not each batch at once."""

    def __init__(self, tell):
        self._tell, self._count, self._told = tell, 0, time.monotonic()

    def notice(self, line):
        self._tell("notice", line)

    def warning(self, line):
        self._tell("warning", line)

    def started(self, plan, seed, run_id, history):
        self._tell("started", seed, run_id, _without_state(history))

    def images(self, seed, count):
        self._count += count
        if time.monotonic() - self._told > 0.1:  # seconds
            self._tell("images", seed, self._count)
            self._count, self._told = 0, time.monotonic()

    def epoch(self, seed, result):
        self._tell("images", seed, self._count)
        self._count = 0
        self._tell("epoch", seed, *_without_state([result]))

    def finished(self, seed, history):
        self._tell("finished", seed, _without_state(history))


def _without_state(history):
    return [replace(result, state=None) for result in history]


def _hear(plan, reporter, what, *content):
    getattr(reporter, what)(*((plan,) if what == "started" else ()), *content)


def children(store: Store, parent: str, spec_hash: str) -> dict:
    """Return the runs of a parent by seed, as MLflow's entities; of two with the same seed, a finished one.

    What is no seed of this spec is left out: anybody may put a run below another.
    """
    found = {}
    for entity in sorted(store.search({PARENT: parent}, EVERY), key=lambda entity: entity.info.status == "FINISHED"):
        tags = entity.data.tags
        if (tags.get("tinycnn.role"), tags.get("tinycnn.spec_hash")) != ("seed", spec_hash):
            store.leave_out(entity, f"it lies below run {parent}, and its tags are not those of a seed of that")
        elif why := oddity(entity):
            store.leave_out(entity, why)
        else:
            found[int(tags["tinycnn.seed"])] = entity
    return found


@contextlib.contextmanager
def claimed(run_id: str):
    """Yield the folder for a run's checkpoints and keep other processes out of it, which ends with this process.

    The folder goes when nothing waits in it any more. Raises UserError where another process has it.
    """
    folder = checkpoint.folder(run_id)
    if folder.is_symlink():
        raise UserError(f"checkpoints {folder}: are a link; put the folder itself there, or delete the link")
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / "lock", timeout=0))
        except Timeout:
            raise UserError(f"run {run_id}: another process is training it; wait for it, or end it first") from None
        except OSError:
            pass  # no place to lock is no place for checkpoints either, which will be said
        try:
            yield folder
        finally:
            if not any(folder.glob("seed-*.pt")):
                shutil.rmtree(folder, ignore_errors=True)


def held(run_id: str) -> bool:
    """Tell whether a living process has claimed a run, from this folder of checkpoints."""
    lock = checkpoint.folder(run_id) / "lock"
    try:
        with FileLock(lock, timeout=0) if lock.exists() else contextlib.nullcontext():
            return False
    except Timeout:
        return True


def finished(store: Store, plan: Plan) -> dict[int, dict]:
    """Return the summaries of the runs that need not be made again, by seed."""
    runs = store.search({**plan.tags, "tinycnn.role": "seed"})
    summaries = [store.summary(entity, plan.spec.target) for entity in runs]
    return {summary["seed"]: summary for summary in summaries if summary}


def specs_judged(store: Store, data_digest: str) -> int:
    """Return how many different specs this data set's test (or validation) images have been evaluated with so far."""
    hashes = set()
    for entity in store.search({"tinycnn.data_digest": data_digest, "tinycnn.role": "seed"}, EVERY):
        if spec_hash := entity.data.tags.get("tinycnn.spec_hash"):
            hashes.add(spec_hash)
        else:
            store.leave_out(entity, "it has no tag tinycnn.spec_hash")
    return len(hashes)


def _train(plan, seed, tracked, folder, reporter) -> tuple[dict, str]:
    """Train one seed, from its checkpoint if there is one; return its summary, and why the store lacks some of it."""
    spec, path = plan.spec, folder / f"seed-{seed}.pt"
    state, history = start(spec, seed, plan.data, plan.device), []
    record = SeedRecord(tracked, plan, seed, reporter.warning)
    keep = _keeper(path, plan, seed, tracked, reporter)
    if path.is_symlink() or path.exists():
        history = checkpoint.restore(state, _fitting(checkpoint.load(path), path, plan, seed, tracked.id))
    else:
        keep(state, history)
    try:
        record.deliver(history)
        reporter.started(plan, seed, tracked.id, history)
        progress = functools.partial(reporter.images, seed)
        for result in train(spec, seed, data=plan.data, device=str(plan.device), progress=progress, state=state):
            history.append(result)
            keep(state, history)
            record.deliver(history)
            reporter.epoch(seed, result)
        if state.logits is None:  # the checkpoint was that of the last epoch
            evaluated_on = plan.data.evaluation.images.to(plan.device), plan.data.evaluation.labels
            network = accelerated(spec, state.result, plan.device)
            state.logits = predict(network, Images(*evaluated_on), plan.data, spec)
        summary = verdict.summarise(history, spec.target) | {"seed": seed, "run_id": tracked.id}
        if record.complete(history, state, summary):
            checkpoint.discard(path)
    except BaseException as error:
        record.give_up(history)
        if isinstance(error, Diverged):
            checkpoint.discard(path)  # it would only come to the same end again
        raise
    reporter.finished(seed, history)
    return summary | {"run_id": tracked.id}, record.trouble


def _keeper(path, plan, seed, tracked, reporter):
    """Return what writes the checkpoint after each epoch, and says it once where that cannot be done."""
    said = []

    def keep(state, history):
        try:
            checkpoint.save(path, spec=plan.spec, seed=seed, run_id=tracked.id, state=state, history=history)
        except OSError as error:
            if not said:
                reporter.warning(f"No checkpoint can be kept: {error}. Training goes on, but cannot be taken up again")
            said.append(error)

    return keep


def _fitting(saved, path, plan, seed, run_id):
    """Return a checkpoint that this training can go on from. Raises UserError, saying what is another."""
    now = {
        "spec": (saved.spec_hash, plan.spec.hash),
        "seed": (saved.seed, seed),
        "run": (saved.run_id or run_id, run_id),
        "code": (saved.code, plan.code),
        "packages": (saved.versions, checkpoint.number_versions()),
        "threads": (saved.threads, torch.get_num_threads()),
        "kernels": (saved.kernels, plan.kernels[0]),
        "random streams": (saved.random, checkpoint.random_streams(seed, saved.epoch)),
    }
    for what, (then, here) in now.items():
        if then != here:
            if what == "code":
                raise UserError(
                    f"checkpoint {path}: is of another code, {changed(then, here)} changed; go back to that, or "
                    "delete the checkpoint"
                )
            raise UserError(
                f"checkpoint {path}: is of another {what}, {_plain(then)}, here {_plain(here)}; go back to that, or "
                "delete the checkpoint"
            )
    return saved


def changed(then: dict, now: dict) -> str:
    """Name what differs in the code of two runs, e.g. ``tinycnn/train/loop.py:train and 2 more have``."""
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{shown} {'has' if len(names) == 1 else 'have'}"


def _plain(value):
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else value


def _run_name(plan: Plan, which: str) -> str:
    settings = f" ({plan.settings})" if plan.settings else ""
    fallback = f" on FALLBACK {plan.data.name}" if plan.fallback else ""
    return f"{plan.spec.name}{settings}{fallback}, {which}" + (", again" if plan.again else "")


def _tags(plan: Plan, seed: int) -> dict:
    role = {"tinycnn.role": "rerun", "tinycnn.rerun_of": plan.again} if plan.again else {"tinycnn.role": "seed"}
    return plan.tags | record_tags(plan) | role | {"tinycnn.seed": seed}


def record_tags(plan: Plan) -> dict:
    """Return the tags that say where and with what a run was made, and that it can be taken up by."""
    difference = provenance.uncommitted()
    machine = {f"tinycnn.machine.{name}": value for name, value in provenance.machine().items()}
    versions = {f"tinycnn.version.{name}": value for name, value in provenance.versions().items()}
    optional = {"tinycnn.settings": plan.settings, "tinycnn.fallback_reason": plan.fallback}
    return {
        "mlflow.source.name": f"tinycnn run {plan.spec.name}",
        "mlflow.source.git.commit": provenance.commit(),
        "tinycnn.git_dirty": "unknown" if difference is None else str(bool(difference)).lower(),
        "tinycnn.spec": _spec_tag(plan.spec),
        "tinycnn.device": plan.device,
        "tinycnn.data": plan.data.name,
        "tinycnn.parent_experiment": plan.spec.parent,
        "tinycnn.host": socket.gethostname(),
        "tinycnn.checkpoints": checkpoint.folder("."),
        **{name: value for name, value in optional.items() if value},
        **machine,
        **versions,
    }


def _spec_tag(spec) -> str:
    """Return the spec, in the store as soon as the run is: whole, or else without its notes, or its defaults."""
    ways = {}, {"exclude": {"notes"}}, {"exclude": {"notes"}, "exclude_defaults": True}
    texts = [spec.model_dump_json(**way) for way in ways]
    return next((text for text in texts if len(text) <= LONGEST_TAG), texts[-1])


def outcome(store: Store, plan: Plan, summaries: list[dict], run_id: str, undelivered: str = "") -> dict:
    """Return what the seeds came to as plain values."""
    word, reason = verdict.judge(plan.spec, summaries, kind=plan.data.kind, fallback=bool(plan.fallback))
    judged = None
    if not undelivered:
        with contextlib.suppress(StoreTrouble):
            judged = specs_judged(store, plan.data.digest)
    return {
        "experiment": plan.spec.name,
        "specs_judged": judged,
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
