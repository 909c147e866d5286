"""Everything a report is made from: the record of each experiment, and what follows from it."""

from dataclasses import dataclass

import pandas as pd

from analysis import device, evidence, runs, select, statistics, sweeps
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, UserError, nearest
from tinycnn.network.profile import measure
from tinycnn.source import code_hash
from tinycnn.spec import load as experiments
from tinycnn.track.provenance import code

MOST_CHAPTERS = 8
"""Experiments that have a chapter, unless all are asked for: the best of each budget, then the latest."""


@dataclass
class ReportData:
    """What there is to report, in frames as ``evidence``, ``statistics`` and ``select`` describe them.

    By name of the experiment: ``specs``, what was run, None where that is not known; ``documents``, the spec whose
    docstring describes it; ``measured``, the network, None where it cannot be built; ``sources`` of the numbers.
    ``main``: those that have a chapter and are in the figures, the others only have a row.
    ``device``: as ``device.summarise`` returns it. ``studies`` and ``sweeps``: as ``evidence`` and ``sweeps`` read
    them; ``notes``: a line for whatever was left out or needs care.
    """

    epochs: pd.DataFrame
    summary: pd.DataFrame
    changes: pd.DataFrame
    device: pd.DataFrame
    variants: pd.DataFrame
    mistakes: pd.DataFrame
    evaluations: pd.DataFrame
    class_counts: dict
    references: pd.DataFrame
    main: list[str]
    specs: dict
    documents: dict
    measured: dict
    sources: dict
    studies: dict
    sweeps: dict
    notes: list[str]


def collect(names: list[str] | None = None, everything: bool = False) -> ReportData:
    """Read the store and the evidence; ``names``: of which experiments, or else of all that have a record.

    With ``names``, only the studies based on one of them. Experiments that are named all have a chapter, as they have
    with ``everything``. Raises SpecError for an unknown name, and UserError where there is nothing to report.
    """
    notes = []
    frame = runs.read(runs.EVERY, notes)
    invalid = f" ({notes[0].rstrip('.')})" if notes else ""
    files = experiments.names()
    known = [*dict.fromkeys([*files, *evidence.names(), *sorted(frame["experiment"].unique())])]
    for name in names or ():
        if name not in known:
            raise SpecError(f"no experiment is called {name!r}; {nearest(name, known)}")
    specs = {name: select.current_spec(name, notes) for name in dict.fromkeys(names or known)}
    selected = {}
    for name, spec in specs.items():
        if record := select.record_of(name, spec, frame[frame["experiment"] == name], notes):
            selected[name] = record
        elif spec and spec.data.validation:
            notes.append(f"{name}: holds out validation images (data.validation), so it has no test accuracy.")
        elif name in files:  # the others are arms of sweeps, trials, or no longer there
            notes.append(f"{name}: no finished run on test images; make {name} makes one.")
    epochs = _epochs(selected, notes)
    if epochs.empty:
        held_out = [name for name in names or () if specs[name] and specs[name].data.validation]
        which = f" of {', '.join(names)}" if names else ""
        cure = f"make {names[0] if names else 'exp3'} makes one"
        if held_out:
            which, cure = f" on test images{which}", f"{held_out[0]} holds out validation images (data.validation)"
        raise UserError(f"nothing to report: no finished run{which} in store or evidence{invalid}; {cure}")
    return _report_data(epochs, selected, specs, frame, names, everything or bool(names), notes)


def _epochs(selected, notes) -> pd.DataFrame:
    """Return the epochs of all records; those without a test accuracy after the last epoch are left out."""
    parts = [record.epochs for record in selected.values() if record.epochs is not None]
    if stored := [record.runs for record in selected.values() if record.runs is not None]:
        parts.append(evidence.of_runs(pd.concat(stored, ignore_index=True)))
    if not parts:
        return pd.DataFrame()
    epochs = pd.concat(parts, ignore_index=True)
    complete = set(statistics.last_epochs(epochs).dropna(subset=["test_accuracy"])["experiment"])
    if left_out := sorted(selected.keys() - complete):
        notes.append(f"Left out, without a test accuracy after the last epoch: {', '.join(left_out)}.")
    return epochs[epochs["experiment"].isin(complete)]


