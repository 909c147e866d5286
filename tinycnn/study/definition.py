"""What a study is: a base spec, the ranges searched around it, the objective and the budget. Knows no Optuna."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tinycnn.errors import SpecError
from tinycnn.spec import Name, Section, Spec
from tinycnn.spec import load as experiments

FOLDER = experiments.FOLDER / "studies"
DIGITS = 3
"""Significant digits of a float that is searched, so that the value trained can be written down as it was."""
_NOT_SEARCHED = ("target", "data", "train.seed", "train.kernels", "train.compile")
"""Sections and fields that change no number, or must be the same for trials to be comparable."""


@dataclass(frozen=True, config={"strict": True, "extra": "forbid"})
class Float:
    """Numbers from ``low`` to ``high``, both included; ``log`` searches the exponents evenly."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        step = getattr(self, "step", 1)
        if not self.low < self.high or step < 1 or (self.log and (self.low <= 0 or step != 1)):
            raise ValueError(f"{self}: low must be below high, a step 1 or more; with log, low above 0 and no step")

    def __contains__(self, value) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def trained(self, value):
        """Return what is trained for a suggested value: ``DIGITS`` significant digits, within the range."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True, config={"strict": True, "extra": "forbid"})
class Int(Float):
    """Whole numbers from ``low`` to ``high``, both included, in steps of ``step``."""

    low: int
    high: int
    step: int = 1

    def __contains__(self, value) -> bool:
        return value in range(self.low, self.high + 1, self.step)

    def trained(self, value):
        """Return what is trained for a suggested value: the same."""
        return value


class Choice(Section):
    """One of some values, in no order: numbers, words, layers, tuples of layers for ``model.layers``, sections."""

    values: Annotated[tuple[Any, ...], Field(min_length=2)]

    def __init__(self, *values):
        super().__init__(values=values)

    def __contains__(self, value) -> bool:
        return value in self.words

    @property
    def words(self) -> tuple:
        """The values as Optuna stores them."""
        return tuple(map(as_stored, self.values))

    def trained(self, word):
        """Return what is trained for a suggested word."""
        return self.values[self.words.index(word)]


def as_stored(value):
    """Return a value as Optuna stores it: layers and sections as the code that makes them, lists as tuples."""
    return value if value is None or isinstance(value, bool | int | float | str) else repr(_tuples(value))


def _tuples(value):
    """Return lists, which JSON has in place of tuples, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def classes(value) -> list[type]:
    """Return the classes of a section or a tuple of values, and of the layers inside."""
    own = [type(value)] if isinstance(value, Section) else []
    inside = value if isinstance(value, tuple) else getattr(value, "layers", ())
    return own + [kind for layer in inside for kind in classes(layer)]


class Study(Section):
    """What is searched: ``ranges`` by dotted name around ``base``; of a list by index, as in ``model.widths.0``.

    ``fidelity`` are changes to the base, by dotted name, that make the trainings of the study shorter.
    Every trial trains ``seeds`` seeds from the base's first; the objective is their mean after the last epoch.
    """

    name: Name
    base: Spec
    ranges: Annotated[dict[str, Float | Int | Choice], Field(min_length=1)]
    fidelity: dict[str, bool | int | float | str | None] = {}
    objective: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    trials: Annotated[int, Field(ge=1, le=100_000, description="trained, or pruned in training, in all")] = 60
    sampler_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    notes: str = ""

    @property
    def trained(self) -> Spec:
        """The base as the study trains it: with its fidelity, and evaluated on validation images."""
        return self.base.with_values({"data.validation": self.base.data.validation or True} | self.fidelity)

    @property
    def digest(self) -> str:
        """12 hex digits that identify what is searched and how; the budget is no part of it."""
        what = self.model_dump(mode="json", exclude={"base", "trials", "notes", "name"}) | {"base": self.trained.hash}
        what |= {"limit": self.base.target.parameter_limit, "first_seed": self.base.train.seed}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def classes(self) -> tuple:
        """The classes of the layers and sections that a ``Choice`` may bring."""
        return tuple(dict.fromkeys(kind for given in self.ranges.values() for kind in classes(_examples(given))))

    @property
    def own(self) -> dict:
        """The base's own value of each field that is searched, as Optuna stores it."""
        trained = self.trained
        return {name: as_stored(_field(trained, name)) for name in self.ranges}

    def base_parameters(self) -> dict:
        """Return the base's own values, those that lie within their range."""
        return {name: value for name, value in self.own.items() if value in self.ranges[name]}

    def values(self, parameters: dict) -> dict:
        """Return what is trained, by dotted name, for the values that Optuna suggests; the base's are not rounded."""
        own = self.own
        return {
            name: value if isinstance(value, float) and value == own[name] else self.ranges[name].trained(value)
            for name, value in parameters.items()
        }


def _examples(given) -> tuple:
    """Return values of a range that must all be possible for the field."""
    return given.values if isinstance(given, Choice) else (given.low, given.high)


def _field(section, name):
    for part in name.split("."):
        if isinstance(section, list | tuple):
            section = section[int(part)]
        else:  # a kind, or an argument of a network from the user's file, is only in the JSON
            section = getattr(section, part) if hasattr(section, part) else section.model_dump(mode="json")[part]
    return section


def names() -> list[str]:
    """Return the names of the studies, sorted."""
    return experiments.names(FOLDER)


def load(which: str) -> Study:
    """Return a study by name or file, with its file's docstring as its notes. Raises SpecError in one line."""
    return experiments.from_folder(Study, FOLDER, which, "dropout_lr")


def check_study(study: Study) -> list[str]:
    """Return notices. Raises SpecError for a range or a fidelity that the base spec cannot have, in one line."""
    base = study.base.name
    try:
        trained = study.trained
        if not trained.data.validation:
            raise SpecError("data.validation is 0, but a study needs validation images; leave it out")
    except SpecError as error:
        raise SpecError(f"study {study.name}: fidelity: {error}") from None
    for name, given in study.ranges.items():
        try:
            if name in _NOT_SEARCHED or name.partition(".")[0] in _NOT_SEARCHED:
                raise SpecError(f"{name}: cannot be searched: the objective does not depend on it, or must not")
            for value in _examples(given):
                trained.with_values({name: value})
        except SpecError as error:
            raise SpecError(f"study {study.name}: ranges: {str(error).removeprefix(f'{base}: ')}") from None
    outside = study.ranges.keys() - study.base_parameters().keys()
    return [f"{', '.join(sorted(outside))}: {base}'s own value is outside the range"] if outside else []
