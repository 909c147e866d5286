"""The training loop: ``train(spec, seed)`` yields one EpochResult after another. It neither logs nor prints.

Randomness: every stream (initial weights, order, augmentation, dropout) is drawn from a seed of its own, derived from
the run's seed, the stream and the epoch. So changing one stream does not shift another, seeds do not influence each
other, nothing depends on the caller's random state, and an epoch can be begun again without any saved random state.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tinycnn import models, native
from tinycnn.augment import augment
from tinycnn.data import Images, Split, load
from tinycnn.datasets import DATASETS
from tinycnn.errors import Diverged, SpecError, UserError

STREAMS = ("weights", "order", "augmentation", "dropout")
_EVALUATION_BATCH = 1000  # images; small enough to stay in the processor's cache, results do not depend on it


@dataclass
class State:
    """What training has reached. It is live: it changes as soon as the next epoch is asked for."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    epoch: int = 0
    last_rate: float = 0.0  # learning rate of the last step taken
    logits: torch.Tensor | None = None  # (N, classes) of the evaluation images, after the epoch


@dataclass(frozen=True)
class EpochResult:
    """One epoch. Accuracies in percent; ``loss`` and ``accuracy`` are those of the test or validation images.

    Training loss and accuracy are measured as training ran: on augmented images, with dropout, while the weights moved.
    ``clean_train_accuracy`` is measured after the last epoch only, on the training images as they are.
    ``seconds`` covers the whole epoch, ``images_per_second`` only its training part; ``ended`` is when it was over, in
    seconds since 1970.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float
    ended: float
    clean_train_accuracy: float | None = None
    state: State | None = field(default=None, compare=False, repr=False)


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


def stream_seed(seed: int, stream: str, epoch: int = 0) -> int:
    """Derive the seed of one stream in one epoch; statistically independent by ``numpy.random.SeedSequence``."""
    words = np.random.SeedSequence([seed, STREAMS.index(stream), epoch]).generate_state(2)
    return int(words[0]) << 31 ^ int(words[1])


@contextlib.contextmanager
def seeded(seed: int, device: torch.device):
    """Run a block on torch's global generators seeded with ``seed``, and leave the caller's as they were."""
    with torch.random.fork_rng([] if device.type == "cpu" else [device.index or 0], device_type=_fork_type(device)):
        torch.manual_seed(seed)
        yield


def _fork_type(device):
    return "cuda" if device.type == "cpu" else device.type


def _optimizer(settings, parameters):
    common = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": True}
    if settings.name == "SGD":
        return torch.optim.SGD(parameters, momentum=settings.momentum, nesterov=settings.nesterov, **common)
    kind = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[settings.name]
    return kind(parameters, betas=(settings.beta1, settings.beta2), eps=settings.eps, **common)


def _schedule(settings, optimizer, epochs, steps):
    """Return torch's scheduler for ``settings``, to be stepped after every batch; ``steps`` batches make an epoch."""
    schedules = torch.optim.lr_scheduler
    peak = optimizer.param_groups[0]["lr"]
    if settings.name == "StepLR":
        return schedules.StepLR(optimizer, settings.step_size * steps, settings.gamma)
    if settings.name == "OneCycle":
        return schedules.OneCycleLR(
            optimizer,
            peak,
            total_steps=epochs * steps + 1,  # the scheduler also takes a step after the last batch
            pct_start=settings.pct_start,
            div_factor=settings.div_factor,
            final_div_factor=settings.final_div_factor,
            anneal_strategy=settings.anneal,
            cycle_momentum=False,
        )
    if settings.name == "Cosine":
        return schedules.CosineAnnealingLR(optimizer, epochs * steps, eta_min=peak * settings.floor)
    return schedules.ConstantLR(optimizer, factor=1.0)


def start(spec, seed: int, data: Split, device: torch.device) -> State:
    """Build network, optimizer and schedule as they are before the first epoch."""
    steps = len(data.train.labels) // spec.train.batch_size
    if steps == 0:
        raise SpecError(
            f"{spec.name}: train.batch_size: {spec.train.batch_size} is more than the {len(data.train.labels)} "
            f"training images of {data.name}"
        )
    if spec.schedule.name == "OneCycle" and spec.schedule.pct_start * (spec.train.epochs * steps + 1) == 1:
        raise SpecError(
            f"{spec.name}: schedule.pct_start: {spec.schedule.pct_start} of {spec.train.epochs * steps} batches is no "
            "time to rise in; use a larger share, more epochs or smaller batches"
        )
    with seeded(stream_seed(seed, "weights"), device):
        network = models.build(spec, DATASETS[data.name])
        network = network.to(device, memory_format=torch.channels_last)  # convolutions are 1.1 to 1.5 times faster so
    optimizer = _optimizer(spec.optimizer, network.parameters())
    return State(network, optimizer, _schedule(spec.schedule, optimizer, spec.train.epochs, steps))


def kernels(spec, device: torch.device) -> tuple[str, str]:
    """Return whose kernels compute, "torch" or "native", and what is missing where native ones would be used."""
    settings = spec.train
    applies = device.type == "cpu" and settings.precision == "float32" and not settings.compile
    if settings.kernels == "torch" or not applies:
        return "torch", ""
    why_not = native.missing()
    return ("torch" if why_not else "native"), why_not


