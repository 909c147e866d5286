"""Intervals, differences, verdicts and counts of mistakes against tables and formulas worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import statistics
from tinycnn.spec import Spec
from tinycnn.track.statistics import difference, mean_interval


def epochs(name, accuracies, data="mnist", seconds=2.0):
    """Return a run for each list of accuracies: seeds 0, 1, ..."""
    rows = [
        {"experiment": name, "data": data, "seed": seed, "epoch": epoch, "test_accuracy": value, "seconds": seconds,
         "train_accuracy": 99.0, "clean_train_accuracy": 99.5 if epoch == len(run) else None, "parameters": 7000.0}
        for seed, run in enumerate(accuracies)
        for epoch, value in enumerate(run, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def spec(name, parent=None, epochs=2, **fields):
    layers = [{"kind": "Conv", "channels": 16}, {"kind": "Head"}]
    values = {"model": {"kind": "Network", "layers": layers}, "train": {"epochs": epochs}, "target": {"last_epochs": 1}}
    return Spec.from_dict({"name": name, "parent": parent} | values | fields)


def test_the_interval_of_a_mean_is_students():
    # by hand: mean 99.5, s = 0.1, t(0.975, 2) = 4.3027 (Student's table), 4.3027 * 0.1 / sqrt(3) = 0.2484
    assert mean_interval([99.4, np.nan, 99.5, 99.6]) == pytest.approx((99.2516, 99.7484), abs=1e-4)
    assert mean_interval([np.nan]) == (None, None)


@pytest.mark.parametrize("accuracies", [[99.4], [99.4, 99.4]])  # seeds that agree are not taken for certainty
def test_the_interval_of_one_run_is_wilsons(accuracies):
    # by hand, Wilson 1927: (p + z^2/2n -+ z sqrt(p q / n + z^2 / 4n^2)) / (1 + z^2/n), z = 1.959964
    p, n, z = 0.994, 10_000, 1.959964
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = [100 * (middle + side * half) / (1 + z * z / n) for side in (-1, 1)]
    assert mean_interval(accuracies, 10_000) == pytest.approx(expected, abs=1e-6)


def test_no_interval_exceeds_100_percent():
    low, high = mean_interval([100.0], 10_000)
    assert 99.9 < low < high <= 100
    assert mean_interval([98.53, 98.82])[1] == 100  # t with one degree of freedom would say 100.5


def test_shared_seeds_are_compared_pair_by_pair():
    found = difference({0: 99.5, 1: 99.7, 2: 99.6, 9: 50.0}, {0: 99.3, 1: 99.4, 2: 99.5, 7: 10.0})
    # by hand: differences 0.2, 0.3, 0.1; mean 0.2, s = 0.1, half width 4.3027 * 0.1 / sqrt(3) = 0.2484
    assert found == {"difference": pytest.approx(0.2), "low": pytest.approx(-0.0484, abs=1e-4),
                     "high": pytest.approx(0.4484, abs=1e-4), "n": 3, "paired": True}  # fmt: skip


def test_other_seeds_are_compared_by_welchs_t():
    found = difference({0: 99.5, 1: 99.7, 2: 99.6}, {5: 99.1, 6: 99.5})
    # by hand: variances 0.01/3 and 0.08/2; Welch-Satterthwaite degrees of freedom
    a, b = 0.01 / 3, 0.08 / 2
    half = stats.t.ppf(0.975, (a + b) ** 2 / (a**2 / 2 + b**2 / 1)) * math.sqrt(a + b)
    assert (found["difference"], found["paired"]) == (pytest.approx(0.3), False)
    assert (found["low"], found["high"]) == (pytest.approx(0.3 - half), pytest.approx(0.3 + half))


def test_one_seed_a_side_gives_no_interval():
    assert difference({0: 99.5}, {0: 99.4}) == pytest.approx({"difference": 0.1, "low": None, "high": None, "n": 1,
                                                              "paired": False})  # fmt: skip


def test_the_seeds_needed_to_detect_a_difference_are_the_textbooks():
    # two-sided 5 %, power 0.8, distance of one standard deviation: 16 a side (15.7; Lehr 1992, "Sixteen s-squared")
    assert statistics.seeds_needed(0.05, 0.05) == 16


def test_the_summary_says_what_the_epochs_say():
    row = statistics.summarise(epochs("a", [[98.0, 99.0], [99.5, 99.2]]), spec("a", "b"))
    assert (row["n"], row["last"], row["last_min"]) == (2, pytest.approx(99.1), 99.0)
    assert row["last_std"] == pytest.approx(math.sqrt(2) * 0.1)
    assert (row["best"], row["best_epoch"]) == (pytest.approx(99.25), 1.5)
    assert (row["min_last5"], row["seconds"], row["clean_train"]) == (98.0, 4.0, 99.5)
    assert (row["verdict"], row["target_accuracy"], row["limit"]) == ("missed", 99.4, 8000)


def test_a_spec_is_judged_by_the_acceptance_rule_and_an_unknown_one_is_not():
    good, bad = [99.4, 99.5], [99.5, 99.3]
    assert statistics.judge(epochs("a", [good] * 4 + [bad]), spec("a"))[0] == "met"  # four in five
    assert statistics.judge(epochs("a", [good] * 3 + [bad]), spec("a"))[0] == "missed"
    assert statistics.judge(epochs("a", [good]), None)[0] == "not judged"
    assert statistics.judge(epochs("a", [good], data="mnist5k"), spec("a"))[0] == "not judged"
    assert statistics.judge(epochs("a", [good[:1]]), spec("a"))[0] == "not judged"  # an epoch is missing


def test_a_change_is_only_measured_against_a_parent_on_the_same_data():
    frame = pd.concat([epochs("a", [[99.0]] * 2), epochs("b", [[99.5]] * 2), epochs("c", [[70.0]] * 2, data="cifar10")])
    specs = {"a": spec("a"), "b": spec("b", "a", optimizer={"name": "SGD", "lr": 0.5}), "c": spec("c", "a")}
    changes = statistics.changes(frame, specs)
    assert changes[["experiment", "fields"]].values.tolist() == [["b", "optimizer.lr 0.01 → 0.5"]]


def test_mistakes_are_averaged_over_seeds_and_common_to_all_where_every_seed_makes_them():
    rows = [(0, 5, 3, 8), (1, 5, 3, 2), (2, 5, 3, 2), (0, 6, 1, 7), (1, 6, 1, 7), (0, 9, 4, 9), (1, 9, 4, 6)]
    mistakes = pd.DataFrame([*rows, (2, 9, 4, 5)], columns=["seed", "index", "label", "predicted"])
    matrix = statistics.confusion(mistakes, 10)
    assert matrix[3, 2] == matrix[1, 7] == pytest.approx(2 / 3) and matrix.sum() == pytest.approx(8 / 3)
    # index, label, what most seeds say (the smallest class in a tie), how many do
    assert statistics.wrong_for_every_seed(mistakes).to_numpy().tolist() == [[5, 3, 2, 2], [9, 4, 5, 1]]
