"""The training loop: ``train(spec, seed)`` yields an EpochResult after each epoch; no MLflow, no Optuna."""

from tinycnn.train.device import pick_device
from tinycnn.train.loop import EpochResult, State, start
from tinycnn.train.quantised import train

__all__ = ["EpochResult", "State", "pick_device", "start", "train"]
