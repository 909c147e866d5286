"""``make bench``: measure everything; write ``reports/bench.md``, ``bench.json`` and the summary in ``docs/speed.md``.

``python -m bench throughput`` measures that section alone and prints it; ``--out`` writes it to a folder.
``--report-only`` writes ``reports/bench.md`` and the summary in ``docs/speed.md`` again from ``reports/bench.json``.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from bench import layers, measures, report
from tinycnn import ROOT
from tinycnn.network import native
from tinycnn.spec import load as experiments
from tinycnn.track import provenance

REPORTS = ROOT / "reports"


def main():
    """Measure the sections asked for, by default all of them."""
    names = [name for name in report.SECTIONS if name not in ("where", "tried")]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure how fast tinycnn is.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--experiment", default="exp3", help="whose network and recipe (default exp3)")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--plain-seeds", type=int, default=3, help="of the plain loop in time_to (default 3)")
    parser.add_argument("--sprint-seeds", type=int, default=10, help="of sprint in time_to (default 10)")
    parser.add_argument("--out", type=Path, help="where to write (default: reports/ for all of exp3, else nowhere)")
    parser.add_argument("--report-only", action="store_true", help="measure nothing; write the report again")
    chosen = parser.parse_args()
    if unknown := set(chosen.sections) - set(names):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    if min(chosen.repeats, chosen.plain_seeds, chosen.sprint_seeds) < 1:
        parser.error("repeats and seeds must be 1 or more")
    if chosen.report_only:
        write(REPORTS, json.loads((REPORTS / "bench.json").read_text()))
        return
    whole = not chosen.sections and chosen.experiment == "exp3"
    out = chosen.out or (REPORTS if whole else None)
    found = measure(chosen, chosen.sections or names, out)
    if not out:
        print(report.render(found))


def measure(chosen, names: list, out: Path | None) -> dict:
    """Measure sections; write what there is to ``out`` after each."""
    spec, repeats = experiments.load(chosen.experiment), chosen.repeats
    functions = {
        "throughput": lambda: measures.throughput(spec, repeats),
        "cifar": lambda: measures.throughput(experiments.load("record_cifar"), repeats),
        "arithmetic": lambda: measures.arithmetic(spec, repeats),
        "layers": lambda: layers.layers(spec, repeats),
        "time_to": lambda: measures.time_to(99.4, spec, chosen.plain_seeds, chosen.sprint_seeds, say),
        "tracking": lambda: measures.tracking(spec, repeats),
        "start_up": lambda: measures.start_up(spec, repeats),
        "side_by_side": lambda: measures.side_by_side(spec, repeats),
    }
    found = {"where": where(spec)}
    if out == REPORTS:  # what was tried once is not measured again
        found["tried"] = json.loads((REPORTS / "bench.json").read_text())["tried"]
    for name in names:
        begun = time.perf_counter()
        say(name)
        found[name] = functions[name]()
        say(f"{name}: took {time.perf_counter() - begun:.0f} s")
        if out:
            write(out, found)
    return found


def where(spec) -> dict:
    """Return with what machine, code and packages this was measured."""
    return {
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "uncommitted": bool(provenance.uncommitted()),
        "experiment": spec.name,
        "spec_hash": spec.hash,
        "kernels": "native" if not native.missing() else "torch",
        "when": time.strftime("%Y-%m-%d"),
    }


def write(out: Path, found: dict):
    """Write what was measured and its report into a folder; with ``reports``, the summary in ``docs/speed.md`` too."""
    out.mkdir(parents=True, exist_ok=True)
    found = {name: found[name] for name in report.SECTIONS if name in found}
    (out / "bench.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "bench.md").write_text(report.render(found))
    if out == REPORTS and set(found) >= set(report.SECTIONS) - {"start_up", "layers", "cifar"}:
        page = ROOT / "docs" / "speed.md"
        page.write_text(report.with_summary(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def say(line):
    """Report progress."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
