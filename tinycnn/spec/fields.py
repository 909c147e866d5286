"""The sections of a spec beside its network: what each field is, may be, and is unless told otherwise.

Those that come in kinds (``Data``, ``Augment``, ``Optimizer``, ``Schedule``, ``Loss``) also hold what builds them. A
kind of your own is a class in the experiment's file, derived from one of these.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tinycnn.data.catalog import DATASETS, Facts
from tinycnn.errors import SpecError
from tinycnn.spec.layers import Lower
from tinycnn.spec.section import Kind, Section, name_of, own_name

_OWN = ("npz", "folder")


class Data(Kind):
    """The data set, what stands in when it cannot be had, the share kept for validation, how many are trained on.

    ``name``: one of the published sets, or ``npz`` or ``folder`` with a ``path`` to your own; see ``tinycnn.data.own``.
    A class of your own defines ``read(part)``, which returns uint8 images (N, C, H, W) and integer labels (N,) for
    "train" and for "test".
    """

    name: Annotated[Literal["mnist", "fashion_mnist", "cifar10", "mnist5k", "npz", "folder"], Lower] = "mnist"
    fallback: Literal["mnist5k"] | None = "mnist5k"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    images: Annotated[int, Field(ge=2, description="train on so many, a fixed choice; null for all")] | None = None
    path: Annotated[str, Field(min_length=1, description="of npz and folder")] | None = None
    size: Annotated[int, Field(ge=4, le=256, description="of folder: sides in pixels; null: as they are")] | None = None
    channels: Annotated[Literal[1, 3], Field(description="of folder: 1 grey, 3 colour")] = 1

    @classmethod
    def kinds(cls):
        """Return the one class for each name."""
        return dict.fromkeys((*DATASETS, *_OWN), Data)

    @model_validator(mode="before")
    @classmethod
    def _standard_split(cls, values):
        """Read ``validation=True`` as the data set's standard split, e.g. 50,000 / 10,000 for MNIST."""
        if isinstance(values, dict) and isinstance(values.get("validation"), bool):
            facts = DATASETS.get(str(values.get("name", "mnist")))
            standard = facts.standard_validation if facts else 1 / 6
            return {**values, "validation": standard if values["validation"] else 0.0}
        return values

    @model_validator(mode="after")
    def _path_for_own(self):
        if not type(self).__module__.startswith("tinycnn."):
            object.__setattr__(self, "name", name_of(type(self)))
        elif (self.name in _OWN) != (self.path is not None):
            raise ValueError(f"data.name={self.name} {'needs' if self.path is None else 'has no'} data.path")
        return self

    @property
    def short(self) -> str:
        """The name without the file it may come from."""
        return self.name.rpartition(":")[2]

    def facts(self) -> Facts:
        """Return channels, size, classes and numbers of images. Raises UserError where files of your own are wrong."""
        if self.name in DATASETS:
            return DATASETS[self.name]
        from tinycnn.data import own

        return own.facts(self)

    def read(self, part: str):
        """Return (images, labels) of "train" or "test"; defined by classes of your own."""
        raise SpecError(f"data: {self.short} needs a method read(self, part)")

    def load(self, *, offline: bool = False):
        """Return the ``tinycnn.data.Split`` to train on and to evaluate. Raises DataMissing, UserError."""
        from tinycnn.data import files, own

        if self.name in DATASETS:
            return files.load(self.name, self.validation, self.images, offline=offline)
        return own.load(self)


class Augment(Kind):
    """Random changes to each training image, drawn anew for every image and epoch; 0 or False is off.

    Derive from it to change batches in another way too: ``apply`` may also mix labels.
    """

    name = own_name
    rotation: Annotated[float, Field(ge=0, le=180, description="degrees either way")] = 0.0
    shift: Annotated[float, Field(ge=0, le=64, description="pixels either way, on each axis")] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1, description="size is drawn from 1-scale to 1+scale")] = 0.0
    shear: Annotated[float, Field(ge=0, le=60, description="degrees either way, along x")] = 0.0
    elastic: Annotated[float, Field(ge=0, le=16, description="standard deviation of a pixel's shift, in pixels")] = 0.0
    elastic_width: Annotated[float, Field(gt=0, le=32, description="pixels over which such shifts agree")] = 4.0
    crop: Annotated[int, Field(ge=0, le=64, description="pixels of padding before a random crop")] = 0
    flip: Annotated[bool, Field(description="mirror every second image, left to right")] = False
    cutout: Annotated[int, Field(ge=0, le=64, description="side in pixels of a square that is blanked")] = 0
    fade: Annotated[int, Field(ge=0, description="last epochs, over which all but flip falls evenly to nothing")] = 0

    @classmethod
    def kinds(cls):
        """Return this class, which is the one kind there is."""
        return {"Augment": Augment}

    def at(self, epoch: int, epochs: int) -> "Augment":
        """Return what holds in an epoch, counted from 1: the last of ``fade`` epochs has hardly any augmentation."""
        if epoch <= epochs - self.fade:
            return self
        strength = (epochs - epoch) / self.fade
        names = ("rotation", "shift", "scale", "shear", "elastic", "crop", "cutout")
        kinds = {name: type(getattr(self, name)) for name in names}
        return self.model_copy(
            update={name: kind(round(strength * getattr(self, name), 6)) for name, kind in kinds.items()}
        )

    def apply(self, images, labels, generator, data):
        """Return images and targets of a batch, each image changed by its own random amounts.

        images     float32 (N, C, H, W), values in [0, 1], on any device; left as it is
        labels     int64 (N,)
        generator  on the CPU: all that is random is drawn from it
        data       the ``Split``: its classes, and the mean that cutout leaves

        Targets are labels, or shares (N, classes) that add up to 1.
        """
        from tinycnn.data.augment import augment

        return augment(images, self, generator, data.mean), labels


