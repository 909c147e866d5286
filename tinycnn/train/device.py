"""What a training computes with: the device, and whose kernels."""

import contextlib
import functools
from collections.abc import Callable

import torch
from torch import nn

from tinycnn.data.files import Images, Split
from tinycnn.errors import UserError
from tinycnn.network import native
from tinycnn.spec import Augment, Distillation, Network


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``cpu``, ``cuda`` (``cuda:1``), ``mps``, or the best there is. Raises UserError."""
    available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if name == "auto":
        name = next(kind for kind, present in available.items() if present())
    try:
        device = torch.device(name)
        usable = available[device.type]() and (device.type != "cuda" or (device.index or 0) < torch.cuda.device_count())
    except (RuntimeError, KeyError):
        raise UserError(f"device {name!r} is unknown: use auto, cpu, cuda, cuda:N or mps") from None
    if not usable:
        raise UserError(f"device {name!r} is not available on this machine: use DEVICE=auto or DEVICE=cpu")
    return device


def memory_format(spec, device: torch.device):
    """Return the layout of images: channels last for a GPU, unless code of one's own may ``view`` them.

    On the CPU so few channels are 1.6 times as fast in rows, and oneDNN's gradient of a strided 1×1 convolution's
    weights was found wrong channels last on some processors (its issue 6035).
    """
    last = device.type != "cpu" and isinstance(spec.model, Network)
    return torch.channels_last if last else torch.contiguous_format


def autocast(name: str, device: torch.device):
    """Return the context that a network computes in, with the precision ``name``: float32 or bfloat16."""
    # a disabled one takes a hundredth of a small network's step
    return torch.autocast(device.type, torch.bfloat16) if name == "bfloat16" else contextlib.nullcontext()


def kernels(spec, device: torch.device, network: nn.Module) -> tuple[str, str]:
    """Return whose kernels compute, "native", "torch" or e.g. "native 3 of 7", and why not native ones throughout.

    "" where the spec asks for torch's, or is for another device, precision or compiler.
    """
    settings = spec.train
    applies = device.type == "cpu" and settings.precision == "float32" and not settings.compile
    if settings.kernels == "torch" or not applies:
        return "torch", ""
    if why_not := native.missing():
        return "torch", f"the native ones cannot be compiled: {why_not}"
    taken, layers, first = native.coverage(network)
    if taken == layers:
        return "native", ""
    which = f"native {taken} of {layers}" if taken else "torch"
    return which, f"{taken} of {layers} layers native: {first} is not among the native kernels"


def accelerated(spec, network: nn.Module, device: torch.device):
    """Return what is called in place of ``network``, with the same parameters: as ``spec.train`` says."""
    if spec.train.compile:
        return torch.compile(network)
    return native.Native(network) if kernels(spec, device, network)[0].startswith("native") else network


def loss_function(spec, data: Split, device: torch.device):
    """Return the loss of ``spec``. A teacher is computed as the network that it teaches."""
    own = isinstance(spec.loss, Distillation)
    return spec.loss.build(data, device, *([lambda network: accelerated(spec, network, device)] if own else []))


def preparation(spec, epoch: int, network: nn.Module, images: Images, data: Split, generator) -> Callable:
    """Return a function of indices (N,) of ``images``: what the network is given of them, and their targets.

    That is pixels (N, C, H, W), augmented as in the epoch and normalised, by the native kernels where they compute the
    network too. A class of one's own with another ``apply`` is asked for its pixels and targets.
    """
    device, augment = images.images.device, spec.augment.at(epoch, spec.train.epochs)
    memory, plain = memory_format(spec, device), type(augment).apply is Augment.apply
    in_rows = images.images.dtype == torch.uint8 and images.images.is_contiguous()
    by_kernels = plain and in_rows and kernels(spec, device, network)[0].startswith("native")

    def prepare(chosen):
        labels = images.labels[chosen]
        if by_kernels:
            return native.augmented(images.images, chosen, augment, generator, data), labels
        pixels = images.images[chosen].float().div_(255)
        pixels, targets = augment.apply(pixels, labels, generator, data)
        return normalise(pixels, data, memory), targets

    return prepare


def normalise(images: torch.Tensor, data: Split, memory=torch.channels_last) -> torch.Tensor:
    """Shift and scale images (N, C, H, W) in [0, 1] to mean 0 and deviation 1 per channel of the training set."""
    mean, std = (_by_channel(values, images.device, images.dtype) for values in (data.mean, data.std))
    return ((images - mean) / std).contiguous(memory_format=memory)


@functools.lru_cache(32)
def _by_channel(values: tuple, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return (1, C, 1, 1), kept: a GPU that waits for two numbers with every batch is idle for half of the time."""
    return torch.tensor(values, device=device, dtype=dtype).view(1, -1, 1, 1)
