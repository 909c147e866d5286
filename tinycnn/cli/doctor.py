"""What is installed, where data and store are, and what to do about what is missing."""

import multiprocessing
import os
import platform
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import UserError
from tinycnn.track import address, provenance


def examine() -> list[dict]:
    """Return checks: ``name`` of what was checked, whether it is ``ok``, what was ``found``, and a ``cure`` or ""."""
    installed, free = provenance.versions(), shutil.disk_usage(ROOT).free / 1e9
    packages = ((name, installed.get(name)) for name in provenance.PACKAGES)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:  # while MLflow is imported here
        torch = other.submit(_attempt, "torch", _torch)
        store = _attempt("store", _store)
        return [
            _check("python", True, f"{platform.python_version()} on {platform.platform()}"),
            *(_check(name, version, version or "not installed", "make setup") for name, version in packages),
            *torch.result(),
            *store,
            _check("disk", free > 1, f"{free:.0f} GB free at {ROOT}", "free at least 1 GB"),
        ]


def _check(name, ok, found, cure="", note=""):
    return {"name": name, "ok": bool(ok), "found": found, "cure": note if ok else cure}


def _attempt(name, check):
    try:
        return check()
    except (ImportError, UserError) as error:
        return [_check(name, False, str(error), "make setup" if isinstance(error, ImportError) else "")]


def _torch():
    """Report what takes torch: devices, kernels, and where the data sets are.

    Without a compiler torch's slower kernels compute; a compiler that was asked for must exist. A data set that is
    absent is no fault: it is downloaded, or its fallback is used.
    """
    import torch

    from tinycnn.data import find
    from tinycnn.network.native import missing

    machine = provenance.machine()
    kinds = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    accelerator = f", {machine['accelerator']}" if machine["accelerator"] else ""
    threads = f"{machine['threads']} threads on {machine['cores']} cores"
    kernels, given = _check("kernels", True, "native"), os.environ.get("CXX")
    if reason := missing():
        slower, unset = f"torch's, which are slower: {reason}", "set CXX to a C++ compiler, or unset it"
        kernels = _check("kernels", not given, slower, unset, "install a C++ compiler")
    absent = "absent: the first run downloads it, or set TINYCNN_DATA to its folder"
    return [
        _check("devices", True, f"{', '.join(kinds)} ({machine['processor']}, {threads}{accelerator})"),
        kernels,
        *(_check(f"data {name}", True, str(find(name) or absent)) for name in DATASETS),
    ]


def _store():
    """Report the stores, and what was being trained when its process ended, which is no fault of the machine."""
    address.keep_apart("OPTUNA_STORAGE")
    file, shown = address.database(), address.shown(address.uri())
    studies = _check("studies", True, address.shown(address.studies()))
    if file is not None and not file.exists():
        return [_check("store", True, f"{shown} will be made by the first run"), studies]
    from tinycnn.track.mlflow_store import EVERY, Store

    store = Store()
    runs = store.search({}, EVERY)
    checks = [_check("store", True, f"{shown}, {len(runs)} runs"), studies]
    folder = Path(os.environ.get("TINYCNN_CHECKPOINTS") or ROOT / "checkpoints")
    kept = [*folder.rglob("seed-*.pt"), *folder.glob("*/jobs")]
    if not kept and not any(run.info.status == "RUNNING" for run in runs):
        return checks
    from tinycnn.track import jobs
    from tinycnn.track.close import again, left_over  # with torch

    try:
        queued = jobs.queued()
    except UserError as error:  # Slurm's queue cannot be read here
        return [*checks, _check("jobs in the queue", False, str(error))]
    for run_id, states in queued.items():
        try:
            how = f"`python -m tinycnn {again(run_id)}` joins them"
            how += f", `python -m tinycnn close {run_id}` cancels them" if "resume" in how else ""
        except UserError as error:  # in another store
            how = str(error)
        found = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        checks.append(_check("jobs in the queue", True, f"{run_id} {found}", note=how))
    for run in left_over(store):
        run_id = run["run_id"]
        cure = f"`python -m tinycnn resume {run_id}` continues it, `python -m tinycnn close {run_id}` ends it"
        if "again" in run:
            cure = f"`python -m tinycnn {run['again']}` continues it"
        elif run["where"]:
            cure = f"is it still trained there, {run['where']}? If not, resume or close it there"
        checks.append(_check("interrupted run", True, f"{run_id} {run['status']}, {run['name']}", note=cure))
    return checks


def text(checks: list[dict]) -> str:
    """Return a line for each check, with its cure below."""
    lines = []
    for check in checks:
        lines.append(f"{'ok ' if check['ok'] else 'BAD'}  {check['name']:<20}{check['found']}")
        if check["cure"]:
            lines.append(f"     {'':<20}-> {check['cure']}")
    return "\n".join(lines)
