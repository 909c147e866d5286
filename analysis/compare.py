"""What changed between experiments, and what that brought."""

import textwrap

import pandas as pd

from analysis import evidence, runs, select, statistics
from analysis.report.document import number
from tinycnn.errors import UserError
from tinycnn.network.check import check
from tinycnn.track import verdict
from tinycnn.track.statistics import difference
from tinycnn.track.tables import markdown


def compare(specs: list) -> dict:
    """Return, as plain values, what each spec changes of the first one, and its accuracies over its seeds.

    The numbers are those a report shows: from the store, or else from the committed evidence. ``notes`` has a line for
    whatever was left out. Raises UserError where a spec has no finished runs.
    """
    notes = []
    frame = runs.read(runs.EVERY, notes, [spec.name for spec in specs])
    rows, last = [], []
    for spec in specs:
        about = []
        record = _record(spec, frame[frame["experiment"] == spec.name], about)
        notes += about
        epochs = record.epochs if record.runs is None else evidence.of_runs(record.runs)
        summaries = statistics.runs_of(epochs)
        last.append({seed: run["last"] for seed, run in summaries.items()})
        rows.append(_row(spec, specs[0], record, epochs, summaries))
    evaluated = [spec.evaluation_images() for spec in specs]
    for row, mine, images in zip(rows, last, evaluated, strict=True):
        row["against_base"] = difference(mine, last[0]) if images == evaluated[0] else None
    return {"base": specs[0].name, "experiments": rows, "notes": notes}


def _record(spec, mine: pd.DataFrame, notes) -> select.Record:
    """Return the record of a spec as it is now. Raises UserError where there is none."""
    if spec.data.validation:  # neither reports nor evidence have such runs
        rows = runs.of_spec(mine[mine["status"] == "FINISHED"], spec)
        source = f"the store, spec {spec.hash}, validation images"
        found = select.Record(len(rows), True, spec, source, runs=rows) if len(rows) else None
    else:
        found = select.record_of(spec.name, spec, mine, notes)
    if found is None or found.not_judged:
        rest = f" ({notes[0].rstrip('.')})" if notes else ""
        rest = f" (only {found.source}: {found.not_judged})" if found else rest
        raise UserError(
            f"{spec.name}: no finished runs of this spec in store or evidence{rest}; make {spec.name} makes one"
        )
    return found


def _row(spec, base, record, epochs: pd.DataFrame, summaries: dict) -> dict:
    kind, count = ("validation", None) if spec.data.validation else ("test", statistics.images_of(epochs))
    changed = statistics.changed_fields(spec, base).items()
    return {
        "experiment": spec.name,
        "source": record.source,
        "data": runs.data_name(spec.data.short, spec.data.path),
        "evaluated_on": kind,
        "seeds": [int(seed) for seed in summaries],
        "parameters": check(spec)[0].parameters,
        **verdict.total([*summaries.values()], count),
        "verdict": verdict.NOT_JUDGED if spec.data.validation else statistics.judge(epochs, spec)[0],
        "run_ids": list(epochs["run_id"].unique()) if "run_id" in epochs else [],
        "changes": {name: {"from": old, "to": new} for name, (old, new) in changed},
    }


def text(result: dict) -> str:
    """Return a comparison as Markdown for the terminal, at most 80 columns wide."""
    rows = result["experiments"]
    head = ("experiment", "params", "n", "last %", "std", "min", "min of last 5", "target")
    cells = [
        (row["experiment"], f"{row['parameters']:,}", str(row["n"]), number(row["last"], 3), number(row["last_std"], 3),
         number(row["last_min"]), number(row["min_last5"]), row["verdict"])
        for row in rows
    ]  # fmt: skip
    lines = [markdown(head, cells, "<>>>>>><"), ""]
    for row in rows:
        interval = "" if row["last_low"] is None else f"95 % interval {row['last_low']:.2f} to {row['last_high']:.2f}, "
        lines.append(f"{row['experiment']}: {interval}numbers from\n  {row['source']}")
    for row in rows[1:]:
        found = row["against_base"]
        words = statistics.difference_as_text(found) if found else "evaluated on other images, so no difference"
        against = f"{row['experiment']} against {result['base']}: {words}"
        lines += ["", textwrap.fill(against, 80, subsequent_indent="  ")]
        for name, change in row["changes"].items():
            line = f"  {name}: {statistics.as_text(change['from'])} -> {statistics.as_text(change['to'])}"
            lines.append(textwrap.fill(line, 80, subsequent_indent="    "))
    return "\n".join(lines)
