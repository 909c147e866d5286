"""From a study's best trial to an experiment: the spec file, and the comparison with its base on the test set."""

import datetime
import re
import textwrap

from tinycnn.errors import SpecError, UserError
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments
from tinycnn.spec.model import every
from tinycnn.study import storage as search
from tinycnn.study.definition import Study
from tinycnn.study.results import findings
from tinycnn.study.trial import COMPLETE
from tinycnn.track import run, statistics
from tinycnn.track.description import parse_notes

FIRST_SEED = 1000
"""Of the seeds that compare base and promoted spec: no study, and no experiment unless told to, uses these."""
BETTER, WORSE, INCONCLUSIVE = "better", "worse", "inconclusive"


def promote(study: Study, name: str, number: int | None = None):
    """Write ``experiments/NAME.py`` from a study's best trial, or the one of that number; return its path.

    The file shows what changed from the study's base and where that came from. Raises SpecError for a name that cannot
    be or is taken, UserError for a trial that was not trained to its end.
    """
    path = experiments.FOLDER / f"{name}.py"
    if path.exists():
        raise SpecError(f"--name {name}: {path} is there already; take another name, or delete it first")
    with search.troubles():
        found = search.opened(study)
        result, trials = findings(study, found), found.get_trials(deepcopy=False)
    number = result["best"] if number is None else number
    if number is None or number >= len(trials) or trials[number].user_attrs.get("state") != COMPLETE:
        what = "has no trial trained to its end yet" if number is None else f"has no complete trial {number}"
        raise UserError(f"study {study.name}: {what}; python -m tinycnn search {study.name} goes on")
    trial, base = trials[number], _experiment(study.base)
    changed = study.base.with_values(study.values(trial.params), name=name, parent=base.name, notes="")
    spec = changed.model_copy(update={"target": base.target})
    if not spec.difference(base):
        raise UserError(f"study {study.name}: trial {number} is {base.name} itself: there is nothing to promote")
    path.write_text(_file(study, base, spec, trial, result), encoding="utf-8")
    try:
        made = experiments.load(name)
        if made.hash != spec.hash:
            raise SpecError(f"{path}: came out as another spec than trial {number}'s")
    except SpecError:
        path.unlink()
        raise
    return path


def _experiment(base: Spec) -> Spec:
    """Return the experiment that the study's base is, or else the one it is derived from."""
    for name in (base.name, base.parent):
        if name in experiments.names():
            if not name.isidentifier():
                raise UserError(f"the base {name}: a file of that name cannot be imported from; rename it, without -")
            known = experiments.load(name)
            if name == base.parent or known.hash == base.hash:
                return known
    raise UserError(f"the base {base.name} is no experiment of {experiments.FOLDER}: make it one, then promote")


def _file(study, base, spec, trial, result) -> str:
    """Return the text of the spec file, in the manner of those written by hand."""
    difference = spec.difference(base)
    changed = ", ".join(f"{field} {_plain(then)} -> {_plain(now)}" for field, (then, now) in difference.items())
    against = "" if result["base_value"] is None else f", its base's {result['base_value']:.5f}"
    fidelity = ", ".join(f"{field} {value}" for field, value in study.fidelity.items())
    source = (
        f"trial {trial.number} of the study {study.name} ({study.objective.replace('_', ' ')} {trial.value:.5f}"
        f"{against}; {result['trained']} trials{f' with {fidelity}' if fidelity else ''}), {datetime.date.today()}"
    )
    parts = {
        "Target": f"as {base.name}",
        "Change": f"from {base.name}: {changed}",
        "Source": source,
        "Analysis": f"open until `python -m tinycnn confirm {study.name} --name {spec.name}` has compared both",
        "Run": f"make {spec.name}{_time(base)}",
    }
    wrapped = [
        textwrap.fill(f"{head:<10}{words}", 110, subsequent_indent=" " * 10, break_on_hyphens=False)
        for head, words in parts.items()
    ]
    changes, words, imports, fields_of_base = {}, [], "", base.flat()
    for field, (_, now) in difference.items():
        section, _, own = field.partition(".")
        if section == "model" and own.startswith("layers"):
            changes["model"] = None  # a network is shown as a whole
        elif own != "name" and field not in fields_of_base and now == _default(spec, section, own):
            continue  # of another kind only what is not as ever, and what it would keep of the base's
        elif field in spec.flat() and changes.get(section, {}) is not None:
            changes.setdefault(section, {})[own] = tuple(now) if isinstance(now, list) else now
    for section, fields in changes.items():
        words.append(f"    {section}={_network(spec.model) if fields is None else _dict(fields)},\n")
        if fields is None:
            kinds = {type(spec.model), *(type(layer) for layer in every(spec.model.layers))}
            imports = _imports(kinds)
    title = f"{base.name} with what the study {study.name} found best."
    return (
        f'"""{title}\n\n' + "\n".join(wrapped) + '\n"""\n\n'
        f"from experiments.{base.name} import SPEC as {base.name.upper()}\n{imports}\n"
        f"SPEC = {base.name.upper()}.but(\n    name={_quoted(spec.name)},\n{''.join(words)})\n"
    )


