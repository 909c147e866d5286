"""``make bench``: measure everything in one run and write ``reports/bench.md``, ``bench.json`` and ``bench.png``.

``python -m bench throughput`` measures that section alone and prints it; ``--out`` writes it somewhere.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from bench import measures, report
from tinycnn import ROOT
from tinycnn.spec import load as experiments


def main():
    """Measure what is asked for, all of it unless told otherwise."""
    names = [name for name in report.SECTIONS if name != "where"]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure how fast tinycnn is.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--experiment", default="exp3", help="whose network and recipe (default exp3)")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--plain-seeds", type=int, default=3, help="of the plain loop in time_to (default 3)")
    parser.add_argument("--sprint-seeds", type=int, default=10, help="of sprint in time_to (default 10)")
    parser.add_argument("--out", type=Path, help="where to write (default: reports/ for all of exp3, else nowhere)")
    chosen = parser.parse_args()
    if unknown := set(chosen.sections) - set(names):
        parser.error(f"no section is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if min(chosen.repeats, chosen.plain_seeds, chosen.sprint_seeds) < 1:
        parser.error("repeats and seeds are 1 or more")
    spec, repeats = experiments.load(chosen.experiment), chosen.repeats
    functions = {
        "throughput": lambda: measures.throughput(spec, repeats),
        "time_and_arithmetic": lambda: measures.time_and_arithmetic(spec, repeats),
        "candidates": lambda: measures.candidates(spec, repeats),
        "accuracy": lambda: measures.accuracy(spec, repeats),
        "time_to": lambda: measures.time_to(99.4, spec, chosen.plain_seeds, chosen.sprint_seeds, say),
        "tracking": lambda: measures.tracking(spec, repeats),
        "side_by_side": lambda: measures.side_by_side(spec, repeats),
        "studies": lambda: measures.studies(spec, repeats),
        "growth": lambda: measures.growth(spec, repeats),
    }
    whole = not chosen.sections and chosen.experiment == "exp3"
    out = chosen.out or (ROOT / "reports" if whole else None)
    found = {"where": measures.where(spec)}
    for name in chosen.sections or names:
        begun = time.perf_counter()
        say(name.replace("_", " "))
        found[name] = functions[name]()
        say(f"{name.replace('_', ' ')}: took {time.perf_counter() - begun:.0f} s")
        if out:
            write(out, found)  # as far as it has come
    if whole and out == ROOT / "reports":
        readme = ROOT / "README.md"
        readme.write_text(report.with_summary(readme.read_text(encoding="utf-8"), found), encoding="utf-8")
    if not out:
        print(report.render(found))


def write(out: Path, found: dict):
    """Write what was measured, the report and its figure into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(found, indent=1, default=str) + "\n")
    (out / "bench.md").write_text(report.render(found))
    if "growth" in found:
        report.figure(found["growth"]).savefig(out / "bench.png", dpi=120)


def say(line):
    """Tell whoever waits."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
