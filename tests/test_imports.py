"""The architecture: imports run downwards, have no cycle, and each library is known in one place."""

import ast
import functools
import re
from pathlib import Path

import pytest

from tinycnn import ROOT

FLOORS = [
    {"tinycnn", "tinycnn.errors"},
    {"tinycnn.source"},
    {"tinycnn.data"},
    {"tinycnn.spec"},
    {"tinycnn.integers"},
    {"tinycnn.network"},
    {"tinycnn.train", "tinycnn.launch"},
    {"tinycnn.export"},
    {"tinycnn.track"},
    {"tinycnn.zoo"},
    {"tinycnn.study"},
    {"analysis"},
    {"tinycnn.cli", "bench"},
    {"tinycnn.__main__"},
]
"""Packages, from the ground up: each imports only what stands on its own floor, in the same package, or below."""
FILES = sorted(path for folder in ("tinycnn", "analysis", "bench") for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


@functools.cache
def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


def package_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "tinycnn" else parts[0]


def floor_of(module: str) -> int:
    package = package_of(module)
    return next(number for number, floor in enumerate(FLOORS) if package in floor)


def own_imports(module: str) -> set[str]:
    return {each for each in imported(MODULES[module]) if each in MODULES}


def test_a_module_imports_only_what_stands_below_it():
    for module in MODULES:
        for other in own_imports(module):
            assert package_of(other) == package_of(module) or floor_of(other) < floor_of(module), f"{module} -> {other}"


def test_reading_data_imports_neither_torchvision_nor_pillow():
    for module in ("tinycnn.data.files", "tinycnn.data.own", "tinycnn.data.download"):
        for node in ast.parse(MODULES[module].read_text()).body:
            assert not re.match(r"(from|import) (torchvision|PIL|pandas|mlxtend)", ast.unparse(node)), module


def test_no_modules_import_each_other_in_a_circle():
    above, done = [], set()

    def visit(module):
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module not in done:
            above.append(module)
            for other in sorted(own_imports(module) - {module}):
                visit(other)
            done.add(above.pop())

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("mlflow", ("tinycnn.track.mlflow_",)),
        ("optuna", ("tinycnn.study",)),
        ("submitit", ("tinycnn.launch.slurm",)),
        ("matplotlib", ("analysis.plots", "bench")),
        ("seaborn", ("analysis.plots",)),
    ],
)
def test_a_library_is_imported_in_one_place(library, places):
    for module, path in MODULES.items():
        if any(name.split(".")[0] == library for name in imported(path)):
            assert module.startswith(places), f"{module} imports {library}"


def test_no_module_is_longer_than_300_lines():
    longer = {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 300}
    assert longer == {}
