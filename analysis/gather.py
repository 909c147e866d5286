"""Everything a report is made from: the records of the experiments, and what follows from them."""

from dataclasses import dataclass, field

import pandas as pd

from analysis import committed, evidence, load, records, statistics, stores, variants
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, UserError, nearest
from tinycnn.network.profile import measure
from tinycnn.source import code_hash
from tinycnn.spec import load as experiments
from tinycnn.track.provenance import code


@dataclass
class Findings:
    """What there is to report. Frames as described in ``load``, ``statistics`` and ``committed``.

    ``specs``: by name, the spec that was run, None where it is not known; ``words``: the spec whose docstring speaks of
    it; ``measured``: the network; ``sources``: where the numbers come from; ``variants`` and by data set how many more
    there are; ``notes``: a line for whatever is not as one would expect.
    """

    epochs: pd.DataFrame
    summary: pd.DataFrame
    changes: pd.DataFrame
    variants: pd.DataFrame
    more_variants: dict
    mistakes: pd.DataFrame
    references: pd.DataFrame
    looks: pd.DataFrame
    class_counts: dict
    specs: dict
    words: dict
    measured: dict
    sources: dict
    studies: dict
    notes: list[str] = field(default_factory=list)


def gather(names: list[str] | None = None, store: bool = True) -> Findings:
    """Read evidence and, unless told not to, the store; ``names``: of which experiments, or else all with a record.

    With ``names``, of the studies those are taken that start from one of them.

    Raises SpecError for an unknown name, and UserError where there is nothing to report.
    """
    notes = []
    frame = load.runs(stores.EVERY if store else (), notes)
    strange = f" ({notes[0].rstrip('.')})" if notes else ""
    known = [*dict.fromkeys([*experiments.names(), *committed.names(), *sorted(frame["experiment"].unique())])]
    for name in names or ():
        if name not in known:
            raise SpecError(f"no experiment is called {name!r}; {nearest(name, known)}")
    words = {name: records.current(name, notes) for name in dict.fromkeys(names or known)}
    by_name = dict(list(frame.groupby("experiment", sort=False)))
    picked = {}
    for name, spec in words.items():
        found = records.of_experiment(name, spec, by_name.get(name, frame[:0]), notes)
        if found:
            picked[name] = found
        else:
            notes.append(f"{name}: no finished run on test images; make {name} makes one.")
    if not picked:
        which = f" of {', '.join(names)}" if names else ""
        what = f"nothing to report: no finished run{which} in store or evidence{strange}"
        raise UserError(f"{what}; make {names[0] if names else 'exp3'} makes one")
    if others := stores.foreign() if store else 0:
        notes.append(f"{others} runs in the store were not made by this project and are left out.")
    found = _findings(picked, words, frame, notes)
    if names:
        found.studies = {name: each for name, each in found.studies.items() if each[2].get("base") in names}
    return found


def _findings(picked, words, frame, notes) -> Findings:
    stored = [record.rows for record in picked.values() if record.rows is not None]
    parts = [record.epochs for record in picked.values() if record.epochs is not None]
    if stored:
        parts.append(evidence.of_runs(pd.concat(stored, ignore_index=True), notes))
    epochs = pd.concat(parts, ignore_index=True)
    ended = statistics.last_epochs(epochs).dropna(subset=["test_accuracy"])["experiment"]
    epochs = epochs[epochs["experiment"].isin(ended)]
    if empty := sorted(picked.keys() - set(ended)):
        notes.append(f"Without a test accuracy after the last epoch, so left out: {_listed(empty)}.")
    if epochs.empty:
        raise UserError("nothing to report: no run has a test accuracy in its record; make exp3 makes one that has")
    names = _ordered(epochs, words)
    epochs = epochs.set_index("experiment").loc[names].reset_index()
    measured = _measured({name: picked[name].spec or words[name] for name in names})
    specs = {name: picked[name].spec for name in names}
    rows = [
        statistics.summarise(part, specs[name], measured[name], picked[name].barred)
        for name, part in epochs.groupby("experiment", sort=False)
    ]
    if alone := [name for name in names if words[name] is None and not picked[name].barred]:
        notes.append(f"Shown as recorded, without a file in experiments/: {_listed(alone)}.")
    _tell_of_code(epochs, specs, notes)
    mistakes = _mistakes(picked, names, notes)
    if untold := [name for name in names if name not in set(mistakes["experiment"])]:
        notes.append(f"Which images were wrong is not in the record of {_listed(untold)}: no figures of that.")
    altered, more = variants.variants(frame, picked, words, notes)
    studies, lines = committed.studies()
    return Findings(
        epochs=epochs,
        summary=pd.DataFrame(rows),
        changes=statistics.changes(epochs, specs),
        variants=altered,
        more_variants=more,
        mistakes=mistakes,
        references=committed.references(),
        looks=committed.looks(evidence.with_judged(frame)),
        class_counts=_class_counts(picked),
        specs=specs,
        words={name: words[name] or specs[name] for name in names},
        measured=measured,
        sources={name: picked[name].source for name in names},
        studies=studies,
        notes=notes + lines,
    )


def _ordered(epochs, words) -> list[str]:
    """Return the experiments by data set, in the order of ``DATASETS``, and a parent before what is derived from it."""
    data = epochs.groupby("experiment")["data"].first()
    place = {name: number for number, name in enumerate(DATASETS)}

    def line_of(name):
        line = [name]
        while (spec := words.get(line[0])) and spec.parent in data.index and spec.parent not in line:
            line.insert(0, spec.parent)
        return line

    return sorted(data.index, key=lambda name: (place.get(data[name], len(place)), str(data[name]), line_of(name)))


def _measured(specs: dict) -> dict:
    """Return each spec's network as measured now, the same network once; None for one that cannot be built."""
    found, by_network = {}, {}
    for name, spec in specs.items():
        key = spec and (spec.model.model_dump_json(), spec.data.short)
        if key not in by_network:
            try:
                by_network[key] = measure(spec, spec.data.facts()) if spec else None
            except UserError:
                by_network[key] = None
        found[name] = by_network[key]
    return found


def _mistakes(picked, names, notes) -> pd.DataFrame:
    stored = [picked[name].rows for name in names if picked[name].rows is not None]
    parts = [committed.mistakes(name) for name in names if picked[name].rows is None]
    parts += [load.mistakes(pd.concat(stored, ignore_index=True), notes)] if stored else []
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=committed.MISTAKES)


def _class_counts(picked) -> dict:
    counts = committed.class_counts()
    for record in picked.values():
        for run in () if record.rows is None else record.rows.dropna(subset=["class_counts"]).itertuples():
            counts.setdefault(run.data, [int(count) for count in run.class_counts.split()])
    return counts


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + rest


def _is_of_now(spec, recorded: str) -> bool:
    """Tell whether a run's code was what the same spec would use now."""
    return spec is None or recorded in {code_hash(code(spec, kernels)) for kernels in ("native", "torch")}


def _tell_of_code(epochs, specs, notes):
    """Say which numbers come from other code than that of now, or from changes that were never committed."""
    firsts = epochs.groupby("experiment", sort=False)[["code_hash", "dirty"]].agg("first")
    if other := [name for name, row in firsts.iterrows() if not _is_of_now(specs[name], row["code_hash"])]:
        notes.append(
            f"Trained before the latest change of the code that numbers depend on: {_listed(other)}; to train again "
            "says whether that changes anything."
        )
    if dirty := [name for name, row in firsts.iterrows() if str(row["dirty"]).lower() == "true"]:
        notes.append(f"Trained with changes that were not committed: {_listed(dirty)}.")
