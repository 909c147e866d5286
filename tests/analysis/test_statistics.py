"""Summaries, verdicts, changes and counts of mistakes against what is worked out by hand."""

import math

import pandas as pd
import pytest
from scipy import stats

from analysis import statistics
from tinycnn.spec import Spec


def epochs(name, accuracies, data="mnist"):
    """Return a run for each list of accuracies: seeds 0, 1, ..."""
    rows = [
        {"experiment": name, "data": data, "seed": seed, "epoch": epoch, "test_accuracy": value,
         "train_accuracy": 99.0, "clean_train_accuracy": 99.5 if epoch == len(run) else None, "parameters": 7000.0}
        for seed, run in enumerate(accuracies)
        for epoch, value in enumerate(run, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def spec(name, parent=None, epochs=2, **fields):
    layers = [{"kind": "Conv", "channels": 16}, {"kind": "Head"}]
    values = {"model": {"kind": "Network", "layers": layers}, "train": {"epochs": epochs}, "target": {"last_epochs": 1}}
    return Spec.from_dict({"name": name, "parent": parent} | values | fields)


def test_the_seeds_needed_to_detect_a_difference_are_the_textbooks():
    # two-sided 5 %, power 0.8, distance of one standard deviation: 16 a side (15.7; Lehr 1992, "Sixteen s-squared")
    assert statistics.seeds_needed(0.05, 0.05) == 16


def test_the_summary_says_what_the_epochs_say():
    row = statistics.summarise(epochs("a", [[98.0, 99.0], [99.5, 99.2]]), spec("a", "b"))
    assert (row["n"], row["last"], row["last_min"]) == (2, pytest.approx(99.1), 99.0)
    assert row["last_std"] == pytest.approx(math.sqrt(2) * 0.1)
    assert (row["best"], row["best_epoch"]) == (pytest.approx(99.25), 1.5)
    assert (row["min_last5"], row["clean_train"]) == (98.0, 99.5)
    assert (row["verdict"], row["target_accuracy"]) == ("missed", 99.4)


def test_a_spec_is_judged_by_the_acceptance_rule_and_an_unknown_one_is_not():
    good, bad = [99.4, 99.5], [99.5, 99.3]
    assert statistics.judge(epochs("a", [good] * 4 + [bad]), spec("a"))[0] == "met"  # four in five
    assert statistics.judge(epochs("a", [good] * 3 + [bad]), spec("a"))[0] == "missed"
    assert statistics.judge(epochs("a", [good]), None)[0] == "not judged"
    assert statistics.judge(epochs("a", [good], data="mnist5k"), spec("a"))[0] == "not judged"
    assert statistics.judge(epochs("a", [good[:1]]), spec("a"))[0] == "not judged"  # an epoch is missing


def test_a_target_on_one_data_set_is_none_on_another():
    fashion = spec("a", data={"name": "fashion_mnist"}, target={"data": "mnist"})
    row = statistics.summarise(epochs("a", [[90.0]], data="fashion_mnist"), fashion)
    assert row["target_accuracy"] is None and row["verdict"] == "not judged"
    assert statistics.summarise(epochs("a", [[90.0]], data="mnist5k"), spec("a"))["target_accuracy"] is None


def test_an_interval_is_of_as_many_images_as_the_run_recorded():
    frame = epochs("a", [[95.0]], data="npz").assign(images=500.0)
    row = statistics.summarise(frame, spec("a"))
    known = stats.binomtest(475, 500).proportion_ci(method="wilson")
    assert (row["last_low"], row["last_high"]) == pytest.approx((100 * known.low, 100 * known.high))


def test_a_change_is_only_measured_against_a_parent_on_the_same_data():
    frame = pd.concat([epochs("a", [[99.0]] * 2), epochs("b", [[99.5]] * 2), epochs("c", [[70.0]] * 2, data="cifar10")])
    specs = {"a": spec("a"), "b": spec("b", "a", optimizer={"name": "SGD", "lr": 0.5}), "c": spec("c", "a")}
    changes = statistics.changes(frame, specs)
    assert changes[["experiment", "fields"]].values.tolist() == [["b", "optimizer.lr 0.01 → 0.5"]]
    own = pd.concat([epochs(name, [[99.0]] * 2, data="npz") for name in "ab"])
    specs = {"a": spec("a", data={"name": "npz", "path": "a"}), "b": spec("b", "a", data={"name": "npz", "path": "b"})}
    assert statistics.changes(own, specs).empty


def test_under_each_budget_is_the_best_network_and_one_seed_only_where_there_is_nothing_else():
    rows = [("a", 900, 98.0, 1), ("b", 1_900, 99.0, 5), ("c", 1_800, 99.9, 1), ("d", 7_000, 98.5, 5)]
    summary = pd.DataFrame(rows, columns=["experiment", "parameters", "last", "n"]).assign(data="mnist")
    published = [("x", 1_999, 99.3, None), ("y", 8_000, 99.5, 99.4)]
    references = pd.DataFrame(published, columns=["name", "parameters", "best", "last"]).assign(data="mnist")
    found = statistics.under_budgets(summary, references)
    named = [(budget, ours.experiment, theirs and theirs.name) for _, budget, ours, theirs in found]
    assert named == [(1_000, "a", None), (2_000, "b", "x"), (16_000, "b", "y")]  # 8,000 is not fewer than 8,000


def test_mistakes_are_averaged_over_seeds_and_common_to_all_where_every_seed_makes_them():
    rows = [(0, 5, 3, 8), (1, 5, 3, 2), (2, 5, 3, 2), (0, 6, 1, 7), (1, 6, 1, 7), (0, 9, 4, 9), (1, 9, 4, 6)]
    mistakes = pd.DataFrame([*rows, (2, 9, 4, 5)], columns=["seed", "index", "label", "predicted"])
    matrix = statistics.confusion(mistakes, 10)
    assert matrix[3, 2] == matrix[1, 7] == pytest.approx(2 / 3) and matrix.sum() == pytest.approx(8 / 3)
    # index, label, what most seeds say (the smallest class in a tie), how many do
    assert statistics.wrong_for_every_seed(mistakes).to_numpy().tolist() == [[5, 3, 2, 2], [9, 4, 5, 1]]