def _default(spec, section: str, own: str):
    field = type(getattr(spec, section)).model_fields.get(own)
    return field.default if field else None


def _imports(kinds) -> str:
    """Return the lines that import classes: the project's own, and those of experiments."""
    modules = {}
    for kind in kinds:
        module = "tinycnn.spec" if kind.__module__.startswith("tinycnn.") else kind.__module__
        if not module.startswith(("tinycnn.", "experiments.")):
            raise UserError(f"the layer {kind.__name__} is of no file in experiments/: move it there, then promote")
        modules.setdefault(module, []).append(kind.__name__)
    return "".join(f"from {module} import {', '.join(sorted(names))}\n" for module, names in sorted(modules.items()))


def _network(model) -> str:
    """Return the code of a network, its layers in lines that can be read."""
    own = repr(
        type(model)(*model.layers[:1], **{n: getattr(model, n) for n in type(model).model_fields if n != "layers"})
    )
    options = own.removeprefix(f"Network({model.layers[0]!r}").removesuffix(")").removeprefix(", ")
    shape = {"initial_indent": " " * 8, "subsequent_indent": " " * 8, "break_long_words": False}
    layers = textwrap.fill(", ".join(map(repr, model.layers)) + ",", 100, break_on_hyphens=False, **shape)
    return f"Network(\n{layers}\n" + (f"        {options},\n" if options else "") + "    )"


def _time(base) -> str:
    """Return how long the base takes, as its file says: its offspring will take about as long."""
    said = re.search(r"\(\d+ min\)", parse_notes(base.notes).get("Run", ""))
    return f" {said[0]}" if said else ""


def _dict(fields) -> str:
    return "{" + ", ".join(f"{_quoted(name)}: {_quoted(value)}" for name, value in fields.items()) + "}"


def _quoted(value) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _plain(value) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def confirm(study: Study, name: str, seeds: int, *, workers=1, device="auto", offline=False, reporter=None) -> dict:
    """Train base and promoted spec with the same fresh seeds on all training images and compare them on the test set.

    What was trained before is not trained again. The result also goes into the study's storage.
    """
    base, promoted = _experiment(study.base), experiments.load(name)
    found = search.opened(study)
    if promoted.hash == base.hash:
        raise SpecError(f"{name}: is {base.name} itself; give --name the spec that was promoted")
    outcomes = []
    for spec in (base, promoted):
        plan = run.prepare(spec, device=device, offline=offline, fallback=False, reporter=reporter)
        outcomes.append(
            run.run(plan, seeds=seeds, first_seed=FIRST_SEED, missing=True, workers=workers, reporter=reporter)
        )
    result = compared(base.name, name, *([each["last"] for each in outcome["seeds"]] for outcome in outcomes))
    with search.troubles(), search.alone(study.name):
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
    accuracies = {base: before, promoted: after}
    return {
        "base": base, "promoted": promoted, "seeds": len(before), "first_seed": FIRST_SEED, "accuracies": accuracies,
        "difference": found["difference"], "low": low, "high": high, "word": word,
    }  # fmt: skip


def text(result: dict) -> str:
    """Put a comparison into words."""
    base, promoted, n = result["base"], result["promoted"], result["seeds"]
    lines = [f"{name}: {statistics.words(statistics.over_seeds(each))}" for name, each in result["accuracies"].items()]
    brought = f"{promoted} against {base}, paired by seed: {result['difference']:+.3f} points"
    if result["low"] is None:
        why = "one seed says" if n == 1 else "differences that are all the same say"
        return "\n".join([*lines, f"{brought}; {why} no more: {result['word']}"])
    lines.append(f"{brought}, 95 % interval {result['low']:+.3f} to {result['high']:+.3f}: {result['word']}")
    if result["word"] == INCONCLUSIVE:
        width = (result["high"] - result["low"]) / 2
        lines.append(f"{n} seeds a side tell apart what differs by some {width:.2f} points or more, and this does not")
    return "\n".join(lines)
