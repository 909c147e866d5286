"""What an experiment is: a frozen, validated, typed spec that holds everything which changes a number.

``Spec(...)`` makes one, ``spec.but(...)`` derives one that shows only what changed, ``spec.to_json()`` and
``Spec.from_json`` are inverses. Each field has a dotted name (``optimizer.lr``, ``model.layers.2.channels``) for
``--set`` and in the store.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from tinycnn import source
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, nearest, shown
from tinycnn.spec.fields import Augment, Average, Data, Target, Train
from tinycnn.spec.layers import Layer
from tinycnn.spec.model import Model
from tinycnn.spec.section import NAME, Section, any_of, explain, kind
from tinycnn.spec.training import SGD, Constant, CrossEntropy, Loss, Optimizer, Schedule

Name = Annotated[str, Field(pattern=NAME)]
BASES = {
    "model": Model, "data": Data, "augment": Augment, "optimizer": Optimizer, "schedule": Schedule, "loss": Loss,
}  # fmt: skip
"""The sections that come in several kinds."""


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
    average: Average = Average()
    train: Train = Train()
    target: Target = Target()

    @model_validator(mode="after")
    def _target_of_data(self):
        """A target is about the data set it was first stated for, whatever a derived spec trains on."""
        if self.target.data is None:
            object.__setattr__(self, "target", self.target.model_copy(update={"data": self.data.short}))
        return self

    def but(self, name: str | None = None, **sections) -> "Spec":
        """Derive a spec: a section replaces its forerunner, a dict changes single fields of it.

        Names in a dict may be dotted: ``model={"layers.2.channels": 16}``. A new ``name`` makes this spec the parent.
        Raises SpecError naming the field that cannot be.
        """
        changes = {}
        for section, value in sections.items():
            if section not in Spec.model_fields:
                raise SpecError(f"{section}: no such section; {nearest(section, Spec.model_fields)}")
            if isinstance(value, Section):
                changes[section] = value
            elif isinstance(value, dict):
                changes |= {f"{section}.{field}": new for field, new in value.items()}
            else:
                raise SpecError(f"{section}: expected a section or a dict of fields, got {shown(value)}")
        named = {} if name is None else {"name": name, "parent": self.name, "notes": ""}
        return self.with_values(changes, **named)

    def with_values(self, changes: dict, **top) -> "Spec":
        """Derive a spec from dotted names and values, e.g. ``{"train.epochs": 3, "model.layers.2.channels": 16}``.

        Where a kind changes (``optimizer.name``, ``model.layers.2.kind``), fields that both kinds have keep their
        values and the others take the new kind's defaults. Raises SpecError.
        """
        values = self.model_dump(mode="json") | top
        ordered = sorted(changes.items(), key=lambda change: (change[0].count("."), not _is_tag(change[0])))
        for dotted, value in ordered:  # what holds more before what is in it
            self._set(values, dotted, _as_json(value))
        return Spec.from_dict(values, where=values["name"])

    def _set(self, values, dotted, value):
        section, *path = dotted.split(".")
        inside, field = values, section
        if section in _FIXED or section not in values:
            raise SpecError(f"{dotted}: {self._instead_of(dotted)}")
        if not path and not isinstance(value, dict):
            raise SpecError(f"{dotted}: {self._instead_of(dotted)}")
        for depth, part in enumerate(path):
            inside = inside[field]
            field = int(part) if isinstance(inside, list) and part.isascii() and part.isdigit() else part
            base = Layer if isinstance(inside, dict) and "kind" in inside and depth else BASES.get(section)
            if isinstance(inside, dict):
                there = field in inside or (base and field in _fields(base, inside))
            else:
                there = isinstance(inside, list) and isinstance(field, int) and field < len(inside)
            if not there:
                raise SpecError(f"{dotted}: {self._instead_of(dotted)}")
        if path and isinstance(inside, dict) and base and field == base.tag:
            kept = _switch(base, dotted, inside, value)
            inside.clear()
            inside.update(kept)
        else:
            inside[field] = value

    def _instead_of(self, dotted: str) -> str:
        """Say why there is no field of that dotted name, and which there are."""
        fields = self.flat()
        own = [name for name in fields if name.startswith(f"{dotted}.")]
        if own:
            return f"a section, not a field; its fields: {', '.join(own[:20])}"
        groups = dict.fromkeys(name.partition(".")[0] + ".*" for name in fields)
        if dotted in Spec.model_fields:
            return f"is not for changing; known: {', '.join(groups)}"
        return f"no such field; {nearest(dotted, fields, groups)}"

    @classmethod
    def from_dict(cls, values: dict, where: str = "spec") -> "Spec":
        """Make a spec from plain values, as JSON holds them. Raises SpecError with ``where`` in its one line."""
        try:
            if isinstance(values, dict) and values.get("version") == 1:
                from tinycnn.spec.version1 import converted

                values = converted(values)
            return cls.model_validate_json(json.dumps(values))
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None
        except ValidationError as error:
            raise SpecError(f"{where}: {explain(error)}") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise SpecError(f"{where}: not a spec ({error})") from None

    @classmethod
    def from_json(cls, text: str, where: str = "spec") -> "Spec":
        """Read what ``to_json`` wrote, be it of version 1. Raises SpecError."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"{where}: not JSON ({error}); give the spec.json of a run") from None
        if not isinstance(values, dict):
            raise SpecError(f"{where}: must be an object, got {shown(values)}; give the spec.json of a run")
        return cls.from_dict(values, where)

    def to_json(self) -> str:
        """Return the whole spec as indented JSON."""
        return self.model_dump_json(indent=2) + "\n"

    def flat(self) -> dict:
        """Return every field but the notes by its dotted name, e.g. ``{"train.epochs": 15}``."""
        return _flat(self.model_dump(mode="json", exclude=_FIXED))

    def brief(self) -> dict:
        """Return the fields by dotted name as ``flat`` does, but of layers only what they state themselves."""
        layers = getattr(self.model, "layers", ())
        own = _flat({"layers": [layer.model_dump(mode="json", exclude_defaults=True) for layer in layers]}, "model.")
        return {n: v for n, v in self.flat().items() if not n.startswith("model.layers.") or n in own}

    def difference(self, other: "Spec") -> dict:
        """Return ``{dotted name: (other's value, own value)}`` for every field that differs; absent is None.

        Networks whose layers are of other kinds, or more or fewer, differ in ``model.layers`` as a whole.
        """
        mine, theirs = self.flat(), other.flat()
        whole = {}
        if _structure(mine) != _structure(theirs):
            mine, theirs = ({n: v for n, v in f.items() if not n.startswith("model.layers.")} for f in (mine, theirs))
            layered = {type(each.model).__name__ for each in (self, other)} == {"Network"}
            whole = {"model.layers" if layered else "model": (other.model.describe(), self.model.describe())}
        names = [*mine, *(n for n in theirs if n not in mine)]
        return whole | {n: (theirs.get(n), mine.get(n)) for n in names if theirs.get(n) != mine.get(n)}

    def used(self) -> list:
        """Return the classes and references whose source the numbers depend on."""
        return [*self.model.used(), *(type(getattr(self, name)) for name in (*BASES, "average") if name != "model")]

    def __reduce__(self):  # to another process as plain values: an experiment's own classes are found again there
        return Spec.from_dict, (self.model_dump(mode="json"),)

    @property
    def hash(self) -> str:
        """12 hex digits that identify the numbers of a run with a given seed.

        Left out: name, parent, notes and target, which only name, explain and judge; where data lie and what stands in
        for them, since each run records what its data were; the first seed, because each run records its own; and
        whatever has its default value, so that a field that comes later changes no hash.
        """
        silent = {"data": {"path": None, "fallback": "mnist5k"}, "train": {"seed": 0}}
        same = self.model_copy(update={name: getattr(self, name).model_copy(update=v) for name, v in silent.items()})
        numbers = same.model_dump(mode="json", exclude={*_FIXED, "target"}, exclude_defaults=True)
        text = json.dumps(_without_folders(numbers), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


_FIXED = {"version", "name", "parent", "notes"}


def _is_tag(dotted: str) -> bool:
    return dotted.rpartition(".")[2] in ("name", "kind")


def _as_json(value):
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


def _flat(values, prefix: str = "") -> dict:
    found = {}
    items = enumerate(values) if isinstance(values, list) else values.items()
    for name, value in items:
        nested = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _structure(flat: dict) -> list:
    return [(name, value) for name, value in flat.items() if name.startswith("model.") and name.endswith(".kind")]


def _without_folders(values):
    """Return values with references such as ``folder/exp7.py:Mixup`` down to the file's name."""
    if isinstance(values, dict):
        return {name: _without_folders(value) for name, value in values.items()}
    if isinstance(values, list):
        return [_without_folders(value) for value in values]
    is_reference = isinstance(values, str) and source.file_of(values) is not None
    return values.rpartition("/")[2] if is_reference else values


def _fields(base, values) -> dict:
    """Return the fields that a section of plain values may have, those that are left out among them."""
    try:
        return kind(base, values.get(base.tag)).model_fields
    except SpecError:
        return {}


def _switch(base, dotted, old, name) -> dict:
    """Return the fields of another kind, keeping the values both kinds have."""
    try:
        now, before = (kind(base, each).model_fields for each in (name, old[base.tag]))
    except SpecError as error:
        raise SpecError(f"{dotted}: {error}") from None
    # the same name may stand for something else
    shared = [n for n in now if n in before and n in old and now[n].metadata == before[n].metadata]
    if base is Data and name in DATASETS:
        shared = [field for field in shared if field not in ("path", "size", "channels")]
    return {base.tag: name} | {field: old[field] for field in shared if field != base.tag}


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
            # what is nested deeply is not worth the stack it takes
            values[dotted] = json.loads(spelled.get(text, text)) if text.count("[") + text.count("{") < 200 else text
        except ValueError:
            values[dotted] = text
        try:
            json.dumps([dotted, values[dotted]], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise SpecError(f"--set {shown(setting)}: holds bytes that are no text; write it in UTF-8") from None
    return values