def _report_data(epochs, selected, current, frame, only, everything, notes) -> ReportData:
    names = in_order(epochs, current)
    epochs = epochs.set_index("experiment").loc[names].reset_index()
    specs = {name: selected[name].spec for name in names}
    documents = {name: current[name] or specs[name] for name in names}
    measured = {name: _measured(specs[name] or documents[name]) for name in names}
    summary = pd.DataFrame(
        statistics.summarise(part, specs[name], measured[name], selected[name].not_judged)
        for name, part in epochs.groupby("experiment", sort=False)
    )
    references = evidence.references()
    current_ones = [name for name in names if selected[name].current]
    main = names if everything else _main(summary, references, _latest(current_ones or names, selected))
    if recorded_only := [name for name in names if current[name] is None and not selected[name].not_judged]:
        notes.append(f"Shown as recorded, without a file in experiments/: {', '.join(recorded_only)}.")
    _note_origin(epochs, specs, notes)
    return ReportData(
        epochs=epochs,
        summary=summary,
        changes=statistics.changes(epochs, specs),
        device=_device(epochs, notes),
        variants=select.variants(frame, selected, current, notes),
        mistakes=_mistakes([selected[name] for name in main], main),
        evaluations=evidence.evaluations(frame),
        class_counts=_class_counts(selected),
        references=references,
        main=main,
        specs=specs,
        documents=documents,
        measured=measured,
        sources={name: selected[name].source for name in names},
        studies={name: study for name, study in evidence.studies().items() if not only or study[1].get("base") in only},
        sweeps={name: each for name, each in sweeps.read().items() if not only or each["base"] in only},
        notes=notes,
    )


def _device(epochs, notes) -> pd.DataFrame:
    """Return ``device.summarise`` of the C programs of the specs that the numbers are of."""
    try:
        measured = device.read()
    except UserError as error:
        notes.append(f"{error}.")
        return pd.DataFrame()
    order = {name: number for number, name in enumerate(dict.fromkeys(epochs["experiment"]))}
    measured = measured[measured["spec_hash"].isin(set(epochs["spec_hash"])) & measured["experiment"].isin(order)]
    return device.summarise(measured.sort_values("experiment", key=lambda names: names.map(order), kind="stable"))


def _latest(names: list[str], selected) -> list[str]:
    """Return these experiments by when they were trained, the latest first, and then those of the evidence."""
    trained = {name: selected[name].runs["started"].max() for name in names if selected[name].runs is not None}
    return sorted(names, key=lambda name: (-trained.get(name, 0), -names.index(name)))


def _main(summary, references, latest: list[str]) -> list[str]:
    """Return which of these experiments have a chapter: as many as a reader has time for."""
    rows = summary[summary["experiment"].isin(latest)]
    best = [ours.experiment for *_, ours, _ in statistics.under_budgets(rows, references) if ours]
    first = [*dict.fromkeys([*best, *latest])][:MOST_CHAPTERS]
    return [name for name in summary["experiment"] if name in first]


def in_order(epochs, specs) -> list[str]:
    """Return the experiments by data set, in the order of ``DATASETS``, each after its parent."""
    data = epochs.groupby("experiment")["data"].first()
    order = {name: number for number, name in enumerate(DATASETS)}

    def line_of(name):
        line = [name]
        while (spec := specs.get(line[0])) and spec.parent in data.index and spec.parent not in line:
            line.insert(0, spec.parent)
        return line

    return sorted(data.index, key=lambda name: (order.get(data[name], len(order)), str(data[name]), line_of(name)))


def _measured(spec):
    """Return a spec's network as measured now, None for one that cannot be built."""
    try:
        return spec and measure(spec, spec.data.facts())
    except UserError:
        return None


def _mistakes(records, names) -> pd.DataFrame:
    stored = [record.runs for record in records if record.runs is not None]
    parts = [evidence.mistakes(name) for record, name in zip(records, names, strict=True) if record.runs is None]
    parts += [runs.mistakes(pd.concat(stored, ignore_index=True))] if stored else []
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def _class_counts(selected) -> dict:
    counts = evidence.class_counts()
    for record in selected.values():
        for run in () if record.runs is None else record.runs.dropna(subset=["class_counts"]).itertuples():
            counts.setdefault(run.data, [int(count) for count in run.class_counts.split()])
    return counts


def _is_older(spec, hashes: set) -> bool:
    """Tell whether runs of a spec are of other code than the present; False where their teacher is not here."""
    try:
        return bool(hashes - {code_hash(code(spec, kernels)) for kernels in ("native", "torch")})
    except UserError:  # its weights count as code
        return False


def _note_origin(epochs, specs, notes):
    """Note which numbers are from other code than the present, or from uncommitted changes."""
    runs_of = epochs.groupby("experiment", sort=False)
    if older := [name for name, hashes in runs_of["code_hash"] if specs[name] and _is_older(specs[name], {*hashes})]:
        notes.append(
            f"Trained before the latest change of the code that numbers depend on: {', '.join(older)}; training again, "
            "and then make evidence, shows whether that changes anything."
        )
    if dirty := [name for name, values in runs_of["dirty"] if "true" in values.astype(str).str.lower().to_numpy()]:
        notes.append(f"Trained with uncommitted changes: {', '.join(dirty)}.")
