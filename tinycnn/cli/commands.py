"""The verbs of ``python -m tinycnn``. Results go to stdout, everything else to stderr.

Nothing heavy is imported here at module level, so that ``--help`` answers at once.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import sys

from tinycnn import ROOT
from tinycnn.errors import (
    DIFFERENT,
    DONE,
    FAILED,
    INTERRUPTED,
    OVER_LIMIT,
    TARGET_MISSED,
    UNDELIVERED,
    USAGE,
    SpecError,
    Undelivered,
    UserError,
    nearest,
    shown,
    visible,
)

EXIT_CODES = f"""exit codes:
  {DONE}    done
  {FAILED}    failed: data, store or machine, or a loss that became infinite
  {USAGE}    bad usage: an unknown word or field, or a value that cannot be
  {OVER_LIMIT}    more parameters than the target allows; of a study, too few values that keep to that
  {TARGET_MISSED}    the target was missed, or could not be judged, under --require-target
  {UNDELIVERED}    trained, but the store did not take all results: `resume` delivers them
  {DIFFERENT}    a rerun did not come out the same
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
        with _only_json() if getattr(chosen, "json", False) else contextlib.nullcontext():
            code = chosen.verb(chosen)
        sys.stdout.flush()
        return code
    except UserError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        _complain(f"interrupted; what was logged until now is kept{_way_on(chosen)}")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, e.g. head, has gone
        trains = (run, resume, rerun, search, confirm)  # a run is not over before it has said so
        return FAILED if chosen.verb in trains else DONE
    except Exception as error:
        if os.environ.get("TINYCNN_DEBUG"):
            raise
        doing = _DOING[chosen.verb.__name__].format(**vars(chosen)) if chosen.verb else "reading the command line"
        _complain(f"while {doing}: {type(error).__name__}: {error} (TINYCNN_DEBUG=1 shows where)")
        return FAILED


_DOING = {
    "list_": "listing the experiments",
    "show": "showing {experiment}",
    "run": "training {experiment}",
    "resume": "going on with run {run_id}",
    "rerun": "making run {run_id} again",
    "close": "closing run {run_id}",
    "search": "searching the study {study}",
    "promote": "writing {name} from the study {study}",
    "confirm": "comparing {name} with its base",
    "compare": "comparing {experiments}",
    "doctor": "looking at what is installed",
    "report": "writing the report",
    "evidence": "writing the evidence",
}
"""What each verb was doing when it failed; in braces, its arguments."""


def _way_on(chosen) -> str:
    """Say what goes on with what was interrupted, where anything was trained."""
    if chosen.verb is search:
        return f"; `python -m tinycnn search {chosen.study}` goes on from there"
    run_id = getattr(getattr(chosen, "reporter", None), "run_id", None)
    if run_id is None:
        return ""
    from tinycnn.train import checkpoint

    trained = chosen.reporter.seed_done or checkpoint.trained(run_id)
    return f"; `python -m tinycnn resume {run_id}` goes on from there" if trained else ""


def _interrupt(number, frame):
    raise KeyboardInterrupt


def _complain(problem):
    """Print one line, not longer than can be read: what was wrong comes first, and what to do about it last."""
    line = visible(" ".join(str(problem).split()))
    print(f"tinycnn: {line if len(line) <= 1000 else f'{line[:700]} ... {line[-200:]}'}", file=sys.stderr)


def _note(line):
    print(f"note: {visible(line)}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest verb or option for one that is unknown."""

    def error(self, message):
        verb = self.prog.removeprefix(_PROGRAM).strip()
        _complain(f"{verb}{': ' if verb else ''}{message}{'' if message[-1] == '?' else f'; see {self.prog} --help'}")
        self.exit(USAGE)

    def parse_known_args(self, args=None, namespace=None):
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._problem_with(unknown[0]))
        return known, unknown

    def _problem_with(self, word):
        if not word.startswith("-"):
            return f"{shown(word)} is a word too many"
        option = word.partition("=")[0]
        known = [name for name in self._option_string_actions if name.startswith("--")]
        hint = "options follow the verb" if self.prog == _PROGRAM else nearest(option, known)
        return f"no option is called {shown(option)} here; {hint}"

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:  # the verb
            raise argparse.ArgumentError(None, f"no verb is called {shown(value)}; {nearest(value, action.choices)}")


