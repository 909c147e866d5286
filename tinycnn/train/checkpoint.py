"""What is kept of a training so that it goes on as if nothing had happened: a file, replaced after every epoch.

The files of a run lie in ``checkpoints/RUN_ID/`` at the repository's root (``TINYCNN_CHECKPOINTS`` names another place
than ``checkpoints/``), ``seed-S.pt`` for each seed, until all of the run is in the store. Each is what ``torch.save``
writes, tensors and plain values only, with the SHA-256 of all before it as the archive's comment.
"""

import contextlib
import errno
import hashlib
import io
import math
import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.spec import Spec
from tinycnn.track import provenance
from tinycnn.train.loop import STREAMS, EpochResult, State, kernels, stream_seed

_SEAL = 64  # hex digits of a SHA-256
_HISTORY = {each.name for each in fields(EpochResult)} - {"state"}
_LARGEST = 2**28  # bytes; one of 8,000 parameters has some 150,000
_BY_WEIGHT = {torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop}
"""Optimizers whose state has the shape of the weights; of others, e.g. Adafactor, it may have any."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint as read. ``random`` holds the seeds that every random stream starts the next epoch from."""

    spec: str
    spec_hash: str
    seed: int
    run_id: str | None
    code: dict
    versions: dict
    threads: int
    kernels: str
    epoch: int
    last_rate: float
    random: dict
    network: dict
    averaged: dict | None
    optimizer: dict
    schedule: dict
    history: list


def folder(run_id: str) -> Path:
    """Return where the checkpoints of a run lie, be there any or not."""
    return Path(os.environ.get("TINYCNN_CHECKPOINTS") or ROOT / "checkpoints").absolute() / run_id


def save(path: Path, *, spec: Spec, seed: int, run_id: str | None, state: State, history: list) -> None:
    """Write a checkpoint to ``path``, atomically: a reader sees the whole file or the one before. Raises OSError.

    The first one leaves a reserve beside it, some space on the disk, which is given up when the disk has become full.
    """
    whose = kernels(spec, next(state.network.parameters()).device, state.network)[0]
    content = Saved(
        spec=spec.to_json(),
        spec_hash=spec.hash,
        seed=seed,
        run_id=run_id,
        code=provenance.code(spec, whose),
        versions=number_versions(),
        threads=torch.get_num_threads(),
        kernels=whose,
        epoch=state.epoch,
        last_rate=state.last_rate,
        random=random_streams(seed, state.epoch),
        network=dict(state.network.state_dict()),
        averaged=dict(state.averaged.module.state_dict()) if state.averaged else None,
        optimizer=state.optimizer.state_dict(),
        schedule=state.schedule.state_dict(),
        history=[{name: value for name, value in vars(result).items() if name != "state"} for result in history],
    )
    buffer = io.BytesIO()
    torch.save(vars(content), buffer)
    sealed = _seal(buffer.getvalue())
    reserve = path.with_suffix(".reserve")
    try:
        if not path.exists():
            _replace(reserve, bytes(3 * len(sealed)))
        _replace(path, sealed)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not reserve.exists():
            raise
        reserve.unlink()
        _replace(path, sealed)


