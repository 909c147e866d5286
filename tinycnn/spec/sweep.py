"""A sweep: variants of one spec, its arms, each trained with the same seeds, so that they are compared in pairs.

A file ``experiments/sweeps/NAME.py`` defines ``SWEEP``::

    SWEEP = Sweep(name="stem", base=EXP3, arms={"5×5": {"model.layers.0.kernel": 5}, "wide": WIDE}, seeds=8)

An arm is a dict of changes by dotted name, or a whole spec; ``grid`` makes one for each combination of values. The base
itself is the first arm. Unlike a study, nothing is chosen on the way: every arm gets every seed.
"""

import itertools
from typing import Annotated, Any

from pydantic import Field, model_validator

from tinycnn.errors import SpecError, shown
from tinycnn.spec import load as experiments
from tinycnn.spec.section import Section
from tinycnn.spec.spec import Name, Spec

FOLDER = experiments.FOLDER / "sweeps"
BASE = "base"
"""The label of the arm that is the base itself."""


class Sweep(Section):
    """The arms around ``base`` by their label, and the number of seeds each is trained with, from ``first_seed``.

    ``fidelity`` are changes by dotted name that all arms share, such as a validation split or fewer epochs.
    """

    name: Name
    base: Spec
    arms: Annotated[dict[str, Any], Field(min_length=1)]
    fidelity: dict[str, Any] = {}
    seeds: Annotated[int, Field(ge=1, le=1000)] = 5
    first_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    notes: str = ""

    @model_validator(mode="after")
    def _arms_differ(self):
        labels = {}
        if BASE in self.arms:
            raise ValueError(f"arms: {BASE!r} is the base itself; give this arm another label")
        specs = self.specs()
        if len(specs) == 1:
            raise ValueError("arms: each is the same as the base; change something")
        for label, spec in specs.items():
            if spec.hash in labels:
                raise ValueError(f"arms: {label!r} is the same as {labels[spec.hash]!r}; remove one of them")
            labels[spec.hash] = label
        return self

    def specs(self) -> dict[str, Spec]:
        """Return the spec of each arm by its label, the base first, which stands for arms that are the same as it.

        All are named after the sweep.
        """
        base = self._spec(BASE, {})
        arms = {label: self._spec(label, arm) for label, arm in self.arms.items()}
        return {BASE: base} | {label: spec for label, spec in arms.items() if spec.hash != base.hash}

    def _spec(self, label: str, arm) -> Spec:
        try:
            if not isinstance(arm, Spec | dict):
                raise SpecError(f"must be a dict of changes by dotted name, or a Spec, got {shown(arm)}")
            changed = arm if isinstance(arm, Spec) else self.base.with_values(arm)
            return changed.with_values(self.fidelity).model_copy(update={"name": self.name, "parent": self.base.name})
        except SpecError as error:
            raise ValueError(f"arms.{label}: {str(error).removeprefix(f'{self.base.name}: ')}") from None


def grid(**values) -> dict[str, dict]:
    """Return an arm for each combination of some values: ``grid(**{"optimizer.lr": [0.01, 0.02], ...})``.

    The label is e.g. ``lr=0.01 epochs=7``; the dotted names in full where their last parts agree. A combination that is
    the base itself is no arm of its own.
    """
    last = [name.rpartition(".")[2] for name in values]
    names = last if len(set(last)) == len(last) else [*values]
    combinations = [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]
    return {" ".join(f"{n}={v}" for n, v in zip(names, each.values(), strict=True)): each for each in combinations}


def names() -> list[str]:
    """Return the names of the sweeps, sorted."""
    return experiments.names(FOLDER)


def load(which: str) -> Sweep:
    """Return a sweep by name or file, with its file's docstring as its notes. Raises SpecError in one line."""
    return experiments.from_folder(Sweep, FOLDER, which, "short")
