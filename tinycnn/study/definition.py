"""What a study is: a base spec, the ranges searched around it, the objective and the budget. Knows no Optuna."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, field_validator, model_validator

from tinycnn.errors import SpecError, nearest, shown
from tinycnn.network.check import check
from tinycnn.spec import Layer, Name, Section, Spec
from tinycnn.spec import load as experiments
from tinycnn.spec.model import every

FOLDER = experiments.FOLDER / "studies"

DIGITS = 3
"""Significant digits of a float that is searched: what is trained can be written down, and promoted, as it was."""
_NO_NUMBERS = ("target", "data", "train.seed", "train.kernels", "train.compile")
"""Sections and fields that a study cannot rank by: they change no number, or all of its trials have the same."""


class Float(Section):
    """Numbers from ``low`` to ``high``, both included; ``log`` searches the exponents evenly."""

    positional = ("low", "high")
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self):
        _ordered(self)
        return self

    def rounded(self, value: float) -> float:
        """Return what is trained for a value: ``DIGITS`` significant digits, and no further out than the range."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def ends(self) -> tuple:
        """Return values that must all be possible for the field."""
        return self.low, self.high, self.rounded((self.low + self.high) / 2)


class Int(Section):
    """Whole numbers from ``low`` to ``high``, both included, in steps of ``step``."""

    positional = ("low", "high")
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self):
        _ordered(self)
        if (self.high - self.low) % self.step:
            raise ValueError(f"high {self.high} is no whole number of steps of {self.step} above low {self.low}")
        if self.log and self.step != 1:
            raise ValueError("log goes with steps of 1 only")
        return self

    def rounded(self, value):
        """Return the value."""
        return value

    def ends(self) -> tuple:
        """Return values that must all be possible for the field."""
        return self.low, self.high


def _choosable(value):
    """Check one of the values of a ``Choice``."""
    layers = value if isinstance(value, tuple) and value else (value,)
    if (
        value is not None
        and not isinstance(value, bool | int | float | str)
        and not all(isinstance(layer, Layer) for layer in layers)
    ):
        raise ValueError(f"must be a number, a word, a layer or a tuple of layers, got {shown(value)}")
    return value


class Choice(Section):
    """One of some values, in no order: numbers, words, layers, or tuples of layers for ``model.layers``."""

    values: Annotated[tuple[Annotated[Any, PlainValidator(_choosable)], ...], Field(min_length=2, max_length=100)]

    def __init__(self, *given, values=()):
        super().__init__(values=given or tuple(values))

    __init__.__pydantic_base_init__ = True

    @model_validator(mode="after")
    def _distinct(self):
        if len({json.dumps(_written(value)) for value in self.values}) < len(self.values):
            raise ValueError("the same value stands there twice")
        return self

    @property
    def words(self) -> tuple:
        """The values as Optuna keeps them: layers by the code that makes them."""
        return tuple(_written(value) for value in self.values)

    def rounded(self, value):
        """Return the value that stands for what Optuna keeps."""
        return dict(zip(self.words, self.values, strict=True)).get(value, value)

    def ends(self) -> tuple:
        """Return values that must all be possible for the field."""
        return self.values


def _written(value):
    if isinstance(value, tuple):
        return " ".join(map(repr, value))
    return repr(value) if isinstance(value, Layer) else value


def _ordered(given):
    if not given.low < given.high:
        raise ValueError(f"low {given.low} is not below high {given.high}")
    if given.log and given.low <= 0:
        raise ValueError(f"log needs a low above 0, not {given.low}")


Range = Float | Int | Choice


