"""Intervals, differences and verdicts against tables and formulas worked out by hand."""

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
    assert mean_interval([99.4, 99.5, 99.6]) == pytest.approx((99.2516, 99.7484), abs=1e-4)


def test_the_interval_of_one_run_is_wilsons():
    # by hand, Wilson 1927: (p + z^2/2n -+ z sqrt(p q / n + z^2 / 4n^2)) / (1 + z^2/n), z = 1.959964
    p, n, z = 0.994, 10_000, 1.959964
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = [100 * (middle + side * half) / (1 + z * z / n) for side in (-1, 1)]
    assert mean_interval([99.4], 10_000) == pytest.approx(expected, abs=1e-6)


def test_a_perfect_run_still_has_an_interval_and_none_leaves_the_possible():
    low, high = mean_interval([100.0], 10_000)
    assert 99.9 < low < high <= 100
    assert mean_interval([98.53, 98.82])[1] == 100  # t with one degree of freedom would say 100.5


def test_seeds_that_agree_to_the_digit_are_not_taken_for_certainty():
    low, high = mean_interval([99.4, 99.4], 10_000)
    assert high - low > 0.1


def test_missing_accuracies_are_not_counted():
    assert mean_interval([99.4, np.nan, 99.5, 99.6]) == mean_interval([99.4, 99.5, 99.6])
    assert mean_interval([np.nan]) == (None, None)


def test_shared_seeds_are_compared_pair_by_pair():
    ours, theirs = pd.Series([99.5, 99.7, 99.6, 50.0], [0, 1, 2, 9]), pd.Series([99.3, 99.4, 99.5, 10.0], [0, 1, 2, 7])
    found = difference(ours, theirs)
    # by hand: differences 0.2, 0.3, 0.1; mean 0.2, s = 0.1, half width 4.3027 * 0.1 / sqrt(3) = 0.2484
    assert found == {"difference": pytest.approx(0.2), "low": pytest.approx(-0.0484, abs=1e-4),
                     "high": pytest.approx(0.4484, abs=1e-4), "n": 3, "paired": True}  # fmt: skip


def test_other_seeds_are_compared_by_welchs_t():
    ours, theirs = pd.Series([99.5, 99.7, 99.6], [0, 1, 2]), pd.Series([99.1, 99.5], [5, 6])
    found = difference(ours, theirs)
    # by hand: variances 0.01/3 and 0.08/2; Welch-Satterthwaite degrees of freedom
    a, b = 0.01 / 3, 0.08 / 2
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 1)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(a + b)
    assert (found["difference"], found["paired"]) == (pytest.approx(0.3), False)
    assert (found["low"], found["high"]) == (pytest.approx(0.3 - half), pytest.approx(0.3 + half))


@pytest.mark.parametrize(("ours", "theirs"), [([99.5], [99.4]), ([99.5, 99.6], [99.4]), ([99.5, 99.6], [99.4, 99.5])])
def test_no_certainty_is_claimed_that_n_cannot_carry(ours, theirs):
    found = difference(pd.Series(ours), pd.Series(theirs))
    assert found["difference"] == pytest.approx(np.mean(ours[: len(theirs)]) - np.mean(theirs), abs=0.06)
    assert found["low"] is None and found["high"] is None


def test_how_many_seeds_show_a_difference_is_the_textbooks_number():
    # two-sided 5 %, power 0.8, distance of one standard deviation: 16 a side (15.7; Lehr 1992, "Sixteen s-squared")
    assert statistics.runs_needed(0.05, 0.05) == 16


def test_the_summary_says_what_the_epochs_say():
    frame = epochs("a", [[98.0, 99.0], [99.5, 99.2]])
    row = statistics.summarise(frame, spec("a", "b"))
    assert (row["parent"], row["n"], row["last_mean"], row["last_min"]) == ("b", 2, pytest.approx(99.1), 99.0)
    assert row["last_std"] == pytest.approx(math.sqrt(2) * 0.1)
    assert (row["best_mean"], row["best_epoch_median"]) == (pytest.approx(99.25), 1.5)
    assert (row["min_last5"], row["seconds"]) == (98.0, 4.0)
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
    assert changes["experiment"].tolist() == ["b"]
    assert changes["fields"].tolist() == ["optimizer.lr 0.01 → 0.5"]
