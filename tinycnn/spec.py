"""What an experiment is: a frozen, validated, typed spec that holds everything which changes a number.

``Spec(...)`` makes one, ``spec.but(...)`` derives one that shows only what changed, ``spec.to_json()`` and
``Spec.from_json`` are inverses. Each field has a dotted name (``optimizer.lr``) for ``--set`` and in the store.
"""

import difflib
import hashlib
import inspect
import json
from typing import Annotated, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from tinycnn.datasets import DATASETS
from tinycnn.errors import SpecError
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


_MODELS = {name: _settings_of(function) for name, function in NETWORKS.items()}


def Model(*, name, **arguments):
    """Name a network of ``tinycnn.models`` and its arguments, checked against the function's signature."""
    if name not in _MODELS:
        raise SpecError(f"model.name: {name!r} is unknown; {nearest(name, _MODELS)}")
    return _MODELS[name](**arguments)


class Data(Section):
    """The data set, what stands in when it cannot be had, and the share of training images kept for validation."""

    name: Literal["mnist", "fashion_mnist", "cifar10", "mnist5k"] = "mnist"
    fallback: Literal["mnist5k"] | None = "mnist5k"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _standard_split(cls, values):
        """Read ``validation=True`` as the data set's standard split, e.g. 50,000 / 10,000 for MNIST."""
        if isinstance(values, dict) and isinstance(values.get("validation"), bool):
            facts = DATASETS.get(values.get("name", "mnist"))
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
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Target(Section):
    """What the iteration is for. Accuracies are test accuracies in percent."""

    parameter_limit: Annotated[int, Field(ge=1, description="most parameters allowed; null for no limit")] | None = 8000
    max_epochs: Annotated[int, Field(ge=1)] = 15
    accuracy: Annotated[float, Field(gt=0, le=100)] | None = 99.4
    last_epochs: Annotated[int, Field(ge=1, description="the accuracy must hold in each of these")] = 5


def _choice(*variants):
    return Annotated[Union[variants], Field(discriminator="name")]  # noqa: UP007  built from a list


_VARIANTS = {
    "model": _MODELS,
    "optimizer": {v.__name__: v for v in (SGD, Adam, AdamW)},
    "schedule": {v.__name__: v for v in (Constant, StepLR, OneCycle, Cosine)},
}


