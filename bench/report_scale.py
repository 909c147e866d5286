"""How loading a store and reporting on it grow with the number of runs: ``python -m bench.report_scale [RUNS ...]``.

Each number of runs gets a store of its own, filled with SQL (through MLflow 1,000 runs would take minutes) as if ten
seeds of each spec had been run for fifteen epochs, and is read and reported on by a process of its own, from the import
of pandas on. Not part of ``make test`` or ``make bench``.
"""

import argparse
import contextlib
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tinycnn import ROOT
from tinycnn.spec import load as experiments
from tinycnn.track import tables

SEEDS, EPOCHS = 10, 15
_RUN = "run_uuid name source_type status start_time end_time lifecycle_stage artifact_uri experiment_id user_id"
_TAGS = {
    "tinycnn.role": "seed", "tinycnn.data": "mnist", "tinycnn.data_digest": "f" * 64, "tinycnn.code_hash": "0" * 12,
    "tinycnn.evaluated_on": "test", "tinycnn.fallback": "false", "mlflow.source.git.commit": "0" * 40,
    "tinycnn.git_dirty": "false", "tinycnn.version.torch": "0", "tinycnn.machine.threads": "1",
    "tinycnn.device": "cpu",
}  # fmt: skip


def main():
    """Print a line for each number of runs."""
    parser = argparse.ArgumentParser(prog="python -m bench.report_scale", description="Measure how reports grow.")
    parser.add_argument("runs", nargs="*", type=int, default=[250, 500, 1000, 2000], help="(default 250 500 1000 2000)")
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)  # the process of its own
    chosen = parser.parse_args()
    if chosen.measure:
        measure(Path(chosen.measure))
        return
    rows = []
    for count in chosen.runs:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder) / "mlflow.db", count)
            store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
            command = [sys.executable, "-m", "bench.report_scale", "--measure", folder]
            done = subprocess.run(command, cwd=ROOT, env=os.environ | store, capture_output=True, text=True, check=True)
            rows.append((f"{count:,}", *done.stdout.split()))
            print(*rows[-1], file=sys.stderr, flush=True)
    print(tables.markdown(("runs", "load (s)", "report (s)", "peak memory (MiB)"), rows, ">>>>"))


def measure(folder: Path):
    """Print the seconds of loading all epochs, of the report, and the peak memory of this process in MiB."""
    from analysis import load, report  # what these import is not the store's doing

    begun = time.perf_counter()
    frame = load.runs()
    load.epochs(frame["run_id"].tolist())
    loaded = time.perf_counter()
    report.write(sorted(frame["experiment"].unique()), folder / "reports")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print(f"{loaded - begun:.2f} {time.perf_counter() - loaded:.1f} {memory:.0f}")


def fill(file: Path, count: int):
    """Make a store of so many runs: specs derived from exp3, a different network each, ten seeds of each."""
    from tinycnn.track.mlflow_store import Store

    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{file}"
    experiment = Store().experiment_id
    chance, base = random.Random(0), experiments.load("exp3")
    runs, tags, metrics, latest = [], [], [], []
    for number in range(count):
        which, seed = divmod(number, SEEDS)
        widths = [4 + which % 9, 8 + which // 9 % 9, 12, 12, 12, 10, 14]
        spec = base.but(name=f"fake{which:04}", model={"widths": widths})
        run_id = f"{number:032x}"
        runs.append((run_id, f"fake {number}", "LOCAL", "FINISHED", number, number + 1, "active", "", experiment, ""))
        own = {"tinycnn.experiment": spec.name, "tinycnn.spec_hash": spec.hash, "tinycnn.seed": str(seed)}
        own |= {"tinycnn.spec": spec.model_dump_json(exclude={"notes"})}
        tags += [(key, value, run_id) for key, value in (_TAGS | own).items()]
        for epoch in range(1, EPOCHS + 1):
            for name, value in _epoch(chance, which, epoch).items():
                metrics.append((name, value, epoch, run_id, epoch, False))
        latest.append(("parameters", 7000.0, 0, 0, False, run_id))
    with contextlib.closing(sqlite3.connect(file)) as store, store:
        for name, columns, rows in (
            ("runs", _RUN, runs),
            ("tags", "key value run_uuid", tags),
            ("metrics", "key value timestamp run_uuid step is_nan", metrics),
            ("latest_metrics", "key value timestamp step is_nan run_uuid", latest),
        ):
            names = columns.split()
            marks = ", ".join("?" * len(names))
            store.executemany(f"insert into {name} ({', '.join(names)}) values ({marks})", rows)


def _epoch(chance, which, epoch) -> dict:
    accuracy = round(99.5 - 0.001 * which - 2 / epoch**1.5 + chance.gauss(0, 0.05), 2)
    values = {"train_loss": 0.3 / epoch, "train_accuracy": accuracy - 0.3, "test_loss": 0.2 / epoch}
    values |= {"test_accuracy": accuracy, "learning_rate": 0.01 * 0.8**epoch, "seconds": 7.5, "images_per_second": 8e3}
    return values | ({"clean_train_accuracy": accuracy + 0.05} if epoch == EPOCHS else {})


if __name__ == "__main__":
    main()
