"""What is computed about fit, speed and stability, on runs made up so that the answer is known."""

import pandas as pd
import pytest

from analysis.diagnosis import diagnose


def runs(*curves, clean=99.5, rates=None, data="mnist"):
    """Return epochs of runs with these test accuracies, the first of seed 0."""
    rows = [
        {"experiment": "a", "data": data, "seed": seed, "epoch": epoch, "test_accuracy": value,
         "learning_rate": rates[epoch - 1] if rates else 0.01,
         "clean_train_accuracy": clean if epoch == len(curve) else None}
        for seed, curve in enumerate(curves)
        for epoch, value in enumerate(curve, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("clean", "test", "target", "word"),
    [
        (99.0, 98.9, 99.4, "Under-fitting"),  # not even the training images reach the target
        (99.6, 99.5, 99.4, "Neither"),  # 0.1 points: within two standard errors (0.14)
        (99.95, 99.4, 99.4, "Over-fitting"),  # twelve times as many errors
        (99.6, 99.3, 99.4, "A gap"),
        (73.6, 72.4, None, "Under-fitting"),  # a quarter is wrong even in training
        (99.0, 72.4, None, "Over-fitting"),
    ],
)
def test_the_fit_is_named_by_clean_training_images_against_test_images(clean, test, target, word):
    assert diagnose(runs([test, test], clean=clean), target)[0].startswith(word)


def test_the_speed_is_the_first_epoch_at_the_target_of_each_run():
    found = diagnose(runs([99.0, 99.4, 99.4], [99.4, 99.3, 99.5], [99.0, 99.1, 99.4]), 99.4)[1]
    assert "3 of 3 runs first reached 99.4 % in epoch 1 to 3, the median 2." in found
    assert "After epoch 2: 99.27 % on average." in found  # (99.4 + 99.3 + 99.1) / 3


def test_last_epochs_that_move_by_more_than_noise_are_unsteady():
    steady, wild = runs([99.4, 99.45, 99.4, 99.42, 99.41]), runs([99.4, 98.0, 99.4, 98.2, 99.4])
    assert "steady; within the last 5 epochs a run's accuracy varies by 0.05 points" in diagnose(steady, 99.4)[2]
    assert "unsteady; within the last 5 epochs a run's accuracy varies by 1.40 points" in diagnose(wild, 99.4)[2]


def test_accuracy_that_still_rises_says_whether_the_learning_rate_was_at_its_end():
    rising = [95.0, 96.0, 97.0, 98.0, 99.0]
    assert "training has not finished" in diagnose(runs(rising), 99.4)[2]
    assert "as the learning rate falls" in diagnose(runs(rising, rates=[1, 0.5, 0.1, 0.01, 0.0001]), 99.4)[2]


def test_what_is_missing_is_said_and_not_guessed():
    assert "after one epoch" in diagnose(runs([99.0]), 99.4)[2]
    assert diagnose(runs([None]), 99.4) == ["No test accuracy was recorded."]
    assert "was not recorded" in diagnose(runs([99.0, 99.1], clean=None), 99.4)[0]
