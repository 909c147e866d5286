"""The committed evidence of the sweeps, what each arm came to by seed, and its frame."""

import json
from pathlib import Path

import pandas as pd

from analysis import evidence, runs
from tinycnn.spec import sweep


def write() -> list[Path]:
    """Write ``NAME.json`` of each sweep that the store has finished, as its run has it; return the files written.

    A record of more trainings than the store's is left as it is. Raises StoreTrouble.
    """
    store, written = runs.store(), []
    for name in sweep.names() if store else ():
        found = store.search({"tinycnn.role": "sweep", "tinycnn.sweep": name}, everywhere=True)
        text = store.read(found[0].info.run_id, "sweep.json") if found else None
        path = evidence.FOLDER / "sweeps" / f"{name}.json"
        if text is None or (path.exists() and _trainings(path.read_text()) > _trainings(text)):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(json.loads(text), indent=1) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _trainings(text: str) -> int:
    return sum(arm["n"] for arm in json.loads(text)["arms"])


def read() -> dict[str, dict]:
    """Return the result of each sweep by name, as ``tinycnn.track.sweep.results``. Raises UserError."""
    return {path.stem: evidence.read_json(path) for path in sorted((evidence.FOLDER / "sweeps").glob("*.json"))}


def differences(result: dict) -> pd.DataFrame:
    """Return a row for each arm that was compared with the base, the best first, as ``analysis.plots.specs`` draws it.

    Columns: experiment (the arm), parent (the base's label), difference, low, high (of its 95 % interval), n, paired.
    """
    columns = ["experiment", "parent", "difference", "low", "high", "n", "paired"]
    compared = [arm for arm in result["arms"] if arm["against_base"]]
    rows = [{"experiment": arm["arm"], "parent": "base", **arm["against_base"]} for arm in compared]
    frame = pd.DataFrame(rows, columns=columns).astype({"low": float, "high": float})
    return frame.sort_values("difference", ascending=False, kind="stable").reset_index(drop=True)


def rank_agreement(result: dict) -> pd.DataFrame:
    """Return how well fewer epochs rank the networks of a sweep, a row for each number of epochs but the most.

    Columns: epochs, most, networks (those trained for both), tau (Kendall's, between their mean accuracies), regret
    (points by which the network that is best after ``epochs`` ends below the one that ends best). Without rows where
    fewer than three networks were trained for both. Networks are told apart by parameters and multiply-accumulates.
    """
    arms = pd.DataFrame([arm for arm in result["arms"] if arm["n"]], columns=["parameters", "macs", "epochs", "last"])
    means, rows = arms.pivot_table(index=["parameters", "macs"], columns="epochs", values="last"), []
    for epochs in means.columns[:-1]:
        most = means.columns[-1]
        both = means[[epochs, most]].dropna()
        if len(both) >= 3:
            regret = both[most].max() - both[most][both[epochs].idxmax()]
            rows.append((epochs, most, len(both), both[epochs].corr(both[most], method="kendall"), regret))
    return pd.DataFrame(rows, columns=["epochs", "most", "networks", "tau", "regret"])
