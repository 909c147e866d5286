"""The training loop: ``train(spec, seed)`` yields one EpochResult after another. It neither logs nor prints.

``quantised`` has the ``train`` that all others call: it gives this one its quantisation-aware epochs.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tinycnn.data.files import Images, Split
from tinycnn.errors import Diverged
from tinycnn.network.check import check_steps
from tinycnn.network.profile import check_output, prefixed
from tinycnn.network.startup import postpone_compiler
from tinycnn.spec import Network
from tinycnn.train.device import (
    accelerated,
    autocast,
    loss_function,
    memory_format,
    normalise,
    pick_device,
    preparation,
)
from tinycnn.train.randomness import seeded, stream_seed

_EVALUATION_BATCH = 1000  # images; small enough to stay in the processor's cache, results do not depend on it
_STATISTICS = 10_000  # images that the batch-norm statistics of averaged weights are computed from


@dataclass
class State:
    """What training has reached. It is live: it changes as soon as the next epoch is asked for."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    epoch: int = 0
    last_rate: float = 0.0  # learning rate of the last step taken
    logits: torch.Tensor | None = None  # (N, classes) of the evaluation images, after the epoch
    averaged: AveragedModel | None = None  # the averaged weights, where there are any
    result: nn.Module | None = None  # the network whose weights are the run's: trained or averaged


