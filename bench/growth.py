"""``python -m bench.growth``: what becomes slow as runs, trials and jobs add up. Writes a page.

A store of its own is filled with copies of runs that were never trained. Numbers of a store and of a study are seconds
of processor time, which other programs on the machine change little.
"""

import argparse
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from analysis.plots import growth as plot
from analysis.plots.style import save
from bench.cluster import simulate
from tinycnn import ROOT
from tinycnn.track.tables import markdown

NAMES = ("exp1", "exp2", "exp3", "exp4", "exp5")
METRICS = ("test/accuracy", "test/loss", "train/accuracy", "train/loss", "train/learning_rate", "time/seconds")
COMMANDS = {"list": ["list"], "compare": ["compare", "exp2", "exp3"], "doctor": ["doctor"], "report": []}


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="*", default=[100, 1000, 10_000], help="sizes of the store")
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000, 10_000], help="sizes of the study")
    parser.add_argument("--workers", type=int, default=50, help="that ask the study at once, and only sleep")
    parser.add_argument("--jobs", type=int, nargs="*", default=[100, 1000, 10_000], help="of the simulated cluster")
    parser.add_argument("--slots", type=int, default=1000, help="jobs that it runs at once")
    parser.add_argument("--seconds", type=float, default=300, help="that a job takes there")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "growth", help="folder (default reports/growth)")
    chosen = parser.parse_args()
    found = {"store": [], "study": [], "cluster": []}
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.environ["TINYCNN_CHECKPOINTS"] = f"{folder}/checkpoints"
        os.environ["OPTUNA_STORAGE"] = f"{folder}/optuna.journal"
        if chosen.runs:
            templates = make_templates()
        for size in chosen.runs:
            fill(Path(folder) / "mlflow.db", templates, size)
            found["store"].append({"runs": size} | {name: seconds(name, folder) for name in COMMANDS})
            print(json.dumps(found["store"][-1]), flush=True)
        for size in chosen.trials:
            found["study"].append({"trials": size} | study(size, chosen.workers))
            print(json.dumps(found["study"][-1]), flush=True)
    for jobs in chosen.jobs:
        found["cluster"].append(simulate(jobs, chosen.slots, chosen.seconds))
        print(json.dumps(found["cluster"][-1]), flush=True)
    (chosen.out / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "growth.md").write_text(render(found, chosen))
    save(plot.growth(found), chosen.out / "growth")


def render(found: dict, chosen) -> str:
    """Return the page: a table for each part, and the figure."""
    parts = (
        ("A store of runs", "store", "Seconds of processor time of each command, MLflow's import included."),
        ("A study", "study", "Seconds of processor time to open it, and for a trial to be asked for and told; how many "
         f"trials {chosen.workers} workers got in 20 seconds, each of which takes a second."),
        ("A simulated cluster", "cluster", f"Jobs of some {chosen.seconds:g} s on {chosen.slots:,} slots. `shortest`: "
         "what the jobs take; `took`: until the launcher has all results; the others: seconds that the launcher "
         "computes, to submit, in all, and at most between two looks at the queue."),
    )  # fmt: skip
    lines = ["# Growth", "", "Written by `python -m bench.growth`.", "", "![](growth.png)", ""]
    for title, name, words in parts:
        if found[name]:
            rows = [[f"{value:,}" for value in row.values()] for row in found[name]]
            head = [column.replace("_", " ") for column in found[name][0]]
            lines += [f"## {title}", "", words, "", markdown(head, rows, ">" * len(head)), ""]
    return "\n".join(lines)


def make_templates() -> list[str]:
    """Make a run for each experiment as its record begins, with random metrics in place of a training."""
    from tinycnn.spec import load
    from tinycnn.track.mlflow_store import Store
    from tinycnn.track.plan import prepare

    ids, store, numbers = [], Store(), random.Random(0)
    for name in NAMES:
        plan = prepare(load.load(name), device="cpu", offline=True)
        with store.run(name, plan.tags | {"tinycnn.role": "seed", "tinycnn.seed": 0}) as run:
            run.open()
            sizes = {"parameters": plan.measured.parameters, "macs": plan.measured.macs}
            run.params(plan.spec.brief() | {"seed": 0} | sizes)
            run.json("environment.json", plan.environment)
            run.curves([(epoch, {m: 99 + numbers.random() / 2 for m in METRICS}) for epoch in range(1, 16)])
        ids.append(run.id)
    return ids


def fill(database: Path, templates: list[str], size: int):
    """Copy the templates' rows until the store has ``size`` runs, each with a seed of its own."""
    with sqlite3.connect(database) as store:
        there = store.execute("SELECT count(*) FROM runs").fetchone()[0]
        for number in range(there, size):
            template, new = templates[number % len(templates)], f"{number:032x}"
            for table in ("runs", "params", "tags", "metrics", "latest_metrics"):
                columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
                taken = ", ".join("?" if column == "run_uuid" else f'"{column}"' for column in columns)
                names = ", ".join(f'"{column}"' for column in columns)
                copy = f"INSERT INTO {table} ({names}) SELECT {taken} FROM {table} WHERE run_uuid = ?"
                store.execute(copy, (new, template))
            store.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'tinycnn.seed'", (str(number), new))


def seconds(name: str, folder: str) -> float:
    """Return the processor time of a command on the store, that of its threads and processes included."""
    code = f"import sys; from tinycnn.cli.commands import main; sys.exit(main({COMMANDS[name]}))"
    if name == "report":  # into another folder than reports/
        code = f"import pathlib; from analysis import report; report.write(None, pathlib.Path({folder!r}))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr.decode()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


def study(size: int, workers: int) -> dict:
    """Return what a study of so many trials takes to open and to be asked, and how many a second ``workers`` get."""
    from tinycnn.spec import load
    from tinycnn.study import Float, Study, storage

    ranges = {"optimizer.lr": Float(0.001, 0.03, log=True), "model.dropout": Float(0.0, 0.1)}
    asked = Study(name=f"of{size}", base=load.load("exp3"), ranges=ranges, trials=10**5)
    made, numbers = storage.opened(asked, identity={"definition": asked.digest}), random.Random(0)
    kinds = {name: storage._distribution(given) for name, given in ranges.items()}
    made.add_trials([
        storage.optuna.create_trial(
            params={"optimizer.lr": numbers.uniform(0.001, 0.03), "model.dropout": numbers.uniform(0.0, 0.1)},
            distributions=kinds, value=numbers.random(), user_attrs={"state": "complete", "worker": 0},
        )
        for _ in range(size)
    ])  # fmt: skip

    def ask(found):
        with storage.locked(asked.name):
            trial, *_ = storage.ask(found, asked, 1)
        storage.finish(found, trial, 0.5, state="complete")

    begun = time.process_time()
    found = storage.opened(asked)
    opened = time.process_time() - begun
    ask(found)  # the first imports what it needs
    begun = time.process_time()
    for _ in range(5):
        ask(found)
    each = (time.process_time() - begun) / 5
    got, ready = [], threading.Barrier(workers)

    def work():
        mine = storage.opened(asked)
        ready.wait()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            ask(mine)
            got.append(1)
            time.sleep(1)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"open": round(opened, 2), "ask": round(each, 3), "asked_in_20_s": len(got)}


if __name__ == "__main__":
    main()
