"""The arguments and options that several commands take."""

import functools
import re
import shutil

import click

from tinycnn.cli.main import note
from tinycnn.errors import SpecError, UserError


def full_id(context, parameter, value):
    """Return the id of the one run that it begins with. Raises BadParameter for what is none."""
    if re.fullmatch("[0-9a-f]{32}", value):
        return value
    if not re.fullmatch("[0-9a-f]{4,31}", value):
        raise click.BadParameter(f"{value!r} is not the id of a run: 32 digits from 0-9 and a-f, or the first of them.")
    from tinycnn.track.mlflow_store import EVERY, ORIGIN, Store

    ids = {run.info.run_id: run.data.tags.get(ORIGIN, "") for run in Store(note).search({}, EVERY)}
    found = [run_id for run_id, origin in ids.items() if run_id.startswith(value) or origin.startswith(value)]
    if len(found) != 1:
        listed = f": {', '.join(found[:3])}; give more digits" if found else "; `make ui` shows the runs"
        raise UserError(f"run {value}: {len(found) or 'no'} runs in the store have an id that begins so{listed}")
    return found[0]


COUNT, SEED = click.IntRange(1, 1000), click.IntRange(0, 2**32 - 1)
EXPERIMENT = click.argument("experiment", help="A name (exp3), a file, or the spec.json of a run.")
ALL = click.option("--all", "everything", is_flag=True, help="A chapter for each experiment, every table and figure.")
EXPERIMENTS = click.argument("experiments", nargs=-1, help="Which ones (default: all that have finished runs).")
STUDY = click.argument("study", help="A name (dropout_lr) or a file.")
RUN_ID = click.argument("run_id", callback=full_id, help="The first digits of its id; doctor lists those to resume.")
SET_HELP = "Change the spec, e.g. --set train.epochs=3 optimizer.lr=0.02; show lists the fields."
SET = click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE ...", help=SET_HELP)
DEVICE = click.option("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps.")
OFFLINE = click.option("--offline", is_flag=True, help="Download nothing.")
WORKERS = click.option("--workers", type=COUNT, metavar="N", help="Processes at once (default: one per core or GPU).")
LAUNCH_HELP = "Where: local processes (default), or a job of Slurm for each; see docs/cluster.md."
LAUNCH = click.option("--launch", type=click.Choice(["local", "slurm"]), default="local", help=LAUNCH_HELP)
SLURM_HELP = "Of each job, e.g. \"partition=gpu timeout_min=60 mem_gb=4 gpus_per_node=1\": submitit's options."
SLURM = click.option("--slurm", default="", metavar="OPTION=VALUE ...", help=SLURM_HELP)
VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Show the epochs of each of several seeds, too.")


def launched(function):
    """Give a command --workers, --launch and --slurm: it gets ``workers`` and ``cluster``, and the device there."""

    @functools.wraps(function)
    def call(workers, launch, slurm, **values):
        cluster = _cluster(launch, slurm, workers)
        if cluster and "device" in values:
            values["device"] = _device_of(cluster, values["device"])
        return function(workers=workers, cluster=cluster, **values)

    return WORKERS(LAUNCH(SLURM(call)))


def _cluster(launch: str, slurm: str, most: int | None):
    """Return the cluster that --launch and --slurm name, with ``most`` jobs at once, None for local processes."""
    if launch == "local":
        if slurm:
            raise SpecError("--slurm: is for --launch slurm, which is not given")
        return None
    if not shutil.which("sbatch"):
        raise UserError("--launch slurm: there is no sbatch on this machine; log in where jobs are submitted")
    from tinycnn.launch.slurm import Cluster, options_of

    return Cluster(options_of(slurm), most)


def _device_of(cluster, device: str):
    """Return the device of a cluster's nodes, which this machine need not have. Raises SpecError."""
    import torch

    try:
        return torch.device(cluster.device if device == "auto" else device)
    except RuntimeError:
        raise SpecError(f"--device {device}: is unknown: use auto, cpu, cuda or cuda:N") from None


def processes(workers: int | None) -> int:
    """Return the number of worker processes, by default that of the cores."""
    from tinycnn.launch import local

    return workers or local.cores()
