"""What changed between experiments, and what it did."""

import textwrap

import pandas as pd

from analysis import evidence, load, records, statistics, stores
from analysis.blocks import count, number
from analysis.statistics import plain
from tinycnn.errors import UserError
from tinycnn.network.check import check
from tinycnn.track import verdict
from tinycnn.track.statistics import difference, images
from tinycnn.track.tables import markdown


def compare(specs: list) -> dict:
    """Return, as plain values, what each spec changes of the first one, and its accuracies over its seeds.

    The numbers of each are those a report shows: from the store, or else from the committed evidence. ``notes`` has a
    line for whatever is not as one would expect. Raises UserError where a spec has no finished runs.
    """
    notes = []
    frame = load.runs(stores.EVERY, notes)
    rows, last = [], []
    for spec in specs:
        record = _record(spec, frame[frame["experiment"] == spec.name], notes)
        epochs = record.epochs if record.rows is None else evidence.of_runs(record.rows, notes)
        runs = statistics.runs_of(epochs)
        last.append({seed: run["last"] for seed, run in runs.items()})
        rows.append(_row(spec, record, epochs, runs) | {"changes": _changes(spec, specs[0])})
    for row, mine in zip(rows, last, strict=True):
        alike = all(row[name] == rows[0][name] for name in ("data", "evaluated_on"))
        row["against_base"] = difference(mine, last[0]) if alike else None  # another data set's are nothing to compare
    return {"base": specs[0].name, "experiments": rows, "notes": notes}


def _record(spec, mine: pd.DataFrame, notes) -> records.Record:
    """Return the record of a spec as it is. Raises UserError where there is none."""
    if spec.data.validation:  # no report shows such runs, and no evidence has them
        rows = load.of_spec(mine[mine["status"] == "FINISHED"], spec)
        source = f"the store, spec {spec.hash}, validation images"
        found = records.Record(1, len(rows), spec, source, rows=rows) if len(rows) else None
    else:
        found = records.of_experiment(spec.name, spec, mine, notes)
    if found is None or found.barred:
        rest = f" (only {found.source}: {found.barred})" if found else f" ({notes[0].rstrip('.')})" if notes else ""
        raise UserError(
            f"{spec.name}: no finished runs of this spec in store or evidence{rest}; make {spec.name} makes one"
        )
    return found


def _changes(spec, base) -> dict:
    """Return what a spec changes of another but for the target, which is no part of the numbers."""
    changed = {name: pair for name, pair in spec.difference(base).items() if not name.startswith("target.")}
    return {name: {"from": old, "to": new} for name, (old, new) in changed.items()}


def _row(spec, record, epochs: pd.DataFrame, runs: dict) -> dict:
    kind, each = ("validation", None) if spec.data.validation else ("test", images(spec.data.short))
    row = {"experiment": spec.name, "source": record.source, "data": spec.data.short, "evaluated_on": kind}
    row |= {"seeds": [int(seed) for seed in runs], "parameters": check(spec)[0].parameters}
    row |= verdict.total([*runs.values()], each)
    word = verdict.NOT_JUDGED if spec.data.validation else statistics.judge(epochs, spec)[0]
    return row | {"verdict": word, "run_ids": list(epochs["run_id"].unique()) if "run_id" in epochs else []}


def text(result: dict) -> str:
    """Put a comparison into Markdown for the terminal, at most 80 columns wide."""
    rows = result["experiments"]
    head = ("experiment", "params", "n", "last %", "std", "min", "min of last 5", "target")
    cells = [
        (
            row["experiment"], count(row["parameters"]), str(row["n"]), number(row["last"], 3),
            number(row["last_std"], 3), number(row["last_min"]), number(row["min_last5"]), row["verdict"],
        )
        for row in rows
    ]  # fmt: skip
    lines = [markdown(head, cells, "<>>>>>><"), ""]
    for row in rows:
        interval = "" if row["last_low"] is None else f"95 % interval {row['last_low']:.2f} to {row['last_high']:.2f}, "
        lines.append(f"{row['experiment']}: {interval}numbers from\n  {row['source']}")
    for row in rows[1:]:
        lines += ["", f"{row['experiment']} against {result['base']}: {_words(row['against_base'])}"]
        changes = (f"{name}: {plain(c['from'])} -> {plain(c['to'])}" for name, c in row["changes"].items())
        lines += [textwrap.fill(c, 80, initial_indent="  ", subsequent_indent="    ") for c in changes]
    return "\n".join(lines)


def _words(found: dict | None) -> str:
    if found is None:
        return "on other images, so no difference"
    pairs = f"{found['n']} seeds, paired" if found["paired"] else f"{found['n']} seeds a side at least, not paired"
    text = f"{found['difference']:+.3f} points ({pairs})"
    if found["low"] is None:
        return f"{text},\n  which cannot say how sure this is"
    return f"{text},\n  95 % interval {found['low']:+.3f} to {found['high']:+.3f}"