Rate = Annotated[float, Field(gt=0, le=100)]
Decay = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]


class Optimizer(Kind):
    """What changes the weights, at the learning rate ``lr``. One of your own defines ``build``."""

    name = own_name
    positional = ("lr",)
    lr: Rate = 0.01

    def build(self, parameters):
        """Return the ``torch.optim.Optimizer`` for some parameters."""
        raise NotImplementedError(f"{type(self).__name__} needs a method build(self, parameters)")


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
        """Return the optimizer."""
        import torch

        options = {"momentum": self.momentum, "nesterov": self.nesterov, "weight_decay": self.weight_decay}
        return torch.optim.SGD(parameters, lr=self.lr, fused=True, **options)


class Adam(Optimizer):
    """Adam (``torch.optim.Adam``); ``weight_decay`` is an L2 term in the gradient."""

    lr: Rate = 0.001
    beta1: Beta = 0.9
    beta2: Beta = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0

    def build(self, parameters):
        """Return the optimizer."""
        import torch

        kind = torch.optim.AdamW if isinstance(self, AdamW) else torch.optim.Adam
        options = {"betas": (self.beta1, self.beta2), "eps": self.eps, "weight_decay": self.weight_decay}
        return kind(parameters, lr=self.lr, fused=True, **options)


class AdamW(Adam):
    """Adam with decoupled weight decay (``torch.optim.AdamW``)."""

    weight_decay: Decay = 0.01


class RMSprop(Optimizer):
    """RMSprop (``torch.optim.RMSprop``); ``alpha`` is the memory of the mean square."""

    alpha: Beta = 0.99
    eps: Epsilon = 1e-8
    momentum: Beta = 0.0
    weight_decay: Decay = 0.0

    def build(self, parameters):
        """Return the optimizer."""
        import torch

        options = {"alpha": self.alpha, "eps": self.eps, "momentum": self.momentum, "weight_decay": self.weight_decay}
        return torch.optim.RMSprop(parameters, lr=self.lr, **options)


class Schedule(Kind):
    """How the learning rate changes. One of your own defines ``build``, which returns one of torch's schedulers.

    ``after_batch`` and ``after_epoch`` step it; unless they are overridden it takes a step after every batch.
    """

    name = own_name

    def build(self, optimizer, epochs: int, steps: int):
        """Return the ``torch.optim.lr_scheduler`` for so many epochs of so many batches."""
        raise NotImplementedError(f"{type(self).__name__} needs a method build(self, optimizer, epochs, steps)")

    def after_batch(self, scheduler):
        """Step the scheduler after a batch."""
        scheduler.step()

    def after_epoch(self, scheduler, train_loss: float):
        """Step the scheduler after an epoch; ``train_loss`` is its mean loss on the training images."""

    def check(self, epochs: int, steps: int):
        """Raise ValueError where the schedule cannot be of so many epochs of so many batches."""

    def notices(self, epochs: int):
        """Yield what is allowed but probably not meant."""
        return ()

    def settles(self, epochs: int) -> int:
        """Return the epoch until which a study compares no trials: their curves cross while the rate is high."""
        return epochs // 2


class Constant(Schedule):
    """The same learning rate throughout."""

    def build(self, optimizer, epochs, steps):
        """Return ``ConstantLR``."""
        from torch.optim import lr_scheduler

        return lr_scheduler.ConstantLR(optimizer, factor=1.0)

    def settles(self, epochs):
        """Return a third of the epochs."""
        return epochs // 3


