"""What a report says of the results, of each iteration and of each study, as elements of a document."""

import pandas as pd

from analysis.diagnosis import diagnose
from analysis.receptive_field import SHARE
from analysis.report import figures
from analysis.report.data import ReportData
from analysis.report.document import bullets, heading, number, paragraph, table, with_epoch
from analysis.report.document import figures as figure_group
from analysis.statistics import as_text, changed_fields, difference_as_text, seeds_needed
from tinycnn.errors import SpecError
from tinycnn.spec import load as experiments
from tinycnn.track.description import parse_notes


def content(report: ReportData, saved: figures.FigureFolder) -> list[dict]:
    """Return the elements of the whole report; its figures are drawn into ``saved``."""
    body = []
    for data in dict.fromkeys([*report.summary["data"], *report.variants["data"]]):
        body += [heading(2, f"Results on {data}")]
        if data in set(report.summary["data"]):
            body += _results(report, data) + [figure_group(figures.comparison(report, data, saved))]
        body += _variants(report, data)
    body += [heading(2, "Iterations")]
    fields = {}
    for name in report.summary["experiment"]:
        body += _iteration(report, name, saved, fields)
    body += [heading(2, "Studies")] if report.studies else []
    for name, (trials, curves, result) in report.studies.items():
        body += [heading(3, f"Study {name}"), *_study(trials, result)]
        body += [figure_group(figures.study(name, trials, curves, result, saved))]
    if len(report.evaluations):
        text = "Each evaluation on a test set makes the best figure found on it more optimistic; so they are counted."
        rows = [(row.data, row.specs) for row in report.evaluations.itertuples()]
        body += [heading(2, "Specs evaluated on the test sets"), paragraph(text), table(("data", "specs"), rows, "<>")]
    return [*_opening(report), *body, *_sources(report)]  # the notes last: drawing adds to them


def _opening(report) -> list[dict]:
    text = (
        "Written by make report from the store and from reports/evidence; no number is typed by hand. Accuracies are "
        "test accuracies in percent after the last epoch, over n seeds, unless a column says otherwise. A best epoch "
        "is selected on the test set: it is shown only because published figures are of this kind."
    )
    notes = [heading(2, "Notes"), bullets(report.notes)] if report.notes else []
    return [heading(1, "tinycnn: results"), paragraph(text), *notes]


def _results(report, data: str) -> list[dict]:
    """Return the results table of one data set, the published figures below those of tinycnn."""
    summary = report.summary[report.summary["data"] == data]
    published = report.references[report.references["data"] == data].sort_values("parameters", kind="stable")
    head = ("", "last epoch", "95 % interval", "n", "std", "min", "min of last 5", "best (epoch)", "train",
            "parameters", "target met, or how selected")  # fmt: skip
    rows = [
        (
            row.experiment, number(row.last, 3), _interval(row), row.n,
            number(row.last_std, 3), number(row.last_min), number(row.min_last5),
            with_epoch(row.best, row.best_epoch), number(row.clean_train), number(row.parameters, 0),
            row.verdict,
        )
        for row in summary.itertuples()
    ]  # fmt: skip
    rows += [
        (
            f"({row.name})", number(row.last), "-", "5" if "mean of 5" in row.note else "1", "-", "-",
            number(row.min_last5), with_epoch(row.best, row.best_epoch), "-", number(row.parameters, 0), row.note,
        )
        for row in published.itertuples(index=False)
    ]  # fmt: skip
    text = (
        "Train: accuracy on clean training images after the last epoch. The interval is of the mean over seeds "
        "(Student's t); of a single run it is Wilson's, over test images, and does not cover other seeds. Minimum "
        "of the last five: of any seed. Best: the mean over seeds of each one's best epoch, with the median of these "
        "epochs. In brackets: published figures, single runs and best epochs selected on the test set unless the last "
        "column says otherwise, so that they cannot be compared with a mean."
    )
    deviation = summary.loc[summary["n"] >= 3, "last_std"].median()
    if deviation > 0:
        text += (
            f" The standard deviation over seeds is {deviation:.3f} (median over experiments of three seeds or more): "
            f"to detect a difference of 0.05 points takes some {seeds_needed(0.05, deviation)} seeds a side."
        )
    return [table(head, rows, "<" + ">" * 9 + "<"), paragraph(text)]


