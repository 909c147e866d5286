"""Several seeds of a spec trained as one computation, for a GPU that one small network leaves idle.

The networks become one (``network/stacked.py``), and on CUDA its steps become one graph. Initial weights, order and
augmentation of each seed are those that ``train`` gives it alone, and the numbers are the same but for rounding.
Dropout draws for all networks at once, so its draws depend on which seeds are together.
"""

import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tinycnn.data.files import Images, Split
from tinycnn.errors import Diverged
from tinycnn.network.stacked import side_by_side, stacked, without_rule
from tinycnn.spec import CrossEntropy, Network
from tinycnn.spec.build import fresh
from tinycnn.spec.model import every
from tinycnn.train.device import autocast, loss_function, normalise
from tinycnn.train.loop import EpochResult, State, train
from tinycnn.train.randomness import seeded, stream_seed

_TOLD_EVERY = 20  # steps: telling each seed's progress costs as much as a kernel


def obstacle(spec, data: Split) -> str:
    """Return why seeds of ``spec`` cannot be trained together; "" where they can."""
    if spec.quantise.epochs:
        return "its last epochs round as whole numbers do"
    if not isinstance(spec.model, Network):
        return "its network is not made of layers"
    parts = [*every(spec.model.layers), spec.augment, spec.optimizer, spec.schedule, spec.loss]
    if names := [type(part).__name__ for part in parts if not type(part).__module__.startswith("tinycnn.")]:
        return f"{names[0]} is a class of your own"
    unknown = without_rule(fresh(spec.model, data.shape, len(data.classes)))
    return f"{unknown} has no rule in network/stacked.py" if unknown else ""


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
        on_cuda = device.type == "cuda"
        self.network = stacked([state.network for state in states], dense=on_cuda)
        self.memory = torch.channels_last if on_cuda else torch.contiguous_format
        self.forward = torch.compile(self.network) if spec.train.compile else self.network
        self.step = Replayed(self._step) if on_cuda and not spec.train.compile else self._step
        self.losses, self.right = torch.zeros(2, len(seeds), device=device)
        self.optimizer = spec.optimizer.build(self.network.parameters())
        self.schedule = spec.schedule.build(self.optimizer, spec.train.epochs, self.steps)
        self.averaged = None
        if spec.average.decay:
            self.averaged = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(spec.average.decay))
            networks = stacked([state.averaged.module for state in states])
            self.averaged.module.load_state_dict(networks.state_dict())
            self.averaged.n_averaged.copy_(states[0].averaged.n_averaged)
        with seeded(stream_seed(seeds[0], "weights"), device):
            self.loss_of = loss_function(spec, data, device)
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
        spec, images, batch = self.spec, self.data.train, self.spec.train.batch_size
        orders, generators = (
            [torch.Generator().manual_seed(stream_seed(seed, stream, epoch)) for seed in self.seeds]
            for stream in ("order", "augmentation")
        )
        permutations = torch.stack([torch.randperm(len(images.labels), generator=order) for order in orders])
        permutations = permutations[:, : self.images].to(self.device)
        augment = spec.augment.at(epoch, spec.train.epochs)
        self.losses.zero_()
        self.right.zero_()
        self.forward.train()
        with seeded(stream_seed(self.seeds[0], "dropout", epoch), self.device):
            for step, chosen in enumerate(permutations.split(batch, 1), start=1):
                labels = images.labels[chosen.flatten()]  # seed by seed, as pixels and targets
                pixels = images.images[chosen.flatten()].float().div_(255)
                pixels, targets = augment.apply(pixels, labels, generators, self.data)
                self.step(pixels, labels, targets)
                self.optimizer.step()
                self.last_rate = float(self.optimizer.param_groups[0]["lr"])
                spec.schedule.after_batch(self.schedule)
                if self.averaged and ((epoch - 1) * self.steps + step) % spec.average.every == 0:
                    self.averaged.update_parameters(self.network)
                if step % _TOLD_EVERY == 0 or step == self.steps:
                    for seed in self.seeds:
                        progress(seed, batch * ((step - 1) % _TOLD_EVERY + 1))
        self.results = list(zip((self.losses / self.steps).tolist(), self.right.tolist(), strict=True))
        self._hand_back()

    def _step(self, pixels, labels, targets) -> None:
        """Compute the gradients for a batch of each seed, and add up what is told of the epoch."""
        count = len(self.seeds)
        self.optimizer.zero_grad(set_to_none=True)
        pixels = normalise(pixels, self.data, torch.contiguous_format)
        with autocast(self.spec.train.precision, self.device):
            logits = self.forward(side_by_side(pixels, count).contiguous(memory_format=self.memory))
        logits = logits.float().view(len(logits), count, -1).transpose(0, 1)
        loss = self._losses(logits, targets, pixels)
        loss.sum().backward()
        self.losses += loss.detach()
        self.right += (logits.argmax(2) == labels.view(count, -1)).sum(1)

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


class Replayed:
    """A function of tensors on a CUDA device that returns nothing, recorded once as a graph and replayed from then on.

    One launch takes the place of hundreds, each of which costs more than what a small network computes in it. The first
    calls compute as they are: what they allocate and choose must not be recorded. See torch.cuda.graph.
    """

    def __init__(self, function, first=3):
        self.function, self.first, self.graph = function, first, None

    def __call__(self, *tensors):
        if self.first:
            self.first -= 1
            stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                self.function(*tensors)
            current.wait_stream(stream)
            return
        if self.graph is None:
            self.tensors = [each.clone() for each in tensors]
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.function(*self.tensors)
        for ours, its in zip(self.tensors, tensors, strict=True):
            ours.copy_(its)
        self.graph.replay()


def _options(optimizer) -> dict:
    return {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
