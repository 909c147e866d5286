"""The commands of ``python -m tinycnn``. Each imports what it needs when it runs."""

import functools
import importlib

import click

from tinycnn.cli.main import command, main, note
from tinycnn.cli.options import (
    ALL,
    COUNT,
    DEVICE,
    EXPERIMENT,
    EXPERIMENTS,
    OFFLINE,
    RUN_ID,
    SEED,
    SET,
    VERBOSE,
    launched,
    processes,
)  # fmt: skip
from tinycnn.errors import DIFFERENT, DONE, FAILED, TARGET_MISSED, Undelivered

__all__ = ["main"]


def draw(subject: str, *arguments):
    """Yield the figures of a run ("training") or a study ("studies"); matplotlib is imported only now."""
    yield from importlib.import_module(f"analysis.plots.{subject}").draw(*arguments)


draw_training = functools.partial(draw, "training")


def terminal(verbose: bool = False):
    """Return what shows a training on the terminal."""
    from tinycnn.cli.progress import Terminal

    return Terminal(verbose)


def load_spec(experiment: str, settings):
    """Return the spec of an experiment as changed by --set. Raises SpecError."""
    from tinycnn.spec import load, parse_settings

    return load.load(experiment).with_values(parse_settings(list(settings)))


@command(name="list", slow=False, examples=("list",))
def list_():
    """List the experiments, studies, sweeps, layers and data sets."""
    from tinycnn.cli import show

    found = show.everything()
    return found, show.list_text(found)


@command(
    EXPERIMENT, SET, OFFLINE,
    click.option("--augmented", metavar="PNG", help="Also draw training images, plain and augmented, into this file."),
    slow=False, examples=("show exp3", "show exp3 --augmented exp3.png"),
)  # fmt: skip
def show(experiment, settings, offline, augmented):
    """Print a spec, its changes from its parent, and its layers."""
    from tinycnn.cli import show

    spec = load_spec(experiment, settings)
    found = show.describe(spec)
    if augmented:
        show.draw_augmented(spec, augmented, offline=offline)
        note(f"drew {augmented}", label="")
    return found, show.spec_text(spec, found)


@command(
    EXPERIMENT, SET, DEVICE, OFFLINE, launched, VERBOSE,
    click.option("--seeds", type=COUNT, default=1, metavar="N", help="Train with N seeds (default 1)."),
    click.option("--first-seed", type=SEED, metavar="S", help="The first seed (default: the spec's train.seed)."),
    click.option("--missing", is_flag=True, help="Train only seeds not finished with this spec, data and code."),
    click.option("--no-fallback", is_flag=True, help="Fail where the data set is missing."),
    click.option("--require-target", is_flag=True, help=f"Exit with {TARGET_MISSED} unless the target is met."),
    examples=("run exp3 --seeds 5", "run exp3 --set train.epochs=3 optimizer.lr=0.02",
              "run exp3 --seeds 100 --launch slurm --slurm partition=cpu"),
)  # fmt: skip
def run(experiment, settings, device, offline, workers, verbose, no_fallback, require_target, **options):
    """Train an experiment and track it in MLflow."""
    from tinycnn.track import run

    spec = load_spec(experiment, settings)
    with terminal(verbose) as reporter:
        ready = {"device": device, "offline": offline, "fallback": not no_fallback, "settings": " ".join(settings)}
        plan = run.prepare(spec, **ready, reporter=reporter, draw=draw_training)
        outcome = run.run(plan, **options, workers=processes(workers), reporter=reporter)
    text, error = described(outcome, verbose)
    missed = require_target and outcome["verdict"] != "met"
    return outcome, text, error or (TARGET_MISSED if missed else DONE)


def described(outcome: dict, verbose: bool) -> tuple:
    """Return what a training came to as text, and the error to end with where the store lacks some of it, or None."""
    from tinycnn.track.statistics import words
    from tinycnn.track.tables import seed_table

    specs = outcome["specs_evaluated"]
    lines = [seed_table(outcome["seeds"]), ""] if verbose else []
    lines.append(f"{outcome['experiment']}: {words(outcome)}, target {outcome['verdict']}")
    lines.append(f"{outcome['parameters']:,} parameters; {outcome['reason']}")
    if specs:
        counted = "1 spec has" if specs == 1 else f"{specs} specs have"
        lines.append(f"{counted} been evaluated on this {outcome['evaluated_on']} set so far.")
    if outcome["undelivered"]:
        return "\n".join(lines), Undelivered(outcome["undelivered"], f"resume {outcome['run_id']}")
    return "\n".join([*lines, f"`make ui` shows the run {outcome['run_id']}"]), None


