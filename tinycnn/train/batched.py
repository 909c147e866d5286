"""Several seeds of a spec trained as one computation, for a GPU that one small network leaves idle.

S networks become one: every tensor of the layers is the concatenation of theirs along its first dimension, and every
convolution has S times as many groups, so channels ``s * C`` to ``(s + 1) * C - 1`` of a map belong to network ``s``.
Batch norm, pools, activations, dropout and all optimizers work channel by channel or number by number, so they need no
change. Initial weights, order and augmentation of each seed are those that ``train`` gives it alone, and the numbers
are the same but for rounding. Dropout draws for all networks at once, so its draws depend on which seeds are together.
"""

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tinycnn.data.files import Images, Split
from tinycnn.errors import Diverged
from tinycnn.spec import CrossEntropy, Network
from tinycnn.spec import modules as own
from tinycnn.spec.model import every
from tinycnn.train.device import autocast, normalise
from tinycnn.train.loop import EpochResult, State, train
from tinycnn.train.randomness import seeded, stream_seed

_KNOWN = {
    nn.Sequential, nn.Identity, nn.Flatten, nn.ReLU, nn.SiLU, nn.GELU, nn.PReLU, nn.Dropout, nn.Dropout2d,
    nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
    own.Residual, own.GatedPool, own.BlurPool, own.SqueezeExcite,
}  # fmt: skip
"""The modules that are right for several networks once their tensors and groups are, or that ``stacked`` replaces."""

_TOLD_EVERY = 20  # steps: telling each seed's progress costs as much as a kernel


def obstacle(spec, data: Split) -> str:
    """Return why seeds of ``spec`` cannot be trained together; "" where they can."""
    if not isinstance(spec.model, Network):
        return "its network is not made of layers"
    parts = [*every(spec.model.layers), spec.augment, spec.optimizer, spec.schedule, spec.loss]
    if names := [type(part).__name__ for part in parts if not type(part).__module__.startswith("tinycnn.")]:
        return f"{names[0]} is a class of your own"
    with torch.random.fork_rng([]):
        network = spec.model.build(data.shape, len(data.classes))
    unknown = {type(module) for module in network.modules()} - _KNOWN
    return f"{unknown.pop().__name__} has no rule in train/batched.py" if unknown else ""


def train_together(
    spec,
    seeds: list[int],
    states: list[State],
    *,
    data: Split,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda seed, count: None,
) -> Iterator[list[EpochResult | Diverged | None]]:
    """Train several seeds at once, each from its state; after an epoch, yield the result of each.

    All states have reached the same epoch and are up to date whenever a list is yielded. A seed that diverges has the
    exception in place of its result, then None; the others go on. ``seconds`` is each seed's share of the time, and
    ``images_per_second`` counts the images of all. ``progress`` is told a seed and a number of images.
    """
    data = replace(data, train=_moved(data.train, device), evaluation=_moved(data.evaluation, device))
    stack = _Stack(spec, seeds, states, data, device)
    trainings = [
        train(spec, seed, data=data, device=str(device), state=state, train_epoch=functools.partial(stack.outcome, i))
        for i, (seed, state) in enumerate(zip(seeds, states, strict=True))
    ]
    diverged = set()
    for epoch in range(states[0].epoch + 1, spec.train.epochs + 1):
        begun = time.perf_counter()
        stack.train_epoch(epoch, progress)
        trained, results = time.perf_counter() - begun, []
        for number, training in enumerate(trainings):
            try:
                results.append(None if number in diverged else next(training))
            except Diverged as error:
                diverged.add(number)
                results.append(error)
        clock = {
            "seconds": (time.perf_counter() - begun) / len(seeds),
            "images_per_second": len(seeds) * stack.images / trained,
        }
        yield [replace(each, **clock) if isinstance(each, EpochResult) else each for each in results]


def _moved(images: Images, device) -> Images:
    return Images(images.images.to(device), images.labels.to(device))


