"""From a study's best trial to an experiment: the spec file, and the comparison with its base on the test set."""

import datetime
import json
import textwrap
from pathlib import Path

from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments
from tinycnn.study import storage
from tinycnn.study.definition import Study, classes
from tinycnn.study.results import results
from tinycnn.track import run, statistics

FIRST_SEED = 1000
"""Of the seeds that compare base and promoted spec: no study, and no experiment unless told to, uses these."""
BETTER, WORSE, INCONCLUSIVE = "better", "worse", "inconclusive"


def promote(study: Study, name: str, number: int | None = None) -> Path:
    """Write ``experiments/NAME.py`` from a study's best trial, or the one of that number; return its path.

    The file shows what changed from the study's base and where that came from. Raises SpecError for a name that cannot
    be or is taken, UserError for a trial that was not trained to its end.
    """
    path = experiments.FOLDER / f"{name}.py"
    if path.exists():
        raise SpecError(f"--name {name}: {path} exists; take another name, or delete it first")
    found = storage.opened(study)
    result, trials = results(study, found), found.get_trials(deepcopy=False)
    number = result["best"] if number is None else number
    if number is None or number >= len(trials) or storage.state(trials[number]) != "complete":
        what = "has no trial trained to its end yet" if number is None else f"has no complete trial {number}"
        raise UserError(f"study {study.name}: {what}; python -m tinycnn search {study.name} goes on")
    trial, base = trials[number], _experiment(study.base)
    changed = study.base.with_values(study.values(trial.params), name=name, parent=base.name, notes="")
    spec = changed.model_copy(update={"target": base.target})
    if not spec.difference(base):
        raise UserError(f"study {study.name}: trial {number} is {base.name} itself: there is nothing to promote")
    path.write_text(_file(study, base, spec, trial, result), encoding="utf-8")
    try:
        if experiments.load(name).hash != spec.hash:
            raise SpecError(f"{path}: is not the spec of trial {number}; report this, and write the file by hand")
    except SpecError:
        path.unlink()
        raise
    return path


def _experiment(base: Spec) -> Spec:
    """Return the experiment that the study's base is, or else the one it is derived from."""
    for name in (base.name, base.parent):
        if name in experiments.names():
            return experiments.load(name)
    raise UserError(f"the base {base.name} is no experiment of {experiments.FOLDER}: make it one, then promote")


def _file(study, base, spec, trial, result) -> str:
    """Return the text of the spec file, in the manner of those written by hand."""
    difference = ", ".join(f"{name} {_short(a)} -> {_short(b)}" for name, (a, b) in spec.difference(base).items())
    against = "" if result["base_value"] is None else f", its base's {result['base_value']:.5f}"
    fidelity = ", ".join(f"{field} {value}" for field, value in study.fidelity.items())
    objective = f"{study.objective.replace('_', ' ')} {trial.value:.5f}{against}"
    trained = f"{result['trained']} trials{f' with {fidelity}' if fidelity else ''}"
    notes = {
        "Target": f"as {base.name}",
        "Change": f"from {base.name}: {difference}",
        "Source": f"trial {trial.number} of the study {study.name} ({objective}; {trained}), {datetime.date.today()}",
        "Analysis": f"open until `python -m tinycnn confirm {study.name} --name {spec.name}` has compared both",
        "Run": f"make {spec.name}",
    }
    shape = {"subsequent_indent": " " * 10, "break_on_hyphens": False}
    wrapped = [textwrap.fill(f"{head:<10}{words}", 110, **shape) for head, words in notes.items()]
    changes, imports = _changes(spec, base)
    title, parent = f'"""{base.name} with what the study {study.name} found best.\n', base.name.upper()
    head = [title, *wrapped, '"""\n', f"from experiments.{base.name} import SPEC as {parent}", *imports, ""]
    return "\n".join([*head, f"SPEC = {parent}.but(\n    name={_code(spec.name)},", *changes, ")\n"])