class StepLR(Schedule):
    """Multiply the learning rate by ``gamma`` after every ``step_size`` epochs."""

    positional = ("step_size", "gamma")
    step_size: Annotated[int, Field(ge=1, description="epochs")] = 6
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1

    def build(self, optimizer, epochs, steps):
        """Return torch's ``StepLR``."""
        from torch.optim import lr_scheduler

        return lr_scheduler.StepLR(optimizer, self.step_size * steps, self.gamma)

    def notices(self, epochs):
        """Yield a notice where there is no step."""
        if self.step_size >= epochs:
            yield f"schedule.step_size: the first step comes after epoch {self.step_size}, training ends at {epochs}"

    def settles(self, epochs):
        """Return the first epoch after the first step."""
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
        """Return torch's ``OneCycleLR``."""
        from torch.optim import lr_scheduler

        group = optimizer.param_groups[0]
        if self.cycle_momentum and not (group.get("momentum") or "betas" in group):
            raise SpecError("schedule.cycle_momentum: the optimizer has no momentum to cycle; give it one, e.g. 0.9")
        return lr_scheduler.OneCycleLR(
            optimizer,
            group["lr"],
            total_steps=epochs * steps + 1,  # the scheduler also takes a step after the last batch
            pct_start=self.pct_start,
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
            anneal_strategy=self.anneal,
            cycle_momentum=self.cycle_momentum,
            base_momentum=self.base_momentum,
            max_momentum=self.max_momentum,
        )

    def check(self, epochs, steps):
        """Raise ValueError where no batch is left for the rise."""
        if self.pct_start * (epochs * steps + 1) == 1:  # torch divides by what is left
            raise ValueError(
                f"schedule.pct_start: {self.pct_start} of {epochs * steps} batches has no room for a rise; use a "
                "larger share, more epochs or smaller batches"
            )


class Cosine(Schedule):
    """Fall from ``optimizer.lr`` to ``floor`` times it along half a cosine, batch by batch (Loshchilov & Hutter)."""

    floor: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def build(self, optimizer, epochs, steps):
        """Return ``CosineAnnealingLR``."""
        from torch.optim import lr_scheduler

        floor = optimizer.param_groups[0]["lr"] * self.floor
        return lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps, eta_min=floor)


class Loss(Kind):
    """What training minimises; evaluation always reports the plain cross-entropy. One of your own defines ``build``."""

    name = own_name

    def build(self, data, device):
        """Return a function of logits (N, classes), targets and normalised images (N, C, H, W) to a mean loss.

        Targets are labels (N,), or shares (N, classes) where the augmentation mixes. ``data`` is the ``Split``.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method build(self, data, device)")

    def used(self) -> dict[str, str]:
        """Return digests, by name, of what else the numbers depend on."""
        return {}


Smoothing = Annotated[float, Field(ge=0, lt=1)]


class CrossEntropy(Loss):
    """Cross-entropy."""

    label_smoothing: Smoothing = 0.0

    def build(self, data, device):
        """Return the function."""
        from torch.nn import functional

        smoothing = self.label_smoothing
        return lambda logits, targets, images: functional.cross_entropy(logits, targets, label_smoothing=smoothing)


class Distillation(Loss):
    """A ``share`` of learning what a teacher says of the same images (Hinton et al. 2015, arXiv:1503.02531).

    ``teacher``: the id of a finished run, or a checkpoint file. The teacher's softened probabilities at ``temperature``
    T are learned by T² times the Kullback-Leibler divergence; the rest is cross-entropy with the labels.
    """

    positional = ("teacher",)
    teacher: Annotated[str, Field(min_length=1)]
    temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    share: Annotated[float, Field(gt=0, le=1)] = 0.9
    label_smoothing: Smoothing = 0.0

    def build(self, data, device):
        """Return the function. Raises UserError where there is no such teacher, or it is one of other pictures."""
        from tinycnn.network import teacher

        return teacher.loss(self, data, device)

    def used(self):
        """Return the digest of the teacher's weights."""
        from tinycnn.network import teacher

        return {"teacher": teacher.load(self.teacher).digest}


class Average(Section):
    """Exponentially averaged weights, beside those that are trained (Polyak & Juditsky 1992).

    After every ``every`` batches the average moves by 1 - ``decay`` towards the weights. Its batch-norm statistics are
    computed anew before each evaluation, from augmented training images. ``result``: which weights are the run's.
    """

    positional = ("decay",)
    decay: Annotated[float, Field(ge=0, lt=1, description="0: no average")] = 0.0
    every: Annotated[int, Field(ge=1, description="batches")] = 1
    result: Literal["averaged", "raw"] = "averaged"


class Train(Section):
    """The loop: ``seed`` is the first of the seeds; an incomplete last batch is left out of its epoch."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    batch_size: Annotated[int, Field(ge=2, le=60_000)] = 128
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    kernels: Annotated[
        Literal["torch", "native"],
        Field(description="native: network/native.cpp, where it applies (CPU, float32, not compiled, a C++ compiler)"),
    ] = "native"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Target(Section):
    """What the iteration is for. Accuracies are test accuracies in percent, on ``data`` (null: the spec's data set)."""

    parameter_limit: Annotated[int, Field(ge=1, description="most parameters allowed; null for no limit")] | None = 8000
    max_epochs: Annotated[int, Field(ge=1)] = 15
    accuracy: Annotated[float, Field(gt=0, le=100)] | None = 99.4
    last_epochs: Annotated[int, Field(ge=1, description="the accuracy must hold in each of these")] = 5
    data: Annotated[str, Field(description="the data set that the accuracy is about")] | None = None
