"""From a study's best trial to an experiment: the spec file, and the comparison with its base on the test set."""

import datetime
import functools
import textwrap
from pathlib import Path

from pydantic_core import to_jsonable_python

from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Custom, Spec
from tinycnn.spec import load as experiments
from tinycnn.spec.section import is_ours
from tinycnn.study import storage
from tinycnn.study.definition import Study, as_stored, classes
from tinycnn.study.results import duration, results
from tinycnn.track import run, statistics

FIRST_SEED = 1000
"""Of the seeds that compare base and promoted spec: no study, and no experiment unless told to, uses these."""


def promote(study: Study, name: str, number: int | None = None) -> Path:
    """Write ``experiments/NAME.py`` from a study's best trial, or the one of that number; return its path.

    The file shows what changed from the study's base and where that came from. Raises SpecError for a name that cannot
    be, is taken or cannot be imported, UserError for a trial that was not trained to its end.
    """
    path = experiments.FOLDER / f"{name}.py"
    if path.exists():
        raise SpecError(f"--name {name}: {path} exists; take another name, or delete it first")
    found = storage.opened(study)
    result, trials = results(study, found), found.get_trials(deepcopy=False)
    number = result["best"] if number is None else number
    if number is None or number >= len(trials) or storage.state(trials[number]) != "complete":
        what = "has no trial trained to its end yet" if number is None else f"has no complete trial {number}"
        raise UserError(f"study {study.name}: {what}; `python -m tinycnn search {study.name}` goes on")
    trial, base = trials[number], _experiment(study.base)
    if "-" in (imported := study.name if study.base.difference(base) else base.name):
        raise SpecError(f"{imported}: no file can import a name with -; rename it with _")
    values, own = study.values(trial.params), study.own
    changes = {field: value for field, value in values.items() if as_stored(value) != own[field]}
    spec = study.base.with_values(changes, name=name, parent=base.name, notes="")
    for other in (study.base, base):
        if not spec.difference(other):
            raise UserError(f"study {study.name}: trial {number} is {other.name} itself: there is nothing to promote")
    path.write_text(_file(study, base, spec, changes, trial, result), encoding="utf-8")
    try:
        experiments.load(name)
    except SpecError:  # e.g. where the base is only in a study outside experiments/
        path.unlink()
        raise
    return path


def _experiment(base: Spec) -> Spec:
    """Return the experiment that the study's base is, or else the one it is derived from."""
    for name in (base.name, base.parent):
        if name in experiments.names():
            return experiments.load(name)
    raise UserError(f"the base {base.name} is no experiment of {experiments.FOLDER}: make it one, then promote")


def _compared_with(base: Spec) -> Spec:
    """Return what a promoted spec is compared with: its parent, or the study's base where that has other images."""
    parent = _experiment(base)
    return parent if parent.data == base.data else base


def _file(study, base, spec, changes, trial, result) -> str:
    """Return the text of the spec file: where it came from, and what the study changed by dotted name."""
    difference = ", ".join(f"{name} {_short(a)} -> {_short(b)}" for name, (a, b) in spec.difference(base).items())
    against = "" if result["base_value"] is None else f", its base's {result['base_value']:.5f}"
    fidelity = "".join(f" with {field} {value}" for field, value in study.fidelity.items())
    objective = f"{study.objective.replace('_', ' ')} {trial.value:.5f}{against}; {result['trained']} trials{fidelity}"
    notes = {
        "Target": f"as {base.name}",
        "Change": f"from {base.name}: {difference}",
        "Source": f"trial {trial.number} of the study {study.name} ({objective}), {datetime.date.today()}",
        "Analysis": f"open until `python -m tinycnn confirm {study.name} --name {spec.name}` has compared both",
        "Run": f"make {spec.name}",
    }
    wrap = functools.partial(textwrap.fill, width=110, break_long_words=False, break_on_hyphens=False)
    lines = [wrap(f"{head:<10}{words}", subsequent_indent=" " * 10) for head, words in notes.items()]
    imports, parent = {f"experiments.{base.name}": {f"SPEC as {base.name.upper()}"}}, base.name.upper()
    if study.base.difference(base):
        imports, parent = {f"experiments.studies.{study.name}": {"STUDY"}}, "STUDY.base"
    if used := {kind.__name__ for value in changes.values() if not _of_own_file(value) for kind in classes(value)}:
        imports["tinycnn.spec"] = used
    return "\n".join([
        f'"""{base.name} with what the study {study.name} found best.\n', *lines, '"""\n',
        *(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())),
        f"\nSPEC = {parent}.with_values(", "    {",
        *(wrap(f'        "{field}": {_code(value)},', subsequent_indent=" " * 12) for field, value in changes.items()),
        "    },", f'    name="{spec.name}",', f'    parent="{base.name}",', ")\n",
    ])  # fmt: skip


