"""The commands of ``python -m tinycnn``. Each imports what it needs when it runs."""

import functools
import importlib
import re

import click

from tinycnn.cli.main import command, json_wanted, main, note, show_result
from tinycnn.errors import DIFFERENT, DONE, FAILED, TARGET_MISSED, Undelivered

__all__ = ["main"]


def check_run_id(context, parameter, value):
    """Return the id of a run. Raises BadParameter."""
    if not re.fullmatch("[0-9a-f]{32}", value):
        raise click.BadParameter(f"{value!r} is not the id of a run: 32 digits from 0-9 and a-f.")
    return value


COUNT, SEED = click.IntRange(1, 1000), click.IntRange(0, 2**32 - 1)
EXPERIMENT = click.argument("experiment", help="A name (exp3), a file, or the spec.json of a run.")
EXPERIMENTS = click.argument("experiments", nargs=-1, help="Which ones (default: all that have finished runs).")
STUDY = click.argument("study", help="A name (dropout_lr) or a file.")
RUN_ID = click.argument("run_id", callback=check_run_id, help="As printed in training; doctor lists those to resume.")
SET_HELP = "Change the spec, e.g. --set train.epochs=3 optimizer.lr=0.02; show lists the fields."
SET = click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE ...", help=SET_HELP)
DEVICE = click.option("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps.")
OFFLINE = click.option("--offline", is_flag=True, help="Download nothing.")
WORKERS = click.option("--workers", type=COUNT, metavar="N", help="Processes at once (default: one per core or GPU).")


def draw(subject: str, *arguments):
    """Yield the figures of a run ("training") or a study ("studies"); matplotlib is imported only now."""
    yield from importlib.import_module(f"analysis.plots.{subject}").draw(*arguments)


draw_training, draw_study = functools.partial(draw, "training"), functools.partial(draw, "studies")


def load_spec(experiment: str, settings):
    """Return the spec of an experiment as changed by --set. Raises SpecError."""
    from tinycnn.spec import load, parse_settings

    return load.load(experiment).with_values(parse_settings(list(settings)))


@command(name="list", slow=False)
def list_():
    """List the experiments, studies, layers and data sets."""
    from tinycnn.cli import show

    found = show.everything()
    show_result(found, show.list_text(found))


@command(
    EXPERIMENT, SET, OFFLINE,
    click.option("--augmented", metavar="PNG", help="Also draw training images, plain and augmented, into this file."),
    slow=False,
)  # fmt: skip
def show(experiment, settings, offline, augmented):
    """Print a spec, its changes from its parent, and its layers."""
    from tinycnn.cli import show

    spec = load_spec(experiment, settings)
    found = show.describe(spec)
    if augmented:
        show.draw_augmented(spec, augmented, offline=offline)
        note(f"drew {augmented}", label="")
    show_result(found, show.spec_text(spec, found))


@command(
    EXPERIMENT, SET, DEVICE, OFFLINE, WORKERS,
    click.option("--seeds", type=COUNT, default=1, metavar="N", help="Train with N seeds (default 1)."),
    click.option("--first-seed", type=SEED, metavar="S", help="The first seed (default: the spec's train.seed)."),
    click.option("--missing", is_flag=True, help="Train only seeds not finished with this spec, data and code."),
    click.option("--no-fallback", is_flag=True, help="Fail where the data set is missing."),
    click.option("--require-target", is_flag=True, help=f"Exit with {TARGET_MISSED} unless the target is met."),
)  # fmt: skip
def run(experiment, settings, device, offline, workers, no_fallback, require_target, **options):
    """Train an experiment and track it in MLflow."""
    from tinycnn.cli.progress import Terminal
    from tinycnn.launch import local
    from tinycnn.track import run

    spec = load_spec(experiment, settings)
    with Terminal(results=not json_wanted()) as reporter:
        ready = {"device": device, "offline": offline, "fallback": not no_fallback, "settings": " ".join(settings)}
        plan = run.prepare(spec, **ready, reporter=reporter, draw=draw_training)
        options["workers"] = workers or local.cores()
        outcome = run.run(plan, **options, reporter=reporter)
    show_outcome(outcome, table=options["missing"])
    return TARGET_MISSED if require_target and outcome["verdict"] != "met" else DONE


def show_outcome(outcome: dict, table: bool = False):
    """Print what a training achieved. Raises Undelivered where the store lacks some of it."""
    show_result(outcome, outcome_text(outcome, table))
    if outcome["undelivered"]:
        raise Undelivered(outcome["undelivered"], outcome["run_id"])


def outcome_text(outcome: dict, table: bool) -> str:
    """Return the accuracies and the verdict of a run, with a table of its seeds where it has several, or is to."""
    from tinycnn.track.statistics import words
    from tinycnn.track.tables import seed_table

    name, specs, several = outcome["experiment"], outcome["specs_evaluated"], outcome["n"] > 1
    lines = [seed_table(outcome["seeds"]), ""] if several or table else []
    if several:
        lines.append(f"{name}: {words(outcome)}\nminimum of the last five epochs {outcome['min_last5']:.2f}")
    lines.append(f"{name}: {outcome['parameters']:,} parameters, target {outcome['verdict']} ({outcome['reason']})")
    if specs:
        counted = "1 spec has" if specs == 1 else f"{specs} specs have"
        lines.append(f"{counted} been evaluated on this {outcome['evaluated_on']} set so far.")
    if not outcome["undelivered"]:
        lines.append(f"`make ui` shows the run {outcome['run_id']}")
    return "\n".join(lines)