class Study(Section):
    """What is searched: ``ranges`` by dotted name around ``base``; a tuple of ranges for a field that is a list.

    ``fidelity`` are changes to the base for the time of the study, which make its trainings shorter, by dotted name.
    Every trial trains ``seeds`` seeds from the base's first; the objective is their mean after the last epoch.
    """

    name: Name
    base: Spec
    ranges: Annotated[dict[str, Range | tuple[Range, ...]], Field(min_length=1)]
    fidelity: dict[str, bool | int | float | str | None] = {}
    objective: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    trials: Annotated[int, Field(ge=1, le=100_000, description="trained, or pruned in training, in all")] = 60
    sampler_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    notes: str = ""

    @field_validator("base", mode="before")
    @classmethod
    def _as_it_is(cls, base):
        return Spec.from_dict(base) if isinstance(base, dict) else base

    @property
    def trained(self) -> Spec:
        """The base as the study trains it: with its fidelity, and evaluated on validation images."""
        share = {} if "data.validation" in self.fidelity else {"data.validation": self.base.data.validation or True}
        return self.base.with_values(share | self.fidelity)

    @property
    def parameters(self) -> dict[str, Range]:
        """Each range by the name that Optuna knows it by; of a list's, ``model.widths.0`` and so on."""
        flat = {}
        for field, given in self.ranges.items():
            several = isinstance(given, tuple)
            flat |= {f"{field}.{i}": each for i, each in enumerate(given)} if several else {field: given}
        return flat

    @property
    def digest(self) -> str:
        """12 hex digits that identify what is searched and how; the budget is no part of it."""
        what = self.model_dump(mode="json", exclude={"base", "trials", "notes", "name"}) | {"base": self.trained.hash}
        what |= {"limit": self.base.target.parameter_limit, "first_seed": self.base.train.seed}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]

    def values(self, parameters: dict) -> dict:
        """Return the spec's fields, by dotted name, for a value of each of ``parameters``."""
        rounded = {name: self.rounded(name, value) for name, value in parameters.items()}
        return {
            field: [rounded[f"{field}.{i}"] for i in range(len(given))] if isinstance(given, tuple) else rounded[field]
            for field, given in self.ranges.items()
        }

    def written(self, parameters: dict) -> dict:
        """Return ``values`` as they can be stored: layers by the code that makes them."""
        return {field: _written(value) for field, value in self.values(parameters).items()}

    def shown(self, name: str, value):
        """Return what is trained for a value of the parameter ``name`` as ``written`` does."""
        return _written(self.rounded(name, value))

    @property
    def used(self) -> tuple:
        """The classes of the layers that a ``Choice`` may bring."""
        choices = [given for given in self.parameters.values() if isinstance(given, Choice)]
        values = [
            v
            for choice in choices
            for value in choice.values
            for v in (value if isinstance(value, tuple) else (value,))
        ]
        return tuple(dict.fromkeys(type(layer) for layer in every(v for v in values if isinstance(v, Layer))))

    def rounded(self, name: str, value):
        """Return what is trained for a value of the parameter ``name``: the base's own value as it is."""
        given = self.parameters[name]
        return value if not isinstance(given, Choice) and value == self.own(name) else given.rounded(value)

    def own(self, name: str):
        """Return the base's own value of the parameter ``name``, as Optuna keeps it."""
        found = self.trained
        for part in name.split("."):
            found = found[int(part)] if isinstance(found, list | tuple) else _field(found, part)
        return _written(found)

    def spec(self, parameters: dict) -> Spec:
        """Return the spec that a trial trains. Raises SpecError where the values do not go together."""
        return self.trained.with_values(self.values(parameters))

    def base_parameters(self) -> dict:
        """Return the base's own values by the names of ``parameters``, as far as they lie within the ranges."""
        own = {}
        for name, given in self.parameters.items():
            value = self.own(name)
            inside = value in given.words if isinstance(given, Choice) else given.low <= value <= given.high
            if inside and not (isinstance(given, Int) and (value - given.low) % given.step):
                own[name] = value
        return own


def _field(section, name):
    """Return a field of a section by its name in JSON: also a tag, or an argument of a network of one's own."""
    return getattr(section, name) if hasattr(section, name) else section.model_dump(mode="json")[name]


