"""Every random number of a training comes from a seed of its own, derived from the run's seed, stream and epoch.

So changing one stream does not shift another, seeds do not influence each other, nothing depends on the caller's random
state, and an epoch can be begun again without any saved random state.
"""

import contextlib
import random

import numpy as np
import torch

STREAMS = ("weights", "order", "augmentation", "dropout", "average")


def stream_seed(seed: int, stream: str, epoch: int = 0) -> int:
    """Derive the seed of one stream in one epoch; statistically independent by ``numpy.random.SeedSequence``."""
    words = np.random.SeedSequence([seed, STREAMS.index(stream), epoch]).generate_state(2)
    return int(words[0]) << 31 ^ int(words[1])


@contextlib.contextmanager
def seeded(seed: int, device: torch.device):
    """Run a block on the global generators of torch, numpy and Python seeded with ``seed``; leave them as they were."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002  what code of one's own may use
    with torch.random.fork_rng([] if device.type == "cpu" else [device.index or 0], device_type=_fork_type(device)):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before[0])  # noqa: NPY002
            random.setstate(before[1])


def _fork_type(device):
    return "cuda" if device.type == "cpu" else device.type
