"""A computed diagnosis of one experiment's runs: fit, speed of convergence, stability of the last epochs.

Accuracies are in percent. One standard error of an accuracy p over N test images is sqrt(p (1 - p) / N); differences
below two of them are called noise.
"""

import math

import numpy as np
import pandas as pd

from analysis.statistics import images_of, last_epochs

_LAST = 5  # epochs, as in the acceptance rule


def diagnose(epochs: pd.DataFrame, target: float | None) -> list[str]:
    """Return sentences about the epochs of one experiment; ``target``: the accuracy required, None without one."""
    epochs = epochs.dropna(subset=["test_accuracy"])
    if epochs.empty:
        return ["No test accuracy was recorded."]
    last = last_epochs(epochs)
    share = last["test_accuracy"].mean() / 100
    noise = 100 * math.sqrt(share * (1 - share) / images_of(epochs))
    return [_fit(last, target, noise), _speed(epochs, target), _stability(epochs, noise)]


def _fit(last, target, noise) -> str:
    """Compare clean training images with test images after the last epoch."""
    train, test = last["clean_train_accuracy"].mean(), last["test_accuracy"].mean()
    if math.isnan(train):
        return "Fit: the accuracy on clean training images was not recorded."
    errors, gap = f"error on clean training images {100 - train:.2f} %, on test images {100 - test:.2f} %", train - test
    if target is not None and train < target:
        return f"Under-fitting: {errors}; even the training images stay below the target of {target:g} %."
    if gap <= 2 * noise:
        return f"Neither under- nor over-fitting: {errors}, a difference within noise ({2 * noise:.2f})."
    if (100 - test) >= 2 * (100 - train):
        return f"Over-fitting: {errors}, at least twice as high."
    if gap < 0.1 * (100 - test):
        return f"Under-fitting: {errors}; hardly any of the error is a gap between the two."
    return f"A gap, but little over-fitting: {errors}."


def _speed(epochs, target) -> str:
    """Say in which epoch an accuracy was first reached: the target, or else twice the last epoch's error."""
    runs = epochs.groupby("seed")
    final = runs["test_accuracy"].last()
    if target is None or (final < target).all():
        wanted, level = 100 - 2 * (100 - final), "at most twice the last epoch's error"
    else:
        wanted, level = pd.Series(target, final.index), f"{target:g} %"
    reached = epochs[epochs["test_accuracy"] >= epochs["seed"].map(wanted)].groupby("seed")["epoch"].min()
    second = epochs.loc[epochs["epoch"] == 2, "test_accuracy"]
    after_two = f" After epoch 2: {second.mean():.2f} % on average." if len(second) else ""
    if reached.empty:
        return f"Convergence: no run reached {level}.{after_two}"
    span = f"{reached.min()}"
    if reached.nunique() > 1:
        span = f"{reached.min()} to {reached.max()}, the median {reached.median():g}"
    return f"Convergence: {len(reached)} of {len(final)} runs first reached {level} in epoch {span}.{after_two}"


def _stability(epochs, noise) -> str:
    """Say how much the last epochs vary, and whether accuracy still rises."""
    count = min(_LAST, epochs["epoch"].nunique())
    if count < 2:
        return "Stability: not known after one epoch."
    late = epochs[epochs["epoch"] > epochs["epoch"].max() - count]
    spread = late.groupby("seed")["test_accuracy"].agg(np.ptp).mean()
    means = late.groupby("epoch")["test_accuracy"].mean()
    rise = means.iloc[-1] - means.iloc[0]
    word = "steady" if spread <= 4 * noise else "unsteady"  # two epochs may be two standard errors to either side
    still = ""
    if rise > max(2 * noise, 0.5 * spread):
        rates = epochs["learning_rate"]
        falling = rates[epochs["epoch"] == epochs["epoch"].max()].mean() < 0.01 * rates.max()
        still = " It still rises" + (", as the learning rate falls." if falling else ": training has not finished.")
    return (
        f"Stability: {word}; within the last {count} epochs a run's accuracy varies by {spread:.2f} points on average "
        f"(one standard error: {noise:.2f}).{still}"
    )
