"""What every part of a spec is made of: frozen groups of checked fields, some of which come in several kinds.

A kind is a class: the fields are its annotations, and a method of it builds what they describe. One of an experiment's
own file is used, checked, written to JSON, derived with ``--set`` and searched like those of the project.
"""

import json
import sys
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, model_serializer
from pydantic_core import PydanticCustomError

from tinycnn import source
from tinycnn.errors import SpecError, nearest, shown, visible

NAME = r"^[a-z][a-z0-9_-]{0,59}$"


class Section(BaseModel):
    """A frozen group of fields; unknown names, wrong types and infinities are refused.

    ``positional`` are the fields that may be given without their name, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    positional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *values, **fields):
        if len(values) > len(self.positional):
            raise TypeError(
                f"{type(self).__name__} takes {len(self.positional)} values without a name, not {len(values)}"
            )
        super().__init__(**dict(zip(self.positional, values, strict=False)), **fields)

    __init__.__pydantic_base_init__ = True  # JSON is validated as JSON, not by way of this


class Kind(Section):
    """A section that comes in several kinds, told apart by the field called ``tag``.

    The tag of a kind of this project is its class's name, that of any other a reference such as
    ``experiments/exp7.py:Mixup``.
    """

    tag: ClassVar[str] = "name"

    @model_serializer(mode="wrap")
    def _with_tag(self, handler):
        fields = handler(self)
        first = {name: fields[name] for name in self.positional if name in fields}
        return {self.tag: name_of(type(self)), **first, **fields}

    def __reduce_ex__(self, protocol):  # to another process, which finds a class of an experiment's file by reference
        if type(self).__module__.startswith("tinycnn."):
            return super().__reduce_ex__(protocol)
        return _again, (source.reference(type(self)), self.model_dump(mode="json"))

    @classmethod
    def kinds(cls) -> dict[str, type]:
        """Return the kinds of this project by their tag."""
        return {each.__name__: each for each in _below(cls) if each.__module__.startswith("tinycnn.")}


def _again(reference: str, values: dict):
    cls = source.resolve(reference)
    return cls.model_validate_json(json.dumps({name: value for name, value in values.items() if name != cls.tag}))


def name_of(cls) -> str:
    """Return the tag of a kind."""
    return cls.__name__ if cls.__module__.startswith("tinycnn.") else source.reference(cls)


own_name = property(lambda section: name_of(type(section)), doc="The tag of a kind.")


def _below(cls):
    found = []
    for each in cls.__subclasses__():
        found += [each] * (not each.__name__.startswith("_")) + _below(each)
    return found


def kind(base, name) -> type:
    """Return the kind of ``base`` that a tag names: one of the project, a reference, or the name of one that is loaded.

    Raises SpecError in words that follow the field's name.
    """
    known, text = base.kinds(), name if isinstance(name, str) else ""
    if text in known:
        return known[text]
    if ":" in text:
        found = source.resolve(name)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise SpecError(f"{name} is no {base.__name__}; derive it from tinycnn.spec.{base.__name__}")
        return found
    loaded = {each.__name__: each for each in _below(base) if _is_loaded(each)}  # of two, that of the file loaded last
    if text in loaded:
        return loaded[text]
    folded = {each.lower(): each for each in known}
    if text.lower() in folded:
        return known[folded[text.lower()]]
    hint = nearest(text, [*known, *loaded])
    raise SpecError(f"{shown(name)} is unknown; {hint}")


def _is_loaded(cls) -> bool:
    """Tell whether a class is the project's no more than its name is: not of a file that was loaded anew since."""
    if cls.__module__.startswith("tinycnn."):
        return False
    return getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls


def any_of(base):
    """Return the type of a field that holds any kind of ``base``."""

    def validate(value):
        if isinstance(value, base):
            return value
        if not isinstance(value, dict):
            wanted = " or ".join(list(base.kinds())[:4])
            given = type(value).__name__ if isinstance(value, Section) else ""
            words = f"must be a {base.__name__}, e.g. {wanted}" + (f", not {given}" if given else "")
            raise PydanticCustomError("value_error" if given else "kind", "{words}", {"words": words})
        if base.tag not in value:
            problem = [((base.tag,), f"missing; known: {', '.join(base.kinds())}")]
            raise PydanticCustomError("nested", "{problems}", {"problems": problem})
        try:
            cls = kind(base, value[base.tag])
        except SpecError as error:
            raise PydanticCustomError("nested", "{problems}", {"problems": [((base.tag,), str(error))]}) from None
        is_field = base.tag in cls.model_fields and cls.__module__.startswith("tinycnn.")  # as of data sets
        fields = {name: each for name, each in value.items() if name != base.tag or is_field}
        try:
            return cls.model_validate_json(json.dumps(fields))
        except ValidationError as error:
            raise PydanticCustomError("nested", "{problems}", {"problems": problems(error, cls)}) from None

    return Annotated[Any, PlainValidator(validate)]


def explain(error: ValidationError) -> str:
    """Put a validation error into one line: each field by its dotted name, its value, and what is allowed."""
    cls = next((each for each in [*_below(Section)] if each.__name__ == error.title), None)
    found = [(".".join(map(str, loc)), words) for loc, words in problems(error, cls)]
    inside = "" if error.title == "Spec" else error.title
    lines = []
    for where, words in found[:3]:
        dotted = visible(".".join(part for part in (inside, where) if part))
        lines.append(f"{dotted}: {words}" if dotted else words)
    return "; ".join(lines) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


_WORDS = (
    ("Input should", "must"),
    ("Tuple should", "must"),
    (" after validation", ""),
    ("be a valid boolean", "be true or false"),
    ("be a valid array", "be a list"),
    (f"String should match pattern '{NAME}'", "must be of small letters, digits, _ and -, a letter first, 60 at most"),
)
"""What pydantic says, and what a person at the terminal understands at once."""


def problems(error: ValidationError, cls=None) -> list[tuple[tuple, str]]:
    """Return (location, what is wrong there) for each problem; ``cls``: what was validated."""
    found = error.errors(include_url=False)
    inner = {problem["loc"][:-1] for problem in found}
    result = []
    for problem in found:
        loc = problem["loc"]
        if problem["type"] == "nested":
            result += [((*loc, *where), words) for where, words in problem["ctx"]["problems"]]
        elif (
            problem["type"] != "too_short" or loc not in inner
        ):  # a list one of whose items is refused is not too short
            result.append((loc, _words(problem, cls)))
    return result


def _words(problem, cls) -> str:
    loc = problem["loc"]
    if problem["type"] == "extra_forbidden":
        inside = cls
        for part in loc[:-1]:
            field = inside.model_fields.get(part) if inside else None
            inside = field.annotation if field and isinstance(field.annotation, type) else None
        return f"no such field; {nearest(str(loc[-1]), inside.model_fields if inside else ())}"
    if problem["type"] == "json_invalid":
        return f"not JSON ({problem['msg'].removeprefix('Invalid JSON: ')}); give the spec.json of a run"
    if problem["type"] == "missing":
        return "missing"
    message = problem["msg"].removeprefix("Value error, ")
    for pydantics, ours in _WORDS:
        message = message.replace(pydantics, ours, 1)
    got = "" if problem["type"] == "value_error" else f", got {shown(problem['input'])}"  # that is about several fields
    return f"{message[:1].lower()}{message[1:]}{got}"
