"""The committed evidence of the studies: their trials and their results."""

import json
import sys
from pathlib import Path

import pandas as pd

from analysis import evidence
from tinycnn.errors import UserError
from tinycnn.study import definition, results, storage


def write() -> list[Path]:
    """Write ``NAME.csv`` (a row per trial) and ``NAME.json`` of each study in the storage.

    A record of more trials than the storage has is left as it is. Returns the files written.
    """
    stored, written, folder = storage.names(), [], evidence.FOLDER / "studies"
    for name in (name for name in definition.names() if name in stored):
        study, path = definition.load(name), folder / f"{name}.csv"
        try:
            found = storage.opened(study)
        except UserError as error:  # its file has changed since, or it was run on stand-in data
            print(f"note: {error}", file=sys.stderr)
            continue
        trials = pd.DataFrame(results.trials(study, found))
        result = results.results(study, found) | {"comparison": found.user_attrs.get("comparison")}
        if path.exists() and len(pd.read_csv(path)) > len(trials):
            continue
        written += [evidence.save(trials, path), path.with_suffix(".json")]
        written[-1].write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return written
