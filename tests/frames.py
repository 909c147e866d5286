"""Made-up frames as ``analysis.evidence`` and ``analysis.statistics`` give them, for the tests of figures."""

import numpy as np
import pandas as pd

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS

DIGITS, THINGS = DATASETS["mnist"].classes, DATASETS["fashion_mnist"].classes
LONG = "an-experiment-with-a-name-that-is-as-long-as-a-name-can-be-{:02d}"


def epochs(experiments=3, seeds=lambda number: 3, length=15, name="exp{}"):
    """Return a row for each epoch of so many experiments, errors falling to between 40 and 90 per 10,000."""
    random, rows = np.random.default_rng(experiments), []
    for number in range(experiments):
        for seed in range(seeds(number)):
            luck = random.normal(0, 4)
            for epoch in range(1, length + 1):
                wrong = 40 + 50 * number / experiments + 900 / epoch**2 + luck + random.normal(0, 2)
                rows.append({
                    "experiment": name.format(number), "data": "mnist", "images": 10_000, "seed": seed, "epoch": epoch,
                    "test_accuracy": 100 - max(wrong, 0) / 100, "train_loss": wrong / 1e3,
                    "test_loss": wrong / 2e3,
                })  # fmt: skip
    return pd.DataFrame(rows)


def evidence():
    """Return the committed epochs of this repository."""
    names = ("exp1", "exp2", "exp3", "exp4", "sprint")
    parts = [pd.read_csv(ROOT / "reports" / "evidence" / f"{name}.csv") for name in names]
    return pd.concat(parts, ignore_index=True).assign(images=10_000)


def summary(experiments=3, name="exp{}"):
    """Return a row for each experiment, most of them just below the limit."""
    random = np.random.default_rng(experiments)
    sizes = random.choice([28_624, 7_344, 7_872, 7_728, 7_990, 5_100, 3_000], experiments)
    mean = 99.4 + 0.1 * random.normal(size=experiments)
    return pd.DataFrame({
        "experiment": [name.format(number) for number in range(experiments)],
        "data": "mnist", "parameters": sizes, "n": 3, "last": mean,
        "last_low": mean - 0.06, "last_high": mean + 0.06,
        "macs": random.uniform(5e5, 4e6, experiments),
    })  # fmt: skip


def references():
    """Return published figures, most of them between 7,400 and 8,000 parameters, as those there are."""
    sizes = [28_624, 7_344, 7_872, 7_496, 7_878, 7_918, 5_711, 5_711, 7_954, 7_884, 8_000, 9_994, 3_003, 1_936, 697]
    best = [98.47, 99.22, 99.5, 99.56, 99.52, 99.52, 99.52, 99.46, 99.46, 99.44, 99.42, 99.61, 99.15, 99.1, 99.03]
    last = [np.nan] * 3 + [99.56, 99.51, 99.5, 99.52, 99.42, 99.46, 99.44, 99.42, 99.6] + [np.nan] * 3
    names = [f"somebody-{number}/a-repository" for number in range(len(sizes))]
    frame = pd.DataFrame({"name": names, "data": "mnist", "parameters": sizes, "best": best, "last": last})
    return frame.assign(n=[1] * (len(sizes) - 1) + [5])


def changes(count=3, fields=4, name="exp{}"):
    """Return a row for each change, in turn paired, not paired, and of one seed a side."""
    text = "; ".join(f"augment.rotation {k} → {k + 7.5}" for k in range(fields))
    rows = [
        {"experiment": name.format(k + 1), "parent": name.format(k), "fields": text, "difference": 0.3 - 0.1 * k,
         "low": 0.2 - 0.1 * k if k % 3 < 2 else np.nan, "high": 0.4 - 0.1 * k if k % 3 < 2 else np.nan,
         "n": 5 if k % 3 < 2 else 1, "paired": k % 3 == 0}
        for k in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def mistakes(seeds=5, images=40, classes=10):
    """Return the same hard images for every seed, and others for each."""
    random, rows = np.random.default_rng(0), []
    hard = [(index, index % classes) for index in range(0, 10 * images, 10)]
    for seed in range(seeds):
        for index, label in [*hard, *((1 + 10 * k + seed % 9, k % classes) for k in range(20))]:
            predicted = (label + random.integers(1, classes)) % classes
            rows.append({"experiment": "exp", "data": "mnist", "seed": seed, "index": index, "label": label,
                         "predicted": predicted})  # fmt: skip
    return pd.DataFrame(rows)


RANGES = {
    "model.dropout": {"kind": "float", "low": 0.0, "high": 0.1, "log": False},
    "optimizer.lr": {"kind": "float", "low": 0.001, "high": 0.03, "log": True},
    "schedule.step_size": {"kind": "int", "low": 2, "high": 8, "log": False},
    "schedule.gamma": {"kind": "float", "low": 0.05, "high": 0.7, "log": True},
    "optimizer.name": {"kind": "choice", "choices": ["SGD", "Adam", "AdamW"]},
    "model.layers.2": {"kind": "choice", "choices": ["MaxPool(2)", "AvgPool(2)", "BlurPool(2)", "GatedPool(2)"]},
    **{f"model.layers.{k}.channels": {"kind": "int", "low": 4, "high": 24, "log": False} for k in range(4)},
}


def study(trials=60, states=("complete", "pruned", "over_limit", "complete", "failed", "complete", "interrupted"),
          ranges=RANGES, objective="validation_loss"):  # fmt: skip
    """Return trials and result of a study whose objective gets worse with dropout."""
    random, rows = np.random.default_rng(0), []
    for number in range(trials):
        row = {"number": number, "state": states[number % len(states)], "worker": 0, "run_id": "x"}
        row["parameters"] = random.integers(8_001, 15_000) if row["state"] == "over_limit" else 7_000 + number
        for field, searched in ranges.items():
            row[field] = _draw(searched, random)
        value = 0.02 + 0.3 * row["model.dropout"] + 0.005 * random.random()
        row |= {"excess": row["parameters"] - 8_000, "accuracy": 100 - 30 * value, "value": np.nan}
        if row["state"] == "complete":
            row["value"] = value if objective == "validation_loss" else row["accuracy"]
        rows.append(row)
    columns = ["number", "state", "worker", "run_id", "parameters", *ranges, "excess", "accuracy", "value"]
    frame = pd.DataFrame(rows, columns=columns)
    done = frame.dropna(subset=["value"])
    best = (done["value"] if objective == "validation_loss" else -done["value"]).idxmin() if len(done) else None
    result = {
        "study": "made-up", "base": "exp3", "objective": objective, "limit": 8_000, "ranges": ranges, "best": best,
        "importances": {field: 2.0 ** -(k + 1) for k, field in enumerate(ranges)},
    }  # fmt: skip
    return frame, result


def _draw(searched, random):
    if searched["kind"] == "choice":
        return str(random.choice(searched["choices"]))
    if searched["kind"] == "int":
        return int(random.integers(searched["low"], searched["high"] + 1))
    low, high = searched["low"], searched["high"]
    return float(np.exp(random.uniform(np.log(low), np.log(high))) if searched["log"] else random.uniform(low, high))