class Spec(Section):
    """One experiment. Only ``name``, ``parent``, ``notes`` and ``target`` do not change the numbers of a run."""

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
    parent: str | None = None
    notes: str = ""
    model: _choice(*_MODELS.values())
    data: Data = Data()
    augment: Augment = Augment()
    optimizer: _choice(*_VARIANTS["optimizer"].values()) = SGD()
    schedule: _choice(*_VARIANTS["schedule"].values()) = Constant()
    loss: Loss = Loss()
    train: Train = Train()
    target: Target = Target()

    def but(self, name: str | None = None, **sections) -> "Spec":
        """Derive a spec: a section replaces its forerunner, a dict changes single fields of it.

        A new ``name`` makes this spec the parent. Raises SpecError naming the field that cannot be.
        """
        changes = {}
        for section, value in sections.items():
            if isinstance(value, Section):
                value = (
                    {"name": None, **value.model_dump()} if "name" in type(value).model_fields else value.model_dump()
                )
            if section not in Spec.model_fields:
                raise SpecError(f"{section}: no such section; {nearest(section, Spec.model_fields)}")
            if not isinstance(value, dict):
                raise SpecError(f"{section}: expected a section or a dict of fields, got {value!r}")
            changes |= {f"{section}.{field}": new for field, new in value.items()}
        named = {} if name is None else {"name": name, "parent": self.name, "notes": ""}
        return self.with_values(changes, **named)

    def with_values(self, changes: dict, **top) -> "Spec":
        """Derive a spec from dotted names and values, e.g. ``{"train.epochs": 3}``.

        Where ``optimizer.name``, ``schedule.name`` or ``model.name`` changes, fields that both kinds have keep their
        values and the others take the new kind's defaults. Raises SpecError.
        """
        values = self.model_dump(mode="json") | top
        for dotted in changes:
            section, _, field = dotted.partition(".")
            if not field or not isinstance(values.get(section), dict):
                raise SpecError(f"{dotted}: no such field; {nearest(dotted, self.flat())}")
        for dotted, value in changes.items():
            section, _, field = dotted.partition(".")
            if field == "name" and section in _VARIANTS:
                values[section] = _switch(section, values[section], value)
        for dotted, value in changes.items():
            section, _, field = dotted.partition(".")
            if not (field == "name" and section in _VARIANTS):
                values[section][field] = value
        return Spec.from_dict(values, where=values["name"])

    @classmethod
    def from_dict(cls, values: dict, where: str = "spec") -> "Spec":
        """Make a spec from plain values, as JSON holds them. Raises SpecError with ``where`` in its one line."""
        try:
            return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            raise SpecError(f"{where}: {explain(error)}") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise SpecError(f"{where}: not a spec ({error})") from None

    @classmethod
    def from_json(cls, text: str, where: str = "spec") -> "Spec":
        """Read what ``to_json`` wrote. Raises SpecError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SpecError(f"{where}: {explain(error)}") from None

    def to_json(self) -> str:
        """Return the whole spec as indented JSON."""
        return self.model_dump_json(indent=2) + "\n"

    def flat(self) -> dict:
        """Return every field but the notes by its dotted name, e.g. ``{"train.epochs": 15}``."""
        values = self.model_dump(mode="json", exclude={"notes", "version", "name", "parent"})
        return {f"{section}.{field}": value for section, fields in values.items() for field, value in fields.items()}

    def difference(self, other: "Spec") -> dict:
        """Return ``{dotted name: (other's value, own value)}`` for every field that differs; absent is None."""
        mine, theirs = self.flat(), other.flat()
        names = [*mine, *(n for n in theirs if n not in mine)]
        return {n: (theirs.get(n), mine.get(n)) for n in names if theirs.get(n) != mine.get(n)}

    @property
    def hash(self) -> str:
        """12 hex digits that identify the numbers of a run with a given seed.

        Left out: name, parent, notes and target, which only name, explain and judge; and the first seed, because each
        run records its own.
        """
        numbers = self.model_dump(mode="json", exclude={"name", "parent", "notes", "target"})
        del numbers["train"]["seed"]
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:12]


def _switch(section, old, name):
    """Return the fields of another kind of model, optimizer or schedule, keeping the values both kinds have."""
    canonical = {known.lower(): known for known in _VARIANTS[section]}.get(str(name).lower())
    if canonical is None:
        raise SpecError(f"{section}.name: {name!r} is unknown; {nearest(str(name), _VARIANTS[section])}")
    shared = set(_VARIANTS[section][canonical].model_fields) & set(old)
    return {field: old[field] for field in shared} | {"name": canonical}


def nearest(name, known) -> str:
    """Return a hint for a name that is not among those known: the nearest one, or else all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def explain(error: ValidationError) -> str:
    """Put a validation error into one line: each field by its dotted name, its value, and what is allowed."""
    problems = error.errors(include_url=False)
    inner = {problem["loc"][:-1] for problem in problems}
    # a list one of whose items is refused is not also too short
    problems = [p for p in problems if p["type"] != "too_short" or p["loc"] not in inner]
    lines = [_explain_one(error.title, problem) for problem in problems[:3]]
    return "; ".join(lines) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")


def _explain_one(title, problem) -> str:
    section, *rest = problem["loc"] or ("",)
    variants = _VARIANTS.get(section, {})
    kind = variants.get(rest.pop(0)) if rest and rest[0] in variants else None
    inside = [] if title == Spec.__name__ else [title]
    dotted = ".".join(str(part) for part in (*inside, section, *rest) if part != "")
    given = repr(problem["input"])
    given = given if len(given) <= 60 else given[:57] + "..."
    if problem["type"] == "extra_forbidden":
        return f"{dotted}: no such field; {nearest(str((rest or [section])[-1]), _fields(title, section, kind, rest))}"
    if problem["type"] == "union_tag_invalid":
        return f"{dotted}.name: unknown; {nearest(str(problem['ctx']['tag']), variants)}"
    if problem["type"] == "union_tag_not_found":
        return f"{dotted}.name: missing; known: {', '.join(variants)}"
    if problem["type"] == "json_invalid":
        return f"not JSON ({problem['msg'].removeprefix('Invalid JSON: ')})"
    if problem["type"] == "missing":
        return f"{dotted}: missing"
    message = problem["msg"].replace("Input should", "must", 1).removeprefix("Value error, ")
    message = message.replace("Tuple should", "must", 1).replace(" after validation", "", 1)
    where = f"{dotted}: " if dotted else ""
    got = "" if problem["type"] == "value_error" else f", got {given}"  # such an error is about several fields
    return f"{where}{message[0].lower()}{message[1:]}{got}"


def _fields(title, section, kind, rest) -> list[str]:
    """Return the names that would have been right where an unknown field stood."""
    if kind is not None:
        return list(kind.model_fields)
    if title != Spec.__name__:
        kinds = [*Section.__subclasses__(), *Adam.__subclasses__()]
        return [name for cls in kinds if cls.__name__ == title for name in cls.model_fields]
    return list(Spec.model_fields[section].annotation.model_fields if rest else Spec.model_fields)


def parse_settings(settings: list[str]) -> dict:
    """Read ``["train.epochs=3", "optimizer.name=SGD"]``: values are JSON or Python's True, False, None, or else text.

    Raises SpecError.
    """
    spelled = {"True": "true", "False": "false", "None": "null"}
    values = {}
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise SpecError(f"--set {setting!r}: expected FIELD=VALUE, e.g. train.epochs=3")
        if dotted in values:
            raise SpecError(f"--set {dotted}: given twice")
        try:
            values[dotted] = json.loads(spelled.get(text, text))
        except (ValueError, RecursionError):
            values[dotted] = text
    return values
