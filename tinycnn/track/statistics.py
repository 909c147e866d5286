"""What a few seeds can say: their mean with its interval, and the difference of two means. Computed nowhere else.

Accuracies are in percent. Intervals are of 95 %.
"""

from statistics import NormalDist, fmean, stdev

import numpy as np

from tinycnn.data.catalog import DATASETS

LEVEL = 0.95


def images(data: str) -> int:
    """Return how many test images a data set has; 10,000 for one that is not known here."""
    return DATASETS[data].test if data in DATASETS else 10_000


def wilson(accuracy: float, count: int) -> tuple[float, float]:
    """Return the interval of one run's accuracy over ``count`` test images (Wilson 1927).

    It says what other images would have given, not what another seed would have.
    """
    share = min(count, max(0, round(accuracy * count / 100))) / count
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    middle, size = share + z * z / (2 * count), 1 + z * z / count
    half = z * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    return 100 * max(0.0, (middle - half) / size), 100 * min(1.0, (middle + half) / size)


def mean_interval(accuracies, count: int | None = None) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of the mean over seeds by Student's t; of a single run, Wilson's over its ``count`` images.

    Seeds that all came out the same show no spread to estimate from: then too it is that of one run. None where it
    would take a ``count`` that is not known, and without accuracies.
    """
    values = np.asarray(accuracies, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values) or (np.ptp(values) == 0 and count is None):
        return None, None
    if np.ptp(values) == 0:
        return wilson(values[0], count)
    from scipy import stats  # importing it takes a second, which most commands need not wait for

    low, high = stats.t.interval(LEVEL, len(values) - 1, values.mean(), stats.sem(values))
    return max(float(low), 0.0), min(float(high), 100.0)


def over_seeds(accuracies: list[float], count: int | None = None) -> dict:
    """Return n, last, last_std, last_min, last_low and last_high of the last epoch's accuracies of one seed or more.

    ``last`` is their mean, ``last_low`` to ``last_high`` its interval; what cannot be said is None. ``count``: of how
    many images each is.
    """
    accuracies = [float(each) for each in accuracies]  # stdev rounds numpy's integers
    low, high = mean_interval(accuracies, count)
    return {
        "n": len(accuracies),
        "last": fmean(accuracies),
        "last_std": stdev(accuracies) if len(accuracies) > 1 else None,
        "last_min": min(accuracies),
        "last_low": low,
        "last_high": high,
    }


def words(found: dict) -> str:
    """Put what ``over_seeds`` returned into a line; after ± stands the standard deviation."""
    if found["n"] == 1:
        return f"{found['last']:.2f} % after the last epoch, one seed"
    low, high = found["last_low"], found["last_high"]
    interval = "" if low is None else f" 95 % CI {low:.2f} to {high:.2f},"
    mean = f"{found['last']:.3f} ± {found['last_std']:.3f} %,{interval}"
    return f"{mean} n = {found['n']}, min {found['last_min']:.2f}"


def difference(ours, theirs) -> dict:
    """Return what the mean of ``ours`` is above that of ``theirs``: difference, low, high, n, paired.

    Both: last accuracies by seed. Two or more shared seeds are compared seed by seed (paired t), and the others left
    out; without, the means of all (Welch's t). An interval takes two seeds a side, and is None below that.
    """
    from scipy import stats

    ours, theirs = ({seed: value for seed, value in side.items() if value == value} for side in (ours, theirs))
    shared = [seed for seed in ours if seed in theirs]
    low = high = None
    if paired := len(shared) >= 2:
        each = [ours[seed] - theirs[seed] for seed in shared]
        brought, n = fmean(each), len(shared)
        if np.ptp(each) > 0:
            low, high = map(float, stats.ttest_1samp(each, 0).confidence_interval(LEVEL))
    else:
        sides = [*ours.values()], [*theirs.values()]
        brought, n = fmean(sides[0]) - fmean(sides[1]), min(map(len, sides))
        if n >= 2 and max(map(np.ptp, sides)) > 0:
            low, high = map(float, stats.ttest_ind(*sides, equal_var=False).confidence_interval(LEVEL))
    return {"difference": brought, "low": low, "high": high, "n": n, "paired": paired}
