"""What experiments come to on a device: bytes and accuracy of the C program of every seed, in ``device.csv``."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import evidence, runs
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import load as experiments
from tinycnn.track.statistics import over_seeds

_RUN = ["experiment", "spec_hash", "seed", "run_id", "data", "data_digest"]
_MEASURED = (
    "parameters", "macs", "flash", "weights", "ram", "images", "float_accuracy", "accuracy", "other_predictions",
    "differing", "compiler",
)  # fmt: skip
"""As ``tinycnn.export.export.export`` returns them; ``flash``: bytes of constants."""


def read() -> pd.DataFrame:
    """Return the committed measures, a row for each seed; none where there is no file. Raises UserError if damaged."""
    path = evidence.FOLDER / evidence.DEVICE
    if not path.exists():
        return pd.DataFrame(columns=[*_RUN, *_MEASURED])
    frame = evidence.read_csv(path)
    if missing := {*_RUN, *_MEASURED} - set(frame.columns):
        raise UserError(f"{path}: the column {min(missing)} is missing; python -m tinycnn device writes it again")
    return frame


def write(names: list[str], note, *, offline: bool = False) -> list[Path]:
    """Export every seed of experiments to C, try each program on the whole test set, and write ``device.csv``.

    ``names``: without any, of all whose name begins with ``record_`` and that have finished runs. ``note`` is told
    each seed in a line. Rows of other experiments stay, and so do those of more seeds than the store has, unless the
    experiment is named. Returns the file, [] where nothing was measured. Raises UserError for an experiment that is
    named but has no finished run on test images, SpecError for one that C cannot express.
    """
    wanted = names or [name for name in experiments.names() if name.startswith("record_")]
    every, path, written = runs.read(names=wanted), evidence.FOLDER / evidence.DEVICE, []
    for name in wanted:
        spec = experiments.load(name)
        mine = runs.of_spec(every, spec)
        if mine.empty or spec.data.validation:
            problem = f"{name}: no finished runs of this spec on test images in the store; make {name} makes one"
            if names:
                raise UserError(problem)
            note(problem)
            continue
        kept = read()
        if not names and (kept["experiment"] == name).sum() > len(mine):
            continue
        rows = [_measured(run, note, offline) for run in mine.itertuples()]
        parts = [part for part in (kept[kept["experiment"] != name], pd.DataFrame(rows)) if len(part)]
        frame = pd.concat(parts, ignore_index=True).sort_values(["experiment", "seed"])
        written = [evidence.save(frame, path)]
    return written


def _measured(run, note, offline: bool) -> dict:
    from tinycnn.export.export import export
    from tinycnn.track.mlflow_store import Store

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        Store(make=False).fetch_checkpoint(run.run_id, checkpoint)
        try:
            facts = export(checkpoint, "c", Path(folder), offline=offline)
        except SpecError as error:
            raise SpecError(f"{run.experiment}: {error}") from None
    note(f"{run.experiment}, seed {run.seed}: {facts['accuracy']:.2f} %, in float {facts['float_accuracy']:.2f} %")
    return {name: getattr(run, name) for name in _RUN} | {name: facts.get(name) for name in _MEASURED}


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each experiment: ``over_seeds`` of its C programs' accuracies, and the columns below.

    ``bytes``: of constants, weights among them, and ``ram``, each of the largest program; ``float_last``: the mean of
    the networks in floating point; ``other_predictions``: images that these answer otherwise, a mean over seeds;
    ``equal``: whether each program was compiled and gave the scores of its reference bit for bit.
    """
    rows = []
    for name, part in frame.groupby("experiment", sort=False):
        found = over_seeds(part["accuracy"], int(part["images"].iloc[0]))
        rows.append({
            "experiment": name, "data": part["data"].iloc[0], "parameters": part["parameters"].iloc[0],
            "bytes": part["flash"].max(), "ram": part["ram"].max(),
            **{key: np.nan if value is None else value for key, value in found.items()},
            "float_last": part["float_accuracy"].mean(), "other_predictions": part["other_predictions"].mean(),
            "equal": bool((part["differing"] == 0).all()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def table(summary: pd.DataFrame) -> tuple[tuple, list[tuple], str]:
    """Return head, rows and sides of the table of ``summarise``'s rows."""
    head = ("C program of", "bytes of constants", "bytes of RAM", "n", "test %", "std", "min", "in float",
            "other answers", "bit-equal")  # fmt: skip
    rows = [
        (
            row.experiment, f"{row.bytes:,}", f"{row.ram:,}", str(row.n), f"{row.last:.3f}",
            "-" if pd.isna(row.last_std) else f"{row.last_std:.3f}", f"{row.last_min:.2f}", f"{row.float_last:.3f}",
            f"{row.other_predictions:.1f}", "yes" if row.equal else "not compiled",
        )
        for row in summary.itertuples()
    ]  # fmt: skip
    return head, rows, "<" + ">" * 8 + "<"
