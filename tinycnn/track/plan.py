"""A spec made ready to run: checked, its data loaded, and what identifies its numbers in the store."""

import functools
import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass, replace

import torch

from tinycnn import source
from tinycnn.data.files import Split
from tinycnn.errors import DataMissing, UserError
from tinycnn.network.check import check
from tinycnn.network.profile import Measured
from tinycnn.spec import Distillation, teacher
from tinycnn.spec import load as experiments
from tinycnn.spec.build import fresh
from tinycnn.track import provenance
from tinycnn.train import checkpoint
from tinycnn.train.device import kernels, pick_device

_LONGEST_TAG = 8000  # characters; of longer ones MLflow keeps the beginning


class Reporter:
    """What a run tells whoever watches it; this one keeps silent."""

    def notice(self, line: str): ...
    def warning(self, line: str): ...
    def parent(self, plan: "Plan", seeds: range, run_id: str): ...
    def started(self, plan: "Plan", seed: int, history: list): ...
    def recorded(self, seed: int, run_id: str): ...
    def images(self, seed: int, count: int): ...
    def epoch(self, seed: int, result): ...
    def finished(self, seed: int, history: list): ...


@dataclass(frozen=True)
class Plan:
    """A spec, its ``Split`` and what its network measures.

    ``fallback`` says what is missing; ``settings`` are the words a spec was derived by, for the run's name; ``again``
    is the run that is made again, if this is for that; ``together`` is how many seeds are trained as one computation,
    where more than one; ``draw`` yields (file name, figure) of what a training came to,
    for (history, split, logits, measured, target accuracy).
    """

    spec: object
    data: Split
    measured: Measured
    device: torch.device
    fallback: str = ""
    settings: str = ""
    again: str = ""
    together: int = 0
    draw: object = None

    def but(self, spec, measured: Measured) -> "Plan":
        """Return this plan with another spec on the same data."""
        return replace(self, spec=spec, measured=measured)

    @functools.cached_property
    def kernels(self) -> tuple[str, str]:
        """Whose kernels compute, and why not native ones throughout; see ``train.device.kernels``."""
        network = fresh(self.spec.model, self.data.shape, len(self.data.classes))
        return kernels(self.spec, self.device, network)

    @functools.cached_property
    def code(self) -> dict:
        """The code that the numbers depend on, as it was when first asked for; see ``provenance.code``."""
        return provenance.code(self.spec, self.kernels[0])

    @property
    def tags(self) -> dict:
        """What identifies the numbers of this plan's runs in the store."""
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

    @property
    def environment(self) -> dict:
        """Where and with what a run is made, and how it can be taken up: its ``environment.json``."""
        difference = provenance.uncommitted()
        counts = torch.bincount(self.data.evaluation.labels, minlength=len(self.data.classes))
        return {
            "spec": self.spec.model_dump(mode="json"),
            "data": self.data.name,
            "class_counts": " ".join(map(str, counts.tolist())),
            "device": str(self.device),
            "kernels_reason": self.kernels[1],
            **({"together": self.together} if self.together else {}),
            "fallback_reason": self.fallback,
            "host": socket.gethostname(),
            "checkpoints": str(checkpoint.folder(".")),
            "git_dirty": "unknown" if difference is None else str(bool(difference)).lower(),
            **{f"machine.{name}": value for name, value in provenance.machine().items()},
            **{f"version.{name}": value for name, value in provenance.versions().items()},
        }

    @property
    def environment_tag(self) -> str:
        """``environment`` as a tag, which a run has until it has the file; too long a spec loses notes and defaults."""
        text = json.dumps(self.environment)
        if len(text) > _LONGEST_TAG:
            spec = self.spec.model_dump(mode="json", exclude={"notes"}, exclude_defaults=True)
            spec["data"] = self.spec.data.model_dump(mode="json")  # its kind is its name, which has a default
            text = json.dumps(self.environment | {"spec": spec})
        return text

    def identity(self, seed: int, run_id: str) -> dict:
        """Return what a training must have in common with a checkpoint to continue from it."""
        return {
            "spec": self.spec.to_json(),
            "spec_hash": self.spec.hash,
            "seed": seed,
            "run_id": run_id,
            "code": self.code,
            "versions": provenance.number_versions(),
            "threads": torch.get_num_threads(),
            "kernels": self.kernels[0],
        }

    def name(self, which: str) -> str:
        """Return the name of a run of this plan; ``which`` says of what seeds."""
        settings = f" ({self.settings})" if self.settings else ""
        fallback = f" on FALLBACK {self.data.name}" if self.fallback else ""
        return f"{self.spec.name}{settings}{fallback}, {which}" + (", again" if self.again else "")