_PROGRAM = "python -m tinycnn"


def _parser() -> argparse.ArgumentParser:
    shape = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXIT_CODES, "allow_abbrev": False}
    parser = _Parser(prog=_PROGRAM, description="Train and track very small convolutional networks.", **shape)
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

    def workers(made):
        made.add_argument(
            "--workers", type=_count, metavar="N",
            help="train so many of several seeds at once on the CPU, with the same numbers (default: one per core)",
        )  # fmt: skip

    verb("list", list_, "list the experiments, studies, layers and data sets")

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
    workers(run_)
    run_.add_argument("--no-fallback", action="store_true", help="fail where the data set is missing")
    run_.add_argument(
        "--require-target", action="store_true", help=f"exit with {TARGET_MISSED} unless the target is met"
    )

    def by_id(name, function, words):
        made = verb(name, function, words)
        made.add_argument("run_id", type=_run_id, help="as printed when training starts; doctor lists those to resume")
        return made

    resume_ = by_id("resume", resume, "go on with an interrupted run, or deliver what its store did not take")
    rerun_ = by_id("rerun", rerun, "make a run again from its record and say whether every number is the same")
    workers(resume_)
    by_id("close", close, "end an interrupted run for good: it becomes KILLED, and its checkpoint goes")
    for made in (resume_, rerun_):
        made.add_argument("--offline", action="store_true", help="never touch the network for data")

    search_ = verb("search", search, "run an Optuna study, or go on with it, until its trials are trained")
    search_.add_argument("study", help="a name (dropout_lr) or a file")
    search_.add_argument("--trials", type=_budget, metavar="N", help="in all, restarts included (default: the study's)")
    search_.add_argument(
        "--workers", type=_count, metavar="N", help="processes (default: one per core; on an accelerator 1)"
    )
    promote_ = verb("promote", promote, "write an experiment from the best trial of a study")
    promote_.add_argument("study", help="a name (dropout_lr) or a file")
    promote_.add_argument("--name", required=True, help="of the experiment, and its file")
    promote_.add_argument("--trial", type=_seed, metavar="N", help="another trial than the best")
    confirm_ = verb("confirm", confirm, "compare a promoted experiment with its base on the test set, with fresh seeds")
    confirm_.add_argument("study", help="a name (dropout_lr) or a file")
    confirm_.add_argument("--name", required=True, help="the experiment that was promoted")
    confirm_.add_argument("--seeds", type=_count, default=5, metavar="N", help="of each (default 5)")
    workers(confirm_)
    for made in (search_, confirm_):
        made.add_argument("--device", type=_device, default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
        made.add_argument("--offline", action="store_true", help="never touch the network")

    compare_ = verb("compare", compare, "show what changed between experiments and what it did")
    compare_.add_argument("experiments", nargs="+", help="names, files or spec.json; the first is the base")

    verb("doctor", doctor, "say what is installed, where data and store are, and what to do about what is missing")

    report_ = verb("report", report, "write reports/report.html, report.md and figures from store and evidence")
    report_.add_argument("experiments", nargs="*", help="which (default: all that have finished runs)")

    evidence_ = verb("evidence", evidence, "write reports/evidence from the store, and the README's table from that")
    evidence_.add_argument("experiments", nargs="*", help="which (default: all that have finished runs)")
    evidence_.add_argument("--check", action="store_true", help="write nothing; fail if the README is out of date")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _budget(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6 or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100000")
    return int(text)


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed from 0 to {2**32 - 1}")
    return int(text)


def _run_id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a run: 32 digits from 0-9 and a-f")
    return text


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of auto, cpu, cuda, cuda:N, mps")
    return text


def _spec(chosen):
    from tinycnn.spec import load as experiments
    from tinycnn.spec import parse_settings

    return experiments.load(chosen.experiment).with_values(parse_settings(chosen.set))


@contextlib.contextmanager
def _only_json():
    """Let ``_print_json`` alone write to stdout: a network of one's own may print as it is made or asked."""
    global _results
    _results = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _results = None


_results = None
"""The stdout of a verb that was asked for JSON."""


def _print_json(result):
    print(json.dumps(result, indent=2, allow_nan=False, default=str), file=_results or sys.stdout)


def list_(chosen) -> int:
    """List the experiments, studies, layers and data sets."""
    from tinycnn.cli import show as overview

    rows = overview.experiments()
    if chosen.json:
        others = {"studies": overview.studies(), "layers": overview.layers(), "data": overview.data_sets()}
        _print_json({"experiments": rows} | others)
    else:
        print(overview.text(rows))
    return DONE


def show(chosen) -> int:
    """Print a spec, its difference from its parent, and the layer table."""
    from tinycnn.cli import show as overview

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
    from tinycnn.network.check import check

    spec = _spec(chosen)
    first = spec.train.seed if chosen.first_seed is None else chosen.first_seed
    if first + chosen.seeds > 2**32:
        raise SpecError(
            f"{spec.name}: the last seed, {first + chosen.seeds - 1}, is more than {2**32 - 1}; lower --first-seed, "
            "train.seed or --seeds"
        )
    check(spec)  # before the seconds that importing MLflow takes
    from tinycnn.launch import local as launch
    from tinycnn.track import run as runs

    with _reporter(chosen) as reporter:
        plan = runs.prepare(
            spec,
            device=chosen.device,
            offline=chosen.offline,
            fallback=not chosen.no_fallback,
            settings=" ".join(chosen.set),
            reporter=reporter,
        )
        outcome = runs.run(
            plan,
            seeds=chosen.seeds,
            first_seed=chosen.first_seed,
            missing=chosen.missing,
            workers=chosen.workers or launch.cores(),
            reporter=reporter,
        )
    _print_outcome(chosen, outcome)
    return TARGET_MISSED if chosen.require_target and outcome["verdict"] != "met" else DONE


@contextlib.contextmanager
def _reporter(chosen):
    from tinycnn.cli.progress import Terminal

    class Watched(Terminal):
        """Knows which run can be resumed, and whether a seed of it is done and has no checkpoint any more."""

        several = seed_done = False

        def parent(self, plan, seeds, run_id):
            self.several, self.seed_done = True, False
            super().parent(plan, seeds, run_id)

        def started(self, plan, seed, run_id, history):
            if not self.several:
                self.run_id = run_id  # of the runs of one seed each that a rerun makes, the latest
            super().started(plan, seed, run_id, history)

        def finished(self, seed, history):
            self.seed_done = self.several
            super().finished(seed, history)

    chosen.reporter = Watched(results=not chosen.json)
    try:
        yield chosen.reporter
        chosen.reporter.run_id = None  # there is nothing to resume any more
    finally:
        chosen.reporter.close()


def _print_outcome(chosen, outcome):
    """Print what a training came to; raise Undelivered where the store has not got it."""
    from tinycnn.track.statistics import words
    from tinycnn.track.tables import seed_table

    if chosen.json:
        _print_json(outcome)
    else:
        if len(outcome["seeds"]) > 1 or getattr(chosen, "missing", False):
            print(seed_table(outcome["seeds"]), end="\n\n")
        if outcome["n"] > 1:
            print(f"{outcome['experiment']}: {words(outcome)}, that of the last five epochs {outcome['min_last5']:.2f}")
        print(
            f"{outcome['experiment']}: {outcome['parameters']:,} parameters, target {outcome['verdict']} "
            f"({outcome['reason']})"
        )
        if outcome["specs_judged"]:
            print(f"This data set has evaluated {outcome['specs_judged']} specs so far.")
    if outcome["undelivered"]:
        raise Undelivered(outcome["undelivered"], outcome["run_id"])
    if not chosen.json:
        print(f"`make ui` shows the run {outcome['run_id']}")


def resume(chosen) -> int:
    """Go on with a run."""
    from tinycnn.launch import local as launch
    from tinycnn.track import resume as runs

    with _reporter(chosen) as reporter:
        workers = chosen.workers or launch.cores()
        outcome = runs.resume(chosen.run_id, offline=chosen.offline, workers=workers, reporter=reporter)
    _print_outcome(chosen, outcome)
    return DONE if "rerun" not in outcome else _print_comparison(chosen, [outcome["rerun"]])


def rerun(chosen) -> int:
    """Make a run again and compare."""
    from tinycnn.track import resume as runs

    with _reporter(chosen) as reporter:
        compared = runs.rerun(chosen.run_id, offline=chosen.offline, reporter=reporter)
    if chosen.json:
        _print_json(compared)
    return _print_comparison(chosen, compared)


def _print_comparison(chosen, compared) -> int:
    for each in [] if chosen.json else compared:
        print(f"run {each['run_id']}, made again as {each['rerun']}:")
        weights = {True: ", and so did the weights", False: ", but the weights did not", None: ""}
        if first := each["first"]:
            print(
                f"{each['differing']} of {each['numbers']} numbers differ, first {first['metric']} in epoch "
                f"{first['epoch']}: {first['then']!r} then, {first['now']!r} now"
            )
        else:
            print(
                f"all {each['numbers']} numbers of {each['epochs']} epochs came out the same to the last bit"
                f"{weights[each['same_weights']]} (clock readings apart)"
            )
    return DONE if all(each["same"] for each in compared) else DIFFERENT


def close(chosen) -> int:
    """End an interrupted run for good."""
    from tinycnn.track import resume as runs

    done = runs.close(chosen.run_id, _note)
    if chosen.json:
        _print_json({"run_id": chosen.run_id, "done": done})
    else:
        print(done)
    return DONE


def search(chosen) -> int:
    """Run a study."""
    from tinycnn.study import definition as studies
    from tinycnn.study.definition import check_study

    study = studies.load(chosen.study)

    check_study(study)  # before the seconds that importing MLflow and Optuna takes
    from tinycnn.cli.progress import StudyTerminal
    from tinycnn.study import results as findings
    from tinycnn.study import worker as study_run

    with contextlib.closing(StudyTerminal()) as reporter:
        result = study_run.run(
            study,
            trials=chosen.trials,
            workers=chosen.workers,
            device=chosen.device,
            offline=chosen.offline,
            reporter=reporter,
        )
    if chosen.json:
        _print_json(result)
    else:
        print(findings.text(study, result))
        print(f"`make ui` shows the run {result['run_id']}, `make dashboard` the trials;")
        print(f"`python -m tinycnn promote {chosen.study} --name NAME` makes an experiment of the best")
    return DONE


def promote(chosen) -> int:
    """Write an experiment from a study."""
    from tinycnn.study import definition as studies
    from tinycnn.study import promote as promotion

    study = studies.load(chosen.study)
    path = promotion.promote(study, chosen.name, chosen.trial)
    if chosen.json:
        _print_json({"path": str(path), "experiment": chosen.name})
    else:
        print(f"wrote {path}; python -m tinycnn confirm {chosen.study} --name {chosen.name} compares it with its base")
    return DONE


def confirm(chosen) -> int:
    """Compare a promoted experiment with its base."""
    from tinycnn.launch import local as launch
    from tinycnn.study import definition as studies
    from tinycnn.study import promote as promotion

    study = studies.load(chosen.study)
    with _reporter(chosen) as reporter:
        result = promotion.confirm(
            study,
            chosen.name,
            chosen.seeds,
            workers=chosen.workers or launch.cores(),
            device=chosen.device,
            offline=chosen.offline,
            reporter=reporter,
        )
    if chosen.json:
        _print_json(result)
    else:
        print(promotion.text(result))
    return DONE


def compare(chosen) -> int:
    """Show what changed between experiments, and what it did."""
    from analysis import compare as comparison
    from tinycnn.spec import load as experiments

    result = comparison.compare([experiments.load(which) for which in chosen.experiments])
    if chosen.json:
        _print_json(result)
        return DONE
    for note in result["notes"]:
        _note(note)
    print(comparison.text(result))
    return DONE


def doctor(chosen) -> int:
    """Say what is installed and what is missing."""
    from tinycnn.cli.doctor import examine, text

    findings = examine()
    if chosen.json:
        _print_json(findings)
    else:
        print(text(findings))
    return DONE if all(finding["ok"] for finding in findings) else FAILED


def report(chosen) -> int:
    """Write the report and its figures."""
    from analysis import report as reports

    written, notes = reports.write(chosen.experiments)
    if chosen.json:
        _print_json({"written": [str(path) for path in written], "notes": notes})
        return DONE
    for note in notes:
        _note(note)
    for path in written:
        print(path)
    return DONE


def evidence(chosen) -> int:
    """Write the committed evidence from the store, and the README's table from the evidence."""
    from analysis import evidence as record
    from analysis import readme

    if chosen.check:
        readme.check()
        return DONE
    written = record.write(chosen.experiments)
    if not chosen.experiments:
        from analysis import studies

        written += studies.write()
    if chosen.json:
        _print_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            print(path)
    return DONE
