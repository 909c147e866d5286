"""What is installed, where data and store are, and what to do about what is missing."""

import os
import platform
import shutil

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import UserError
from tinycnn.track import address, provenance


def examine() -> list[dict]:
    """Return checks: ``name`` of what was checked, whether it is ``ok``, what was ``found``, and a ``cure`` or ""."""
    installed, free = provenance.versions(), shutil.disk_usage(ROOT).free / 1e9
    packages = ((name, installed.get(name)) for name in provenance.PACKAGES)
    return [
        _check("python", True, f"{platform.python_version()} on {platform.platform()}"),
        *(_check(name, version, version or "not installed", "make setup") for name, version in packages),
        *_attempt("devices", _devices),
        *_attempt("kernels", _kernels),
        *_attempt("store", _store),
        *_attempt("studies", _studies),
        _check("disk", free > 1, f"{free:.0f} GB free at {ROOT}", "free at least 1 GB"),
        *_attempt("data", _data),
    ]


def _check(name, ok, found, cure="", note=""):
    return {"name": name, "ok": bool(ok), "found": found, "cure": note if ok else cure}


def _attempt(name, check):
    try:
        return check()
    except (ImportError, UserError) as error:
        return [_check(name, False, str(error), "make setup" if isinstance(error, ImportError) else "")]


def _devices():
    import torch

    machine = provenance.machine()
    kinds = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    accelerator = f", {machine['accelerator']}" if machine["accelerator"] else ""
    threads = f"{machine['threads']} threads on {machine['cores']} cores"
    return [_check("devices", True, f"{', '.join(kinds)} ({machine['processor']}, {threads}{accelerator})")]


def _kernels():
    """Without a compiler torch's slower kernels compute; a compiler that was asked for must exist."""
    from tinycnn.network.native import missing

    if not (reason := missing()):
        return [_check("kernels", True, "native")]
    slower, given = f"torch's, which are slower: {reason}", os.environ.get("CXX")
    return [_check("kernels", not given, slower, "set CXX to a C++ compiler, or unset it", "install a C++ compiler")]


def _store():
    """Report the store, and what was being trained when its process ended, which is no fault of the machine."""
    file, shown = address.database(), address.shown(address.uri())
    if file is not None and not file.exists():
        return [_check("store", True, f"{shown} will be made by the first run")]
    from tinycnn.track.mlflow_store import EVERY, Store
    from tinycnn.track.resume import left_over

    checks = [_check("store", True, f"{shown}, {len(Store().search({}, EVERY))} runs")]
    for run in left_over():
        run_id = run["run_id"]
        cure = f"`python -m tinycnn resume {run_id}` continues it, `python -m tinycnn close {run_id}` ends it"
        if "study" in run:
            cure = f"`python -m tinycnn search {run['study']}` continues it"
        elif run["where"]:
            cure = f"is it still trained there, {run['where']}? If not, resume or close it there"
        checks.append(_check("interrupted run", True, f"{run_id} {run['status']}, {run['name']}", note=cure))
    return checks


def _studies():
    address.keep_apart("OPTUNA_STORAGE")
    return [_check("studies", True, address.shown(address.studies()))]


def _data():
    """A data set that is absent is no fault: it is downloaded, or its fallback is used."""
    from tinycnn.data import find

    absent = "absent: the first run downloads it, or set TINYCNN_DATA to its folder"
    return [_check(f"data {name}", True, str(find(name) or absent)) for name in DATASETS]


def text(checks: list[dict]) -> str:
    """Return a line for each check, with its cure below."""
    lines = []
    for check in checks:
        lines.append(f"{'ok ' if check['ok'] else 'BAD'}  {check['name']:<20}{check['found']}")
        if check["cure"]:
            lines.append(f"     {'':<20}-> {check['cure']}")
    return "\n".join(lines)
