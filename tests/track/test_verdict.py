"""The acceptance rule, against tables filled in by hand."""

from types import SimpleNamespace

import networks
import pytest

from tinycnn.spec import Spec, Target, Train
from tinycnn.track.verdict import judge, summarise, total

TARGET = Target(accuracy=99.4, last_epochs=5, max_epochs=15)
SPEC = Spec(name="some", model=networks.model_3(), train=Train(epochs=15), target=TARGET)


def history(*accuracies):
    """Return epochs with these test accuracies, the training accuracy being 98 and 98.5 on clean images at the end."""
    last = len(accuracies)
    return [
        SimpleNamespace(epoch=n, accuracy=a, train_accuracy=98.0, clean_train_accuracy=98.5 if n == last else None)
        for n, a in enumerate(accuracies, start=1)
    ]


def verdict(*runs, spec=SPEC, kind="test", fallback=False):
    """Judge runs given as the accuracies of their last five epochs, after ten epochs at 90 %."""
    summaries = [summarise(history(*[90.0] * 10, *run), spec.target) for run in runs]
    return judge(spec, summaries, kind=kind, fallback=fallback)[0]


HELD = (99.45,) * 5
DIPPED = (99.45, 99.39, 99.45, 99.45, 99.45)  # one epoch below, the last one above
LOW = (99.3,) * 5


@pytest.mark.parametrize(
    ("expected", "runs"),
    [
        # one seed: each of the last five
        ("met", [HELD]),
        ("met", [(99.4,) * 5]),  # at least: exactly 99.4 will do
        ("missed", [(99.39, 99.5, 99.5, 99.5, 99.5)]),  # the first of the five
        ("missed", [(99.5, 99.5, 99.5, 99.5, 99.39)]),  # the last of the five
        ("missed", [DIPPED]),
        ("missed", [LOW]),
        # several: four in five, and the mean of the last epoch
        ("met", [HELD] * 4 + [DIPPED]),
        ("missed", [HELD] * 3 + [DIPPED] * 2),
        ("missed", [HELD] * 2 + [DIPPED]),  # 2 of 3 are fewer than four in five
        ("missed", [HELD] * 3 + [DIPPED]),  # 3 of 4 as well
        ("met", [HELD] * 8 + [DIPPED] * 2),
        ("missed", [HELD] * 7 + [DIPPED] * 3),
        ("met", [HELD] * 4 + [LOW]),  # mean of the last epoch 99.42
        ("missed", [HELD] * 4 + [(99.0,) * 5]),  # mean of the last epoch 99.36
        ("met", [HELD] * 4 + [(99.2,) * 5]),  # mean exactly 99.40
        ("missed", [HELD] * 4 + [(99.19,) * 5]),  # a hundredth less in one seed
    ],
)
def test_the_verdict_is_the_one_of_the_rule(expected, runs):
    assert verdict(*runs) == expected


EXACT = [(9900, 9941, 9941, 9941, 9977), (9900, 9941, 9941, 9944, 9974), (9939, 9941, 9940, 9940, 9940)]


@pytest.mark.parametrize("right", EXACT)
def test_a_mean_of_exactly_the_target_meets_it_whatever_the_rounding(right):
    assert sum(right) == 5 * 9940  # of 10,000 each; the first two rows have a float mean a hair below 99.4
    assert verdict(*((99.4,) * 4 + (100 * count / 10_000,) for count in right)) == "met"


def test_four_in_five_is_exact_for_every_number_of_seeds():
    holds, fails = (summarise(history(*run), SPEC.target) for run in (HELD, DIPPED))
    for n in range(2, 60):
        for holding in range(n + 1):
            words = judge(SPEC, [holds] * holding + [fails] * (n - holding), kind="test", fallback=False)[0]
            assert (words == "met") == (5 * holding >= 4 * n), (holding, n)


@pytest.mark.parametrize(
    ("changes", "how", "reason"),
    [
        ({}, {"fallback": True}, "fallback data set"),
        ({}, {"kind": "validation"}, "validation"),
        ({"target.accuracy": None}, {}, "names no accuracy"),
        ({"train.epochs": 4}, {}, "4 epochs, and the target is about the last 5"),
    ],
)
def test_what_cannot_be_judged_is_not_judged(changes, how, reason):
    spec = SPEC.with_values(changes)
    for run in (HELD, LOW):
        given = {"kind": "test", "fallback": False} | how
        word, why = judge(spec, [summarise(history(*run), spec.target)], **given)
        assert word == "not judged" and reason in why


def test_more_epochs_than_allowed_miss_the_target():
    longer = SPEC.with_values({"train.epochs": 16})
    assert verdict(HELD, spec=longer) == "missed"
    assert verdict(HELD, spec=longer.with_values({"target.max_epochs": 16})) == "met"


def test_the_epochs_judged_are_those_the_target_names():
    one, six = (SPEC.with_values({"target.last_epochs": k}) for k in (1, 6))
    assert verdict(DIPPED, spec=one) == "met" and verdict(HELD, spec=six) == "missed"


def test_a_run_is_summed_up_as_by_hand():
    found = summarise(history(98.0, 99.4, 99.6, 99.6, 99.1, 99.3, 99.5), SPEC.target)
    assert found == {
        "last": 99.5,
        "best": 99.6,
        "best_epoch": 3,  # the first of two
        "min_last5": 99.1,
        "first_epoch_at_target": 2,
        "clean_train": 98.5,
        "train": 98.0,
        "held": 99.1,
    }
    short = summarise(history(98.0, 97.0), SPEC.target)
    assert (short["min_last5"], short["first_epoch_at_target"]) == (97.0, None)
    assert summarise(history(98.0))["held"] is None


def test_seeds_are_summed_up_as_by_hand():
    runs = [summarise(history(*run), SPEC.target) for run in ((99.0, 99.4), (99.3, 99.2), (99.1, 99.6))]
    found = total(runs)
    assert found["n"] == 3 and found["last"] == pytest.approx(99.4) and found["last_std"] == pytest.approx(0.2)
    assert (found["last_min"], found["min_last5"], found["best_epoch"]) == (99.2, 99.0, 2)
    assert found["best"] == pytest.approx((99.4 + 99.3 + 99.6) / 3)
    assert total(runs[:1])["last_std"] is None
