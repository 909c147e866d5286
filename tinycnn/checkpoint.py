"""What is kept of a training so that it can be taken up again or looked into."""

import os
from pathlib import Path

import torch


def save(path: Path, *, spec, seed: int, run_id: str, state, history: list) -> None:
    """Write weights, optimizer, schedule and history to ``path``, atomically: a reader sees the whole file or none.

    No random state is among them: every random stream is derived from seed and epoch (see ``train.py``). The file
    holds tensors and plain values only, so ``torch.load(path, weights_only=True)`` reads it.
    """
    content = {
        "spec": spec.to_json(),
        "spec_hash": spec.hash,
        "seed": seed,
        "run_id": run_id,
        "threads": torch.get_num_threads(),
        "epoch": state.epoch,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "history": [{name: value for name, value in vars(result).items() if name != "state"} for result in history],
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    os.replace(partial, path)
