"""What an experiment is: a frozen, validated, typed spec that holds everything which changes a number.

``Spec(...)`` makes one, ``spec.but(...)`` derives one that states only what changes, ``spec.to_json()`` and
``Spec.from_json`` are inverses. Each field has a dotted name (``optimizer.lr``, ``model.layers.2.channels``) for
``--set`` and in the store.
"""

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, nearest, shown
from tinycnn.spec.fields import Augment, Average, Data, Quantise, Target, Train
from tinycnn.spec.layers import Layer
from tinycnn.spec.model import Model, Network
from tinycnn.spec.section import Section, any_of, explain, kind
from tinycnn.spec.training import SGD, Constant, CrossEntropy, Loss, Optimizer, Schedule

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
BASES = {
    "model": Model, "data": Data, "augment": Augment, "optimizer": Optimizer, "schedule": Schedule, "loss": Loss,
}  # fmt: skip
"""The sections that come in several kinds."""
_FIXED = {"version", "name", "parent", "notes"}


class Spec(Section):
    """One experiment. Only ``name``, ``parent``, ``notes`` and ``target`` do not change the numbers of a run."""

    version: Literal[2] = 2
    name: Name
    parent: Name | None = None
    notes: str = ""
    model: any_of(Model)
    data: any_of(Data) = Data()
    augment: any_of(Augment) = Augment()
    optimizer: any_of(Optimizer) = SGD()
    schedule: any_of(Schedule) = Constant()
    loss: any_of(Loss) = CrossEntropy()
    average: any_of(Average) = Average()
    quantise: any_of(Quantise) = Quantise()
    train: any_of(Train) = Train()
    target: any_of(Target) = Target()

    @model_validator(mode="after")
    def _target_of_data(self):
        """A target is about the data set it was first stated for, whatever a derived spec trains on."""
        if self.target.data is None:
            object.__setattr__(self, "target", self.target.model_copy(update={"data": self.data.short}))
        return self

    def but(self, name: str | None = None, **sections) -> "Spec":
        """Derive a spec: a section replaces the previous one, a dict changes single fields of it.

        Names in a dict may be dotted: ``model={"layers.2.channels": 16}``. With a new ``name`` this spec becomes the
        parent. Raises SpecError that names the field.
        """
        changes = {}
        for section, value in sections.items():
            single = isinstance(value, dict)
            changes |= {f"{section}.{field}": new for field, new in value.items()} if single else {section: value}
        named = {} if name is None else {"name": name, "parent": self.name, "notes": ""}
        return self.with_values(changes, **named)

    def with_values(self, changes: dict, **top) -> "Spec":
        """Derive a spec from dotted names and values, e.g. ``{"train.epochs": 3, "model.layers.2.channels": 16}``.

        Where a kind changes (``optimizer.name``, ``model.layers.2.kind``), fields that both kinds have keep their
        values and the others take the new kind's defaults. Only changed sections are validated. Raises SpecError.
        """
        values = {name: getattr(self, name) for name in Spec.model_fields} | top
        # a whole before its parts, and a kind before its fields
        for dotted in sorted(changes, key=lambda name: (name.count("."), not name.endswith((".name", ".kind")))):
            (section, *path), value = dotted.split("."), changes[dotted]
            if dotted in BASES and callable(value):
                raise _no_section(dotted, value)
            if section in _FIXED or section not in values or not (path or isinstance(value, Section | dict)):
                raise self._no_field(dotted)
            values[section] = to_jsonable_python(values[section]) if path else value
            if path:
                self._set(values[section], dotted, path, to_jsonable_python(value))
        return Spec.from_dict(values, where=values["name"])

    def _set(self, inside, dotted: str, path: list[str], value):
        """Set the field at ``path`` in the plain values of a section."""
        base = BASES.get(dotted.partition(".")[0])
        try:
            for part in path[:-1]:
                inside, base = inside[int(part) if isinstance(inside, list) else part], Layer
            if base and base.tag == path[-1]:
                kept = _in_both_kinds(base, inside, value)
                inside.clear()
                inside.update(kept)
            inside[int(path[-1]) if isinstance(inside, list) else path[-1]] = value
        except SpecError as error:
            raise SpecError(f"{dotted}: {error}") from None
        except (AttributeError, KeyError, IndexError, ValueError, TypeError):
            raise self._no_field(dotted) from None

    def _no_field(self, dotted: str) -> SpecError:
        """Return the error for a name that is no field."""
        fields = self.flat()
        if inside := [name for name in fields if name.startswith(f"{dotted}.")]:
            return SpecError(f"{dotted}: a section, not a field; its fields: {', '.join(inside[:20])}")
        groups = dict.fromkeys(f"{name.partition('.')[0]}.*" for name in fields)
        return SpecError(f"{dotted}: no such field; {nearest(dotted, fields, groups)}")

    @classmethod
    def from_dict(cls, values: dict, where: str = "spec") -> "Spec":
        """Make a spec from sections or their plain values. Raises SpecError, its one line prefixed by ``where``."""
        from tinycnn.spec.version1 import converted

        try:
            return cls.model_validate(converted(values) if values.get("version") == 1 else values)
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None
        except ValidationError as error:
            raise SpecError(f"{where}: {explain(error)}") from None

    @classmethod
    def from_json(cls, text: str, where: str = "spec") -> "Spec":
        """Read what ``to_json`` wrote, now or in version 1. Raises SpecError."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise SpecError(f"{where}: not JSON ({error}); give the spec.json of a run") from None
        if not isinstance(values, dict):
            raise SpecError(f"{where}: must be an object, got {shown(values)}; give the spec.json of a run")
        return cls.from_dict(values, where)

    def to_json(self) -> str:
        """Return the whole spec as indented JSON."""
        return self.model_dump_json(indent=2) + "\n"

    def evaluation_images(self) -> dict:
        """Return the fields that say on which images this is evaluated: where they differ, nothing can be compared."""
        training = "data.images", "data.fallback"
        return {name: v for name, v in self.flat().items() if name.startswith("data.") and name not in training}

    def flat(self) -> dict:
        """Return every field but the notes by its dotted name, e.g. ``{"train.epochs": 15}``."""
        return _flat(self.model_dump(mode="json", exclude=_FIXED))

    def brief(self) -> dict:
        """Return the fields by dotted name as ``flat`` does, but of layers only what differs from their defaults."""
        layers = getattr(self.model, "layers", ())
        own = _flat({"layers": [layer.model_dump(mode="json", exclude_defaults=True) for layer in layers]}, "model.")
        return {n: v for n, v in self.flat().items() if not n.startswith("model.layers.") or n in own}

    def difference(self, other: "Spec") -> dict:
        """Return ``{dotted name: (other's value, own value)}`` for every field that differs; absent is None.

        Networks whose layers differ in kind or number differ in ``model.layers`` as a whole.
        """
        mine, theirs, whole = self.flat(), other.flat(), {}
        kinds, others = ([item for item in each.items() if item[0].endswith(".kind")] for each in (mine, theirs))
        if kinds != others:
            mine, theirs = ({n: v for n, v in f.items() if not n.startswith("model.layers.")} for f in (mine, theirs))
            layered = isinstance(self.model, Network) and isinstance(other.model, Network)
            whole = {"model.layers" if layered else "model": (other.model.describe(), self.model.describe())}
        return whole | {n: (theirs.get(n), mine.get(n)) for n in mine | theirs if theirs.get(n) != mine.get(n)}

    def used(self) -> list:
        """Return the classes and references whose source the numbers depend on."""
        return [*self.model.used(), *(type(getattr(self, name)) for name in (*BASES, "average") if name != "model")]

    @property
    def hash(self) -> str:
        """12 hex digits that identify the numbers of a run with a given seed.

        Left out: name, parent, notes and target, which do not change them; where data lie and their fallback, since
        each run records the digest of its data; the first seed, since each run records its own; and default values, so
        that a field added later changes no hash.
        """
        silent = {"data": {"path": None, "fallback": "mnist5k"}, "train": {"seed": 0}}
        same = self.model_copy(update={name: getattr(self, name).model_copy(update=v) for name, v in silent.items()})
        numbers = same.model_dump(mode="json", exclude={*_FIXED, "target"}, exclude_defaults=True)
        # a reference such as folder/exp7.py:Mixup counts without its folder
        text = re.sub(r'"[^"]*/([^"/]*\.py:[^"/]*")', r'"\1', json.dumps(numbers, sort_keys=True))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _no_section(field: str, value) -> SpecError:
    """Return the error for a class, a function or a torch module in place of a section."""
    name = getattr(value, "__name__", type(value).__name__)
    if isinstance(value, type) and issubclass(value, Section):
        cure = f"write {name}()"
    else:
        cure = f"write Custom({name})" if field == "model" else f"derive it from tinycnn.spec.{BASES[field].__name__}"
    return SpecError(f"{field}: must be a {BASES[field].__name__}, got {name}; {cure}")


def _flat(values, prefix: str = "") -> dict:
    found = {}
    for name, value in enumerate(values) if isinstance(values, list) else values.items():
        nested = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _in_both_kinds(base, values: dict, name) -> dict:
    """Return the values of those fields that mean the same in the kind called ``name``. Raises SpecError."""
    new, old = (kind(base, each).model_fields for each in (name, values[base.tag]))
    shared = [n for n in new if n in old and n in values and new[n].metadata == old[n].metadata]
    if base is Data and name in DATASETS:
        shared = [field for field in shared if field not in ("path", "size", "channels")]
    return {field: values[field] for field in shared}


def parse_settings(settings: list[str]) -> dict:
    """Read ``["train.epochs=3", "optimizer.name=SGD"]``: values are JSON or Python's True, False, None, or else text.

    If a field is given twice, the later value counts. Raises SpecError.
    """
    spelled = {"True": "true", "False": "false", "None": "null"}
    values = {}
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise SpecError(f"--set {shown(setting)}: expected FIELD=VALUE, e.g. train.epochs=3")
        try:
            values[dotted] = json.loads(spelled.get(text, text))
        except ValueError:
            values[dotted] = text
    return values
