"""The sections of a spec: what each field is, what it may be, and what it is unless told otherwise."""

import inspect
from typing import Annotated, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from tinycnn.datasets import DATASETS
from tinycnn.errors import SpecError, nearest, shown
from tinycnn.models import NETWORKS


class Section(BaseModel):
    """A frozen group of fields; unknown names, wrong types and infinities are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _settings_of(function):
    """Make the section of a network from its signature: ``name`` and the keyword arguments with types and defaults."""
    keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    name = function.__name__
    fields = {"name": (Literal[name], name)} | {p.name: (p.annotation, p.default) for p in keywords}
    return create_model(name, __base__=Section, **fields)


MODELS = {name: _settings_of(function) for name, function in NETWORKS.items()}


def Model(*, name, **arguments):
    """Name a network of ``tinycnn.models`` and its arguments, checked against the function's signature."""
    if not isinstance(name, str) or name not in MODELS:
        raise SpecError(f"model.name: {shown(name)} is unknown; {nearest(name, MODELS)}")
    return MODELS[name](**arguments)


class Data(Section):
    """The data set, what stands in when it cannot be had, the share kept for validation, how many are trained on."""

    name: Literal["mnist", "fashion_mnist", "cifar10", "mnist5k"] = "mnist"
    fallback: Literal["mnist5k"] | None = "mnist5k"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    images: Annotated[int, Field(ge=2, description="train on so many, a fixed choice; null for all")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _standard_split(cls, values):
        """Read ``validation=True`` as the data set's standard split, e.g. 50,000 / 10,000 for MNIST."""
        if isinstance(values, dict) and isinstance(values.get("validation"), bool):
            facts = DATASETS.get(str(values.get("name", "mnist")))
            share = facts.standard_validation if facts and values["validation"] else 0.0
            return {**values, "validation": share}
        return values


class Augment(Section):
    """Random changes to each training image, drawn anew for every image and epoch; 0 or False is off."""

    rotation: Annotated[float, Field(ge=0, le=180, description="degrees either way")] = 0.0
    shift: Annotated[float, Field(ge=0, le=64, description="pixels either way, on each axis")] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1, description="size is drawn from 1-scale to 1+scale")] = 0.0
    shear: Annotated[float, Field(ge=0, le=60, description="degrees either way, along x")] = 0.0
    crop: Annotated[int, Field(ge=0, le=64, description="pixels of padding before a random crop")] = 0
    flip: Annotated[bool, Field(description="mirror every second image, left to right")] = False
    cutout: Annotated[int, Field(ge=0, le=64, description="side in pixels of a square that is blanked")] = 0


Rate = Annotated[float, Field(gt=0, le=100)]
Decay = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class SGD(Section):
    """Stochastic gradient descent (``torch.optim.SGD``)."""

    name: Literal["SGD"] = "SGD"
    lr: Rate = 0.01
    momentum: Beta = 0.0
    nesterov: bool = False
    weight_decay: Decay = 0.0

    @model_validator(mode="after")
    def _momentum_for_nesterov(self):
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, e.g. momentum=0.9")
        return self


class Adam(Section):
    """Adam (``torch.optim.Adam``); ``weight_decay`` is an L2 term in the gradient."""

    name: Literal["Adam"] = "Adam"
    lr: Rate = 0.001
    beta1: Beta = 0.9
    beta2: Beta = 0.999
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-8
    weight_decay: Decay = 0.0


class AdamW(Adam):
    """Adam with decoupled weight decay (``torch.optim.AdamW``)."""

    name: Literal["AdamW"] = "AdamW"
    weight_decay: Decay = 0.01


class Constant(Section):
    """The same learning rate throughout."""

    name: Literal["Constant"] = "Constant"


class StepLR(Section):
    """Multiply the learning rate by ``gamma`` after every ``step_size`` epochs."""

    name: Literal["StepLR"] = "StepLR"
    step_size: Annotated[int, Field(ge=1, description="epochs")] = 6
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1


class OneCycle(Section):
    """Rise to ``optimizer.lr`` and fall to almost nothing, batch by batch (``OneCycleLR``; Smith & Topin 2018)."""

    name: Literal["OneCycle"] = "OneCycle"
    pct_start: Annotated[float, Field(gt=0, lt=1, description="share of the steps spent rising")] = 0.3
    div_factor: Annotated[float, Field(ge=1, description="peak over first learning rate")] = 25.0
    final_div_factor: Annotated[float, Field(ge=1, description="first over last learning rate")] = 1e4
    anneal: Literal["cos", "linear"] = "cos"


class Cosine(Section):
    """Fall from ``optimizer.lr`` to ``floor`` times it along half a cosine, batch by batch (Loshchilov & Hutter)."""

    name: Literal["Cosine"] = "Cosine"
    floor: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Loss(Section):
    """Cross-entropy; ``label_smoothing`` acts in training only, evaluation always reports the plain loss."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Train(Section):
    """The loop: ``seed`` is the first of the seeds; an incomplete last batch is left out of its epoch."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    batch_size: Annotated[int, Field(ge=2, le=60_000)] = 128
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    kernels: Annotated[
        Literal["torch", "native"],
        Field(description="native: tinycnn/native.cpp, where it applies (CPU, float32, not compiled, a C++ compiler)"),
    ] = "native"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Target(Section):
    """What the iteration is for. Accuracies are test accuracies in percent."""

    parameter_limit: Annotated[int, Field(ge=1, description="most parameters allowed; null for no limit")] | None = 8000
    max_epochs: Annotated[int, Field(ge=1)] = 15
    accuracy: Annotated[float, Field(gt=0, le=100)] | None = 99.4
    last_epochs: Annotated[int, Field(ge=1, description="the accuracy must hold in each of these")] = 5


def choice(*variants):
    """Return the type of a section that comes in several kinds, told apart by their ``name``."""
    return Annotated[Union[variants], Field(discriminator="name")]  # noqa: UP007  built from a list


VARIANTS = {
    "model": MODELS,
    "optimizer": {v.__name__: v for v in (SGD, Adam, AdamW)},
    "schedule": {v.__name__: v for v in (Constant, StepLR, OneCycle, Cosine)},
}
"""The kinds of the sections that come in several."""
