"""What is installed, which device there is, where store and data are, and what to do about what is missing."""

import importlib
import os
import platform
import shutil

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import UserError
from tinycnn.track import provenance


def examine() -> list[dict]:
    """Return findings: what was looked at, whether it is all right, what was found, and a cure where there is one."""
    findings = [_finding("python", True, f"{platform.python_version()} on {platform.platform()}")]
    findings += [_package(name) for name in provenance.PACKAGES]
    findings += [_devices(), _kernels(), _store(), _studies(), _disk()]
    findings += [_data(name) for name in DATASETS]
    return findings + (_left_over() if all(finding["ok"] for finding in findings if finding["name"] == "store") else [])


def _finding(name, ok, found, cure=""):
    return {"name": name, "ok": ok, "found": found, "cure": cure}


def _package(name):
    version = provenance.versions().get(name)
    if version is None:
        return _finding(name, False, "not installed", "make setup")
    try:
        importlib.import_module(name)
    except Exception as error:
        cure = "make setup"
        if name == "torchvision" and "nms" in str(error):
            cure = "a CPU-only torch cannot load this torchvision: install both from the same index (make setup does)"
        return _finding(name, False, f"{version}, but cannot be imported: {' '.join(str(error).split())[:200]}", cure)
    return _finding(name, True, version)


def _devices():
    try:
        import torch
    except ImportError as error:
        return _finding("devices", False, str(error), "make setup")
    machine = provenance.machine()
    kinds = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    accelerator = f", {machine['accelerator']}" if machine["accelerator"] else ""
    threads = f"{machine['threads']} threads on {machine['cores']} cores"
    return _finding("devices", True, f"{', '.join(kinds)} ({machine['processor']}, {threads}{accelerator})")


def _store():
    try:
        from tinycnn.track import mlflow_store as tracking
    except ImportError as error:
        return _finding("store", False, str(error), "make setup")
    try:
        file = tracking.database()
    except UserError as error:
        return _finding("store", False, str(error), "set MLFLOW_TRACKING_URI")
    if file is not None and not file.exists():
        folder = next(above for above in file.absolute().parents if above.exists())  # the run makes those below
        writable = folder.is_dir() and os.access(folder, os.W_OK)
        cure = "" if writable else f"make {folder} a folder to write to, or set MLFLOW_TRACKING_URI"
        return _finding("store", writable, f"{tracking.shown(tracking.uri())} will be made by the first run", cure)
    try:
        runs = tracking.Store().search({}, tracking.EVERY)
    except UserError as error:
        return _finding("store", False, str(error), "set MLFLOW_TRACKING_URI, or move the file away")
    return _finding("store", True, f"{tracking.shown(tracking.uri())}, {len(runs)} runs")


def _studies():
    try:
        from tinycnn.study import storage as search
    except ImportError as error:
        return _finding("studies", False, str(error), "make setup")
    try:
        search.check_address()
    except UserError as error:
        return _finding("studies", False, str(error), "set OPTUNA_STORAGE, or unset it")
    return _finding("studies", True, search.shown_address())


def _kernels():
    """Where there is no compiler torch's kernels do, slower; one that was asked for must be there."""
    try:
        from tinycnn.network.native import missing
    except ImportError as error:
        return _finding("kernels", False, str(error), "make setup")
    if why := missing():
        cure = "set CXX to a C++ compiler, or unset it" if os.environ.get("CXX") else "install a C++ compiler"
        return _finding("kernels", not os.environ.get("CXX"), f"torch's, which are slower: {why}", cure)
    return _finding("kernels", True, "native")


def _left_over():
    """Report the runs that a process left behind when it was killed; they are no fault of the machine."""
    try:
        from tinycnn.track.resume import left_over
    except ImportError:
        return []  # reported above
    odd = []
    runs = left_over(odd.append)
    findings = [_finding("run", True, line, "nothing, or delete it in MLflow") for line in odd]
    for run in runs:
        if "study" in run:
            cure = f"python -m tinycnn search {run['study']} goes on with it"
        elif run["where"]:
            cure = f"is it still trained there, {run['where']}? If not, resume or close it there"
        else:
            cure = f"python -m tinycnn resume {run['run_id']}, or close {run['run_id']}"
        findings.append(_finding("interrupted run", True, f"{run['run_id']} {run['status']}, {run['name']}", cure))
    return findings


def _disk():
    free = shutil.disk_usage(ROOT).free / 1e9
    return _finding("disk", free > 1, f"{free:.0f} GB free at {ROOT}", "" if free > 1 else "free at least 1 GB")


def _data(name):
    """A data set that is absent is no fault: it is downloaded, or its fallback stands in."""
    try:
        from tinycnn.data import find

        path = find(name)
    except ImportError as error:
        return _finding(f"data {name}", False, str(error), "make setup")
    except UserError as error:
        return _finding(f"data {name}", False, str(error), "see the line before")
    if path is None:
        return _finding(
            f"data {name}", True, "absent: the first run downloads it, or set TINYCNN_DATA to where it lies"
        )
    return _finding(f"data {name}", True, str(path))


def text(findings: list[dict]) -> str:
    """Put findings into a line each, with the cure below what is not all right."""
    lines = []
    for finding in findings:
        lines.append(f"{'ok ' if finding['ok'] else 'BAD'}  {finding['name']:<20}{finding['found']}")
        if finding["cure"]:
            lines.append(f"     {'':<20}-> {finding['cure']}")
    return "\n".join(lines)
