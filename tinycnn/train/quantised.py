"""Quantisation-aware training: the loop, whose last epochs round weights and maps as whole numbers do."""

from tinycnn.errors import UserError
from tinycnn.integers.rounded import Rounded
from tinycnn.train import loop
from tinycnn.train.device import pick_device


def train(spec, seed: int, **how):
    """Return what ``loop.train`` does for the same arguments, its last ``spec.quantise.epochs`` epochs rounded.

    The loop itself knows nothing of it, so that runs without such epochs do not depend on this code.
    """
    if spec.quantise.epochs:
        if pick_device(how.get("device", "auto")).type == "mps":
            raise UserError(f"{spec.name}: quantise.epochs: torch cannot round so on mps; use --device cpu")
        how["train_epoch"] = train_epoch
    return loop.train(spec, seed, **how)


def train_epoch(spec, seed, epoch, state, forward, loss_of, images, data, progress):
    """Train for one epoch as the loop does, through the rounded network where the epoch is one of the last."""
    if epoch > spec.train.epochs - spec.quantise.epochs:
        # formats follow from weights and data alone, so that an epoch can be begun again
        forward = Rounded(state.network, data.shape, len(data.classes), data.mean, data.std, data.train.images)
    return loop._train_epoch(spec, seed, epoch, state, forward, loss_of, images, data, progress)