def _interval(row) -> str:
    return f"{row.last_low:.2f} to {row.last_high:.2f}"


def _variants(report, data: str) -> list[dict]:
    mine = report.variants[report.variants["data"] == data]
    if mine.empty:
        return []
    text = "Runs of an experiment with other values than those shown for it: set with --set, or of an earlier file. "
    text += "They are not judged."
    head = ("experiment", "settings", "spec", "n", "last epoch", "std", "95 % interval", "min", "parameters")
    rows = [
        (
            row.experiment, row.settings, row.spec_hash, row.n, number(row.last, 3), number(row.last_std, 3),
            _interval(row), number(row.last_min), number(row.parameters, 0),
        )
        for row in mine.itertuples()
    ]  # fmt: skip
    return [heading(3, f"Variants on {data}"), paragraph(text), table(head, rows, "<<<" + ">" * 6)]


def _iteration(report, name: str, saved, known_fields: dict) -> list[dict]:
    """Return an experiment's section: Target, Change, Result, Analysis, Receptive Field."""
    spec, document = report.specs[name], report.documents[name]
    author = parse_notes(document.notes) if document else {"title": ""}
    row = next(report.summary[report.summary["experiment"] == name].itertuples())
    epochs = report.epochs[report.epochs["experiment"] == name]
    target = None if pd.isna(row.target_accuracy) else row.target_accuracy
    drawn, fields = figures.fields_of(report, name, saved, known_fields)
    analysis = [paragraph(author["Analysis"], "In the author's words")] if author.get("Analysis") else []
    return [
        heading(3, f"{name}: {author['title']}".rstrip(": .")),
        heading(4, "Target"),
        paragraph(author.get("Target") or "The author names none."),
        heading(4, "Change"),
        *_change(author, spec or document),
        heading(4, "Result"),
        *_result(report, row, epochs.iloc[0]),
        heading(4, "Analysis"),
        *analysis,
        paragraph("computed from the runs:", "Diagnosis"),
        bullets(diagnose(epochs, target)),
        figure_group(figures.mistakes_of(report, name, saved)),
        heading(4, "Receptive Field"),
        figure_group(drawn),
        *_layers(report.measured[name], fields),
    ]


def _change(author: dict, spec) -> list[dict]:
    """Return the author's words on the change, and the computed difference from the parent."""
    found = [paragraph(author["Change"])] if author.get("Change") else []
    found += [paragraph(author["Source"], "Source")] if author.get("Source") else []
    if spec is None or spec.parent not in experiments.names():
        return found or [paragraph("Derived from no experiment that is here.")]
    try:
        changed = changed_fields(spec, experiments.load(spec.parent)).items()
    except SpecError:
        return [*found, paragraph(f"Its parent {spec.parent} cannot be loaded.")]
    rows = [(name, as_text(old), as_text(new)) for name, (old, new) in changed]
    return [*found, table(("field", spec.parent, spec.name), rows, "<<<")] if rows else found


def _result(report, row, first) -> list[dict]:
    """Return the result of an experiment: its row, the verdict, the difference from the parent, and the source."""
    head = ("last epoch", "n", "best (epoch)", "min of last 5", "train", "parameters", "multiply-accumulates",
            "seconds", "target")  # fmt: skip
    cells = (
        number(row.last, 3) + ("" if pd.isna(row.last_std) else f" ± {row.last_std:.3f}"), row.n,
        with_epoch(row.best, row.best_epoch), number(row.min_last5), number(row.clean_train),
        number(row.parameters, 0), number(row.macs, 0), number(row.seconds, 0), row.verdict,
    )  # fmt: skip
    found = [table(head, [cells], ">" * 8 + "<"), paragraph(f"{row.verdict}: {row.reason}.", "Verdict")]
    for change in report.changes[report.changes["experiment"] == row.experiment].itertuples():
        found.append(paragraph(f"{difference_as_text(change._asdict())}.", f"Against {change.parent}"))
    origin = f"commit {str(first.get('commit'))[:12]}, torch {first.get('torch')}, {first.get('device')}"
    threads = f"threads {first.get('threads')}"
    return [*found, paragraph(f"Numbers from {report.sources[row.experiment]}; {origin}, {threads}.")]