def accelerated(spec, network: nn.Module, device: torch.device):
    """Return what is called in place of ``network``, with the same parameters: as ``spec.train`` says."""
    if spec.train.compile:
        return torch.compile(network)
    # there may be nothing at the network's front that the kernels know
    usable = kernels(spec, device)[0] == "native" and native.stages(network)[0]
    return native.Native(network) if usable else network


def normalise(images: torch.Tensor, data: Split) -> torch.Tensor:
    """Shift and scale images (N, C, H, W) in [0, 1] to mean 0 and deviation 1 per channel of the training set."""
    shape = (1, -1, 1, 1)
    mean, std = (torch.tensor(values, device=images.device).view(shape) for values in (data.mean, data.std))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def train(
    spec,
    seed: int,
    *,
    data: Split | None = None,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
    state: State | None = None,
) -> Iterator[EpochResult]:
    """Train the network of ``spec`` from ``seed`` and yield an EpochResult after each epoch.

    ``data`` is loaded as the spec says unless it is given; ``progress`` is told the number of images after each batch;
    ``state`` (from ``start``, then perhaps restored from a checkpoint) is where training goes on, or else it begins.
    A consumer that has seen enough stops iterating. Raises
    Diverged as soon as the training loss is NaN or infinite, SpecError where the batch is larger than the data set.
    """
    device = pick_device(device)
    data = data or load(spec.data.name, spec.data.validation, spec.data.images)
    state = state or start(spec, seed, data, device)
    trained_on, evaluated_on = (
        Images(part.images.to(device), part.labels.to(device)) for part in (data.train, data.evaluation)
    )
    forward = accelerated(spec, state.network, device)
    while state.epoch < spec.train.epochs:
        begun = time.perf_counter()
        epoch = state.epoch + 1
        train_loss, train_accuracy, images = _train_epoch(
            spec, seed, epoch, state, forward, trained_on, data, progress or (lambda count: None)
        )
        trained = time.perf_counter()
        logits, labels = predict(forward, evaluated_on, data, spec.train.precision), evaluated_on.labels
        loss, accuracy = functional.cross_entropy(logits, labels).item(), percent_right(logits, labels)
        if not math.isfinite(loss):
            raise Diverged(
                f"{spec.name}: the {data.kind} loss became {loss} after epoch {epoch}; the last good epoch is "
                f"{epoch - 1}. Try a lower optimizer.lr"
            )
        last = epoch == spec.train.epochs
        clean = (
            percent_right(predict(forward, trained_on, data, spec.train.precision), trained_on.labels) if last else None
        )
        state.epoch, state.logits = epoch, logits
        yield EpochResult(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            loss=loss,
            accuracy=accuracy,
            learning_rate=state.last_rate,
            seconds=time.perf_counter() - begun,
            images_per_second=images / (trained - begun),
            ended=time.time(),
            clean_train_accuracy=clean,
            state=state,
        )


def _train_epoch(spec, seed, epoch, state, forward, images, data, progress):
    """Train for one epoch; return mean loss, accuracy in percent and the number of images seen."""
    device = images.images.device
    batch = spec.train.batch_size
    order = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    augmentation = torch.Generator().manual_seed(stream_seed(seed, "augmentation", epoch))
    permutation = torch.randperm(len(images.labels), generator=order).to(device)
    steps = len(permutation) // batch
    total_loss, right = 0.0, 0
    forward.train()
    with seeded(stream_seed(seed, "dropout", epoch), device):
        for step, chosen in enumerate(permutation[: steps * batch].split(batch), start=1):
            pixels = augment(images.images[chosen].float().div_(255), spec.augment, augmentation, data.mean)
            labels = images.labels[chosen]
            with _precision(spec.train.precision, device):
                logits = forward(normalise(pixels, data))
            loss = functional.cross_entropy(logits.float(), labels, label_smoothing=spec.loss.label_smoothing)
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(
                    f"{spec.name}: the training loss became {value} in epoch {epoch}, batch {step} of {steps}; the "
                    f"last good epoch is {epoch - 1}. Try a lower optimizer.lr"
                )
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            state.optimizer.step()
            state.last_rate = state.schedule.get_last_lr()[0]
            state.schedule.step()
            total_loss += value
            right += (logits.argmax(1) == labels).sum()
            progress(batch)
    return total_loss / steps, 100 * int(right) / (steps * batch), steps * batch


def _precision(name, device):
    return torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16")


@torch.no_grad()
def predict(network: nn.Module, images: Images, data: Split, precision: str = "float32") -> torch.Tensor:
    """Return the logits (N, classes), float32, of all ``images`` in evaluation mode."""
    network.eval()
    device = images.images.device
    logits = []
    for batch in images.images.split(_EVALUATION_BATCH):
        with _precision(precision, device):
            logits.append(network(normalise(batch.float().div_(255), data)).float())
    return torch.cat(logits)


def percent_right(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of labels that have the largest logit, in percent."""
    return 100 * int((logits.argmax(1) == labels).sum()) / len(labels)