def _of_own_file(value) -> bool:
    """Tell whether a value has classes or functions of a file outside ``tinycnn``."""
    return any(kind is Custom or not is_ours(kind) for kind in classes(value))


def _code(value) -> str:
    """Return a value as code; one of the user's own classes as a dict that refers to their file."""
    return repr(to_jsonable_python(value) if _of_own_file(value) else value)


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def confirm(
    study: Study, name: str, seeds: int, *, settings: dict, workers=1, cluster=None, reporter=None, draw=None, **how
) -> dict:
    """Train the base, see ``_compared_with``, and the promoted spec with the same new seeds; compare them on test data.

    What was trained before is not trained again. The result is also kept in the study's storage, unless ``settings``
    (values by dotted name) change both specs. On a ``cluster`` each seed is a job. ``how``: device
    and offline, as ``run.prepare`` takes them.
    """
    reporter, base, promoted = reporter or run.Reporter(), _compared_with(study.base), experiments.load(name)
    found = storage.opened(study)
    if promoted.hash == base.hash:
        raise SpecError(f"{name}: is {base.name} itself; give --name the spec that was promoted")
    specs = [spec.with_values(settings) for spec in (base, promoted)]
    if specs[0].evaluation_images() != specs[1].evaluation_images():
        raise SpecError(f"{name}: is evaluated on other images than {base.name}, so that they cannot be compared")
    expected = sum(seconds_of(study, found, spec) for spec in specs) * seeds / min(workers, seeds)
    about = f", about {duration(expected)} at the speed of the trials" if expected else ""
    reporter.notice(f"training {base.name} and {name} with {seeds} seeds each, those that have not finished yet{about}")
    accuracies, undelivered = [], {}
    for spec in specs:
        plan = run.prepare(spec, **how, fallback=False, reporter=reporter, draw=draw)
        shape = {"seeds": seeds, "first_seed": FIRST_SEED, "missing": True, "workers": workers, "cluster": cluster}
        outcome = run.run(plan, **shape, reporter=reporter)
        accuracies.append([each["last"] for each in outcome["seeds"]])
        if outcome["undelivered"]:
            undelivered[outcome["run_id"]] = outcome["undelivered"]
    result = compared(base.name, name, *accuracies)
    if not settings:
        with storage.errors():
            found.set_user_attr("comparison", result)
    return result | {"undelivered": undelivered}


def seconds_of(study: Study, found, spec: Spec) -> float:
    """Return how long a seed of a spec takes, by the seconds that the study's trials took for an image; 0 without any.

    On the same machine, and with a network of about the same cost.
    """
    result, data = results(study, found), study.trained.data
    all_of_them = data.facts().train
    images = result["epochs_trained"] * (data.images or all_of_them * (1 - data.validation))
    return result["trial_seconds"] / images * (spec.data.images or all_of_them) * spec.train.epochs if images else 0.0


def compared(base: str, promoted: str, before: list[float], after: list[float]) -> dict:
    """Return the mean difference of accuracies, paired by seed, with its 95 % interval (Student's t) and a word for it.

    ``inconclusive`` where the interval includes 0, where fewer than three seeds cannot carry one, and where all
    differences are the same, so that there is none.
    """
    found = statistics.difference(dict(enumerate(after)), dict(enumerate(before)))
    low, high = found["low"], found["high"]
    unclear = low is None or low <= 0 <= high or len(before) < 3
    return {
        "base": base, "promoted": promoted, "seeds": len(before), "first_seed": FIRST_SEED,
        "accuracies": {base: before, promoted: after},
        "difference": found["difference"], "low": low, "high": high,
        "word": "inconclusive" if unclear else "better" if low > 0 else "worse",
    }  # fmt: skip


def text(result: dict) -> str:
    """Put a comparison into words."""
    lines = [f"{name}: {statistics.words(statistics.over_seeds(each))}" for name, each in result["accuracies"].items()]
    line = f"{result['promoted']} against {result['base']}, paired by seed: {result['difference']:+.3f} points"
    if result["low"] is not None:
        line += f", 95 % interval {result['low']:+.3f} to {result['high']:+.3f}"
    return "\n".join([*lines, f"{line}: {result['word']} with {result['seeds']} seeds each"])