class _Stack:
    """The networks of several seeds as one, with its optimizer, schedule and average."""

    def __init__(self, spec, seeds, states, data, device):
        self.spec, self.seeds, self.states, self.data, self.device = spec, seeds, states, data, device
        self.steps = len(data.train.labels) // spec.train.batch_size
        self.images = self.steps * spec.train.batch_size
        self.network = stacked([state.network for state in states])
        self.forward = torch.compile(self.network) if spec.train.compile else self.network
        self.optimizer = spec.optimizer.build(self.network.parameters())
        self.schedule = spec.schedule.build(self.optimizer, spec.train.epochs, self.steps)
        self.averaged = None
        if spec.average.decay:
            self.averaged = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(spec.average.decay))
            networks = stacked([state.averaged.module for state in states])
            self.averaged.module.load_state_dict(networks.state_dict())
            self.averaged.n_averaged.copy_(states[0].averaged.n_averaged)
        with seeded(stream_seed(seeds[0], "weights"), device):
            self.loss_of = spec.loss.build(data, device)
        self._take_up()

    def outcome(self, number: int, *_) -> tuple[float, float, int]:
        """Return mean loss, accuracy in percent and number of images of a seed's epoch, in ``train``'s stead."""
        loss, right = self.results[number]
        if not math.isfinite(loss):
            raise Diverged(
                f"{self.spec.name}: the training loss of seed {self.seeds[number]} became {loss} in epoch "
                f"{self.states[number].epoch + 1}. Try a lower optimizer.lr"
            )
        return loss, 100 * right / self.images, self.images

    def train_epoch(self, epoch: int, progress) -> None:
        """Train all networks for one epoch, and bring their states up to date."""
        spec, images, count, batch = self.spec, self.data.train, len(self.seeds), self.spec.train.batch_size
        orders, generators = (
            [torch.Generator().manual_seed(stream_seed(seed, stream, epoch)) for seed in self.seeds]
            for stream in ("order", "augmentation")
        )
        permutations = torch.stack([torch.randperm(len(images.labels), generator=order) for order in orders])
        permutations = permutations[:, : self.images].to(self.device)
        augment = spec.augment.at(epoch, spec.train.epochs)
        losses, right = torch.zeros(count, device=self.device), torch.zeros(count, device=self.device)
        self.forward.train()
        with seeded(stream_seed(self.seeds[0], "dropout", epoch), self.device):
            for step, chosen in enumerate(permutations.split(batch, 1), start=1):
                labels = images.labels[chosen.flatten()]  # seed by seed, as pixels and targets
                pixels = images.images[chosen.flatten()].float().div_(255)
                pixels, targets = augment.apply(pixels, labels, generators, self.data)
                pixels = normalise(pixels, self.data, torch.contiguous_format)
                with autocast(spec.train.precision, self.device):
                    logits = self.forward(side_by_side(pixels, count))
                logits = logits.float().view(batch, count, -1).transpose(0, 1)
                loss = self._losses(logits, targets, pixels)
                self.optimizer.zero_grad(set_to_none=True)
                loss.sum().backward()
                self.optimizer.step()
                self.last_rate = float(self.optimizer.param_groups[0]["lr"])
                spec.schedule.after_batch(self.schedule)
                if self.averaged and ((epoch - 1) * self.steps + step) % spec.average.every == 0:
                    self.averaged.update_parameters(self.network)
                losses += loss.detach()
                right += (logits.argmax(2) == labels.view(count, batch)).sum(1)
                if step % _TOLD_EVERY == 0 or step == self.steps:
                    for seed in self.seeds:
                        progress(seed, batch * ((step - 1) % _TOLD_EVERY + 1))
        self.results = list(zip((losses / self.steps).tolist(), right.tolist(), strict=True))
        self._hand_back()

    def _losses(self, logits, targets, pixels):
        """Return the mean loss of each network, (S,), from logits (S, N, classes)."""
        if type(self.spec.loss) is CrossEntropy:
            smoothing = self.spec.loss.label_smoothing
            each = functional.cross_entropy(logits.flatten(0, 1), targets, label_smoothing=smoothing, reduction="none")
            return each.view(logits.shape[:2]).mean(1)
        parts = zip(logits, targets.chunk(len(logits)), pixels.chunk(len(logits)), strict=True)
        return torch.stack([self.loss_of(*part) for part in parts])

    def _pairs(self, number: int):
        """Yield each parameter and the seed's own, in the order of the optimizers."""
        ours, its = self.optimizer.param_groups[0], self.states[number].optimizer.param_groups[0]
        return zip(ours["params"], its["params"], strict=True)

    def _take_up(self):
        """Continue where the states are: of optimizers and schedules that have taken steps before."""
        first = self.states[0]
        self.optimizer.param_groups[0].update(_options(first.optimizer))
        self.schedule.load_state_dict(first.schedule.state_dict())
        every_pair = zip(*(self._pairs(number) for number in range(len(self.states))), strict=True)
        for pairs in every_pair:
            kept = [state.optimizer.state.get(its, {}) for state, (_, its) in zip(self.states, pairs, strict=True)]
            for name, value in kept[0].items():
                whole = value.clone() if isinstance(value, torch.Tensor) else value
                if isinstance(value, torch.Tensor) and value.dim():
                    whole = torch.cat([each[name] for each in kept])
                self.optimizer.state[pairs[0][0]][name] = whole

    @torch.no_grad()
    def _hand_back(self):
        """Copy what was trained into the states of the seeds."""

        def part(value, number):
            if not isinstance(value, torch.Tensor):
                return value
            return (value.chunk(len(self.states))[number] if value.dim() else value).clone()

        weights = self.network.state_dict()
        averages = self.averaged.module.state_dict() if self.averaged else {}
        for number, state in enumerate(self.states):
            state.network.load_state_dict({name: part(value, number) for name, value in weights.items()})
            if self.averaged:
                state.averaged.module.load_state_dict({n: part(value, number) for n, value in averages.items()})
                state.averaged.n_averaged.copy_(self.averaged.n_averaged)
            for parameter, its in self._pairs(number):
                kept = self.optimizer.state[parameter]
                state.optimizer.state[its] = {name: part(value, number) for name, value in kept.items()}
            state.optimizer.param_groups[0].update(_options(self.optimizer))
            state.schedule.load_state_dict(self.schedule.state_dict())
            state.last_rate = self.last_rate