def names() -> list[str]:
    """Return the names of the studies, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load(which: str) -> Study:
    """Return a study by name or file, with its file's docstring as its notes. Raises SpecError in one line."""
    known = names()
    path = FOLDER / f"{which}.py" if which in known else Path(which)
    if which not in known and not experiments.is_there(which):
        raise SpecError(f"no study or file is called {shown(which)}; {nearest(which, known)}")
    if path.suffix != ".py" or not path.is_file():
        raise SpecError(f"{path}: give the name of a study, or a .py file with a STUDY")
    try:
        made = experiments.execute(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read ({error})") from None
    study = made.get("STUDY")
    if not isinstance(study, Study):
        raise SpecError(f"{path.name}: has no STUDY; see experiments/studies/dropout_lr.py for an example")
    if study.name != path.stem:
        raise SpecError(f"{path.name}: STUDY.name is {study.name!r}; it must be the file's name, {shown(path.stem)}")
    return study.model_copy(update={"notes": made.get("__doc__") or ""})


def check_study(study: Study) -> list[str]:
    """Return notices. Raises SpecError for a range or a fidelity that the base spec cannot have, in one line."""
    where = f"study {study.name}"
    try:
        fields = study.trained.flat()
    except SpecError as error:
        raise SpecError(f"{where}: fidelity: {error}") from None
    if not study.trained.data.validation:
        raise SpecError(f"{where}: fidelity: data.validation is 0, and a study never sees the test set; leave it out")
    for field, given in study.ranges.items():
        _check_range(study, fields, field, given, where)
    steps = study.parameters.get("schedule.step_size")
    longest = max(steps.ends()) if steps else getattr(study.trained.schedule, "step_size", 0)
    epochs = study.parameters.get("train.epochs")
    shortest = min(epochs.ends()) if epochs else fields["train.epochs"]
    if (steps or epochs) and longest > shortest:
        raise SpecError(
            f"{where}: schedule.step_size: up to {longest}, more than the {shortest} epochs that a trial may have, "
            "which would never step; search smaller steps or train longer"
        )
    _, notices = check(study.trained.with_values({"target.parameter_limit": None, "target.accuracy": None}))
    outside = study.parameters.keys() - study.base_parameters().keys()
    if outside:
        notices.append(f"{', '.join(sorted(outside))}: {study.base.name}'s own value is outside the range")
    return notices


def _check_range(study, fields, field, given, where):
    try:
        own = study.own(field)
    except (KeyError, IndexError, ValueError, AttributeError):
        hint = nearest(field, fields, dict.fromkeys(name.partition(".")[0] + ".*" for name in fields))
        raise SpecError(f"{where}: {shown(field)}: no such field of {study.base.name}; {hint}") from None
    if field in _NO_NUMBERS or field.partition(".")[0] in _NO_NUMBERS:
        raise SpecError(f"{where}: {field}: nothing to search by: the objective does not depend on it, or may not")
    if field in study.fidelity:
        raise SpecError(f"{where}: {field}: is set by fidelity, and searched; leave one of them out")
    length = len(own) if isinstance(own, list) else None
    if (length is None) == isinstance(given, tuple) or (length is not None and len(given) != length):
        wanted = "one range" if length is None else f"a tuple of {length} ranges, one for each item"
        raise SpecError(f"{where}: {field}: needs {wanted}")
    parts = given if isinstance(given, tuple) else (given,)
    for i in range(max(len(part.ends()) for part in parts)):
        ends = [part.ends()[min(i, len(part.ends()) - 1)] for part in parts]
        if length is None and not isinstance(ends[0], bool | int | float | str | None):
            continue  # layers: whether the map is large enough for them is seen when a trial is asked for
        try:
            study.trained.with_values({field: ends if length is not None else ends[0]})
        except SpecError as error:
            raise SpecError(f"{where}: ranges: {str(error).removeprefix(f'{study.base.name}: ')}") from None
