"""What a study has found so far, read from Optuna's storage alone: trials, the best of them, importances, figures."""

import warnings
from collections import Counter

import matplotlib

matplotlib.use("Agg")  # Optuna draws with pyplot, which would look for a screen

import optuna
import optuna.visualization.matplotlib as drawn
import pandas as pd
from matplotlib import pyplot

from tinycnn.errors import SpecError
from tinycnn.study.definition import Choice, Int, Study
from tinycnn.study.trial import COLUMNS, COMPLETE, PRUNED, TRAINED
from tinycnn.track.tables import markdown

_EDGE = 0.05
"""A best value in so small a share of its range at either end may have wanted to go further."""
_SHOWN = 5
_FIRST = (
    "number", "state", "value", "accuracy", "parameters", "excess", "epochs", "seconds", "overhead", "worker", "run_id",
)  # fmt: skip


def frame(study: Study, found: optuna.Study) -> pd.DataFrame:
    """Return a row per trial, in order: what became of it, and the value of each parameter as it was trained.

    ``value`` is the objective, of complete trials; ``accuracy`` in percent; ``excess`` the parameters over the limit,
    above 0 where there are too many; ``epochs`` were trained in all seeds; ``seconds`` were spent training, and
    ``overhead`` asking, counting, recording.
    """
    limit = study.base.target.parameter_limit
    rows = []
    for trial in found.get_trials(deepcopy=False):
        own = trial.user_attrs
        row = {name: own.get(name) for name in _FIRST}
        row |= {"number": trial.number, "state": own.get("state", trial.state.name.lower()), "value": trial.value}
        row["value"] = trial.value if trial.state == optuna.trial.TrialState.COMPLETE else None
        row["epochs"] = len(own.get("epochs", ()))
        row["excess"] = None if None in (limit, row["parameters"]) else row["parameters"] - limit
        row |= {name: study.shown(name, value) for name, value in trial.params.items()}
        rows.append(row)
    integers = [name for name, given in study.parameters.items() if isinstance(given, Int)]  # those waiting have none
    whole = dict.fromkeys(("parameters", "excess", "worker", *integers), "Int64")
    return pd.DataFrame(rows, columns=[*_FIRST, *study.parameters]).astype(whole)


def curves(found: optuna.Study) -> pd.DataFrame:
    """Return a row per trial, seed and epoch that was trained: losses, accuracy in percent, learning rate."""
    trials = found.get_trials(deepcopy=False)
    rows = [(trial.number, *row) for trial in trials for row in trial.user_attrs.get("epochs", ())]
    return pd.DataFrame(rows, columns=["trial", *COLUMNS])


def findings(study: Study, found: optuna.Study) -> dict:
    """Return what a study came to, as plain values."""
    trials = frame(study, found)
    states = Counter(trials["state"])
    complete = trials[trials["state"] == COMPLETE]
    trained = trials[trials["state"].isin(TRAINED)]
    best = None
    if len(complete):
        smallest = study.objective == "validation_loss"
        best = complete.loc[complete["value"].idxmin() if smallest else complete["value"].idxmax()]
    pruned = trials[trials["state"] == PRUNED]
    whole = pruned.get("train.epochs", study.trained.train.epochs) * study.seeds
    return {
        "study": study.name,
        "base": study.base.name,
        "objective": study.objective,
        "limit": study.base.target.parameter_limit,
        "seeds": study.seeds,
        "epochs": study.trained.train.epochs,
        "fidelity": dict(study.fidelity),
        "validation": study.trained.data.validation,
        "ranges": {name: _range(given) for name, given in study.parameters.items()},
        "states": dict(sorted(states.items())),
        "trained": len(trained),
        "best": None if best is None else int(best["number"]),
        "best_run": None if best is None else best["run_id"],
        **({} if best is None else {name: float(best[name]) for name in ("value", "accuracy", "parameters")}),
        "best_values": {} if best is None else {name: _plain(best[name]) for name in study.parameters},
        "base_value": _base_value(study, complete),
        "top": _top(complete, smallest=study.objective == "validation_loss"),
        "edges": [] if best is None else edges(study, best),
        "importances": importances(found, len(complete)),
        "wall_seconds": _wall_seconds(found),
        "trial_seconds": float(trained["seconds"].sum()),
        "overhead_seconds": float(trained["overhead"].sum()),
        "epochs_trained": int(trained["epochs"].sum()),
        "epochs_saved_by_pruning": int((whole - pruned["epochs"]).sum()),
        "identity": found.user_attrs.get("identity"),
    }


def _top(complete, smallest):
    """Return the best trials, the best first."""
    columns = ["number", "value", "accuracy", "parameters", "epochs", "seconds"]
    top = complete.sort_values("value", ascending=smallest)[columns].head(_SHOWN)
    return [{name: _plain(value) for name, value in row.items()} for row in top.to_dict("records")]


def _base_value(study, complete):
    """Return the objective of the trial that was the base itself, None where there is none."""
    own = study.base_parameters()
    if own.keys() != study.parameters.keys():
        return None
    same = complete[[all(row[name] == value for name, value in own.items()) for _, row in complete.iterrows()]]
    return float(same["value"].iloc[0]) if len(same) else None