@command(RUN_ID, launched, OFFLINE, VERBOSE, examples=("resume 98597d8b",))
def resume(run_id, workers, cluster, offline, verbose):
    """Continue an interrupted run, join its jobs, or deliver what its store lacks."""
    from tinycnn.track import resume

    with terminal(verbose) as reporter:
        options = {"offline": offline, "workers": processes(workers), "cluster": cluster, "draw": draw_training}
        outcome = resume.resume(run_id, reporter=reporter, **options)
    text, end = described(outcome, verbose)
    if compared := outcome.get("rerun"):
        text = f"{text}\n{comparison_text(compared)}"
        end = end or (DONE if compared["same"] else DIFFERENT)
    return outcome, text, end


@command(RUN_ID, OFFLINE, examples=("rerun 98597d8b",))
def rerun(run_id, offline):
    """Repeat a run from its record and compare every number."""
    from tinycnn.track import resume

    with terminal() as reporter:
        compared = resume.rerun(run_id, offline=offline, reporter=reporter, draw=draw_training)
    same = all(each["same"] for each in compared)
    return compared, "\n".join(map(comparison_text, compared)), DONE if same else DIFFERENT


def comparison_text(compared: dict) -> str:
    """Say whether a rerun gave the same numbers, or else which one differs first."""
    line = f"run {compared['run_id']}, repeated as {compared['rerun']}:\n"
    if first := compared["first"]:
        return (
            f"{line}{compared['differing']} of {compared['numbers']} numbers differ, first {first['metric']} in epoch "
            f"{first['epoch']}: {first['then']!r} then, {first['now']!r} now"
        )
    weights = {True: ", and so are the weights", False: ", but the weights differ", None: ""}[compared["same_weights"]]
    return (
        f"{line}all {compared['numbers']} numbers of {compared['epochs']} epochs are the same to the last bit"
        f"{weights} (times apart)"
    )


@command(RUN_ID, examples=("close 98597d8b",))
def close(run_id):
    """End an interrupted run for good and delete its checkpoint."""
    from tinycnn.track import close

    done = close.close(run_id, note)
    return {"run_id": run_id, "done": done}, done


@command(
    RUN_ID, click.option("--name", help="The name in the registry (default: the experiment's)."),
    examples=("register 98597d8b --name digits",),
)  # fmt: skip
def register(run_id, name):
    """Put a run's model into MLflow's model registry."""
    from tinycnn.track.mlflow_store import Store

    name, version = Store(note).register(run_id, name)
    address = f"models:/{name}/{version}"
    return {"name": name, "version": version, "model": address}, f"registered {address}"


@command(
    click.argument("experiments", nargs=-1, required=True, help="Names or files; the first one is the base."),
    examples=("compare exp2 exp3",),
)
def compare(experiments):
    """Show what changed between experiments, and its effect."""
    from analysis import compare
    from tinycnn.spec import load

    result = compare.compare([load.load(which) for which in experiments])
    for line in result["notes"]:
        note(line)
    return result, compare.text(result)


@command(examples=("doctor",))
def doctor():
    """Check what is installed, and where data and store are."""
    from tinycnn.cli import doctor

    checks = doctor.examine()
    return checks, doctor.text(checks), DONE if all(check["ok"] for check in checks) else FAILED


@command(EXPERIMENTS, ALL, examples=("report", "report exp2 exp3 --all"))
def report(experiments, everything):
    """Write reports/report.html, report.md and the figures."""
    from analysis import report

    written, notes = report.write(list(experiments), everything=everything)
    for line in notes:
        note(line)
    figures = f"{report.FOLDER / 'figures'}: {len(written) - 2} figures, as PNG, SVG and CSV"
    return {"written": written, "notes": notes}, "\n".join([*map(str, written[:2]), figures])


@command(examples=("figures",))
def figures():
    """Write the README's table and figures, from reports/evidence."""
    from analysis.report import readme

    written = readme.write()
    return {"written": written}, "\n".join(map(str, written))


@command(
    EXPERIMENTS, click.option("--check", is_flag=True, help="Write nothing; fail if the README is out of date."),
    examples=("evidence", "evidence --check"),
)  # fmt: skip
def evidence(experiments, check):
    """Write reports/evidence from the store, and the README's table."""
    from analysis import evidence, studies, sweeps
    from analysis.report import readme

    if check:
        readme.check()
        return {"written": []}, ""
    written = evidence.write(list(experiments))
    written += [] if experiments else studies.write() + sweeps.write()
    written += readme.write()
    return {"written": written}, "\n".join(map(str, written))
