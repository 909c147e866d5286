"""The commands of studies: search, promote the best trial, confirm it on test images."""

import functools
import itertools

import click

from tinycnn.cli.commands import draw, draw_training, terminal
from tinycnn.cli.main import command
from tinycnn.cli.options import COUNT, DEVICE, OFFLINE, SEED, SET, STUDY, VERBOSE, launched, processes
from tinycnn.errors import Undelivered


@command(
    STUDY, DEVICE, OFFLINE, launched,
    click.option("--trials", type=click.IntRange(1, 100_000), metavar="N", help="In all (default: the study's)."),
    examples=("search dropout_lr", "search width --trials 100"),
)  # fmt: skip
def search(study, **options):
    """Run or continue an Optuna study until its trials are trained."""
    from tinycnn.cli.progress import StudyTerminal
    from tinycnn.spec import load
    from tinycnn.study import definition, results, worker

    loaded = definition.load(study)
    with StudyTerminal(study) as reporter:
        result = worker.run(loaded, **options, reporter=reporter, draw=functools.partial(draw, "studies"))
    text = f"{results.text(loaded, result)}\n`make ui` shows the run {result['run_id']}, `make dashboard` the trials"
    if result["best"] is not None and result["value"] != result["base_value"]:
        free = next(name for name in map("exp{}".format, itertools.count(1)) if name not in load.names())
        text += f";\n`python -m tinycnn promote {study} --name {free}` makes an experiment of the best"
    return result, text


@command(
    STUDY,
    click.option("--name", required=True, help="The name of the experiment, and of its file."),
    click.option("--trial", type=SEED, metavar="N", help="Another trial than the best."),
    examples=("promote dropout_lr --name exp8",),
)  # fmt: skip
def promote(study, name, trial):
    """Write an experiment from the best trial of a study."""
    from tinycnn.study import definition
    from tinycnn.study import promote as promotion

    path = promotion.promote(definition.load(study), name, trial)
    text = f"wrote {path}; `python -m tinycnn confirm {study} --name {name}` compares it with its base"
    return {"path": str(path), "experiment": name}, text


@command(
    STUDY, SET, DEVICE, OFFLINE, launched, VERBOSE,
    click.option("--name", required=True, help="The experiment that was promoted."),
    click.option("--seeds", type=COUNT, default=5, metavar="N", help="Seeds of each (default 5)."),
    examples=("confirm dropout_lr --name exp8", "confirm dropout_lr --name exp8 --seeds 16"),
)  # fmt: skip
def confirm(study, name, seeds, settings, workers, verbose, **options):
    """Compare a promoted experiment with its base on the test set."""
    from tinycnn.spec import parse_settings
    from tinycnn.study import definition
    from tinycnn.study import promote as promotion

    with terminal(verbose) as reporter:
        options |= {"workers": processes(workers), "reporter": reporter, "draw": draw_training}
        options["settings"] = parse_settings(list(settings))
        result = promotion.confirm(definition.load(study), name, seeds, **options)
    left = [Undelivered(reason, f"resume {run_id}") for run_id, reason in result["undelivered"].items()]
    return result, promotion.text(result), next(iter(left), None)
