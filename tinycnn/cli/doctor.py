"""What is installed, where data and store are, and what to do about what is missing."""

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import UserError
from tinycnn.track import provenance


def examine() -> list[dict]:
    """Return checks: ``name`` of what was checked, whether it is ``ok``, what was ``found``, and a ``cure`` or ""."""
    free = shutil.disk_usage(ROOT).free / 1e9
    return [
        _check("python", True, f"{platform.python_version()} on {platform.platform()}"),
        *(_attempt(name, _package, name) for name in provenance.PACKAGES),
        _attempt("devices", _devices),
        _attempt("kernels", _kernels),
        _attempt("store", _store),
        _attempt("studies", _studies),
        _check("disk", free > 1, f"{free:.0f} GB free at {ROOT}", "" if free > 1 else "free at least 1 GB"),
        *(_attempt(f"data {name}", _data, name) for name in DATASETS),
        *_interrupted_runs(),
    ]


def _check(name, ok, found, cure=""):
    return {"name": name, "ok": ok, "found": found, "cure": cure}


def _attempt(name, check, *arguments):
    try:
        return _check(name, *check(*arguments))
    except (ImportError, UserError) as error:
        return _check(name, False, str(error), "make setup" if isinstance(error, ImportError) else "")


def _package(name):
    version = provenance.versions().get(name)
    if version is None:
        return False, "not installed", "make setup"
    if name == "torchvision":
        import torch

        try:  # its operators alone: to import all of it takes seconds
            for library in Path(importlib.util.find_spec(name).origin).parent.glob("_C*"):
                torch.ops.load_library(library)
            torch.ops.torchvision.nms  # noqa: B018
        except (OSError, AttributeError) as error:
            cure = "it was built for another torch: install both from the same index (make setup does)"
            return False, f"{version}, but operator torchvision::nms is missing: {str(error)[:200]}", cure
    return True, version


def _devices():
    import torch

    machine = provenance.machine()
    kinds = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    accelerator = f", {machine['accelerator']}" if machine["accelerator"] else ""
    threads = f"{machine['threads']} threads on {machine['cores']} cores"
    return True, f"{', '.join(kinds)} ({machine['processor']}, {threads}{accelerator})"


def _kernels():
    """Without a compiler torch's slower kernels compute; a compiler that was asked for must exist."""
    from tinycnn.network.native import missing

    if not (reason := missing()):
        return True, "native"
    cure = "set CXX to a C++ compiler, or unset it" if os.environ.get("CXX") else "install a C++ compiler"
    return not os.environ.get("CXX"), f"torch's, which are slower: {reason}", cure


def _store():
    from tinycnn.track import address

    file, shown = address.database(), address.shown(address.uri())
    if file is not None and not file.exists():
        return True, f"{shown} will be made by the first run"
    from tinycnn.track.mlflow_store import EVERY, Store

    return True, f"{shown}, {len(Store().search({}, EVERY))} runs"


def _studies():
    from tinycnn.study import storage
    from tinycnn.track import address

    storage.check_address()
    return True, address.shown(address.studies())


def _data(name):
    """A data set that is absent is no fault: it is downloaded, or its fallback is used."""
    from tinycnn.data import find

    path = find(name)
    return True, str(path or "absent: the first run downloads it, or set TINYCNN_DATA to its folder")


def _interrupted_runs():
    """Report what was being trained when its process ended; that is no fault of the machine."""
    from tinycnn.track import address

    try:
        if (file := address.database()) and not file.exists():
            return []
        from tinycnn.track.close import left_over

        runs = left_over()
    except (ImportError, UserError):
        return []  # the check of the store says why
    checks = []
    for run in runs:
        cure = f"python -m tinycnn resume {run['run_id']}, or close {run['run_id']}"
        if "study" in run:
            cure = f"python -m tinycnn search {run['study']} continues it"
        elif run["where"]:
            cure = f"is it still trained there, {run['where']}? If not, resume or close it there"
        checks.append(_check("interrupted run", True, f"{run['run_id']} {run['status']}, {run['name']}", cure))
    return checks


def text(checks: list[dict]) -> str:
    """Return a line for each check, with its cure below."""
    lines = []
    for check in checks:
        lines.append(f"{'ok ' if check['ok'] else 'BAD'}  {check['name']:<20}{check['found']}")
        if check["cure"]:
            lines.append(f"     {'':<20}-> {check['cure']}")
    return "\n".join(lines)