@command(RUN_ID, WORKERS, OFFLINE)
def resume(run_id, workers, offline):
    """Continue an interrupted run, or deliver what its store lacks."""
    from tinycnn.cli.progress import Terminal
    from tinycnn.launch import local
    from tinycnn.track import resume

    with Terminal(results=not json_wanted()) as reporter:
        options = {"offline": offline, "workers": workers or local.cores(), "draw": draw_training}
        outcome = resume.resume(run_id, reporter=reporter, **options)
    show_outcome(outcome)
    if "rerun" not in outcome:
        return DONE
    if not json_wanted():
        print(comparison_text(outcome["rerun"]))
    return DONE if outcome["rerun"]["same"] else DIFFERENT


@command(RUN_ID, OFFLINE)
def rerun(run_id, offline):
    """Repeat a run from its record and compare every number."""
    from tinycnn.cli.progress import Terminal
    from tinycnn.track import resume

    with Terminal(results=not json_wanted()) as reporter:
        compared = resume.rerun(run_id, offline=offline, reporter=reporter, draw=draw_training)
    show_result(compared, "\n".join(map(comparison_text, compared)))
    return DONE if all(each["same"] for each in compared) else DIFFERENT


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


@command(RUN_ID)
def close(run_id):
    """End an interrupted run for good and delete its checkpoint."""
    from tinycnn.track import close

    done = close.close(run_id, note)
    show_result({"run_id": run_id, "done": done}, done)


@command(RUN_ID, click.option("--name", help="The name in the registry (default: the experiment's)."))
def register(run_id, name):
    """Put a run's model into MLflow's model registry."""
    from tinycnn.track.mlflow_store import Store

    name, version = Store(note).register(run_id, name)
    address = f"models:/{name}/{version}"
    show_result({"name": name, "version": version, "model": address}, f"registered {address}")


@command(
    STUDY, DEVICE, OFFLINE, WORKERS,
    click.option("--trials", type=click.IntRange(1, 100_000), metavar="N", help="In all (default: the study's)."),
)  # fmt: skip
def search(study, **options):
    """Run or continue an Optuna study until its trials are trained."""
    from tinycnn.cli.progress import StudyTerminal
    from tinycnn.study import definition, results, worker

    loaded = definition.load(study)
    with StudyTerminal(study) as reporter:
        result = worker.run(loaded, **options, reporter=reporter, draw=draw_study)
    text = (
        f"{results.text(loaded, result)}\n"
        f"`make ui` shows the run {result['run_id']}, `make dashboard` the trials;\n"
        f"`python -m tinycnn promote {study} --name NAME` makes an experiment of the best"
    )
    show_result(result, text)


@command(
    STUDY,
    click.option("--name", required=True, help="The name of the experiment, and of its file."),
    click.option("--trial", type=SEED, metavar="N", help="Another trial than the best."),
)  # fmt: skip
def promote(study, name, trial):
    """Write an experiment from the best trial of a study."""
    from tinycnn.study import definition
    from tinycnn.study import promote as promotion

    path = promotion.promote(definition.load(study), name, trial)
    text = f"wrote {path}; python -m tinycnn confirm {study} --name {name} compares it with its base"
    show_result({"path": str(path), "experiment": name}, text)


@command(
    STUDY, DEVICE, OFFLINE, WORKERS,
    click.option("--name", required=True, help="The experiment that was promoted."),
    click.option("--seeds", type=COUNT, default=5, metavar="N", help="Seeds of each (default 5)."),
)  # fmt: skip
def confirm(study, name, seeds, workers, **options):
    """Compare a promoted experiment with its base on the test set."""
    from tinycnn.cli.progress import Terminal
    from tinycnn.launch import local
    from tinycnn.study import definition
    from tinycnn.study import promote as promotion

    with Terminal(results=not json_wanted()) as reporter:
        options["workers"] = workers or local.cores()
        result = promotion.confirm(
            definition.load(study), name, seeds, **options, reporter=reporter, draw=draw_training
        )
    show_result(result, promotion.text(result))


@command(click.argument("experiments", nargs=-1, required=True, help="Names or files; the first one is the base."))
def compare(experiments):
    """Show what changed between experiments, and its effect."""
    from analysis import compare
    from tinycnn.spec import load

    result = compare.compare([load.load(which) for which in experiments])
    for line in result["notes"]:
        note(line)
    show_result(result, compare.text(result))


@command()
def doctor():
    """Check what is installed, and where data and store are."""
    from tinycnn.cli import doctor

    checks = doctor.examine()
    show_result(checks, doctor.text(checks))
    return DONE if all(check["ok"] for check in checks) else FAILED


@command(EXPERIMENTS)
def report(experiments):
    """Write reports/report.html, report.md and the figures."""
    from analysis import report

    written, notes = report.write(list(experiments))
    for line in notes:
        note(line)
    paths = [str(path) for path in written]
    show_result({"written": paths, "notes": notes}, "\n".join(paths))


@command(EXPERIMENTS, click.option("--check", is_flag=True, help="Write nothing; fail if the README is out of date."))
def evidence(experiments, check):
    """Write reports/evidence from the store, and the README's table."""
    from analysis import evidence, studies
    from analysis.report import readme

    if check:
        readme.check()
        return
    written = evidence.write(list(experiments)) + ([] if experiments else studies.write()) + readme.write()
    paths = [str(path) for path in written]
    show_result({"written": paths}, "\n".join(paths))
