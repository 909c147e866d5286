"""What the epochs of a run, and the runs of a spec, come to: the summary, and the verdict by the acceptance rule.

Acceptance rule. A run meets its target when the test accuracy is at least ``target.accuracy`` in each of the last
``target.last_epochs`` epochs, of at most ``target.max_epochs``. A spec with n seeds meets it when the mean over the
seeds of the last epoch's accuracy is at least ``target.accuracy`` and at least four in five of the runs meet it.
Not judged are runs on another data set than the target's or on validation images, runs of fewer epochs than the target
needs, and specs whose target names no accuracy.
"""

from statistics import fmean, mean, median

from tinycnn.track.statistics import over_seeds

MET, MISSED, NOT_JUDGED = "met", "missed", "not judged"
ACCEPTED_SHARE = 0.8


def summarise(history: list, target=None) -> dict:
    """Return last, best, best_epoch, min_last5 and first_epoch_at_target of one run's epochs; accuracies in percent."""
    accuracies = [result.accuracy for result in history]
    best = max(accuracies)
    wanted = None if target is None else target.accuracy
    reached = [] if wanted is None else [r.epoch for r in history if r.accuracy >= wanted]
    return {
        "last": accuracies[-1],
        "best": best,
        "best_epoch": history[accuracies.index(best)].epoch,
        "min_last5": min(accuracies[-5:]),
        "first_epoch_at_target": reached[0] if reached else None,
        "clean_train": history[-1].clean_train_accuracy,
        "train": history[-1].train_accuracy,
        "held": min(accuracies[-target.last_epochs :]) if target is not None else None,
    }


def total(summaries: list[dict], images: int | None = None) -> dict:
    """Return the figures of a spec over its seeds: means, but the least ``min_last5``, the median ``best_epoch``.

    Every output takes them from here. ``images``: of how many each accuracy is, None where that is not known.
    """
    clean = [s["clean_train"] for s in summaries if s["clean_train"] is not None]
    return over_seeds([s["last"] for s in summaries], images) | {
        "best": fmean(s["best"] for s in summaries),
        "best_epoch": median(s["best_epoch"] for s in summaries),
        "min_last5": min(s["min_last5"] for s in summaries),
        "clean_train": fmean(clean) if clean else None,
    }


def asked(target, data: str) -> float | None:
    """Return the test accuracy that a target asks for on a data set; None where it is about another, or names none."""
    return target.accuracy if target is not None and target.data == data else None


def judge(spec, summaries: list[dict], *, kind: str, fallback: bool) -> tuple[str, str]:
    """Return the verdict, one of ``met``, ``missed``, ``not judged``, and its reason in words."""
    target, n = spec.target, len(summaries)
    if fallback:
        return NOT_JUDGED, f"trained on the fallback data set {spec.data.short}"
    if kind != "test":
        return NOT_JUDGED, "evaluated on validation images; the target is a test accuracy"
    if target.accuracy is None:
        return NOT_JUDGED, "the target names no accuracy"
    if target.data != spec.data.short:
        return NOT_JUDGED, f"trained on {spec.data.short}, and the target is one on {target.data}"
    if spec.train.epochs < target.last_epochs:
        return NOT_JUDGED, f"{spec.train.epochs} epochs, and the target is about the last {target.last_epochs}"
    if spec.train.epochs > target.max_epochs:
        return MISSED, f"{spec.train.epochs} epochs, and the target allows {target.max_epochs}"
    holding = sum(s["held"] >= target.accuracy for s in summaries)
    average = round(mean(s["last"] for s in summaries), 9)  # a mean of exactly 99.4 may be just below it in floats
    met = holding >= ACCEPTED_SHARE * n and average >= target.accuracy
    wanted = f"{target.accuracy:g} % in each of the last {target.last_epochs} epochs"
    if n == 1:
        return (MET if met else MISSED), f"{wanted}; the lowest of them was {summaries[0]['held']:.2f}"
    return (MET if met else MISSED), f"{wanted}: {holding} of {n} seeds; mean of the last epoch {average:.3f}"
