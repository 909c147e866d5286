"""The figures of a report: which there are, what each shows, and the data it was drawn from."""

import functools
import gc
import json
import re
from pathlib import Path

import pandas as pd
import torch

from analysis import evidence, receptive_field, statistics, sweeps
from analysis.plots import architecture, mistakes, receptive_fields, runs, specs, studies, style, training
from analysis.report.data import ReportData
from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS

BENCH = ROOT / "reports" / "bench.json"


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
    caption = "Test errors over the epochs: means over seeds, in a band from the lowest to the highest seed."
    wanted = summary["target_accuracy"].dropna()
    target, words = (float(wanted.mode().iloc[-1]), "target") if len(wanted) else (None, "")
    owners = summary.loc[summary["target_accuracy"] == target, "experiment"]
    if len(owners) < len(wanted):
        words += f" of {len(owners) if len(owners) > 1 else style.short(owners.iloc[0])}:"
    data = epochs[["experiment", "data", "seed", "epoch", "test_accuracy"]]
    return saved.add(name, caption, data, lambda: runs.learning_curves(data, target, words))


def front(saved: FigureFolder, summary, references, name: str) -> list[dict]:
    """Draw accuracy against parameters with the front over the budgets, a panel for each data set."""
    caption = (
        "Test errors against parameters, and the front: networks that none of as few parameters surpasses. Blue: "
        "tinycnn's means; of networks of equal size the best stands right. Grey: published, by how they were selected."
    )
    summary = summary.dropna(subset=["parameters"])
    if summary.empty:  # none was recorded
        return []
    own = summary[["experiment", "data", "parameters", "n", "last", "last_low", "last_high"]]
    published = references[references["data"].isin(set(own["data"]))].drop(columns=["train", "recipe"])
    data = pd.concat([own.assign(whose="tinycnn"), published.assign(whose="published")], ignore_index=True)
    budgets = [1000 * 2**power for power in range(9)]
    return saved.add(name, caption, data, lambda: specs.accuracy_against_parameters(summary, published, budgets))


def on_a_device(saved: FigureFolder, measured) -> list[dict]:
    """Draw the accuracy of C programs against their bytes. ``measured``: as ``device.summarise`` returns it."""
    published, drawn = evidence.references_of_bytes(), []
    for data, own in measured.groupby("data", sort=False):
        theirs = published[published["data"] == data]
        both = [own.assign(whose="tinycnn"), theirs.assign(whose="published")]
        caption = f"Test errors of C programs on {data} against bytes of constants"
        caption += ", and of published ones against bytes of weights alone." if len(theirs) else "."
        plot = functools.partial(
            specs.accuracy_against, own, theirs, "bytes", "bytes of constants; of the published, of weights"
        )
        drawn += saved.add(f"device_{data}", caption, pd.concat(both, ignore_index=True), plot)
    return drawn


def comparison(report: ReportData, data: str, saved: FigureFolder, everything: bool) -> list[dict]:
    """Draw what compares the experiments of one data set; of a single one only its learning curves."""
    summary = report.summary[(report.summary["data"] == data) & report.summary["experiment"].isin(report.main)]
    epochs, changed = (f[f["experiment"].isin(summary["experiment"])] for f in (report.epochs, report.changes))
    drawn = learning_curves(saved, epochs, summary, f"learning_curves_{data}")
    if len(changed):
        caption = "What each change brought, on the mean of the last epoch. An interval with 0 in it shows no effect."
        drawn += saved.add(f"changes_{data}", caption, changed, lambda: specs.changes(changed))
    if len(summary) == 1 and not everything:
        return drawn
    images = {name: statistics.images_of(part) for name, part in epochs.groupby("experiment")}
    last = statistics.last_epochs(epochs)[["experiment", "data", "seed", "epoch", "test_accuracy"]]
    last = last.assign(images=last["experiment"].map(images))
    caption = "Each seed's last epoch as a point, their mean and its 95 % interval."
    drawn += saved.add(f"seeds_{data}", caption, last, lambda: runs.seeds(last))
    costs = summary[["experiment", "data", "n", "last", "last_low", "last_high", "macs"]]
    if costs["macs"].notna().any():
        caption, label = "Test errors against arithmetic, and the front.", "multiply-accumulates of an image"
        drawn += saved.add(
            f"macs_{data}", caption, costs, lambda: specs.accuracy_against(costs, costs[:0], "macs", label)
        )
    drawn += training_time(report, data, saved)
    losses = epochs[["experiment", "seed", "epoch", "train_loss", "test_loss"]]
    if losses[["train_loss", "test_loss"]].notna().all(axis=1).any():
        caption = "Training and test loss over the epochs. Training images are augmented, and seen with dropout."
        drawn += saved.add(f"losses_{data}", caption, losses, lambda: runs.losses(losses))
    return drawn


