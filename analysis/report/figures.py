"""The figures of a report: which there are, what each shows, and the data it was drawn from."""

import functools
import gc
import re
from pathlib import Path

import pandas as pd

from analysis import receptive_field, statistics
from analysis.plots import mistakes, receptive_fields, runs, specs, studies, style
from analysis.report.data import ReportData
from tinycnn.data.catalog import DATASETS
from tinycnn.data.files import load
from tinycnn.errors import UserError

MOST = 20
"""Experiments in one figure, and networks whose receptive fields are drawn; more could not be told apart."""


class FigureFolder:
    """The figures of one report in a folder: PNG, SVG and, as CSV, their data. Failures become lines of ``notes``."""

    def __init__(self, folder: Path, notes: list[str]):
        self.folder, self.notes, self.names = folder, notes, []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, caption: str, data: pd.DataFrame, plot) -> list[dict]:
        """Save the figure that ``plot()`` returns, and ``data``; return what a document needs of it, or []."""
        name = re.sub(r"[^\w-]", "_", name)  # a data set or an experiment in a store may have any name
        try:
            figure = plot()
            style.save(figure, self.folder / name)
        except Exception as error:  # one figure that strange numbers break must not cost the others
            self.notes.append(f"figure {name}: cannot be drawn ({type(error).__name__}: {error}).")
            return []
        gc.collect()  # a figure refers to itself in circles, so that many would stay in memory
        data.to_csv(self.folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.8g")
        self.names.append(name)
        return [{"name": name, "caption": caption, "wide": figure.get_figwidth() > style.COLUMN}]

    def remove_others(self):
        """Delete what an earlier report left in the folder, but for the README's figures."""
        for path in self.folder.iterdir():
            generated = path.suffix in (".png", ".svg", ".csv") and not path.name.startswith("readme_")
            if generated and path.stem not in self.names:
                path.unlink()


def learning_curves(saved: FigureFolder, epochs, summary, name: str) -> list[dict]:
    """Draw the learning curves of the experiments of one data set."""
    caption = "Test errors per 10,000 over the epochs: means over seeds, in a band from the lowest to the highest seed."
    target = _most_frequent(summary["target_accuracy"])
    data = epochs[["experiment", "data", "seed", "epoch", "test_accuracy"]]
    return saved.add(name, caption, data, lambda: runs.learning_curves(data, target))


def accuracy_against_parameters(saved: FigureFolder, summary, references, name: str) -> list[dict]:
    """Draw accuracy against parameters for one data set, beside the published figures."""
    caption = (
        "Test errors against parameters. Filled: tinycnn, the mean of the last epoch with its 95 % interval, and its "
        "Pareto front. Hollow: published, mostly the best epoch of one run selected on the test set; where the last "
        "epoch is known a line leads to it."
    )
    limit = _most_frequent(summary["limit"])
    own = summary[["experiment", "data", "parameters", "n", "last", "last_low", "last_high"]]
    published = references[["name", "data", "parameters", "best", "last", "note"]]
    data = pd.concat([own.assign(whose="tinycnn"), published.assign(whose="published")], ignore_index=True)
    return saved.add(name, caption, data, lambda: specs.accuracy_against_parameters(summary, references, limit))


def _most_frequent(column: pd.Series):
    found = column.dropna().mode()
    return float(found.iloc[0]) if len(found) else None


def comparison(report: ReportData, data: str, saved: FigureFolder) -> list[dict]:
    """Draw what compares the experiments of one data set."""
    summary = report.summary[report.summary["data"] == data]
    if len(summary) > MOST:
        summary = summary.nlargest(MOST, "last").sort_index()
        report.notes.append(f"{data}: figures show the {MOST} experiments of highest mean accuracy, tables show all.")
    epochs = report.epochs[report.epochs["experiment"].isin(summary["experiment"])]
    last = statistics.last_epochs(epochs)[["experiment", "data", "seed", "epoch", "test_accuracy"]]
    changed = report.changes[report.changes["experiment"].isin(summary["experiment"])]
    references = report.references[report.references["data"] == data]
    drawn = learning_curves(saved, epochs, summary, f"learning_curves_{data}")
    if summary["parameters"].notna().any():
        drawn += accuracy_against_parameters(saved, summary, references, f"accuracy_parameters_{data}")
    caption = "Each seed's last epoch as a point, their mean and its 95 % interval (of a single run, over test images)."
    drawn += saved.add(f"seeds_{data}", caption, last, lambda: runs.seeds(last))
    if len(changed):
        caption = (
            "What each change brought: the difference of the last epoch's mean from the parent's, in points, with its "
            "95 % interval, paired by seed where two or more are shared. An interval that includes 0 shows no effect."
        )
        drawn += saved.add(f"changes_{data}", caption, changed, lambda: specs.changes(changed))
    rates = epochs[["experiment", "seed", "epoch", "learning_rate"]]
    if rates["learning_rate"].notna().any():
        caption = "The learning rate at the last step of each epoch."
        drawn += saved.add(f"schedules_{data}", caption, rates, lambda: runs.schedules(rates))
    caption = "Test errors against the seconds of a whole training and the multiply-accumulates of one image."
    costs = summary[["experiment", "n", "last", "last_low", "last_high", "seconds", "macs"]]
    if costs[["seconds", "macs"]].notna().any(axis=None):
        drawn += saved.add(f"cost_{data}", caption, costs, lambda: specs.cost(costs))
    return drawn


def fields_of(report: ReportData, name: str, saved: FigureFolder, known: dict) -> tuple[list[dict], list]:
    """Draw the receptive fields of an experiment's network, once for each network; return also the fields.

    ``known``: what was drawn before, by network.
    """
    spec, measured = report.specs[name] or report.documents[name], report.measured[name]
    if measured is None:
        return [], []
    key = spec.model.model_dump_json(), spec.data.short
    if key not in known and len(known) < MOST:
        image, title, fields = receptive_field.of_spec(spec, measured)
        columns = ["name", "kind", "side", "left", "top", "effective"]
        data = pd.DataFrame([[getattr(field, column) for column in columns] for field in fields], columns=columns)
        caption = (
            f"Receptive fields over {title}, layer by layer: the square is what the middle unit can depend on; orange "
            "is how much each pixel counts by gradients, in the network before training (Luo et al. 2016)."
        )
        plot = functools.partial(receptive_fields.receptive_fields, image, fields)
        known[key] = saved.add(f"receptive_fields_{name}", caption, data, plot), fields
    return known.get(key, ([], []))


def mistakes_of(report: ReportData, name: str, saved: FigureFolder) -> list[dict]:
    """Draw an experiment's confusion matrix and the images that every seed gets wrong, where its runs recorded them."""
    mine = report.mistakes[report.mistakes["experiment"] == name]
    data, seeds = None if mine.empty else str(mine["data"].iloc[0]), mine["seed"].nunique()
    if data not in DATASETS:
        return []
    classes, drawn = DATASETS[data].classes, []
    if counts := report.class_counts.get(data):
        matrix = statistics.confusion(mine, len(classes))
        caption = "Which class was taken for which, on average over the seeds; correct answers are left blank."
        plot = functools.partial(mistakes.confusion, matrix, counts, classes, f", mean of n={seeds}")
        drawn += saved.add(f"confusion_{name}", caption, mine, plot)
    table = statistics.wrong_for_every_seed(mine)
    digest = report.epochs.loc[report.epochs["experiment"] == name, "data_digest"].iloc[0]
    split = _test_set(data)
    if seeds > 1 and split and split.digest == digest:
        images = split.evaluation.images[table["index"].tolist()]
        caption = f"Test images that each of the {seeds} seeds gets wrong, with the true and the most frequent answer."
        plot = functools.partial(mistakes.always_wrong, images, table, classes)
        drawn += saved.add(f"always_wrong_{name}", caption, table, plot)
    elif seeds > 1:
        report.notes.append(f"{name}: the images that every seed gets wrong are not shown, since {data} is not here.")
    return drawn


@functools.cache
def _test_set(data: str):
    try:
        return load(data, 0.0, offline=True)
    except UserError:
        return None


def study(name: str, trials, curves, result: dict, saved: FigureFolder) -> list[dict]:
    """Draw an Optuna study."""
    shares = pd.DataFrame(sorted((result.get("importances") or {}).items()), columns=["field", "share"])
    data = {"importances": shares, "curves": curves}
    captions = {
        "history": "The objective of each trial in their order, the best so far, and trials that did not finish.",
        "importances": "How much of the objective's variation over complete trials each field accounts for.",
        "slices": "The objective of the complete trials over parameters and each searched field; the star is the best.",
        "curves": "Validation loss over the epochs of each trial, mean over its seeds; a cross where one was pruned.",
    }
    return [
        figure
        for kind, plot in studies.plots(trials, curves, result).items()
        for figure in saved.add(f"study_{name}_{kind}", captions[kind], data.get(kind, trials), plot)
    ]