@dataclass(frozen=True)
class EpochResult:
    """One epoch. Accuracies in percent; ``loss`` and ``accuracy`` are those of the test or validation images.

    Training loss and accuracy are measured as training ran: on augmented images, with dropout, while the weights moved.
    ``clean_train_accuracy`` is measured after the last epoch only, on the training images as they are. Where weights
    are averaged, ``raw_...`` and ``averaged_...`` are those of both, and ``loss`` and ``accuracy`` of the one that the
    spec states. ``seconds`` covers the whole epoch, ``images_per_second`` only its training part; ``ended`` is when it
    was over, in seconds since 1970.
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
    raw_loss: float | None = None
    raw_accuracy: float | None = None
    averaged_loss: float | None = None
    averaged_accuracy: float | None = None
    state: State | None = field(default=None, compare=False, repr=False)


def start(spec, seed: int, data: Split, device: torch.device) -> State:
    """Build network, optimizer and schedule as they are before the first epoch. Raises SpecError."""
    postpone_compiler()
    steps = check_steps(spec, len(data.train.labels))
    with prefixed(spec):
        with seeded(stream_seed(seed, "weights"), device):
            network = spec.model.build(data.shape, len(data.classes))
        with seeded(0, device):
            part = "layers" if isinstance(spec.model, Network) else "network"
            check_output(network, data.shape, len(data.classes), part)
    network = network.to(device, memory_format=memory_format(spec, device))
    optimizer = spec.optimizer.build(network.parameters())
    state = State(network, optimizer, spec.schedule.build(optimizer, spec.train.epochs, steps), result=network)
    if spec.average.decay:
        state.averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(spec.average.decay))
        if spec.average.result == "averaged":
            state.result = state.averaged.module
    return state


def train(
    spec,
    seed: int,
    *,
    data: Split | None = None,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
    state: State | None = None,
    train_epoch: Callable | None = None,
) -> Iterator[EpochResult]:
    """Train the network of ``spec`` from ``seed`` and yield an EpochResult after each epoch.

    ``data`` is any ``Split``, or else loaded as the spec says; ``progress`` is told the number of images after each
    batch; ``state`` (from ``start``, then perhaps restored from a checkpoint) is where training goes on, or else it
    begins; ``train_epoch`` is called in place of ``_train_epoch``. A consumer that has seen enough stops iterating.
    Raises Diverged as soon as the training loss is NaN or infinite, SpecError where the batch is larger than the data
    set.
    """
    device = pick_device(device)
    data = data or spec.data.load()
    state = state or start(spec, seed, data, device)
    with seeded(stream_seed(seed, "weights"), device):  # it may have some of its own
        loss_of = loss_function(spec, data, device)
    trained_on, evaluated_on = (
        Images(part.images.to(device), part.labels.to(device)) for part in (data.train, data.evaluation)
    )
    forward = {"raw": accelerated(spec, state.network, device)}
    if state.averaged:
        forward["averaged"] = accelerated(spec, state.averaged.module, device)
    while state.epoch < spec.train.epochs:
        begun = time.perf_counter()
        epoch = state.epoch + 1
        train_loss, train_accuracy, images = (train_epoch or _train_epoch)(
            spec, seed, epoch, state, forward["raw"], loss_of, trained_on, data, progress or (lambda count: None)
        )
        trained = time.perf_counter()
        if state.averaged:
            _set_statistics(spec, seed, epoch, state.averaged.module, trained_on, data)
        logits = {which: predict(network, evaluated_on, data, spec) for which, network in forward.items()}
        losses = {each: functional.cross_entropy(logits[each], evaluated_on.labels).item() for each in logits}
        accuracies = {each: percent_right(logits[each], evaluated_on.labels) for each in logits}
        which = spec.average.result if state.averaged else "raw"
        if not math.isfinite(losses[which]):
            raise Diverged(
                f"{spec.name}: the {data.kind} loss became {losses[which]} after epoch {epoch}; the last good epoch is "
                f"{epoch - 1}. Try a lower optimizer.lr"
            )
        last = epoch == spec.train.epochs
        clean = percent_right(predict(forward[which], trained_on, data, spec), trained_on.labels) if last else None
        both = {f"{each}_loss": losses[each] for each in losses} | {
            f"{each}_accuracy": accuracies[each] for each in losses
        }
        state.epoch, state.logits = epoch, logits[which]
        yield EpochResult(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            loss=losses[which],
            accuracy=accuracies[which],
            learning_rate=state.last_rate,
            seconds=time.perf_counter() - begun,
            images_per_second=images / (trained - begun),
            ended=time.time(),
            clean_train_accuracy=clean,
            state=state,
            **(both if state.averaged else {}),
        )


def _train_epoch(spec, seed, epoch, state, forward, loss_of, images, data, progress):
    """Train for one epoch; return mean loss, accuracy in percent and the number of images seen."""
    device = images.images.device
    batch = spec.train.batch_size
    order = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    augmentation = torch.Generator().manual_seed(stream_seed(seed, "augmentation", epoch))
    permutation = torch.randperm(len(images.labels), generator=order).to(device)
    prepare = preparation(spec, epoch, state.network, images, data, augmentation)
    steps = len(permutation) // batch
    total_loss, outputs = 0.0, []
    trained = [each for group in state.optimizer.param_groups for each in group["params"]]
    forward.train()
    with seeded(stream_seed(seed, "dropout", epoch), device):
        for step, chosen in enumerate(permutation[: steps * batch].split(batch), start=1):
            pixels, targets = prepare(chosen)
            with autocast(spec.train.precision, device):
                logits = forward(pixels)
            loss = loss_of(logits.float(), targets, pixels)
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(
                    f"{spec.name}: the training loss became {value} in epoch {epoch}, batch {step} of {steps}; the "
                    f"last good epoch is {epoch - 1}. Try a lower optimizer.lr"
                )
            for parameter in trained:  # ``zero_grad`` is slower: it records its name for a profiler
                parameter.grad = None
            loss.backward()
            state.optimizer.step()
            state.last_rate = float(state.optimizer.param_groups[0]["lr"])
            spec.schedule.after_batch(state.schedule)
            if state.averaged and ((epoch - 1) * steps + step) % spec.average.every == 0:
                state.averaged.update_parameters(state.network)
            total_loss += value
            outputs.append(logits.detach())
            progress(batch)
    spec.schedule.after_epoch(state.schedule, total_loss / steps)
    accuracy = percent_right(torch.cat(outputs), images.labels[permutation[: steps * batch]])
    return total_loss / steps, accuracy, steps * batch


@torch.no_grad()
def _set_statistics(spec, seed, epoch, network, images, data):
    """Compute the batch-norm statistics of averaged weights anew: those of the weights they come from are of no use."""
    norms = [each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    generator = torch.Generator().manual_seed(stream_seed(seed, "average", epoch))
    chosen = torch.randperm(len(images.labels), generator=generator)[:_STATISTICS].to(images.images.device)
    momenta = [each.momentum for each in norms]
    network.eval()
    for each in norms:
        each.reset_running_stats()
        each.train()
        each.momentum = None  # the mean over batches
    prepare = preparation(spec, epoch, network, images, data, generator)
    with seeded(stream_seed(seed, "average", epoch), images.images.device):
        for part in chosen.split(_EVALUATION_BATCH):
            network(prepare(part)[0])
    for each, momentum in zip(norms, momenta, strict=True):
        each.momentum = momentum


@torch.no_grad()
def predict(network: nn.Module, images: Images, data: Split, spec) -> torch.Tensor:
    """Return the logits (N, classes), float32, of all ``images`` in evaluation mode: the same whenever it is asked."""
    network.eval()
    device = images.images.device
    logits = []
    with seeded(0, device):  # a network of one's own may draw numbers here too, as ``F.dropout(x)`` does
        for batch in images.images.split(_EVALUATION_BATCH):
            with autocast(spec.train.precision, device):
                pixels = normalise(batch.float().div_(255), data, memory_format(spec, device))
                logits.append(network(pixels).float())
    return torch.cat(logits)


def percent_right(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of labels that have the largest logit, in percent."""
    return 100 * int((logits.argmax(1) == labels).sum()) / len(labels)
