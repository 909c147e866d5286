"""What a study has found so far, read from Optuna's storage alone: its trials, the best of them, importances."""

import math
import warnings
from collections import Counter
from dataclasses import asdict

import optuna
from optuna.trial import TrialState

from tinycnn.study.definition import Choice, Study, as_stored
from tinycnn.study.storage import TRAINED, state

EPOCH = ("seed", "epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate")
"""Columns of the epochs that a trial trained; accuracy in percent."""
ENOUGH = 20
"""Complete trials below which importances are noise."""
_COLUMNS = (
    "number", "state", "value", "accuracy", "parameters", "excess", "epochs", "seconds", "overhead", "worker", "run_id",
)  # fmt: skip
_EDGE = 0.05
"""A best value in so small a share of its range at either end may lie beyond."""


def trials(study: Study, found: optuna.Study) -> list[dict]:
    """Return a row per trial, in order: what became of it, and the value of each searched field as it was trained.

    ``value`` is the objective, of complete trials; ``accuracy`` in percent; ``excess`` the parameters over the limit,
    above 0 where there are too many; ``epochs`` were trained in all seeds; ``seconds`` were spent training, and
    ``overhead`` asking, counting, recording. What a trial does not have is None.
    """
    limit, rows = study.base.target.parameter_limit, []
    recorded_later = found.user_attrs.get("runs", {})
    for trial in found.get_trials(deepcopy=False):
        row = {name: trial.user_attrs.get(name) for name in _COLUMNS}
        row |= {"number": trial.number, "state": state(trial), "epochs": len(row["epochs"] or ())}
        row["run_id"] = row["run_id"] or recorded_later.get(str(trial.number))
        row["value"] = trial.value if trial.state == TrialState.COMPLETE else None
        row["excess"] = None if None in (limit, row["parameters"]) else row["parameters"] - limit
        values = study.values(trial.params)
        rows.append(row | {name: as_stored(values.get(name)) for name in study.ranges})
    return rows


def curves(found: optuna.Study) -> list[dict]:
    """Return a row per trial, seed and epoch that was trained: losses, accuracy in percent, learning rate."""
    each = [(trial.number, row) for trial in found.get_trials(False) for row in trial.user_attrs.get("epochs", ())]
    return [{"trial": number} | dict(zip(EPOCH, row, strict=True)) for number, row in each]


def results(study: Study, found: optuna.Study) -> dict:
    """Return what a study came to, as plain values."""
    rows = trials(study, found)
    complete = [row for row in rows if row["state"] == "complete"]
    complete.sort(key=lambda row: row["value"], reverse=study.objective == "validation_accuracy")
    trained, pruned = ([row for row in rows if row["state"] in states] for states in (TRAINED, ["pruned"]))
    best, own = complete[0] if complete else {}, study.own
    epochs = study.trained.train.epochs
    return {
        "study": study.name,
        "base": study.base.name,
        "objective": study.objective,
        "limit": study.base.target.parameter_limit,
        "seeds": study.seeds,
        "epochs": epochs,
        "fidelity": dict(study.fidelity),
        "validation": study.trained.data.validation,
        "ranges": {name: _range(given) for name, given in study.ranges.items()},
        "states": dict(sorted(Counter(row["state"] for row in rows).items())),
        "trained": len(trained),
        "best": best.get("number"),
        "best_run": best.get("run_id"),
        **{name: best[name] for name in ("value", "accuracy", "parameters") if best},
        "best_values": {name: best[name] for name in study.ranges if best},
        "base_value": next((row["value"] for row in complete if own.items() <= row.items()), None),
        "edges": edges(study, best) if best else [],
        "importances": importances(found) if len(complete) >= ENOUGH else {},
        "trial_seconds": sum(row["seconds"] for row in trained),
        "overhead_seconds": sum(row["overhead"] for row in trained),
        "epochs_trained": sum(row["epochs"] for row in trained),
        "epochs_saved_by_pruning": sum(row.get("train.epochs", epochs) * study.seeds - row["epochs"] for row in pruned),
        "identity": found.user_attrs.get("identity"),
    }


def _range(given) -> dict:
    if isinstance(given, Choice):
        return {"kind": "choice", "choices": list(given.words)}
    return {"kind": type(given).__name__.lower(), **asdict(given)}


def importances(found: optuna.Study) -> dict:
    """Return the share of each parameter in the objective's variation (PED-ANOVA, Watanabe et al. 2023), or {}."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return {name: float(share) for name, share in optuna.importance.get_param_importances(found).items()}
        except (ValueError, RuntimeError, ZeroDivisionError):  # no parameter that varied
            return {}


def edges(study: Study, best: dict) -> list[str]:
    """Return a line for each of the best trial's values that is at an end of its range: the best may lie beyond."""
    lines = []
    for name, given in study.ranges.items():
        if isinstance(given, Choice):
            continue
        value, low, high = map(math.log10 if given.log else float, (best[name], given.low, given.high))
        share = (value - low) / (high - low)
        if min(share, 1 - share) <= _EDGE:
            end = f"the lower end, {given.low:g}" if share < 0.5 else f"the upper end, {given.high:g}"
            lines.append(f"{name}: the best value, {best[name]:g}, is at {end}, of its range")
    return lines


def text(study: Study, result: dict) -> str:
    """Return what was found as Markdown for the terminal; of few trials as of many."""
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in result["states"].items())
    head = f"study {study.name} of {study.base.name}: {result['trained']} trials trained ({states})"
    if result["best"] is None:
        return f"{head}\nno trial was trained to its end: there is nothing to choose from"
    base = "" if result["base_value"] is None else f"; the base's: {result['base_value']:.5f}"
    lines = [head, "", f"best: trial {result['best']}, {result['objective']} {result['value']:.5f}{base}", ""]
    for name, value in result["best_values"].items():
        share = result["importances"].get(name)
        importance = "" if share is None else f"; importance {100 * share:.0f} %"
        lines.append(f"- {name}: {_short(value)} ({study.base.name}: {_short(study.own[name])}{importance})")
    lines += ["", *(f"warning: {line}" for line in result["edges"])]
    spent, beside, saved = (result[f] for f in ("trial_seconds", "overhead_seconds", "epochs_saved_by_pruning"))
    pruned = f"; pruning saved {saved} of {result['epochs_trained'] + saved} epochs" if saved else ""
    told = f", {duration(beside)} of asking and recording beside it" if beside >= 1 else ""
    lines.append(f"{duration(spent)} of training{told}{pruned}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a time in a unit that fits it."""
    unit, name = next((each for each in ((3600, "h"), (60, "min")) if seconds >= 2 * each[0]), (1, "s"))
    return f"{seconds / unit:.0f} {name}"


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
