"""The chapters of a report: an iteration in its five parts, the studies and the sweeps."""

import pandas as pd

from analysis.diagnosis import diagnose
from analysis.report import figures
from analysis.report.document import bullets, heading, number, paragraph, table
from analysis.report.document import figures as figure_group
from analysis.statistics import as_text, difference_as_text
from analysis.sweeps import differences
from tinycnn.track.description import parse_notes

_MOST_STUDIES, _MOST_SWEEPS = 3, 2
"""With figures unless everything is asked for: first studies compared on the test set, and sweeps of the most seeds."""


def iteration(report, name: str, saved, pictured: bool, everything: bool) -> list[dict]:
    """Return an experiment's chapter: Target, Change, Result, Analysis, Receptive Field.

    ``pictured``: with its images and mistakes; ``everything``: with the origin of its numbers.
    """
    document, measured = report.documents[name], report.measured[name]
    author = parse_notes(document.notes) if document else {"title": ""}
    row = next(report.summary[report.summary["experiment"] == name].itertuples())
    epochs = report.epochs[report.epochs["experiment"] == name]
    target = None if pd.isna(row.target_accuracy) else row.target_accuracy
    layers, drawn = figures.layers_of(report, name, saved), []
    if pictured:
        drawn = figures.images_of(report, name, saved) + figures.mistakes_of(report, name, saved)
    result = f"{number(row.last, 3)} (n={row.n}), {row.verdict}: {row.reason}."
    if (spec := report.specs[name]) and spec.quantise.epochs:
        result += f" The last {spec.quantise.epochs} epochs were trained with weights and maps of 8 bits."
    if everything:
        first = epochs.iloc[0]
        result += f" Numbers from {report.sources[name]}; commit {str(first.get('commit'))[:12]}, torch "
        result += f"{first.get('torch')}, {first.get('device')}, threads {first.get('threads')}."
    field = f"{measured.receptive_field} × {measured.receptive_field} pixels" if measured else "not known"
    return [
        heading(3, f"{name}: {author['title']}".rstrip(": .")),
        figure_group(layers, beside=True),
        paragraph(author.get("Target") or "The author names none.", "Target"),
        paragraph(author.get("Change") or "The author names none.", "Change"),
        *([paragraph(author["Source"], "Source")] if author.get("Source") and everything else []),
        paragraph(result, "Result"),
        paragraph(author.get("Analysis") or "The author gives none.", "Analysis"),
        bullets(diagnose(epochs, target)),
        paragraph(f"{field} at the end of the network.", "Receptive Field"),
        *([figure_group(drawn)] if drawn else []),
    ]


def studies(found: dict, saved, everything: bool) -> list[dict]:
    """Return a row for each study, and its figures; with everything also what it searched. ``found``: by name."""
    rows, sections, drawn = [], [], []
    order = sorted(found, key=lambda name: not found[name][1].get("comparison"))
    for name in order:
        trials, result = found[name]
        states = trials["state"].value_counts()
        counted = ", ".join(f"{states[state]} {state.replace('_', ' ')}" for state in sorted(states.index))
        best, compared = f"{number(result.get('value'), 5)} ({number(result.get('base_value'), 5)})", "-"
        if result.get("comparison"):
            compared = result["comparison"]
            words = difference_as_text({"n": compared["seeds"], "paired": True} | compared)
            compared = f"{compared['promoted']}: {words}"
        objective = str(result.get("objective")).replace("_", " ")
        rows.append((name, result.get("base"), counted, objective, best, compared))
        if everything or order.index(name) < _MOST_STUDIES:
            plots = figures.study(name, trials, result, saved)
            sections += [heading(3, f"Study {name}"), *_study(result), figure_group(plots)]
            drawn += plots
    head = ("study", "base", "trials", "objective", "best (the base's)", "the best on the test set")
    text = "Objectives are of the last epoch, on images held out of the training set; the best of many is optimistic."
    return [table(head, rows, "<<<<><"), paragraph(text), *(sections if everything else [figure_group(drawn)])]


def sweeps(found: dict, saved, everything: bool) -> list[dict]:
    """Return a row for each sweep, and a section for each, or for the two of the most seeds: what each arm brings.

    ``found``: by name.
    """
    seeds = {name: max(arm["n"] for arm in result["arms"]) for name, result in found.items()}
    sections = [_all_sweeps(found, seeds)] if len(found) > 1 else []
    for name in sorted(found, key=lambda each: -seeds[each])[: None if everything else _MOST_SWEEPS]:
        result, several = found[name], seeds[name]
        arms = result["arms"]
        rows = [
            (
                arm["arm"], number(arm["parameters"], 0), number(arm["macs"], 0), arm["n"], number(arm.get("last"), 3),
                number(arm.get("last_std"), 3), number(arm.get("last_min")),
                difference_as_text(arm["against_base"]) if arm["against_base"] else "-",
            )
            for arm in arms
        ]  # fmt: skip
        head = ("arm", "parameters", "multiply-accumulates", "n", "accuracy", "std", "min", "against the base")
        text = f"From {result['base']}; on {arms[0]['evaluated_on']} images of {result['data']}, after the last epoch."
        if diverged := sum(arm["diverged"] for arm in arms):
            text += f" {diverged} trainings diverged and are left out."
        sections += [heading(3, f"Sweep {name}"), paragraph(text), table(head, rows, "<>>>>>><")]
        sections += [figure_group(figures.sweep(name, result, saved))] * (several > 1)
    return sections


def _all_sweeps(found: dict, seeds: dict) -> dict:
    """Return the table of all sweeps, with the best arm of each against its base."""
    rows = []
    for name, result in found.items():
        best, brought = "-", "-"
        for row in differences(result).head(1).itertuples():
            interval = "" if pd.isna(row.low) else f" ({row.low:+.2f} to {row.high:+.2f})"
            best, brought = row.experiment, f"{row.difference:+.2f}{interval}"
        rows.append((name, result["base"], len(result["arms"]) - 1, seeds[name], best, brought))
    head = ("sweep", "base", "arms", "n", "best arm (of many, so optimistic)", "points, 95 % interval")
    return table(head, rows, "<<>><<")


def _study(result: dict) -> list[dict]:
    """Return how a study trained, and where its ranges end too soon."""
    text = f"Parameter limit: {number(result.get('limit'), 0)}."
    if result.get("seeds") and result.get("epochs"):
        text += f" Each trial trained {result['epochs']} epochs with {result['seeds']} seed(s)."
    if fidelity := result.get("fidelity"):
        text += " Cheaper than the base by " + ", ".join(f"{k} {as_text(v)}" for k, v in fidelity.items()) + "."
    if result.get("epochs_saved_by_pruning"):
        text += f" Pruning saved {result['epochs_saved_by_pruning']:,} epochs."
    return [paragraph(text), *([bullets(result["edges"])] if result.get("edges") else [])]
