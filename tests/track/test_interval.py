"""Intervals and differences over seeds against tables and formulas worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from tinycnn.track.statistics import difference, mean_interval


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
