"""What changed between experiments, and what it did."""

import pandas as pd

from analysis.evidence import of_runs
from analysis.load import of_spec, runs
from analysis.statistics import judge
from tinycnn.errors import UserError
from tinycnn.network.check import check
from tinycnn.tables import markdown
from tinycnn.verdict import NOT_JUDGED

_MEASURES = {"last": "last_accuracy", "best": "best_accuracy", "min_last5": "min_last5_accuracy"}


def compare(specs: list) -> dict:
    """Return, as plain values, what each spec changes of the first one, and its accuracies over its seeds in the store.

    Raises UserError where a spec has no finished runs.
    """
    frame = runs()
    rows = [_row(spec, of_spec(frame, spec), frame) for spec in specs]
    for row, spec in zip(rows, specs, strict=True):
        changed = spec.difference(specs[0])
        row["changes"] = {name: {"from": old, "to": new} for name, (old, new) in changes_only(changed).items()}
        row["difference"] = row["last"] - rows[0]["last"]
        row["standard_error"] = _standard_error(row, rows[0])
    return {"base": specs[0].name, "experiments": rows}


def changes_only(difference: dict) -> dict:
    """Leave out of a difference what is no part of the numbers: the target."""
    return {name: change for name, change in difference.items() if not name.startswith("target.")}


def _row(spec, mine: pd.DataFrame, frame: pd.DataFrame) -> dict:
    if mine.empty:
        others = int((frame["experiment"] == spec.name).sum())
        rest = f" ({others} of an altered spec, on fallback or validation data)" if others else ""
        raise UserError(f"{spec.name}: no finished runs of this spec in the store{rest}; make {spec.name} makes one")
    last = mine["last_accuracy"]
    word = NOT_JUDGED if spec.data.validation else judge(of_runs(mine), spec)[0]
    row = {"experiment": spec.name, "n": len(mine), "seeds": mine["seed"].tolist(), "data": spec.data.short}
    row |= {"parameters": check(spec)[0].parameters, "verdict": word}
    row |= {name: float(mine[column].mean()) for name, column in _MEASURES.items()}
    row |= {"last_std": float(last.std()) if len(mine) > 1 else None, "last_min": float(last.min())}
    return row | {"train": float(mine["clean_train_accuracy"].mean()), "run_ids": mine["run_id"].tolist()}


def _standard_error(row: dict, base: dict) -> float | None:
    """Standard error of the difference of two means (Welch); None where a side has one seed only."""
    if row is base or row["last_std"] is None or base["last_std"] is None:
        return None
    return (row["last_std"] ** 2 / row["n"] + base["last_std"] ** 2 / base["n"]) ** 0.5


def text(result: dict) -> str:
    """Put a comparison into Markdown for the terminal, at most 80 columns wide."""
    rows = result["experiments"]
    head = ("experiment", "params", "n", "last %", "std", "min", "best %", "target")
    cells = [
        (
            row["experiment"],
            f"{row['parameters']:,}",
            str(row["n"]),
            f"{row['last']:.3f}",
            "-" if row["last_std"] is None else f"{row['last_std']:.3f}",
            f"{row['last_min']:.2f}",
            f"{row['best']:.2f}",
            row["verdict"],
        )
        for row in rows
    ]
    lines = [markdown(head, cells, "<>>>>>><")]
    for row in rows[1:]:
        error = row["standard_error"]
        carried = "one seed a side cannot say how sure this is" if error is None else f"standard error {error:.3f}"
        lines += ["", f"{row['experiment']} against {result['base']}: {row['difference']:+.3f} points ({carried})"]
        lines += [f"  {name}: {_plain(c['from'])} -> {_plain(c['to'])}" for name, c in row["changes"].items()]
    return "\n".join(lines)


def _plain(value) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
