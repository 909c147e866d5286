"""What a report says, as elements of a document: a summary, the results, the iterations, the studies."""

import pandas as pd

from analysis import device, statistics
from analysis.report import chapters, figures
from analysis.report.data import ReportData
from analysis.report.document import bullets, heading, number, paragraph, table, with_epoch
from analysis.report.document import figures as figure_group
from analysis.select import MOST_VARIANTS

_MOST_ROWS, _MOST_NOTES, _FEW_CHAPTERS = 10, 12, 2
"""Lines of the tables of other runs, and of the notes, unless everything is asked for; chapters that all have images,
while of more only those of the best network of each data set have."""


def content(report: ReportData, saved: figures.FigureFolder, everything: bool) -> list[dict]:
    """Return the elements of the whole report; its figures are drawn into ``saved``."""
    main = report.summary[report.summary["experiment"].isin(report.main)]
    best = statistics.under_budgets(main, report.references)
    body = [*_summary(report, best), figure_group(figures.front(saved, main, report.references, "front"))]
    body += _what_changed(report, main, everything)
    body += _on_a_device(report, saved)
    for data in dict.fromkeys(main["data"]):
        body += [heading(2, f"Results on {data}"), *_results(report, main[main["data"] == data], data, everything)]
        body += [figure_group(figures.comparison(report, data, saved, everything))]
    body += _others(report, everything)
    pictured = {data: ours.experiment for data, _, ours, _ in best if ours}.values()
    if everything or len(report.main) <= _FEW_CHAPTERS:
        pictured = report.main
    body += [heading(2, "Iterations")]
    for name in report.main:
        body += chapters.iteration(report, name, saved, name in pictured, everything)
    if report.studies:
        body += [heading(2, "Studies"), *chapters.studies(report.studies, saved, everything)]
    if report.sweeps:
        body += [heading(2, "Sweeps"), *chapters.sweeps(report.sweeps, saved, everything)]
    return [*body, *_sources(report, best, everything)]  # the notes last: drawing adds to them


def _summary(report, best) -> list[dict]:
    """Return the question, and the best network of each budget."""
    counts = ", ".join(f"{row.specs} on {row.data}" for row in report.evaluations.itertuples())
    question = (
        "How accurate can an image classifier with very few parameters be? Accuracies are test accuracies in percent "
        "after the last epoch, as means over n seeds with their standard deviation. "
    )
    question += f"Specs evaluated on a test set so far: {counts}." if counts else ""
    head = ("data", "fewer parameters than", "best network", "parameters", "accuracy", "n", "min", "published",
            "its accuracy")  # fmt: skip
    rows = [
        (
            data, f"{budget:,}", *((ours.experiment, number(ours.parameters, 0), _mean(ours), ours.n,
            number(ours.last_min)) if ours else "-----"),
            *((f"{theirs.name}, {theirs.parameters:,}", f"{theirs.shown:.2f} ({_kind(theirs)})") if theirs else "--"),
        )
        for data, budget, ours, theirs in best
    ]  # fmt: skip
    found = [heading(1, "tinycnn: results"), paragraph(question)]
    return found + ([table(head, rows, "<><>>>><<")] if rows else [])


def _what_changed(report, main, everything: bool) -> list[dict]:
    """Return what each experiment changed of its parent, and what that brought."""
    rows = [
        (row.experiment, row.parent, _fields(row.fields, everything), statistics.difference_as_text(row._asdict()))
        for row in report.changes[report.changes["experiment"].isin(main["experiment"])].itertuples()
    ]
    return [table(("experiment", "from", "what changed", "difference of accuracy"), rows, "<<<<")] if rows else []


def _on_a_device(report, saved) -> list[dict]:
    """Return what the C programs come to, where they were measured."""
    if report.device.empty:
        return []
    text = (
        "In whole numbers of 8 bits, as C computes them: each seed's program on the whole test set. Constants are "
        "weights and all that goes with them; the code is not among them. In float: the same networks in floating "
        "point. Other answers: test images that a network and its program answer differently, on average over seeds."
    )
    drawn = figures.on_a_device(saved, report.device)
    return [heading(2, "On a device"), paragraph(text), table(*device.table(report.device)), figure_group(drawn)]


def _mean(row) -> str:
    return number(row.last, 3) + ("" if pd.isna(row.last_std) else f" ± {row.last_std:.3f}")


