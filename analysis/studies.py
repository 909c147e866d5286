"""The committed evidence of the studies: their trials, the epochs these trained, and what they came to."""

import json
import sys
from pathlib import Path

import pandas as pd

from analysis.committed import FOLDER
from tinycnn.errors import UserError
from tinycnn.study import definition as studies_of
from tinycnn.study import results as findings
from tinycnn.study import storage as search

STUDIES = FOLDER / "studies"


def write() -> list[Path]:
    """Write ``NAME.csv`` (a row per trial), ``NAME_epochs.csv`` and ``NAME.json`` of each study in the storage.

    A record of more trials than the storage has is left as it is.
    """
    stored, written = search.names(), []
    for name in studies_of.names():
        if name not in stored:
            continue
        study = studies_of.load(name)
        try:
            found = search.opened(study)
        except UserError as error:  # its file has changed since, or it was searched on stand-in data
            print(f"note: {error}", file=sys.stderr)
            continue
        with search.troubles():
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
        (STUDIES / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
        written.append(STUDIES / f"{name}.json")
    return written