def load(path: Path) -> Saved:
    """Read a checkpoint without running any code from it. Raises UserError if it is damaged or something else."""
    try:
        if not path.is_file():
            raise ValueError("no regular file")
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        sealed = path.read_bytes()
        plain = sealed[: -_SEAL - 2] + b"\0\0"
        if _seal(plain) != sealed:
            raise ValueError("its content does not have the checksum it ends with")
        with zipfile.ZipFile(io.BytesIO(plain)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(plain):
                raise ValueError("it unpacks to more than its size")
        return _checked(torch.load(io.BytesIO(plain), map_location="cpu", weights_only=True))
    except Exception as error:  # torch and pickle raise whatever a damaged file makes them stumble over
        said = " ".join(str(error).split())[:150] or type(error).__name__
        raise UserError(
            f"checkpoint {path}: damaged or not one of tinycnn's ({said}); delete it, and `resume` trains the run from "
            "its first epoch again"
        ) from None


def restore(state: State, saved: Saved) -> list[EpochResult]:
    """Put what was saved into ``state``, freshly made from the same spec, and return the history.

    Raises UserError where the two do not fit together.
    """
    try:
        if saved.schedule.keys() != state.schedule.state_dict().keys():
            raise ValueError("the schedule is another one")
        state.network.load_state_dict(saved.network)
        if state.averaged:
            state.averaged.module.load_state_dict(saved.averaged)
            state.averaged.n_averaged.fill_(saved.epoch)  # above 0: what is there is moved, not replaced
        state.optimizer.load_state_dict(saved.optimizer)
        state.schedule.load_state_dict(saved.schedule)
        for parameter, kept in state.optimizer.state.items():
            if type(state.optimizer) in _BY_WEIGHT and any(
                value.dim() and value.shape != parameter.shape for value in kept.values() if value is not None
            ):
                raise ValueError("the optimizer is that of another network")
    except Exception as error:
        said = " ".join(str(error).split())[:150]
        raise UserError(f"checkpoint of run {saved.run_id}: does not fit its own spec ({said}); delete it") from None
    state.epoch, state.last_rate = saved.epoch, saved.last_rate
    return [EpochResult(**result) for result in saved.history]


def trained(run_id: str) -> bool:
    """Tell whether there is a checkpoint of a run, or of a seed below it, with at least one epoch."""
    for path in folder(".").glob("*/seed-*.pt"):
        with contextlib.suppress(UserError):
            saved = load(path)
            if saved.epoch and run_id in (saved.run_id, path.parent.name):
                return True
    return False


def discard(path: Path) -> None:
    """Delete a checkpoint and what lies beside it for its sake."""
    for each in (path, path.with_suffix(".reserve"), path.with_suffix(".partial")):
        with contextlib.suppress(OSError):  # one that stays does no harm: its run has ended
            each.unlink()


def random_streams(seed: int, epoch: int) -> dict[str, int]:
    """Return where every random stream goes on after an epoch: all the random state there is."""
    return {stream: stream_seed(seed, stream, epoch + 1) for stream in STREAMS}


def weights_digest(network: torch.nn.Module) -> str:
    """Return the SHA-256 of all weights and running statistics, bit by bit."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def number_versions() -> dict[str, str]:
    """Return the versions of the packages that compute."""
    return {name: version for name, version in provenance.versions().items() if name in ("torch", "numpy")}


def _checked(content) -> Saved:
    """Return the content as Saved, once all of it has been found to be what ``save`` writes."""
    saved = Saved(**content)
    for each in fields(Saved):
        if each.type in (str, int, float, dict, list) and type(getattr(saved, each.name)) is not each.type:
            raise ValueError(f"{each.name} is no {each.type.__name__}")
    if saved.epoch < 0 or [result["epoch"] for result in saved.history] != list(range(1, saved.epoch + 1)):
        raise ValueError("its history is not that of its epochs")
    if any(result.keys() != _HISTORY for result in saved.history):
        raise ValueError("its history has other entries")
    optional = {each.name for each in fields(EpochResult) if each.default is None}
    numbers = [v for result in saved.history for name, v in result.items() if v is not None or name not in optional]
    if not all(type(value) in (int, float) and math.isfinite(value) for value in [saved.last_rate, *numbers]):
        raise ValueError("its history holds something else than numbers")
    if Spec.from_json(saved.spec).hash != saved.spec_hash:
        raise ValueError("its spec is not the one it was made with")
    return saved


def _seal(archive: bytes) -> bytes:
    """Return a ZIP archive without a comment as one whose comment is the checksum of the archive."""
    return archive[:-2] + _SEAL.to_bytes(2, "little") + hashlib.sha256(archive).hexdigest().encode()


def _replace(path: Path, content: bytes):
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)  # what a killed process left, or a link that would lead elsewhere
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)  # it may hold the last of the disk
        raise
    os.replace(partial, path)
