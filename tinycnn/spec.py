"""What an experiment is: a frozen, validated, typed spec that holds everything which changes a number.

``Spec(...)`` makes one, ``spec.but(...)`` derives one that shows only what changed, ``spec.to_json()`` and
``Spec.from_json`` are inverses. Each field has a dotted name (``optimizer.lr``) for ``--set`` and in the store.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from tinycnn.errors import SpecError, nearest, shown, visible
from tinycnn.sections import (
    MODELS,
    SGD,
    VARIANTS,
    Adam,
    AdamW,
    Augment,
    Constant,
    Cosine,
    Data,
    Loss,
    Model,
    OneCycle,
    Section,
    StepLR,
    Target,
    Train,
    choice,
)

__all__ = [
    "SGD", "Adam", "AdamW", "Augment", "Constant", "Cosine", "Data", "Loss", "Model", "OneCycle", "Spec", "StepLR",
    "Target", "Train", "explain", "parse_settings",
]  # fmt: skip


NAME = r"^[a-z][a-z0-9_-]{0,59}$"
Name = Annotated[str, Field(pattern=NAME)]


class Spec(Section):
    """One experiment. Only ``name``, ``parent``, ``notes`` and ``target`` do not change the numbers of a run."""

    version: Literal[1] = 1
    name: Name
    parent: Name | None = None
    notes: str = ""
    model: choice(*MODELS.values())
    data: Data = Data()
    augment: Augment = Augment()
    optimizer: choice(*VARIANTS["optimizer"].values()) = SGD()
    schedule: choice(*VARIANTS["schedule"].values()) = Constant()
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
                raise SpecError(f"{section}: expected a section or a dict of fields, got {shown(value)}")
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
                raise SpecError(f"{dotted}: {self._instead_of(dotted)}")
        for dotted, value in changes.items():
            section, _, field = dotted.partition(".")
            if field == "name" and section in VARIANTS:
                values[section] = _switch(section, values[section], value)
        for dotted, value in changes.items():
            section, _, field = dotted.partition(".")
            if not (field == "name" and section in VARIANTS):
                values[section][field] = value
        return Spec.from_dict(values, where=values["name"])

    def _instead_of(self, dotted: str) -> str:
        """Say why there is no field of that dotted name, and which there are."""
        fields = self.flat()
        section, _, field = dotted.partition(".")
        own = [name for name in fields if name.partition(".")[0] == section]
        if own and not field:
            return f"a section, not a field; its fields: {', '.join(own)}"
        groups = dict.fromkeys(name.partition(".")[0] + ".*" for name in fields)
        if dotted in Spec.model_fields:
            return f"is not for changing; known: {', '.join(groups)}"
        return f"no such field; {nearest(dotted, fields, groups)}"

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
            spec = cls.model_validate_json(text)
        except ValidationError as error:
            raise SpecError(f"{where}: {explain(error)}") from None
        if "kernels" not in spec.train.model_fields_set:  # written when there were only torch's
            spec = spec.model_copy(update={"train": spec.train.model_copy(update={"kernels": "torch"})})
        return spec

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

    def __reduce__(self):  # to another process as plain values: the networks' sections are classes without a home
        return Spec.from_dict, (self.model_dump(mode="json"),)

    @property
    def hash(self) -> str:
        """12 hex digits that identify the numbers of a run with a given seed.

        Left out: name, parent, notes and target, which only name, explain and judge; and the first seed, because each
        run records its own.
        """
        numbers = self.model_dump(mode="json", exclude={"name", "parent", "notes", "target"})
        del numbers["train"]["seed"]
        if numbers["train"]["kernels"] == "torch":
            del numbers["train"]["kernels"]  # came later: what ran without it keeps its hash
        if numbers["data"]["images"] is None:
            del numbers["data"]["images"]  # so did this
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:12]


def _switch(section, old, name):
    """Return the fields of another kind of model, optimizer or schedule, keeping the values both kinds have."""
    canonical = {known.lower(): known for known in VARIANTS[section]}.get(str(name).lower())
    if canonical is None:
        hint = nearest(name if isinstance(name, str) else "", VARIANTS[section])
        raise SpecError(f"{section}.name: {shown(name)} is unknown; {hint}")
    now, before = (VARIANTS[section][kind].model_fields for kind in (canonical, old["name"]))
    # the same name may stand for something else: of widths, one network has seven and another four
    shared = [each for each in now if each in before and now[each].metadata == before[each].metadata]
    return {field: old[field] for field in shared} | {"name": canonical}


def explain(error: ValidationError) -> str:
    """Put a validation error into one line: each field by its dotted name, its value, and what is allowed."""
    problems = error.errors(include_url=False)
    inner = {problem["loc"][:-1] for problem in problems}
    # a list one of whose items is refused is not also too short
    problems = [p for p in problems if p["type"] != "too_short" or p["loc"] not in inner]
    lines = [_explain_one(error.title, problem) for problem in problems[:3]]
    return "; ".join(lines) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")


_WORDS = (
    ("Input should", "must"),
    ("Tuple should", "must"),
    (" after validation", ""),
    ("be a valid boolean", "be true or false"),
    ("be a valid array", "be a list"),
    (f"String should match pattern '{NAME}'", "must be of small letters, digits, _ and -, a letter first, 60 at most"),
)
"""What pydantic says, and what a person at the terminal understands at once."""


def _explain_one(title, problem) -> str:
    section, *rest = problem["loc"] or ("",)
    variants = VARIANTS.get(section, {})
    kind = variants.get(rest.pop(0)) if rest and rest[0] in variants else None
    inside = [] if title == Spec.__name__ else [title]
    dotted = visible(".".join(str(part) for part in (*inside, section, *rest) if part != ""))
    given = shown(problem["input"])
    if problem["type"] == "extra_forbidden":
        return f"{dotted}: no such field; {nearest(str((rest or [section])[-1]), _fields(title, section, kind, rest))}"
    if problem["type"] == "union_tag_invalid":
        tag = problem["ctx"]["tag"]
        return f"{dotted}.name: {shown(tag)} is unknown; {nearest(tag, variants)}"
    if problem["type"] == "union_tag_not_found":
        return f"{dotted}.name: missing; known: {', '.join(variants)}"
    if problem["type"] == "json_invalid":
        return f"not JSON ({problem['msg'].removeprefix('Invalid JSON: ')}); give the spec.json of a run"
    if problem["type"] == "missing":
        return f"{dotted}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    for pydantics, ours in _WORDS:
        message = message.replace(pydantics, ours, 1)
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

    Of a field that is given twice, the later value counts.

    Raises SpecError.
    """
    spelled = {"True": "true", "False": "false", "None": "null"}
    values = {}
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise SpecError(f"--set {shown(setting)}: expected FIELD=VALUE, e.g. train.epochs=3")
        try:
            # no field holds lists in lists: what is nested deeply is not worth the stack it takes
            values[dotted] = json.loads(spelled.get(text, text)) if text.count("[") + text.count("{") < 50 else text
        except ValueError:
            values[dotted] = text
        try:
            json.dumps([dotted, values[dotted]], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise SpecError(f"--set {shown(setting)}: holds bytes that are no text; write it in UTF-8") from None
    return values
