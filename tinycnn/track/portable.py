"""A trained network as a module of torch alone, which takes pixels as they are, for where this project is not."""

import copy

import torch
from torch import fx, nn

from tinycnn.export.subject import Pixels

WANTED = "give pixels as uint8 from 0 to 255 or as floats from 0 to 1, not normalised"


class _Deployed(Pixels):
    """Maps pixels, uint8 from 0 to 255 or floats from 0 to 1, to logits (N, classes)."""

    def forward(self, images):
        pixels = images.float() / (1 + 254 * (images.dtype == torch.uint8))
        low, high = torch.amin(pixels), torch.amax(pixels)
        torch._assert((low >= 0) & (high <= 1), WANTED)
        return self.of_floats(pixels)


class _Tracer(fx.Tracer):
    def iter(self, sizes):
        """Iterate over sizes of a map of four dimensions, e.g. ``images.shape[2:]``."""
        return iter([sizes[number] for number in range(len(range(4)[sizes.node.args[1]]))])


def portable(network: nn.Module, data) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, that normalises pixels itself; others raise an AssertionError.

    It is a graph of torch's own modules and functions, stored as Python text. A network that cannot be traced, because
    what it does depends on its values, stays of the classes that it is of.
    """
    deployed = _Deployed(copy.deepcopy(network).cpu(), data.mean, data.std).eval()
    try:
        return fx.GraphModule(deployed, _Tracer().trace(deployed), "TinyCNN").eval()
    except Exception:  # tracing raises whatever the network's code makes of values that are not there
        return deployed
