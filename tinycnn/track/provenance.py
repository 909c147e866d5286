"""Where a run's numbers come from: commit, uncommitted changes, code, versions, threads and machine."""

import functools
import hashlib
import os
import platform
import subprocess
from importlib import metadata

from tinycnn import ROOT, source
from tinycnn.data.catalog import DATASETS
from tinycnn.spec.build import fresh

PACKAGES = ("torch", "torchvision", "numpy", "mlflow", "optuna", "pydantic", "pandas", "mlxtend")
_LOOP = ("tinycnn/train/loop.py:train", "tinycnn/train/loop.py:start")
_KERNELS = ROOT / "tinycnn" / "network" / "native"


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
    """Return how the files here differ from the commit, "" for not at all; of code that is new only the names."""
    difference, new = git("diff", "HEAD"), git("ls-files", "--others", "--exclude-standard", "experiments", "tinycnn")
    return difference if not new else f"{difference or ''}not in git:\n{new}"


def code(spec, kernels: str, more: tuple = ()) -> dict[str, str]:
    """Return a digest, by name, of all the code that the numbers of a run of ``spec`` depend on, and of its teacher.

    ``kernels``: whose compute, as ``train.kernels`` says it; ``more``: classes that a study may choose. As it was when
    first asked for: an edit during a run is not what ran.
    """
    more = (*more, *_of_quantised_epochs(spec)) if spec.quantise.epochs else more
    used = [each if isinstance(each, str) else source.reference(each) for each in (*spec.used(), *more)]
    return _code(tuple(used), kernels.startswith("native"), spec.data.name in DATASETS) | spec.loss.used()


def _of_quantised_epochs(spec) -> list:
    """Return what quantisation-aware epochs add to the loop: their own code, and the rules of the network's modules."""
    from tinycnn.integers.walk import RULES
    from tinycnn.train.quantised import train_epoch

    facts = spec.data.facts()
    network = fresh(spec.model, (facts.channels, facts.size, facts.size), len(facts.classes))
    return [train_epoch, *(RULES[kind] for kind in dict.fromkeys(map(type, network.modules())) if kind in RULES)]


@functools.cache
def _code(used: tuple, native: bool, published: bool) -> dict[str, str]:
    """``published``: whether the data set is one that ``data.files`` reads."""
    unused = [] if native else [f"network/native/{each.name}" for each in _KERNELS.glob("*.py")]
    unused += ["data/own.py"] if published else []
    found = source.used_by((*_LOOP, *used), without=tuple(unused))
    for path in sorted((*_KERNELS.glob("*.cpp"), *_KERNELS.glob("*.h"))) if native else ():
        found[path.relative_to(ROOT).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return found


def own_files(names) -> list:
    """Return the files outside the project that ``names``, as ``code`` gives them, lie in: an experiment's own."""
    paths = {source.file_of(name) for name in names}
    return sorted(path for path in paths if path and not path.is_relative_to(ROOT / "tinycnn"))


def versions() -> dict[str, str]:
    """Return the installed version of each package a result may depend on; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def number_versions() -> dict[str, str]:
    """Return the versions of the packages that compute."""
    return {name: version for name, version in versions().items() if name in ("torch", "numpy")}


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
