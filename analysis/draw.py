"""Findings -> the figures of a report: which there are, what each shows, and from which frame."""

import pandas as pd

from analysis import figures
from analysis.album import Album, Picture
from analysis.pictured import effective, pictured, wrong_images
from analysis.statistics import last_epochs
from tinycnn.data.catalog import DATASETS

MOST = 20
"""Experiments in one figure; with more nobody could tell them apart."""


def curves(album: Album, epochs: pd.DataFrame, summary: pd.DataFrame, name: str) -> list[Picture]:
    """Draw the learning curves of the experiments of one data set."""
    caption = (
        "Test errors per 10,000 over the epochs, on a logarithmic axis. Lines are means over seeds; a band reaches "
        "from the lowest to the highest seed, and one run has none."
    )
    frame, target = epochs[["experiment", "data", "seed", "epoch", "test_accuracy"]], _one(summary["target_accuracy"])
    return album.add(name, caption, frame, lambda: figures.learning_curves(frame, target))


def against_parameters(album: Album, summary: pd.DataFrame, references: pd.DataFrame, name: str) -> list[Picture]:
    """Draw accuracy against parameters, for one data set, beside the published figures."""
    caption = (
        "Test errors against parameters. Filled: ours, the mean of the last epoch with its 95 % interval, and the line "
        "that none of ours betters with as few parameters. Hollow: published, mostly the best epoch of one run picked "
        "on the test set; where the last epoch is known a line leads to it."
    )
    limit = _one(summary["limit"])
    frame = pd.concat([summary.assign(whose="ours"), references.assign(whose="published")], ignore_index=True)
    return album.add(
        name, caption, frame, lambda: figures.accuracy_against_parameters(summary, references, limit and int(limit))
    )


def _one(column: pd.Series):
    """Return the value that stands in a column most often, None where it is empty."""
    found = column.dropna().mode()
    return float(found.iloc[0]) if len(found) else None


def comparison(found, data: str, album: Album) -> list[Picture]:
    """Draw what compares the experiments of one data set."""
    summary = found.summary[found.summary["data"] == data]
    if len(summary) > MOST:
        summary = summary.sort_values("last_mean", ascending=False, kind="stable").head(MOST).sort_index()
        album.notes.append(f"{data}: figures show the {MOST} experiments of highest mean accuracy, tables show all.")
    epochs = found.epochs[found.epochs["experiment"].isin(summary["experiment"])]
    references = found.references[found.references["data"] == data]
    changed = found.changes[found.changes["experiment"].isin(summary["experiment"])]
    drawn = curves(album, epochs, summary, f"learning_curves_{data}")
    drawn += against_parameters(album, summary, references, f"accuracy_parameters_{data}")
    last = last_epochs(epochs)
    drawn += album.add(
        f"seeds_{data}",
        "Each seed's last epoch as a point, their mean and its 95 % interval (Student's t; for a single run Wilson's, "
        "over test images).",
        last[["experiment", "data", "seed", "epoch", "test_accuracy"]],
        lambda: figures.seeds(last),
    )
    if len(changed):
        drawn += album.add(
            f"changes_{data}",
            "What each change brought: the difference of the last epoch's mean from the parent's, in points, with its "
            "95 % interval, paired by seed where two or more are shared. An interval that holds 0 shows no effect; one "
            "from few seeds is wide for want of seeds.",
            changed,
            lambda: figures.changes(changed),
        )
    drawn += album.add(
        f"schedules_{data}",
        "The learning rate at the last step of each epoch.",
        epochs[["experiment", "seed", "epoch", "learning_rate"]],
        lambda: figures.schedules(epochs),
    )
    drawn += album.add(
        f"cost_{data}",
        "Test errors against the seconds of a whole training (evaluation included, on whatever machine it ran) and "
        "against the multiply-accumulates of one image.",
        summary[["experiment", "n", "last_mean", "last_low", "last_high", "seconds", "macs"]],
        lambda: figures.cost(summary),
    )
    return drawn


def looks(found, album: Album) -> list[Picture]:
    """Draw how often each test set has been looked at."""
    caption = "How many different specs each test set has judged so far, altered ones among them."
    return album.add("looks", caption, found.looks, lambda: figures.looks(found.looks))