def _changes(spec, base) -> tuple[list[str], list[str]]:
    """Return the arguments of ``base.but`` that make ``spec``, and the imports that they need.

    Of a section its changed fields are written, or the whole where its kind or its kinds of layers changed.
    """
    arguments, imports, difference = [], {}, spec.difference(base)
    for section in ("model", "data", "augment", "optimizer", "schedule", "loss", "average", "train"):
        ours, theirs = getattr(spec, section), getattr(base, section)
        changed = {n.partition(".")[2]: now for n, (_, now) in difference.items() if n.partition(".")[0] == section}
        if type(ours) is not type(theirs) or "layers" in changed:
            arguments.append(f"    {section}={_section(ours)},")
            for kind in classes(ours):
                module = "tinycnn.spec" if kind.__module__.startswith("tinycnn.") else kind.__module__
                imports.setdefault(module, set()).add(kind.__name__)
        elif changed:
            fields = ", ".join(f"{_code(name)}: {_code(value)}" for name, value in changed.items())
            arguments.append(f"    {section}={{{fields}}},")
    return arguments, [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]


def _section(section) -> str:
    """Return the code of a section: its layers, and the fields that do not have their defaults."""
    fields, name = type(section).model_fields, type(section).__name__
    words = [f"{layer!r}," for layer in getattr(section, "layers", ())]
    words += [f"{field}={_code(v)}," for field, v in section if field != "layers" and v != fields[field].default]
    shape = {"initial_indent": " " * 8, "subsequent_indent": " " * 8, "break_long_words": False}
    lines = textwrap.fill(" ".join(words), 100, break_on_hyphens=False, **shape)
    return f"{name}(\n{lines}\n    )" if words else f"{name}()"


def _code(value) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def confirm(
    study: Study, name: str, seeds: int, *, workers=1, device="auto", offline=False, reporter=None, draw=None
) -> dict:
    """Train base and promoted spec with the same fresh seeds on all training images and compare them on the test set.

    What was trained before is not trained again. The result is also kept in the study's storage.
    """
    base, promoted = _experiment(study.base), experiments.load(name)
    found = storage.opened(study)
    if promoted.hash == base.hash:
        raise SpecError(f"{name}: is {base.name} itself; give --name the spec that was promoted")
    accuracies = []
    for spec in (base, promoted):
        plan = run.prepare(spec, device=device, offline=offline, fallback=False, reporter=reporter, draw=draw)
        shape = {"seeds": seeds, "first_seed": FIRST_SEED, "missing": True, "workers": workers, "reporter": reporter}
        accuracies.append([each["last"] for each in run.run(plan, **shape)["seeds"]])
    result = compared(base.name, name, *accuracies)
    with storage.errors():
        found.set_user_attr("comparison", result)
    return result


def compared(base: str, promoted: str, before: list[float], after: list[float]) -> dict:
    """Return the mean difference of accuracies, paired by seed, with its 95 % interval (Student's t) and a word for it.

    ``inconclusive`` where the interval includes 0, where fewer than three seeds cannot carry one, and where all
    differences are the same, so that there is none.
    """
    found = statistics.difference(dict(enumerate(after)), dict(enumerate(before)))
    low, high = found["low"], found["high"]
    unclear = low is None or low <= 0 <= high or len(before) < 3
    word = INCONCLUSIVE if unclear else BETTER if low > 0 else WORSE
    return {
        "base": base, "promoted": promoted, "seeds": len(before), "first_seed": FIRST_SEED,
        "accuracies": {base: before, promoted: after},
        "difference": found["difference"], "low": low, "high": high, "word": word,
    }  # fmt: skip


def text(result: dict) -> str:
    """Put a comparison into words."""
    lines = [f"{name}: {statistics.words(statistics.over_seeds(each))}" for name, each in result["accuracies"].items()]
    line = f"{result['promoted']} against {result['base']}, paired by seed: {result['difference']:+.3f} points"
    if result["low"] is not None:
        line += f", 95 % interval {result['low']:+.3f} to {result['high']:+.3f}"
    return "\n".join([*lines, f"{line}: {result['word']} with {result['seeds']} seeds each"])
