"""How the weights change: optimizer, learning-rate schedule and loss, each a class that builds what it describes.

One of your own is a class in the experiment's file, derived from ``Optimizer``, ``Schedule`` or ``Loss``.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tinycnn.errors import SpecError
from tinycnn.spec.section import Kind, nn, own_name, torch

Rate = Annotated[float, Field(gt=0, le=100)]
Decay = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]


def _fields(section, cls) -> dict:
    """Return the values of the fields of ``cls``, without those that a derived class adds."""
    return {name: getattr(section, name) for name in cls.model_fields}


class Optimizer(Kind):
    """The optimizer, with learning rate ``lr``.

    One of your own defines ``build(parameters)``, which returns a ``torch.optim.Optimizer`` that needs no closure.
    """

    name = own_name
    positional = ("lr",)
    lr: Rate = 0.01


class SGD(Optimizer):
    """Stochastic gradient descent (``torch.optim.SGD``)."""

    momentum: Beta = 0.0
    nesterov: bool = False
    weight_decay: Decay = 0.0

    @model_validator(mode="after")
    def _momentum_for_nesterov(self):
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, e.g. momentum=0.9")
        return self

    def build(self, parameters):
        return torch.optim.SGD(parameters, fused=True, **_fields(self, SGD))


class Adam(Optimizer):
    """Adam (``torch.optim.Adam``); ``weight_decay`` is an L2 term in the gradient."""

    lr: Rate = 0.001
    beta1: Beta = 0.9
    beta2: Beta = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0

    def build(self, parameters):
        kind, options = torch.optim.AdamW if isinstance(self, AdamW) else torch.optim.Adam, _fields(self, Adam)
        return kind(parameters, betas=(options.pop("beta1"), options.pop("beta2")), fused=True, **options)


class AdamW(Adam):
    """Adam with decoupled weight decay (``torch.optim.AdamW``)."""

    weight_decay: Decay = 0.01


class RMSprop(Optimizer):
    """RMSprop (``torch.optim.RMSprop``); ``alpha`` is the decay of the mean square."""

    alpha: Beta = 0.99
    eps: Epsilon = 1e-8
    momentum: Beta = 0.0
    weight_decay: Decay = 0.0

    def build(self, parameters):
        return torch.optim.RMSprop(parameters, **_fields(self, RMSprop))


class Schedule(Kind):
    """How the learning rate changes.

    One of your own defines ``build(optimizer, epochs, steps)``, which returns a ``torch.optim.lr_scheduler`` for so
    many epochs of so many batches. ``after_batch`` and ``after_epoch`` step it: by default after every batch.
    """

    name = own_name

    def after_batch(self, scheduler):
        """Step the scheduler after a batch."""
        scheduler.step()

    def after_epoch(self, scheduler, train_loss: float):
        """Step the scheduler after an epoch; ``train_loss`` is its mean loss on the training images."""

    def notices(self, epochs: int):
        """Yield warnings of what is allowed but probably not intended."""
        return ()

    def settles(self, epochs: int) -> int:
        """Return the epoch up to which a study prunes no trial: learning curves cross while the rate is high."""
        return epochs // 2


class Constant(Schedule):
    """The same learning rate throughout."""

    def build(self, optimizer, epochs, steps):
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)

    def settles(self, epochs):
        return epochs // 3


class StepLR(Schedule):
    """Multiply the learning rate by ``gamma`` after every ``step_size`` epochs."""

    positional = ("step_size", "gamma")
    step_size: Annotated[int, Field(ge=1, description="epochs")] = 6
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1

    def build(self, optimizer, epochs, steps):
        return torch.optim.lr_scheduler.StepLR(optimizer, self.step_size * steps, self.gamma)

    def notices(self, epochs):
        if self.step_size >= epochs:
            yield f"schedule.step_size: the first step comes after epoch {self.step_size}, training ends at {epochs}"

    def settles(self, epochs):
        return min(self.step_size + 1, epochs)


class OneCycle(Schedule):
    """Rise to ``optimizer.lr`` and fall to almost nothing, batch by batch (``OneCycleLR``; Smith & Topin 2018).

    ``cycle_momentum``: the momentum (Adam's beta1) falls from ``max_momentum`` to ``base_momentum`` as the rate rises.
    """

    pct_start: Annotated[float, Field(gt=0, lt=1, description="share of the steps spent rising")] = 0.3
    div_factor: Annotated[float, Field(ge=1, description="peak over first learning rate")] = 25.0
    final_div_factor: Annotated[float, Field(ge=1, description="first over last learning rate")] = 1e4
    anneal: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = False
    base_momentum: Beta = 0.85
    max_momentum: Beta = 0.95

    def build(self, optimizer, epochs, steps):
        group, options = optimizer.param_groups[0], _fields(self, OneCycle)
        if self.cycle_momentum and not (group.get("momentum") or "betas" in group):
            raise SpecError("schedule.cycle_momentum: the optimizer has no momentum to cycle; give it one, e.g. 0.9")
        options["total_steps"] = total = epochs * steps + 1  # the scheduler also takes a step after the last batch
        if self.pct_start * total == 1:  # which torch divides by zero for
            options["pct_start"] = math.nextafter(self.pct_start, 0)
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, group["lr"], anneal_strategy=options.pop("anneal"), **options
        )


class Cosine(Schedule):
    """Fall from ``optimizer.lr`` to ``floor`` times it along half a cosine, batch by batch (Loshchilov & Hutter)."""

    floor: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def build(self, optimizer, epochs, steps):
        floor = optimizer.param_groups[0]["lr"] * self.floor
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps, eta_min=floor)


class Loss(Kind):
    """What training minimises; evaluation always reports the plain cross-entropy.

    One of your own defines ``build(data, device)`` for a ``Split``. It returns a function of logits (N, classes),
    targets and normalised images (N, C, H, W) to a mean loss. Targets are labels (N,), or shares (N, classes) where the
    augmentation mixes.
    """

    name = own_name

    def used(self) -> dict[str, str]:
        """Return digests, by name, of what else the results depend on."""
        return {}


Smoothing = Annotated[float, Field(ge=0, lt=1)]


class CrossEntropy(Loss):
    """Cross-entropy."""

    label_smoothing: Smoothing = 0.0

    def build(self, data, device):
        options = {"label_smoothing": self.label_smoothing}
        return lambda logits, targets, images: nn.functional.cross_entropy(logits, targets, **options)