def prepare(spec, *, device="auto", offline=False, fallback=True, settings="", reporter=None, draw=None, data=None):
    """Check ``spec`` before any data is read, then load its data set, or the fallback that the spec states.

    ``data``: the ``Split`` where it has been loaded before; ``device``: a name, or a torch.device of another machine.

    Raises SpecError, OverLimit, UserError for damaged data, and DataMissing where there is no fallback.
    """
    reporter = reporter or Reporter()
    measured, notices = check(spec)
    device = device if isinstance(device, torch.device) else pick_device(device)
    compiler = os.environ.get("CXX", "").strip() or ("clang++" if sys.platform == "darwin" else "g++")
    if spec.train.compile and device.type == "cpu" and not shutil.which(compiler.split()[0]):
        notices = [*notices, f"train.compile: torch.compile needs a C++ compiler, and {compiler} is not here: off"]
        spec = spec.but(train={"compile": False})
    if isinstance(spec.loss, Distillation):
        fetch_teacher(spec, reporter)
        teacher.check(spec.loss, spec.data)
    for line in notices:
        reporter.notice(line)
    missing = ""
    try:
        data = data or spec.data.load(offline=offline)
    except DataMissing as error:
        stand_in = spec.data.fallback
        if not fallback or stand_in is None or stand_in == spec.data.name:
            raise
        missing = f"FALLBACK: {spec.data.name} is missing, so this trains on {stand_in} and is not judged"
        reporter.warning(f"{missing}. {error}")
        spec = spec.with_values({"data.name": stand_in, "data.images": None})  # it has too few to choose from
        measured, _ = check(spec)
        data = spec.data.load(offline=offline)
    if 0.0 in data.std:
        channel = f"channel {data.std.index(0.0)} of the training images is the same everywhere"
        raise UserError(f"{spec.name}: data: {channel}, so it cannot be normalised; leave it out")
    plan = Plan(spec, data, measured, device, missing, settings, draw=draw)
    if plan.kernels[1]:
        # "tinycnn" against "tinycnn, torch's kernels" in reports/bench.md, which `make bench` writes
        reporter.notice(f"{plan.kernels[1]}; with torch's kernels an epoch of exp3 takes some five times as long")
    return plan


def fetch_teacher(spec, reporter) -> None:
    """Bring the checkpoint of the run that teaches from the store to where ``spec.teacher`` looks for it.

    Of an experiment's finished runs on the images that ``spec`` trains on, it is the one with the first seed.
    """
    name = spec.loss.teacher
    by_run = teacher.is_run(name)
    if by_run and teacher.kept(name).exists() or not (by_run or teacher.is_experiment(name)):
        return
    from tinycnn.track.mlflow_store import Store  # importing it takes seconds

    store, run_id = Store(reporter.notice), name
    if not by_run:
        share = f"data.validation={spec.data.validation:g}"
        wanted = experiments.load(name).with_values({"data.validation": spec.data.validation})
        found = store.search({"tinycnn.spec_hash": wanted.hash, "tinycnn.role": "seed", "tinycnn.fallback": "false"})
        if not found:
            command = f"`python -m tinycnn run {name} --set {share}` trains one"
            raise UserError(f"loss.teacher: {name} has no finished run with {share}; {command}")
        run_id = min(found, key=lambda entity: int(entity.data.tags["tinycnn.seed"])).info.run_id
    elif store.entity(name).info.status != "FINISHED":
        raise UserError(f"loss.teacher: run {name} has not finished; give the id of one that has")
    store.fetch_checkpoint(run_id, teacher.kept(name))
