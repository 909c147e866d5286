"""The parts of a report, as blocks: what is said of the results, of each iteration and of each study."""

import math

import pandas as pd

from analysis import draw
from analysis.blocks import bullets, count, heading, number, paragraph, pictures, table, with_epoch
from analysis.diagnosis import diagnose
from analysis.receptive import SHARE
from analysis.statistics import plain, runs_needed
from analysis.study_words import study_facts
from tinycnn.errors import SpecError
from tinycnn.spec import load as experiments
from tinycnn.track.description import sections as words_of


def opening(found) -> list[dict]:
    """Return the title, what this is, and the notes."""
    text = (
        "What the runs say, written by make report from the store and from reports/evidence; no number is typed by "
        "hand. Accuracies are test accuracies in percent after the last epoch, over n seeds, unless a column says "
        "otherwise. A best epoch is picked on the test set: it is shown only because published figures are such."
    )
    blocks = [heading(1, "tinycnn: what the runs say"), paragraph(text)]
    if found.notes:
        blocks += [heading(2, "To be read with care"), bullets(found.notes)]
    return blocks


def results(found, data: str) -> list[dict]:
    """Return the evidence table of one data set, the published figures below ours."""
    summary = found.summary[found.summary["data"] == data]
    published = found.references[found.references["data"] == data].sort_values("parameters", kind="stable")
    head = ("", "last epoch", "95 % interval", "n", "std", "min", "min of last 5", "best (epoch)", "train",
            "parameters", "target met, or how picked")  # fmt: skip
    rows = [
        (
            row.experiment, number(row.last_mean, 3), f"{row.last_low:.2f} to {row.last_high:.2f}", row.n,
            number(row.last_std, 3), number(row.last_min), number(row.min_last5),
            with_epoch(row.best_mean, row.best_epoch_median), number(row.clean_train), count(row.parameters),
            row.verdict,
        )
        for row in summary.itertuples()
    ]  # fmt: skip
    rows += [
        (
            f"({row.name})", number(row.last), "-", _runs(row.note), "-", "-", number(row.min_last5),
            with_epoch(row.best, row.best_epoch), "-", count(row.parameters), row.note,
        )
        for row in published.itertuples(index=False)
    ]  # fmt: skip
    return [table(head, rows, "<" + ">" * 9 + "<"), *_what_n_carries(summary)]


def variants(found, data: str) -> list[dict]:
    """Return what runs of one data set came to that have an experiment's name and another spec."""
    mine, more = found.variants[found.variants["data"] == data], found.more_variants.get(data, 0)
    if mine.empty:
        return []
    text = (
        "Runs of an experiment with other values than those shown for it: set with --set, or those of an earlier file. "
        "They are not judged."
    )
    if more:
        text += f" These are the {len(mine)} that were run last; {more} earlier ones are not shown."
    head = ("experiment", "settings", "n", "last epoch", "std", "95 % interval", "min", "parameters")
    rows = [
        (
            row.experiment, row.settings, row.n, number(row.last_mean, 3), number(row.last_std, 3),
            f"{row.last_low:.2f} to {row.last_high:.2f}", number(row.last_min), count(row.parameters),
        )
        for row in mine.itertuples()
    ]  # fmt: skip
    return [heading(3, f"Variants on {data}"), paragraph(text), table(head, rows, "<<" + ">" * 6)]


def _runs(note) -> str:
    return "5" if "mean of 5" in str(note) else "1"


def _what_n_carries(summary) -> list[dict]:
    """Say what an interval is of, and how many seeds a difference would take."""
    text = (
        "Train: accuracy on clean training images after the last epoch. The interval is of the mean over seeds "
        "(Student's t); of a single run it is Wilson's, over test images, and says nothing of other seeds. Minimum "
        "of the last five: the lowest accuracy of any seed in any of its last five epochs. Best: the mean over seeds "
        "of each one's best epoch, with the median of these epochs. In brackets: published figures, as their sources "
        "give them: single runs and best epochs picked on the test set, unless the last column says otherwise, so they "
        "are nothing to compare a mean with."
    )
    deviations = summary.loc[summary["n"] >= 3, "last_std"].dropna()
    if len(deviations) and deviations.median() > 0:
        deviation = deviations.median()
        text += (
            f" Seeds scatter by a standard deviation of {deviation:.3f} (median over experiments of three seeds or "
            f"more): to show a difference of 0.05 points takes some {runs_needed(0.05, deviation)} seeds a side."
        )
    return [paragraph(text)]


def iteration(found, name: str, fields: list, seen: list, mistakes: list) -> list[dict]:
    """Return an experiment's section in the seed's form: Target, Change, Result, Analysis, Receptive Field."""
    spec, words = found.specs[name], found.words[name]
    told = words_of(words.notes) if words else {"title": ""}
    row = next(found.summary[found.summary["experiment"] == name].itertuples())
    epochs = found.epochs[found.epochs["experiment"] == name]
    blocks = [heading(3, f"{name}: {told['title']}".rstrip(": .")), heading(4, "Target")]
    blocks += [paragraph(told.get("Target") or "The author names none."), heading(4, "Change")]
    blocks += _change(told, spec or words) + [heading(4, "Result")] + _result(found, row, epochs)
    blocks += [heading(4, "Analysis")]
    if told.get("Analysis"):
        blocks.append(paragraph(told["Analysis"], "In the author's words"))
    target = None if pd.isna(row.target_accuracy) else row.target_accuracy
    blocks += [paragraph("computed from the runs:", "Diagnosis"), bullets(diagnose(epochs, target))]
    if mistakes:
        blocks.append(pictures(mistakes))
    return blocks + [heading(4, "Receptive Field")] + _fields(found.measured[name], fields, seen)


