"""What is kept of a training so that it continues as if nothing had happened: a file, replaced after every epoch.

The files of a run lie in ``checkpoints/RUN_ID/`` at the repository's root (``TINYCNN_CHECKPOINTS`` names another folder
than ``checkpoints/``), ``seed-S.pt`` for each seed, until all of the run is in the store. Each is what ``torch.save``
writes, tensors and plain values only, with the SHA-256 of all before it as the archive's comment.
"""

import contextlib
import hashlib
import io
import os
import shutil
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.train.loop import EpochResult, State

JOBS = "jobs"
"""Beside a run's checkpoints, the folder of what is known of its jobs on a cluster."""
_DIGEST = 64  # hex digits of a SHA-256


def folder(run_id: str) -> Path:
    """Return the folder of a run's checkpoints, whether there are any or not."""
    return Path(os.environ.get("TINYCNN_CHECKPOINTS") or ROOT / "checkpoints").absolute() / run_id


def save(path: Path, identity: dict, state: State, history: list[EpochResult]) -> None:
    """Write a checkpoint to ``path`` atomically: a reader sees the whole file or the one before. Raises OSError."""
    content = identity | {
        "epoch": state.epoch,
        "last_rate": state.last_rate,
        "network": dict(state.network.state_dict()),
        "averaged": dict(state.averaged.module.state_dict()) if state.averaged else None,
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "history": [{name: value for name, value in vars(result).items() if name != "state"} for result in history],
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(partial, "wb") as file:
            file.write(_with_digest(buffer.getvalue()))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)  # it may hold the last free space of the disk
        raise
    os.replace(partial, path)


def load(path: Path) -> dict:
    """Return what ``save`` wrote, without running any code from it. Raises UserError if it is damaged, or no such file.

    Besides the values of ``identity`` these are ``epoch``, ``history`` and the states that ``restore`` takes.
    """
    try:
        content = path.read_bytes()
        plain = content[: -_DIGEST - 2] + b"\0\0"
        if _with_digest(plain) != content:
            raise ValueError("its content does not match its SHA-256")
        found = torch.load(io.BytesIO(plain), map_location="cpu", weights_only=True)
        return found | {"history": [EpochResult(**result) for result in found["history"]]}
    except Exception as error:  # a damaged file makes torch and pickle raise almost anything
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise UserError(
            f"checkpoint {path}: damaged, or none of tinycnn ({reason}); delete it, and `resume` trains the "
            "run from its first epoch"
        ) from None


def restore(state: State, saved: dict) -> list[EpochResult]:
    """Put a checkpoint into ``state``, freshly made from the same spec, and return the history."""
    state.network.load_state_dict(saved["network"])
    if state.averaged:
        state.averaged.module.load_state_dict(saved["averaged"])
        state.averaged.n_averaged.fill_(saved["epoch"])  # above 0: further weights are averaged in, none are replaced
    state.optimizer.load_state_dict(saved["optimizer"])
    state.schedule.load_state_dict(saved["schedule"])
    state.epoch, state.last_rate = saved["epoch"], saved["last_rate"]
    return list(saved["history"])


@contextlib.contextmanager
def claimed(run_id: str):
    """Yield the folder of a run's checkpoints, and keep other processes out of it until the block or this process ends.

    The folder is deleted when it has no checkpoint any more. Raises UserError where another process has claimed it.
    """
    here = folder(run_id)
    with contextlib.ExitStack() as stack:
        try:
            here.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(here / "lock", timeout=0))
        except Timeout:
            raise UserError(f"run {run_id}: another process is training it; wait for it, or end it first") from None
        except OSError:
            pass  # where no lock can be written no checkpoint can be either, which will be said
        try:
            yield here
        finally:
            if not any(here.rglob("seed-*.pt")) and not (here / JOBS).exists():
                shutil.rmtree(here, ignore_errors=True)


def is_claimed(run_id: str) -> bool:
    """Tell whether a living process has claimed a run's folder of checkpoints."""
    lock = folder(run_id) / "lock"
    try:
        with FileLock(lock, timeout=0) if lock.exists() else contextlib.nullcontext():
            return False
    except Timeout:
        return True


def discard(path: Path) -> None:
    """Delete a checkpoint, and what a write that was killed left beside it."""
    for each in (path, path.with_suffix(".partial")):
        with contextlib.suppress(OSError):  # one that stays does no harm: its run has ended
            each.unlink()


def weights_digest(network: torch.nn.Module) -> str:
    """Return the SHA-256 of all weights and running statistics, bit by bit."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _with_digest(archive: bytes) -> bytes:
    """Return a ZIP archive without a comment as one whose comment is the SHA-256 of the archive."""
    return archive[:-2] + _DIGEST.to_bytes(2, "little") + hashlib.sha256(archive).hexdigest().encode()
