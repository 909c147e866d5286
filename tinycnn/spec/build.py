"""Layers in sequence -> torch modules, each given the shape that the one before it has."""

import inspect

import torch
from torch import nn

from tinycnn.errors import SpecError


def built(layers, shape, classes: int | None = None) -> nn.Sequential:
    """Build layers for maps of ``shape`` (C, H, W), in order; those that ask for ``classes`` are told.

    Raises SpecError that names the layer which cannot be built or cannot take what it gets.
    """
    modules = nn.Sequential()
    for number, layer in enumerate(layers):
        try:
            asks = classes is not None and "classes" in inspect.signature(layer.build).parameters
            module = _module(layer, shape, classes if asks else None)
            if not isinstance(module, nn.Module):
                raise SpecError(f"its build returned {type(module).__name__}, not a torch module")
            modules.append(module)
            shape = output(module, shape)
        except SpecError as error:
            inside = str(error).startswith("layers.")
            where = f"layers.{number}." if inside else f"layers.{number} ({layer.describe()}): "
            raise type(error)(f"{where}{error}") from error.__cause__
    return modules


def _module(layer, shape, classes):
    try:
        return layer.build(shape) if classes is None else layer.build(shape, classes)
    except SpecError:
        raise
    except Exception as error:  # whatever the author of a layer did wrong
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SpecError(f"cannot be built ({words})") from error


@torch.no_grad()
def output(module: nn.Module, shape) -> tuple[int, ...]:
    """Return the shape, without the batch, of what a module makes of maps of ``shape``. Raises SpecError."""
    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else torch.get_default_device()
    training = module.training
    try:
        given = module.eval()(torch.zeros(1, *shape, device=device))
    except Exception as error:  # what torch refuses, and whatever the author of a layer did wrong
        raise SpecError(why_not(error, shape)) from error
    finally:
        module.train(training)
    if not isinstance(given, torch.Tensor):
        raise SpecError(f"gives {type(given).__name__}, not a tensor")
    return tuple(given.shape[1:])


def why_not(error, shape) -> str:
    """Say in one line why a module cannot take a map of ``shape``."""
    said, size = " ".join(str(error).split()), "×".join(map(str, shape))
    # in the words of torch's convolutions and of its pools
    if "Kernel size can't be greater than actual input size" in said or "utput size is too small" in said:
        return f"shrinks a map of {size} below 1×1; use fewer or smaller layers, padding or a larger picture"
    return f"cannot take a map of {size} ({said[:300]})"
