"""What is exported: trained weights with their spec and data, from a run's checkpoint or from a folder of its own.

Such a folder has ``spec.json`` and ``weights.safetensors``; ``save`` writes one. Weights are those of the run's result,
as they were trained: batch norm is not folded into them, so that ``spec.model.build`` makes the network for them.
"""

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from tinycnn.data.files import Split
from tinycnn.errors import SpecError, UserError, one_line
from tinycnn.spec import Spec
from tinycnn.spec.build import fresh
from tinycnn.train import checkpoint

SPEC, WEIGHTS = "spec.json", "weights.safetensors"
_ORIGIN = ("experiment", "seed", "run", "weights", "data")


@dataclass(frozen=True)
class Subject:
    """A trained network on the CPU, in evaluation mode.

    ``shape``: that of its images, (channels, height, width). ``mean`` and ``std``: what these are normalised with, by
    channel, white being 1. ``origin``: what its files say about where it comes from, in words. ``on_test``: it is
    evaluated on the test set also where its spec holds out validation images.
    """

    spec: Spec
    network: nn.Module
    shape: tuple[int, ...]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: dict[str, str]
    offline: bool = False
    on_test: bool = False

    @property
    def rounded(self) -> bool:
        """Whether these very weights were trained with the rounding of whole numbers; averages of them were not."""
        return self.spec.quantise.epochs > 0 and self.origin.get("weights") != "averaged"

    @functools.cached_property
    def data(self) -> Split:
        """The data set that it was trained on, read when first asked for. Raises DataMissing, UserError."""
        data = self.spec.data.load(offline=self.offline)
        if data.kind == "test" or not self.on_test:
            return data
        test = self.spec.but(data={"validation": 0.0}).data.load(offline=self.offline)
        return replace(data, evaluation=test.evaluation, kind=test.kind)


def load(path: Path, *, offline: bool = False) -> Subject:
    """Return what a checkpoint (a .pt file) or a folder of ``save`` holds. Raises UserError, DataMissing."""
    if path.is_dir():
        return _from_folder(path, offline)
    if path.suffix == ".pt" and path.is_file():
        return _from_checkpoint(path, offline)
    raise SpecError(
        f"{path}: is nothing to export; give the id of a finished run, its checkpoint.pt, or a folder with "
        f"{SPEC} and {WEIGHTS}"
    )


def _from_checkpoint(path: Path, offline: bool) -> Subject:
    saved = checkpoint.load(path)
    spec = Spec.from_json(saved["spec"], where=str(path))
    if saved["epoch"] < spec.train.epochs:
        raise UserError(f"{path}: is of epoch {saved['epoch']} of {spec.train.epochs}; export a run that has finished")
    averaged = saved["averaged"] if spec.average.result == "averaged" else None
    data = spec.data.load(offline=offline)
    words = spec.name, str(saved["seed"]), saved["run_id"]
    origin = dict(zip(_ORIGIN, (*words, "averaged" if averaged else "as trained", spec.data.short), strict=True))
    shape, classes = data.shape, len(data.classes)
    network = _network(spec, shape, classes, averaged or saved["network"], path)
    return Subject(spec, network, shape, classes, data.mean, data.std, origin, offline)


def _from_folder(path: Path, offline: bool) -> Subject:
    from safetensors import SafetensorError, safe_open

    spec = Spec.from_json(_text(path / SPEC), where=str(path / SPEC))
    try:
        with safe_open(path / WEIGHTS, "pt") as file:
            said, state = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        mean, std = (tuple(json.loads(said[name])) for name in ("mean", "std"))
        shape, classes = tuple(json.loads(said.get("shape", "[]"))), int(said.get("classes", 0))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path / WEIGHTS}: cannot be read ({one_line(error)}); restore it") from None
    except (KeyError, ValueError):
        raise UserError(f"{path / WEIGHTS}: has no mean and std in its metadata; export it again") from None
    origin = {name: said[name] for name in _ORIGIN if name in said}
    if not shape:  # as it was exported before December 2026
        facts = spec.data.facts()
        shape, classes = (facts.channels, facts.size, facts.size), len(facts.classes)
    network = _network(spec, shape, classes, state, path / WEIGHTS)
    return Subject(spec, network, shape, classes, mean, std, origin, offline)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); restore it") from None


def _network(spec, shape, classes: int, state: dict, path: Path) -> nn.Module:
    """Build the network of a spec with these weights, of which shared ones may be given once. Raises UserError."""
    network = fresh(spec.model, shape, classes).to(memory_format=torch.contiguous_format)
    names = _shared_names(network)
    try:
        network.load_state_dict({name: state.get(name, state.get(first)) for name, first in names.items()})
        if unknown := state.keys() - names.keys():
            raise KeyError(f"{min(unknown)} is not in the network")
    except Exception as error:  # torch raises many kinds where names, shapes or values do not fit
        raise UserError(f"{path}: does not fit its spec ({one_line(error)})") from None
    return network.eval().requires_grad_(False)


class Pixels(nn.Module):
    """A network that takes uint8 images and normalises them itself, as training does."""

    def __init__(self, network: nn.Module, mean, std):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images):
        """Map uint8 (N, C, H, W) to logits (N, classes)."""
        return self.of_floats(images.float() / 255)

    def of_floats(self, pixels):
        """Map pixels from 0 to 1 to logits."""
        return self.network((pixels - self.mean) / self.std)


def _shared_names(network: nn.Module) -> dict[str, str]:
    """Return, for each name of a state, the first name of the same tensor."""
    first = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in network.state_dict(keep_vars=True).items()}


def save(subject: Subject, folder: Path) -> list[Path]:
    """Write ``spec.json`` and ``weights.safetensors``, shared weights once; return both paths."""
    from safetensors.torch import save_file

    state, first = subject.network.state_dict(), _shared_names(subject.network)
    kept = {name: state[name].clone().contiguous() for name in state if first[name] == name}
    numbers = {name: json.dumps(getattr(subject, name)) for name in ("shape", "classes", "mean", "std")}
    facts = subject.origin | numbers | {"format": "pt"}
    save_file(kept, folder / WEIGHTS, facts)
    (folder / SPEC).write_text(subject.spec.to_json(), encoding="utf-8")
    return [folder / WEIGHTS, folder / SPEC]
