"""What every part of a spec is made of: frozen groups of validated fields, some of which come in several kinds.

A kind is a class: the fields are its annotations, and its methods build what they describe. One of an experiment's own
file is validated, written to JSON, changed with ``--set`` and searched like those of the project.
"""

import importlib
import json
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, model_serializer
from pydantic_core import PydanticCustomError

from tinycnn import source
from tinycnn.errors import SpecError, nearest, shown


class _Lazy:
    """A module that is imported at its first use, so that specs are read without torch."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute):
        return getattr(importlib.import_module(self._name), attribute)


torch, nn = _Lazy("torch"), _Lazy("torch.nn")


class Section(BaseModel):
    """A frozen group of fields; unknown names, wrong types and infinities are refused.

    ``positional`` are the fields that may be given without their name, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    positional: ClassVar[tuple[str, ...]] = ()
    tag: ClassVar[str | None] = None

    def __init__(self, *values, **fields):
        if len(values) > len(self.positional):
            takes = f"{type(self).__name__} takes {len(self.positional)} positional values"
            raise TypeError(f"{takes}, not {len(values)}; name the others")
        super().__init__(**dict(zip(self.positional, values, strict=False)), **fields)

    __init__.__pydantic_base_init__ = True  # JSON is validated as JSON, not through this


class Kind(Section):
    """A section that comes in several kinds, told apart by the field called ``tag``.

    The tag of a kind of this project is the name of its class, that of any other a reference such as
    ``experiments/exp7.py:Mixup``.
    """

    tag = "name"

    def build(self, *facts):
        """Return what the section describes."""
        raise NotImplementedError(f"{type(self).__name__} needs a method build")

    @model_serializer(mode="wrap")
    def _with_tag(self, handler):
        fields = handler(self)
        first = {name: fields[name] for name in self.positional if name in fields}
        return {self.tag: name_of(type(self)), **first, **fields}

    def __reduce_ex__(self, protocol):  # another process imports a class of an experiment's file by its reference
        ours = next(each for each in type(self).__mro__ if is_ours(each))
        return super().__reduce_ex__(protocol) if type(self) is ours else (made, (ours, self.model_dump(mode="json")))

    @classmethod
    def kinds(cls) -> dict[str, type]:
        """Return the kinds of this project by their tag."""
        return {each.__name__: each for each in _subclasses(cls) if is_ours(each)}


def is_ours(cls) -> bool:
    """Tell whether a class is of this project, not of a user's file."""
    return cls.__module__.startswith("tinycnn.")


def name_of(cls) -> str:
    """Return the tag of a kind."""
    return cls.__name__ if is_ours(cls) else source.reference(cls)


own_name = property(lambda section: name_of(type(section)), doc="The tag of a kind.")


def _subclasses(cls):
    found = []
    for each in cls.__subclasses__():
        found += [each] * (not each.__name__.startswith("_")) + _subclasses(each)
    return found


def kind(base, name) -> type:
    """Return the kind of ``base`` that a tag names: a name, or the reference of a user's class.

    Raises SpecError, whose text follows the name of the field.
    """
    if not isinstance(name, str):
        raise SpecError(f"must be a name, got {shown(name)}")
    if ":" in name:
        found = source.resolve(name)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise SpecError(f"{name} is no {base.__name__}; derive it from tinycnn.spec.{base.__name__}")
        return found
    # a class of a user's file counts once the file is loaded; of two versions of one file, the later
    known = {each.__name__: each for each in _subclasses(base)} | base.kinds()
    if name not in known:
        raise SpecError(f"{shown(name)} is unknown; {nearest(name, known)}")
    return known[name]


def any_of(base):
    """Return the type of a field that holds a ``base``, of any kind: the section itself, or a dict of its values."""

    def validate(value):
        try:
            return value if isinstance(value, base) else made(base, value)
        except (SpecError, ValidationError) as error:
            raise nested(error, base.tag if isinstance(value, dict) else None) from None

    return Annotated[Any, PlainValidator(validate)]


def nested(error: SpecError | ValidationError, field: str | None = None) -> PydanticCustomError:
    """Return what validation raises for an error inside a field; a SpecError is about ``field`` of it."""
    found = problems(error) if isinstance(error, ValidationError) else [((field,) if field else (), str(error))]
    return PydanticCustomError("nested", "{problems}", {"problems": found})


def made(base, values):
    """Return the section that a dict of plain values describes. Raises SpecError, ValidationError."""
    if not isinstance(values, dict):
        raise SpecError(f"must be a {base.__name__} or a dict of its fields, got {shown(values)}")
    cls = base
    if issubclass(base, Kind):
        if base.tag not in values:
            raise SpecError(f"missing; known: {', '.join(base.kinds())}")
        cls = kind(base, values[base.tag])
        if not (base.tag in cls.model_fields and is_ours(cls)):  # a field of data sets
            values = {name: value for name, value in values.items() if name != base.tag}
    return cls.model_validate_json(json.dumps(values))


def explain(error: ValidationError) -> str:
    """Put a validation error into one line: each field by its dotted name, what is allowed, and what was given."""
    lines = []
    for location, text in problems(error):
        dotted = ".".join(map(str, (*([] if error.title == "Spec" else [error.title]), *location)))
        lines.append(f"{dotted}: {text}" if dotted else text)
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")


def problems(error: ValidationError) -> list[tuple[tuple, str]]:
    """Return (location, what is wrong there) of each problem."""
    cls = next((each for each in (Section, *_subclasses(Section)) if each.__name__ == error.title), Section)
    result = []
    for each in error.errors(include_url=False):
        text = f"{each['msg'].replace('Input should', 'must')}, got {shown(each['input'])}"
        if each["type"] == "nested":
            result += [((*each["loc"], *inside), text) for inside, text in each["ctx"]["problems"]]
            continue
        if each["type"] == "extra_forbidden":
            text = f"no such field; {nearest(each['loc'][-1], cls.model_fields)}"
        elif each["type"] in ("missing", "value_error"):
            text = each["msg"].removeprefix("Value error, ").replace("Field required", "missing")
        result.append((each["loc"], text))
    return result