def _options(optimizer) -> dict:
    return {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}


def side_by_side(images: torch.Tensor, count: int) -> torch.Tensor:
    """Return images (count * N, C, H, W), network by network, as (N, count * C, H, W)."""
    return images.unflatten(0, (count, -1)).transpose(0, 1).flatten(1, 2).contiguous()


def stacked(networks: list[nn.Module]) -> nn.Module:
    """Return one network that maps ``side_by_side`` images to the logits of all, (N, S * classes).

    Parameters that layers share stay shared. Its modules have the same names as those of each network.
    """
    whole, count, merged = copy.deepcopy(networks[0]), len(networks), {}
    for name, module in list(whole.named_modules()):
        parts = [network.get_submodule(name) for network in networks]
        for key, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if tensor.dim():
                together = torch.cat([getattr(part, key).detach() for part in parts]).contiguous()
                if isinstance(tensor, nn.Parameter):
                    together = merged.setdefault(tensor, nn.Parameter(together))
                setattr(module, key, together)
        if isinstance(module, nn.Conv2d):
            module.groups *= count
        elif isinstance(module, nn.PReLU | nn.Linear):
            kind = _PReLU if isinstance(module, nn.PReLU) else _Linear
            whole.set_submodule(name, kind(count, module.weight, getattr(module, "bias", None)))
    return whole


class _Linear(nn.Module):
    """The linear layers of several networks: (N, count * inputs) to (N, count * outputs)."""

    def __init__(self, count, weight, bias):
        super().__init__()
        self.count, self.weight, self.bias = count, weight, bias

    def forward(self, values):
        return functional.conv1d(values.unsqueeze(2), self.weight.unsqueeze(2), self.bias, groups=self.count).squeeze(2)


class _PReLU(_Linear):
    """PReLU of several networks, whether they have one slope each or one for each channel."""

    def forward(self, maps):
        return functional.prelu(maps, self.weight.repeat_interleave(maps.shape[1] // len(self.weight)))