def _change(told: dict, spec) -> list[dict]:
    """Return the author's words on the change, and the computed difference from the parent."""
    blocks = [paragraph(told["Change"])] if told.get("Change") else []
    blocks += [paragraph(told["Source"], "Source")] if told.get("Source") else []
    if spec is None or spec.parent not in experiments.names():
        return blocks or [paragraph("Derived from no experiment that is here.")]
    try:
        parent = experiments.load(spec.parent)
    except SpecError:
        return [*blocks, paragraph(f"Its parent {spec.parent} cannot be loaded.")]
    changed = [(n, pair) for n, pair in spec.difference(parent).items() if not n.startswith("target.")]
    rows = [(name, plain(old), plain(new)) for name, (old, new) in changed]
    return [*blocks, table(("field", spec.parent, spec.name), rows, "<<<")] if rows else blocks


def _result(found, row, epochs) -> list[dict]:
    """Return what the runs came to, the verdict, the difference from the parent, and where it is from."""
    head = ("last epoch", "n", "best (epoch)", "min of last 5", "train", "parameters", "multiply-accumulates",
            "seconds", "target")  # fmt: skip
    cells = (
        number(row.last_mean, 3) + ("" if pd.isna(row.last_std) else f" ± {row.last_std:.3f}"), row.n,
        with_epoch(row.best_mean, row.best_epoch_median), number(row.min_last5), number(row.clean_train),
        count(row.parameters), count(row.macs), number(row.seconds, 0), row.verdict,
    )  # fmt: skip
    blocks = [table(head, [cells], ">" * 8 + "<"), paragraph(f"{row.verdict}: {row.reason}.", "Verdict")]
    for change in found.changes[found.changes["experiment"] == row.experiment].itertuples():
        blocks.append(paragraph(_brought(change), f"Against {change.parent}"))
    first = epochs.iloc[0]
    commit, threads = str(first.get("commit"))[:12], first.get("threads")
    made = f"commit {commit}, torch {first.get('torch')}, {first.get('device')}, threads {threads}"
    return [*blocks, paragraph(f"Numbers from {found.sources[row.experiment]}; {made}.")]


def _brought(change) -> str:
    pairs = f"{change.n} seeds, paired" if change.paired else f"{change.n} seeds a side at least, not paired"
    text = f"{change.difference:+.3f} points in the mean of the last epoch ({pairs})"
    if math.isnan(change.low):
        return f"{text}; so few seeds cannot say how sure that is."
    text = f"{text}, 95 % interval {change.low:+.3f} to {change.high:+.3f}"
    if change.low <= 0 <= change.high:
        return f"{text}: not told apart from no difference."
    return f"{text}."


def _fields(measured, drawn, seen) -> list[dict]:
    if measured is None:
        return [paragraph("The network cannot be built from what is here.")]
    counts = {each.name: each.effective for each in seen}
    head = ("layer", "kind", "output", "parameters", "multiply-accumulates", "sees", "of it counts")
    rows, before = [], 1
    for layer in measured.layers:
        if layer.parameters or layer.receptive_field > before:
            output = "×".join(map(str, layer.output))
            cells = (layer.name, layer.kind, output, f"{layer.parameters:,}", f"{layer.macs:,}")
            side = layer.receptive_field
            rows.append((*cells, f"{side} × {side}", number(counts.get(layer.name), 1)))
        before = layer.receptive_field
    text = (
        "Sees: the square of pixels that a unit can depend on. Of it counts: the side of a square of as many pixels as "
        f"have more than {100 * SHARE:.2g} % of the greatest gradient (Luo et al. 2016), before training."
    )
    return [*([pictures(drawn)] if drawn else []), table(head, rows, "<<<>>>>"), paragraph(text)]


def studies(found, album) -> list[dict]:
    """Return a section for each study."""
    blocks = [heading(2, "Studies")] if found.studies else []
    for name, (trials, curves, facts) in found.studies.items():
        blocks += [heading(3, f"Study {name}"), *study_facts(trials, facts)]
        blocks.append(pictures(draw.study(name, trials, curves, facts, album)))
    return blocks


def looks(found, drawn: list) -> list[dict]:
    """Return how often each test set has been looked at."""
    if found.looks.empty:
        return []
    text = "Each look at a test set makes the best figure found on it a little too good; so they are counted."
    return [heading(2, "Looks at the test sets"), paragraph(text), pictures(drawn)]


def closing(found) -> list[dict]:
    """Return the sources of the published figures."""
    shown = found.references[found.references["data"].isin(set(found.summary["data"]))]
    rows = [
        (row.name, row.data, row.source, row.recipe if isinstance(row.recipe, str) else "-", row.note)
        for row in shown.itertuples(index=False)
    ]
    head = ("name", "data", "source", "recipe", "how it is picked")
    return [heading(2, "Sources of the published figures"), table(head, rows, "<<<<<")]