def field_of(found, name: str, album: Album, known: dict) -> tuple[list[Picture], list]:
    """Draw the receptive fields of an experiment's network, once for each network; return also what was measured.

    ``known``: what was drawn before, by network.
    """
    spec, measured = found.specs[name] or found.words[name], found.measured[name]
    if measured is None:
        return [], []
    key = spec.model.model_dump_json(), spec.data.short
    if key not in known and len(known) >= MOST:
        line = f"Receptive fields are drawn for the first {MOST} networks only."
        album.notes += [line] * (line not in album.notes)
        return [], []
    if key not in known:
        image, images, words = pictured(spec.data)
        seen = effective(spec, measured, images)
        frame = pd.DataFrame(
            [(s.name, s.kind, s.side, s.left, s.top, s.effective) for s in seen],
            columns=["layer", "kind", "side", "left", "top", "effective"],
        )
        caption = (
            f"Receptive fields over {words}, layer by layer: the square is what the middle unit can see; orange is how "
            "much each pixel counts by gradients, in the network before training (Luo et al. 2016)."
        )
        known[key] = (
            album.add(
                f"receptive_fields_{name}",
                caption,
                frame,
                lambda: figures.receptive_fields(image, measured.layers, seen),
            ),
            seen,
        )
    return known[key]


def mistakes(found, name: str, album: Album) -> list[Picture]:
    """Draw an experiment's confusion matrix and the images that every seed gets wrong, where its runs tell."""
    mine = found.mistakes[found.mistakes["experiment"] == name]
    data = None if mine.empty else str(mine["data"].iloc[0])
    if data not in DATASETS:
        return []
    classes, drawn = DATASETS[data].classes, []
    if data in found.class_counts:
        counts = found.class_counts[data]
        caption = "Which class was taken for which, on average over the seeds; right answers are left blank."
        drawn += album.add(f"confusion_{name}", caption, mine, lambda: figures.confusion(mine, counts, classes))
    table = figures.wrong_for_every_seed(mine)
    runs = mine["seed"].nunique()
    digest = found.epochs.loc[found.epochs["experiment"] == name, "data_digest"].iloc[0]
    images = wrong_images(data, table["index"], digest) if runs > 1 else None
    if images is not None:
        caption = f"Test images that each of the {runs} seeds gets wrong, with the true and the most given class."
        drawn += album.add(f"always_wrong_{name}", caption, table, lambda: figures.always_wrong(images, table, classes))
    elif runs > 1:
        album.notes.append(f"{name}: the images that every seed gets wrong are not shown, for want of {data} itself.")
    return drawn


def study(name: str, trials, curves, facts, album: Album) -> list[Picture]:
    """Draw an Optuna study."""
    drawn = album.add(
        f"study_{name}_history",
        "The objective of each trial in the order they began, the best until then, and trials that did not finish.",
        trials,
        lambda: figures.history(trials, facts),
    )
    shares = pd.DataFrame(sorted((facts.get("importances") or {}).items()), columns=["field", "share"])
    caption = "How much of the objective's variation over complete trials each field accounts for."
    drawn += album.add(f"study_{name}_importances", caption, shares, lambda: figures.importances(facts))
    if pair := _pair(trials, facts):
        caption = f"The objective over {pair[0]} and {pair[1]}; crosses are trials that were not completed."
        drawn += album.add(f"study_{name}_contour", caption, trials, lambda: figures.contour(trials, facts, *pair))
    caption = "All searched fields side by side, a line for each complete trial."
    drawn += album.add(f"study_{name}_parallel", caption, trials, lambda: figures.parallel(trials, facts))
    caption = "Parameters of each trial against the limit; a trial above it was stopped before any data was read."
    drawn += album.add(f"study_{name}_feasibility", caption, trials, lambda: figures.feasibility(trials, facts))
    if curves is not None:
        caption = "Validation loss over the epochs of each trial, mean over its seeds; a cross where one was pruned."
        drawn += album.add(
            f"study_{name}_pruned", caption, curves, lambda: figures.pruned_curves(curves, trials, facts)
        )
    return drawn


def _pair(trials, facts) -> tuple[str, str] | None:
    """Return dropout and the learning rate's step where both were searched, or else the two that matter most."""
    shares = facts.get("importances") or {}
    wanted = ["model.dropout", "schedule.step_size", "schedule.gamma", "optimizer.lr"]
    wanted += sorted(shares, key=lambda field: -shares[field])
    searched = [field for field in dict.fromkeys(wanted) if field in trials and trials[field].nunique() > 1]
    return (searched[0], searched[1]) if len(searched) > 1 else None
