"""The verbs of ``python -m tinycnn``. Results go to stdout, everything else to stderr.

Nothing heavy is imported here at module level, so that ``--help`` answers at once.
"""

import argparse
import json
import os
import re
import signal
import sys

from tinycnn import ROOT
from tinycnn.errors import DONE, FAILED, INTERRUPTED, OVER_LIMIT, TARGET_MISSED, USAGE, UserError

EXIT_CODES = f"""exit codes:
  {DONE}    done
  {FAILED}    failed: data, store or machine, or a loss that became infinite
  {USAGE}    bad usage: an unknown word or field, or a value that cannot be
  {OVER_LIMIT}    the network has more parameters than its target allows
  {TARGET_MISSED}    the target was missed, or could not be judged, under --require-target
  {INTERRUPTED}  interrupted"""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code; every failure is one line on stderr."""
    for name in ("SIGTERM", "SIGHUP"):  # a run that is told to go, or whose terminal goes, ends as with Ctrl-C
        if signal.getsignal(number := getattr(signal, name, signal.SIGTERM)) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    sys.path.insert(0, str(ROOT))  # the folder one stands in may have an ``experiments`` or ``analysis`` of its own
    chosen = argparse.Namespace(verb=None)
    try:
        try:
            chosen = _parser().parse_args(arguments)
        finally:
            sys.stdout.flush()  # the help
        code = chosen.verb(chosen)
        sys.stdout.flush()
        return code
    except UserError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted; what was logged until now is kept")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, e.g. head, has gone
        return FAILED if chosen.verb is run else DONE  # a run is not over before it has said so
    except Exception as error:
        if os.environ.get("TINYCNN_DEBUG"):
            raise
        _complain(f"{type(error).__name__}: {error} (TINYCNN_DEBUG=1 shows where)")
        return FAILED


def _interrupt(number, frame):
    raise KeyboardInterrupt


def _complain(problem):
    """Print one line, with what would move the cursor or colour the terminal spelt out."""
    line = " ".join(str(problem).split())
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    print(f"tinycnn: {visible}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    shape = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXIT_CODES, "allow_abbrev": False}
    parser = argparse.ArgumentParser(
        prog="python -m tinycnn", description="Train and track very small convolutional networks.", **shape
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name, function, words):
        made = verbs.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.", **shape)
        made.set_defaults(verb=function)
        made.add_argument("--json", action="store_true", help="print the result as JSON")
        return made

    def experiment(made):
        made.add_argument("experiment", help="a name (exp3), a file, or the spec.json of a run")
        made.add_argument(
            "--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE",
            help="derive a spec, e.g. --set train.epochs=3 optimizer.lr=0.02; show lists the fields",
        )  # fmt: skip
        made.add_argument("--device", type=_device, default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
        made.add_argument("--offline", action="store_true", help="never touch the network")

    verb("list", list_, "list the experiments, networks and data sets")

    show_ = verb("show", show, "print a spec, its difference from its parent, and its layer table")
    experiment(show_)
    show_.add_argument("--augmented", metavar="PNG", help="also draw training images as they are and as augmented")

    run_ = verb("run", run, "train an experiment and track it in MLflow")
    experiment(run_)
    run_.add_argument("--seeds", type=_count, default=1, metavar="N", help="train with N seeds (default 1)")
    run_.add_argument("--first-seed", type=_seed, metavar="S", help="the first seed (default: the spec's train.seed)")
    run_.add_argument(
        "--missing", action="store_true", help="train only seeds not finished with this spec, data and code"
    )
    run_.add_argument("--no-fallback", action="store_true", help="fail where the data set is missing")
    run_.add_argument(
        "--require-target", action="store_true", help=f"exit with {TARGET_MISSED} unless the target is met"
    )

    compare_ = verb("compare", compare, "show what changed between experiments and what it did")
    compare_.add_argument("experiments", nargs="+", help="names, files or spec.json; the first is the base")

    verb("doctor", doctor, "say what is installed, where data and store are, and what to do about what is missing")

    evidence_ = verb("evidence", evidence, "write reports/evidence from the store, and the README's table from that")
    evidence_.add_argument("experiments", nargs="*", help="which (default: all that have finished runs)")
    evidence_.add_argument("--check", action="store_true", help="write nothing; fail if the README is out of date")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seeds from 1 to 1000")
    return int(text)


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed from 0 to {2**32 - 1}")
    return int(text)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of auto, cpu, cuda, cuda:N, mps")
    return text


def _spec(chosen):
    from tinycnn import experiments
    from tinycnn.spec import parse_settings

    return experiments.load(chosen.experiment).with_values(parse_settings(chosen.set))


def _print_json(result):
    print(json.dumps(result, indent=2, allow_nan=False, default=str))


def list_(chosen) -> int:
    """List the experiments, networks and data sets."""
    from tinycnn import overview

    rows = overview.experiments()
    if chosen.json:
        _print_json({"experiments": rows, "networks": overview.networks(), "data": overview.data_sets()})
    else:
        print(overview.text(rows))
    return DONE


def show(chosen) -> int:
    """Print a spec, its difference from its parent, and the layer table."""
    from tinycnn import overview

    spec = _spec(chosen)
    shown = overview.show(spec)
    if chosen.augmented:
        overview.draw_augmented(spec, chosen.augmented, offline=chosen.offline)
        print(f"drew {chosen.augmented}", file=sys.stderr)
    if chosen.json:
        _print_json(shown)
    else:
        print(overview.show_text(spec, shown))
    return DONE


def run(chosen) -> int:
    """Train an experiment."""
    from tinycnn.check import check

    spec = _spec(chosen)
    check(spec)  # before the seconds that importing MLflow takes
    from tinycnn import run as runs
    from tinycnn.tables import seed_table
    from tinycnn.terminal import Terminal

    reporter = Terminal(results=not chosen.json)
    try:
        plan = runs.prepare(
            spec,
            device=chosen.device,
            offline=chosen.offline,
            fallback=not chosen.no_fallback,
            settings=" ".join(chosen.set),
            reporter=reporter,
        )
        outcome = runs.run(
            plan, seeds=chosen.seeds, first_seed=chosen.first_seed, missing=chosen.missing, reporter=reporter
        )
    finally:
        reporter.close()
    if chosen.json:
        _print_json(outcome)
    else:
        if chosen.seeds > 1 or chosen.missing:
            print(seed_table(outcome["seeds"]), end="\n\n")
        print(
            f"{outcome['experiment']}: {outcome['parameters']:,} parameters, target {outcome['verdict']} "
            f"({outcome['reason']})\n"
            f"This data set has evaluated {outcome['specs_judged']} specs so far.\n"
            f"`make ui` shows the run {outcome['run_id']}"
        )
    return TARGET_MISSED if chosen.require_target and outcome["verdict"] != "met" else DONE


def compare(chosen) -> int:
    """Show what changed between experiments, and what it did."""
    from analysis import compare as comparison
    from tinycnn import experiments

    result = comparison.compare([experiments.load(which) for which in chosen.experiments])
    if chosen.json:
        _print_json(result)
    else:
        print(comparison.text(result))
    return DONE


def doctor(chosen) -> int:
    """Say what is installed and what is missing."""
    from tinycnn.doctor import examine, text

    findings = examine()
    if chosen.json:
        _print_json(findings)
    else:
        print(text(findings))
    return DONE if all(finding["ok"] for finding in findings) else FAILED


def evidence(chosen) -> int:
    """Write the committed evidence from the store, and the README's table from the evidence."""
    from analysis import evidence as record

    if chosen.check:
        record.check_readme()
        return DONE
    written = record.write(chosen.experiments)
    if chosen.json:
        _print_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            print(path)
    return DONE
