"""The committed evidence of the studies: their trials, the epochs these trained, and what they came to."""

import json
from pathlib import Path

import pandas as pd

from analysis.committed import FOLDER
from tinycnn import experiments, findings, search

STUDIES = FOLDER / "studies"


def write() -> list[Path]:
    """Write ``NAME.csv`` (a row per trial), ``NAME_epochs.csv`` and ``NAME.json`` of each study in the storage.

    A record of more trials than the storage has is left as it is.
    """
    stored, written = search.names(), []
    for name in experiments.studies():
        if name not in stored:
            continue
        study = experiments.load_study(name)
        with search.troubles():
            found = search.opened(study)
            trials, epochs = findings.frame(study, found), findings.curves(found)
            facts = findings.findings(study, found)
        path = STUDIES / f"{name}.csv"
        if path.exists() and len(pd.read_csv(path)) > len(trials):
            continue
        STUDIES.mkdir(parents=True, exist_ok=True)
        facts |= {"comparison": found.user_attrs.get("comparison")}
        for frame, to in ((trials, path), (epochs, STUDIES / f"{name}_epochs.csv")):
            frame.to_csv(to, index=False, lineterminator="\n", float_format="%.6g")
            written.append(to)
        (STUDIES / f"{name}.json").write_text(json.dumps(facts, indent=1, default=_plain) + "\n")
        written.append(STUDIES / f"{name}.json")
    return written


def _plain(value):
    return value.item() if hasattr(value, "item") else str(value)