def training_time(report: ReportData, data: str, saved: FigureFolder) -> list[dict]:
    """Draw accuracy against the time that the benchmark measured: of sprint, its experiment, and the plain loop."""
    if not BENCH.exists():
        return []
    bench = json.loads(BENCH.read_text(encoding="utf-8"))
    machine, timed = bench["where"]["machine"], bench.get("time_to")
    names = [bench["where"]["experiment"], "sprint"]
    means = report.epochs[report.epochs["data"] == data].groupby(["experiment", "epoch"])["test_accuracy"].mean()
    if not timed or not bench.get("tracking") or not set(names) <= set(means.index.unique(0)) & set(report.main):
        return []
    each = bench["tracking"]["epoch"]["median"], timed["sprint_seconds"]["median"] / timed["sprint_epochs"]
    parts = [
        pd.DataFrame({"what": name, "seconds": means[name].index * seconds, "test_accuracy": means[name].to_numpy()})
        for name, seconds in zip(names, each, strict=True)
    ]
    reached = [run["seconds"] for run in timed["plain"] if run["reached"]]
    plain = pd.DataFrame({"what": "plain loop", "seconds": reached, "test_accuracy": timed["target"]})
    lines = {part["what"].iloc[0]: (part["seconds"], part["test_accuracy"]) for part in parts}
    caption = (
        f"Test errors against seconds of training on {machine['cores']} cores of {machine['processor']}: epochs of the "
        f"records, at the seconds an epoch takes in make bench. Crosses: a plain loop's first epoch at the target."
    )
    plot = functools.partial(runs.training_time, lines, reached, timed["target"])
    return saved.add(f"time_{data}", caption, pd.concat([*parts, plain]), plot)


def layers_of(report: ReportData, name: str, saved: FigureFolder) -> list[dict]:
    """Draw the layers of an experiment's network."""
    spec, measured = report.specs[name] or report.documents[name], report.measured[name]
    if measured is None:
        return []
    shape = spec.data.facts().channels, spec.data.facts().size, spec.data.facts().size
    plot = functools.partial(architecture.architecture, measured, shape)
    return saved.add(f"layers_{name}", f"The layers of {name}.", pd.DataFrame(measured.layers), plot)


def images_of(report: ReportData, name: str, saved: FigureFolder) -> list[dict]:
    """Draw what augmentation makes of training images, and the receptive fields of an experiment's network."""
    spec, measured = report.specs[name] or report.documents[name], report.measured[name]
    split = receptive_field.example_of(spec.data) if measured else None
    if split is None:
        return []
    few = torch.arange(6) * (len(split.train.labels) // 6)  # they may be sorted by class
    images, labels = split.train.images[few].float() / 255, split.train.labels[few]
    generator = torch.Generator().manual_seed(0)
    augmented = [spec.augment.apply(images, labels, generator, split)[0] for _ in range(4)]
    plot = functools.partial(training.contact_sheet, images, torch.stack(augmented), 0.48)
    settings = pd.DataFrame(spec.augment.model_dump().items(), columns=["field", "value"])
    drawn = saved.add(f"augmentation_{name}", f"Training images as {name} augments them.", settings, plot)
    image, fields = receptive_field.of_spec(spec, measured)
    columns = ["name", "kind", "side", "left", "top", "effective"]
    data = pd.DataFrame([[getattr(field, column) for column in columns] for field in fields], columns=columns)
    caption = (
        f"Receptive fields of {name}: the square is what the middle unit can depend on; orange is how much each pixel "
        f"counts by gradients, before training (Luo et al. 2016). Effective: side of a square of as many pixels as "
        f"have more than {100 * receptive_field.SHARE:.2g} % of the largest."
    )
    plot = functools.partial(receptive_fields.receptive_fields, image, fields)
    return drawn + saved.add(f"receptive_fields_{name}", caption, data, plot)


def mistakes_of(report: ReportData, name: str, saved: FigureFolder) -> list[dict]:
    """Draw an experiment's confusion matrix and the images that every seed gets wrong, where its runs recorded them."""
    mine = report.mistakes[report.mistakes["experiment"] == name]
    data, seeds = None if mine.empty else str(mine["data"].iloc[0]), mine["seed"].nunique()
    if data is None:
        report.notes.append(f"{name}: no figures of mistakes, for want of a record of them.")
        return []
    if data not in DATASETS:
        report.notes.append(f"{name}: no figures of mistakes, which only those of published data sets have.")
        return []
    classes, drawn = DATASETS[data].classes, []
    if counts := report.class_counts.get(data):
        matrix = statistics.confusion(mine, len(classes))
        caption = f"Which class {name} takes for which, on average over the seeds."
        plot = functools.partial(mistakes.confusion, matrix, counts, classes, f", mean of n={seeds}")
        drawn += saved.add(f"confusion_{name}", caption, mine, plot)
    table = statistics.wrong_for_every_seed(mine)
    digest = report.epochs.loc[report.epochs["experiment"] == name, "data_digest"].iloc[0]
    split = receptive_field.data_here(data)
    if seeds > 1 and split and split.digest == digest:
        images = split.evaluation.images[table["index"].tolist()]
        caption = f"Test images that each of the {seeds} seeds gets wrong, with the true and the most frequent answer."
        plot = functools.partial(mistakes.always_wrong, images, table, classes)
        drawn += saved.add(f"always_wrong_{name}", caption, table, plot)
    elif seeds > 1:
        report.notes.append(f"{name}: the images that every seed gets wrong are not shown: its {data} is not here.")
    return drawn


def sweep(name: str, result: dict, saved: FigureFolder) -> list[dict]:
    """Draw what each arm of a sweep brings."""
    changed = sweeps.differences(result)
    caption = f"{name}: what each arm brings against the base, by seed, with 95 % intervals."
    return saved.add(f"sweep_{name}", caption, changed, lambda: specs.changes(changed)) if len(changed) else []


def study(name: str, trials, result: dict, saved: FigureFolder) -> list[dict]:
    """Draw what an Optuna study tried, if it has a complete trial."""
    if result.get("best") is None:
        return []
    share = ", with its share of the variation" if result.get("importances") else ""
    caption = f"{name}: objective over each searched field{share}. Star: the best trial."
    return saved.add(f"study_{name}_slices", caption, trials, lambda: studies.slices(trials, result))
