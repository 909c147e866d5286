"""Where a run's numbers come from: commit, uncommitted changes, code, versions, threads and machine."""

import ast
import functools
import hashlib
import os
import platform
import subprocess
from importlib import metadata

from tinycnn import ROOT

PACKAGES = ("torch", "torchvision", "numpy", "mlflow", "optuna", "pydantic", "pandas", "mlxtend")
# what changes the numbers of a run
_CODE = ("augment.py", "data.py", "models.py", "native.cpp", "native.py", "train.py")


def git(*arguments: str) -> str | None:
    """Return what ``git`` prints in the repository, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


@functools.cache  # as it was when the code was loaded: an edit during a run is not what ran
def commit() -> str:
    """Return the commit that is checked out, or "unknown"."""
    return (git("rev-parse", "HEAD") or "unknown").strip()


@functools.cache
def uncommitted() -> str | None:
    """Return the difference between the commit and the files that git tracks; "" when there is none."""
    return git("diff", "HEAD")


@functools.cache
def code_hash() -> str:
    """12 hex digits over the code that changes numbers; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for name in _CODE:
        text = (ROOT / "tinycnn" / name).read_text(encoding="utf-8")
        if not name.endswith(".py"):
            digest.update(text.encode())
            continue
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()[:12]


def versions() -> dict[str, str]:
    """Return the installed version of each package a result may depend on; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict:
    """Return the processor, its number of cores, the system, and the threads torch computes with."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        named = []
    return named[0] if named else platform.processor() or "unknown"