def _kind(reference) -> str:
    """Return what a published figure is, in two words."""
    return "mean over seeds" if reference.n > 1 else "selected" if pd.isna(reference.last) else "last, one run"


def _fields(text: str, everything: bool) -> str:
    """Return the changed fields of an experiment: all, or the first few and those of many layers by their name only."""
    if everything:
        return text
    parts = [part if len(part) < 50 else part.split(" ")[0] for part in text.split("; ")]
    return "; ".join(parts[:3]) + (f"; {len(parts) - 3} more" if len(parts) > 3 else "")


def _results(report, summary, data: str, everything: bool) -> list[dict]:
    """Return the results table of one data set; with everything, the published figures below those of tinycnn."""
    head = ("", "last epoch", "95 % interval", "n", "std", "min", "min of last 5", "best (epoch)", "train",
            "parameters", "target met" + ", or how selected" * everything)  # fmt: skip
    rows = [
        (row.experiment, number(row.last, 3), f"{row.last_low:.2f} to {row.last_high:.2f}", row.n,
         number(row.last_std, 3), number(row.last_min), number(row.min_last5), with_epoch(row.best, row.best_epoch),
         number(row.clean_train), number(row.parameters, 0), row.verdict)
        for row in summary.itertuples()
    ]  # fmt: skip
    published = report.references[(report.references["data"] == data) & everything].sort_values("parameters")
    rows += [
        (f"({row.name})", number(row.last), "-", row.n, number(row.std), "-", number(row.min_last5),
         with_epoch(row.best, row.best_epoch), "-", number(row.parameters, 0), row.note)
        for row in published.itertuples(index=False)
    ]  # fmt: skip
    text = (
        "Interval: of the mean over seeds (Student's t); of a single run Wilson's, over test images. Best: mean of "
        "each seed's best epoch, selected on the test set, with the median epoch. Train: clean training images."
    )
    text = text if data == report.summary["data"].iloc[0] else ""
    deviation = summary.loc[summary["n"] >= 3, "last_std"].median()
    if deviation > 0:
        seeds = statistics.seeds_needed(0.05, deviation)
        text += f" With a deviation of {deviation:.3f}, a difference of 0.05 points takes some {seeds} seeds a side."
    return [table(head, rows, "<" + ">" * 9 + "<"), *([paragraph(text)] if text else [])]


def _others(report, everything: bool) -> list[dict]:
    """Return the table of the experiments without a chapter, and of runs with other values than their experiment's."""
    rest = report.summary[~report.summary["experiment"].isin(report.main)].assign(settings="-")
    parts, count = (rest, report.variants), len(rest) + len(report.variants)
    if not count:
        return []
    text = "Experiments without a chapter, specs no longer in experiments/, and runs with values set by --set."
    if count > _MOST_ROWS and not everything:
        text += f" Some of {count}; make report ALL=1 shows all, or the latest {MOST_VARIANTS} variants."
        parts = [part.head(_MOST_ROWS // 2) for part in parts]
    frame = pd.concat([part for part in parts if len(part)])
    head = ("experiment", "settings", "data", "accuracy", "n", "min", "parameters")
    rows = [
        (row.experiment, row.settings, row.data, _mean(row), row.n, number(row.last_min), number(row.parameters, 0))
        for row in frame.itertuples()
    ]
    return [heading(2, "Other specs and variants"), paragraph(text), table(head, rows, "<<<>>>>")]


def _sources(report, best, everything: bool) -> list[dict]:
    """Return the sources of the published figures that the report shows, and the notes."""
    shown = report.references[report.references["data"].isin(set(report.summary["data"]))].fillna({"recipe": "-"})
    if not everything:
        shown = shown[shown["name"].isin([theirs.name for *_, theirs in best if theirs])]
    columns = ["name", "source", "note", "recipe"][: 4 if everything else 3]
    head = ("published", "source", "how its best was selected", "recipe")[: len(columns)]
    found = [heading(2, "Sources and notes"), table(head, shown[columns].to_numpy(), "<" * len(columns))]
    notes = report.notes if everything else report.notes[:_MOST_NOTES]
    left = len(report.notes) - len(notes)
    return [*found, bullets([*notes, *[f"{left} more notes, as make report prints them."] * (left > 0)])]
