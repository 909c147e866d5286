"""Runs that keep an experiment's name under another spec: made with ``--set``, or before its file was changed."""

import pandas as pd

from analysis import evidence, load, records, statistics, style

MOST = 20
"""Variants of one data set that are shown, the latest of more: the best would have been picked on the test set."""

_WHICH = ["data", "experiment", "spec_hash"]


def variants(frame: pd.DataFrame, picked: dict, specs: dict, notes: list[str]) -> tuple[pd.DataFrame, dict]:
    """Return a row per variant, with the columns of the summary and ``settings``, and by data set how many more.

    ``frame``: rows of ``load.runs()``; ``picked``: the record that is shown of each experiment; ``specs``: as they are
    now. Runs on validation images or on a fallback data set are none.
    """
    shown = {(name, spec_hash) for name, record in picked.items() for spec_hash in record.hashes}
    mine = frame[(frame["status"] == "FINISHED") & (frame["evaluated_on"] == "test") & (frame["fallback"] == "false")]
    mine = mine[mine["experiment"].isin(picked) & ~mine.set_index(_WHICH[1:]).index.isin(shown)]
    groups = [load.of_latest_code(part) for _, part in mine.groupby(_WHICH, sort=False)]
    groups.sort(key=lambda part: part["started"].max(), reverse=True)
    chosen, more = [], {}
    for part in groups:
        data = part["data"].iloc[0]
        if sum(other["data"].iloc[0] == data for other in chosen) < MOST:
            chosen.append(part)
        else:
            more[data] = more.get(data, 0) + 1
    if not chosen:
        return pd.DataFrame(columns=[*statistics.SUMMARY, "settings"]), more
    epochs = dict(list(evidence.of_runs(pd.concat(chosen, ignore_index=True), notes).groupby(_WHICH)))
    rows = []
    for part in chosen:
        run = part.iloc[0]
        known = epochs.get(tuple(run[_WHICH]))
        if known is not None and statistics.runs_of(known):
            words = style.short(_settings(run, specs.get(run["experiment"])), 60)
            rows.append(statistics.summarise(known) | {"settings": words, "spec_hash": run["spec_hash"]})
    found = pd.DataFrame(rows, columns=[*statistics.SUMMARY, "settings", "spec_hash"])
    alike = found.duplicated(["data", "experiment", "settings"], keep=False)
    found.loc[alike, "settings"] += " (spec " + found.loc[alike, "spec_hash"] + ")"
    return found.sort_values("experiment", key=lambda names: names.map([*specs].index), kind="stable"), more


def _settings(run, spec) -> str:
    """Say what a run's spec has that ``spec`` has not: as typed, or else by comparing them, or else by its hash."""
    recorded = records.recorded(run)
    words = statistics.difference_in_words(recorded, spec) if recorded and spec else ""
    return run["settings"] or words or f"spec {run['spec_hash']}"