def _wall_seconds(found) -> float:
    """Return the seconds in which at least one trial was being trained, to what came of it."""
    trials = [trial for trial in found.get_trials(deepcopy=False) if trial.user_attrs.get("state") in TRAINED]
    total, until = 0.0, None
    for trial in sorted(trials, key=lambda trial: trial.datetime_start):
        begun = trial.datetime_start if until is None else max(trial.datetime_start, until)
        total += max((trial.datetime_complete - begun).total_seconds(), 0.0)
        until = trial.datetime_complete if until is None else max(until, trial.datetime_complete)
    return total


def _plain(value):
    """Return a value as Python's own, which JSON can hold."""
    return value.item() if hasattr(value, "item") else value


def _range(given) -> dict:
    if isinstance(given, Choice):
        return {"kind": "choice", "choices": list(given.words)}
    return {"kind": type(given).__name__.lower(), **given.model_dump()}


def importances(found: optuna.Study, complete: int) -> dict:
    """Return the share of each parameter in the objective's variation (PED-ANOVA, Watanabe et al. 2023), or {}."""
    if complete < 4:  # what fewer say is noise
        return {}
    with warnings.catch_warnings(action="ignore"):
        try:
            return {name: float(share) for name, share in optuna.importance.get_param_importances(found).items()}
        except (ValueError, RuntimeError, ZeroDivisionError):  # no parameter that varied
            return {}


def edges(study: Study, best) -> list[str]:
    """Say which of the best trial's values stand at the edge of their range."""
    lines = []
    for name, given in study.parameters.items():
        if isinstance(given, Choice):
            continue
        value, low, high = float(best[name]), given.low, given.high
        if given.log:
            share = pd.Series([value, low, high], dtype=float).transform("log10")
            value, low, high = share
        place = (value - low) / (high - low)
        low_end = place <= _EDGE
        if (low_end or place >= 1 - _EDGE) and _may_go_on(study, name, given.low if low_end else given.high, low_end):
            end = f"the lower end, {given.low:g}" if low_end else f"the upper end, {given.high:g}"
            lines.append(f"{name}: the best value, {best[name]:g}, is at {end}, of its range: the best may lie beyond")
    return lines


def _may_go_on(study, name, end, downwards) -> bool:
    """Tell whether the spec would allow values beyond an end of a range."""
    step = 1 if isinstance(study.parameters[name], Int) else abs(end) / 100 or 1e-6
    beyond, (field, _, index) = end - step if downwards else end + step, name.rpartition(".")
    fields = study.trained.flat()
    if name not in fields:
        beyond, name = [beyond if i == int(index) else each for i, each in enumerate(fields[field])], field
    try:
        study.trained.with_values({name: beyond})
    except SpecError:
        return False
    return True


def text(study: Study, result: dict) -> str:
    """Put what was found into Markdown for the terminal, at most 80 columns wide."""
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in result["states"].items())
    lines = [f"study {study.name} of {study.base.name}: {result['trained']} trials trained ({states})"]
    if result["best"] is None:
        return "\n".join([*lines, "no trial was trained to its end: there is nothing to choose from"])
    warned = [f"warning: {line}" for line in result["edges"]]
    return "\n".join([*lines, "", *_best(study, result), "", *_importances(result), "", *warned, _efficiency(result)])


def _efficiency(result):
    """Say what the search took, and what it cost beside training."""
    wall, training, rest = (result[f"{name}_seconds"] for name in ("wall", "trial", "overhead"))
    whole = result["epochs_trained"] + result["epochs_saved_by_pruning"]
    return (
        f"{wall / 60:.0f} min for {training / 60:.0f} min of training; Optuna and MLflow took "
        f"{100 * rest / training:.1f} % beside it; pruning saved {result['epochs_saved_by_pruning']} of {whole} epochs"
    )


def _best(study, result):
    base = result["base_value"]
    against = "" if base is None else f"; the base's: {base:.5f}"
    yield f"best: trial {result['best']}, {study.objective} {result['value']:.5f}{against}"
    top = [
        (str(t["number"]), f"{t['value']:.5f}", f"{t['accuracy']:.2f}", f"{t['parameters']:,}", f"{t['seconds']:.0f}")
        for t in result["top"]
    ]
    yield markdown(("trial", study.objective.replace("_", " "), "accuracy %", "parameters", "seconds"), top, ">>>>>")
    yield ""
    rows = [(name, _short(study.own(name)), _short(value)) for name, value in result["best_values"].items()]
    yield markdown(("field", study.base.name, "best"), rows, "<>>")


def _importances(result):
    if result["importances"]:
        rows = [(name, f"{100 * share:.0f} %") for name, share in result["importances"].items()]
        yield markdown(("importance", "share"), rows, "<>")


def _short(value):
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def figures(found: optuna.Study):
    """Yield (name, figure) of Optuna's own plots, those that there are enough trials for."""
    plots = {
        "history": drawn.plot_optimization_history,
        "importances": drawn.plot_param_importances,
        "parallel": drawn.plot_parallel_coordinate,
        "curves": drawn.plot_intermediate_values,
        "timeline": drawn.plot_timeline,
    }
    for name, plot in plots.items():
        with warnings.catch_warnings(action="ignore"):
            try:
                figure = plot(found).figure
            except (ValueError, RuntimeError, ZeroDivisionError, IndexError):
                continue
            figure.set_size_inches(9, 5)
            yield name, figure
            pyplot.close(figure)