def _layers(measured, fields) -> list[dict]:
    """Return the table of a network's layers: those with parameters, or where the receptive field grows."""
    if measured is None:
        return [paragraph("The network cannot be built from what is here.")]
    effective = {field.name: field.effective for field in fields}
    head = ("layer", "kind", "output", "parameters", "multiply-accumulates", "receptive field", "effective")
    rows, before = [], 1
    for layer in measured.layers:
        side = layer.receptive_field
        if layer.parameters or side > before:
            output = "×".join(map(str, layer.output))
            cells = (layer.name, layer.kind, output, f"{layer.parameters:,}", f"{layer.macs:,}", f"{side} × {side}")
            rows.append((*cells, number(effective.get(layer.name), 1)))
        before = side
    text = (
        "Receptive field: the square of pixels that a unit can depend on. Effective: the side of a square of as many "
        f"pixels as have more than {100 * SHARE:.2g} % of the largest gradient (Luo et al. 2016), before training."
    )
    return [table(head, rows, "<<<>>>>"), paragraph(text)]


def _study(trials, result: dict) -> list[dict]:
    """Return what a study searched, its best trial, and how that compares with the base."""
    states = trials["state"].value_counts()
    counted = ", ".join(f"{states[state]} {state.replace('_', ' ')}" for state in sorted(states.index))
    objective = str(result.get("objective")).replace("_", " ")
    text = (
        f"From {result.get('base')}; objective: {objective} of the last epoch, on images held out of the training set"
    )
    text += f"; parameter limit: {number(result.get('limit'), 0)}. Trials: {counted}."
    if result.get("seeds") and result.get("epochs"):
        text += f" Each trained {result['epochs']} epochs with {result['seeds']} seed(s)."
    if fidelity := result.get("fidelity"):
        text += " Cheaper than the base by " + ", ".join(f"{k} {as_text(v)}" for k, v in fidelity.items()) + "."
    if result.get("epochs_saved_by_pruning"):
        text += f" Pruning saved {result['epochs_saved_by_pruning']:,} epochs."
    best, lines = trials[trials["number"] == result.get("best")], list(result.get("edges") or [])
    fields = {field: searched for field, searched in result.get("ranges", {}).items() if field in trials and len(best)}
    rows = [(field, _range(searched), as_text(best[field].iloc[0])) for field, searched in fields.items()]
    tables = [table(("field", "searched", f"best (trial {result['best']})"), rows, "<<<")] if rows else []
    if compared := result.get("comparison"):
        words = difference_as_text({"n": compared["seeds"], "paired": True} | compared)
        lines.insert(0, f"{compared['promoted']} against {compared['base']} on the test set: {words}.")
    if result.get("value") is not None and result.get("base_value") is not None:
        base = f"{result.get('base')} itself {result['base_value']:.5g}"
        lines.insert(0, f"The best value is {result['value']:.5g}, that of {base}; the best of many is optimistic.")
    return [paragraph(text), *tables, *([bullets(lines)] if lines else [])]


def _range(searched: dict) -> str:
    if searched.get("choices"):
        return ", ".join(map(as_text, searched["choices"]))
    scale = ", logarithmic" if searched.get("log") else ""
    return f"{as_text(searched.get('low'))} to {as_text(searched.get('high'))}{scale}"


def _sources(report) -> list[dict]:
    shown = report.references[report.references["data"].isin(set(report.summary["data"]))].fillna({"recipe": "-"})
    rows = [(row.name, row.data, row.source, row.recipe, row.note) for row in shown.itertuples(index=False)]
    head = ("name", "data", "source", "recipe", "how selected")
    return [heading(2, "Sources of the published figures"), table(head, rows, "<<<<<")]
