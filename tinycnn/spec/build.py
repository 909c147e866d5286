"""Layers in sequence -> torch modules, each built for the shape that the one before it returns."""

import contextlib
import inspect

from tinycnn.errors import SpecError, one_line
from tinycnn.spec.section import nn, torch


def built(layers, shape, classes: int | None = None):
    """Build an ``nn.Sequential`` for maps of ``shape`` (C, H, W); layers that take ``classes`` are given the number.

    Raises SpecError that names the layer which cannot be built or cannot take its input.
    """
    modules = nn.Sequential()
    for number, layer in enumerate(layers):
        takes_classes = classes is not None and "classes" in inspect.signature(layer.build).parameters
        try:
            module = layer.build(shape, classes) if takes_classes else layer.build(shape)
            modules.append(module)
            shape = output(module, shape)
        except SpecError as error:
            where = f"layers.{number}." if str(error).startswith("layers.") else f"layers.{number} ({layer!r}): "
            raise type(error)(f"{where}{error}") from error.__cause__
        except Exception as error:  # whatever the author of a layer did wrong
            raise SpecError(f"layers.{number} ({layer!r}): cannot be built ({one_line(error)})") from error
    return modules


def fresh(model, shape, classes: int):
    """Build the network of ``spec.model``, and leave torch's random state as it was."""
    with torch.random.fork_rng([]):
        return model.build(shape, classes)


@contextlib.contextmanager
def evaluation(module):
    """Put a module into evaluation mode, without gradients; restore its mode afterwards."""
    training = module.training
    try:
        with torch.no_grad():
            yield module.eval()
    finally:
        module.train(training)


def output(module, shape) -> tuple[int, ...]:
    """Return the shape, without the batch, of what a module returns for maps of ``shape``. Raises SpecError."""
    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else torch.get_default_device()
    return tuple(result(module, torch.zeros(1, *shape, device=device)).shape[1:])


def result(module, images):
    """Return what a module returns for ``images`` (N, C, H, W) in evaluation mode. Raises SpecError, in one line."""
    size = "×".join(map(str, images.shape[1:]))
    try:
        with evaluation(module):
            return module(images)
    except Exception as error:  # what torch refuses, and whatever the author of a module did wrong
        # the texts of torch's convolutions and of its pools
        too_small = "Kernel size can't be greater than actual input size", "utput size is too small"
        if any(text in str(error) for text in too_small):
            raise SpecError(f"shrinks a map of {size} below 1×1; use fewer or smaller layers, or padding") from error
        raise SpecError(f"cannot take a map of {size} ({one_line(error)})") from error
