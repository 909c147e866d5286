"""Distillation: the loss that learns from a trained network, found by experiment, by run or by checkpoint.

It stands above ``Spec``, because a teacher is a spec with weights.
"""

import functools
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from tinycnn import ROOT
from tinycnn.errors import SpecError, UserError, one_line
from tinycnn.spec import load as experiments
from tinycnn.spec.section import nn, torch
from tinycnn.spec.spec import Spec
from tinycnn.spec.training import Loss, Smoothing


class Distillation(Loss):
    """A ``share`` of learning a teacher's outputs for the same images (Hinton et al. 2015, arXiv:1503.02531).

    ``teacher``: the name of an experiment that has been trained on the same training images, the id of a finished run,
    or a checkpoint file. The first term is T² times the Kullback-Leibler divergence from the teacher's probabilities at
    ``temperature`` T, the rest is cross-entropy with the labels.
    """

    positional = ("teacher",)
    teacher: Annotated[str, Field(min_length=1)]
    temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    share: Annotated[float, Field(gt=0, le=1)] = 0.9
    label_smoothing: Smoothing = 0.0

    def build(self, data, device, accelerate=lambda network: network):
        """Return the function. Raises UserError where there is no such teacher, or it was trained on other shapes.

        ``accelerate`` returns what is called in place of the teacher's network.
        """
        teacher = accelerate(_network(load(self.teacher), data).to(device))
        temperature, share, smoothing = self.temperature, self.share, self.label_smoothing

        def distil(logits, targets, images):
            with torch.no_grad():
                wanted = nn.functional.log_softmax(teacher(images) / temperature, 1)
            ours = nn.functional.log_softmax(logits / temperature, 1)
            soft = nn.functional.kl_div(ours, wanted, reduction="batchmean", log_target=True) * temperature**2
            hard = nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
            return share * soft + (1 - share) * hard

        return distil

    def used(self):
        return {"teacher": load(self.teacher).digest}


class Teacher(NamedTuple):
    """``state``: the weights of the run's result; ``digest``: their SHA-256, bit by bit (12 hex digits)."""

    spec: Spec
    state: dict
    digest: str


def is_run(text: str) -> bool:
    """Tell whether a teacher is named by the id of a run."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def is_experiment(text: str) -> bool:
    """Tell whether a teacher is named by an experiment."""
    return text in experiments.names()


def kept(name: str) -> Path:
    """Return where the checkpoint of a teacher, a run or an experiment, is kept on this machine."""
    return Path(os.environ.get("TINYCNN_CHECKPOINTS") or ROOT / "checkpoints").absolute() / "teachers" / f"{name}.pt"


def load(text: str) -> Teacher:
    """Return the teacher of that name. Raises UserError where there is none, or a file that is no checkpoint."""
    named = is_run(text) or is_experiment(text)
    path = kept(text) if named else Path(text).expanduser()
    if not path.exists():
        path = ROOT / text
    if not path.is_file():
        what = "no finished run of it was found" if named else "there is no such file or experiment"
        raise UserError(f"loss.teacher: {text}: {what}; give an experiment, the id of a finished run, or a checkpoint")
    return _loaded(path.resolve(), path.stat().st_mtime_ns)


@functools.lru_cache(2)
def _loaded(path: Path, changed: int) -> Teacher:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        spec = json.loads(content["spec"])
        raw = spec.get("average", {}).get("result") == "raw"
        state = content["network"] if raw else content.get("averaged") or content["network"]
        digest = hashlib.sha256(b"".join(each.contiguous().numpy().tobytes() for each in state.values()))
    except Exception as error:  # torch and pickle raise many kinds for a damaged file
        raise UserError(f"loss.teacher: {path}: is no checkpoint of a run ({one_line(error)})") from None
    return Teacher(Spec.from_dict(spec, where=f"loss.teacher: {path}"), state, digest.hexdigest()[:12])


def _network(teacher: Teacher, data):
    """Build the teacher's network for the images of a ``Split``, in evaluation mode."""
    try:
        with torch.random.fork_rng([]):
            network = teacher.spec.model.build(data.shape, len(data.classes))
        network.load_state_dict(teacher.state)
    except (RuntimeError, SpecError) as error:
        raise UserError(f"loss.teacher: {teacher.spec.name} does not fit {data.name} ({one_line(error)})") from None
    return network.eval().requires_grad_(False)


def check(settings: Distillation, now) -> None:
    """Raise SpecError where a teacher was trained on images that its student is validated on, by section ``now``."""
    then = load(settings.teacher).spec.data
    if now.validation and (then.name, then.validation) != (now.name, now.validation):
        raise SpecError(
            f"loss.teacher: trained on {then.name} with data.validation {then.validation:g}, so it may have seen the "
            f"validation images of {now.name} ({now.validation:g}); use one of the same validation split"
        )
