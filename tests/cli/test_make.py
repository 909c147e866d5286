"""`make` and the environment it makes, tried with wheels of a few bytes instead of torch."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ".venv/bin/python -m tinycnn run"
# What a surrounding `make test SEEDS=3` would hand down.
FROM_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "SEEDS", "DEVICE", "SET", "ARGS", "PORT"}
CLEAN = {name: value for name, value in os.environ.items() if name not in FROM_MAKE}

sys.path.insert(0, str(ROOT))
import bootstrap  # noqa: E402


@pytest.fixture
def clone(tmp_path):
    """A folder with a space in its name that holds what `make` reads."""
    folder = tmp_path / "a clone"
    (folder / "experiments").mkdir(parents=True)
    for name in ["Makefile", "bootstrap.py", "requirements.txt", "pyproject.toml"]:
        shutil.copy(ROOT / name, folder)
    for path in (ROOT / "experiments").glob("*.py"):
        shutil.copy(path, folder / "experiments")
    return folder


def make(clone, *arguments, **variables):
    result = subprocess.run(
        ["make", *arguments], cwd=clone, env={**CLEAN, **variables}, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_make_alone_lists_every_experiment_and_target_with_a_line(clone):
    lines = {line.split()[0]: line for line in make(clone).splitlines() if line.startswith("  ")}
    experiments = [path for path in (ROOT / "experiments").glob("*.py") if not path.name.startswith("_")]
    assert experiments
    for path in experiments:
        first = path.read_text().split('"""')[1].strip().splitlines()[0]
        assert first in lines[path.stem]
    for target in ["setup", "quick", "test", "test-slow", "lint", "ui", "evidence", "report", "list", "doctor"]:
        assert "(" in lines[target], f"{target} does not say how long it takes"
    assert "__init__" not in lines


def test_an_experiment_dropped_in_becomes_a_target(clone):
    text = '"""Does it float?\n\nRun       make exp77   (3 min on 2 cores)\n"""\n'
    (clone / "experiments" / "exp77.py").write_text(text)
    (clone / "experiments" / "exp78.py").write_text('"""Said "so" in one line."""\n')
    (clone / "experiments" / "_helper.py").write_text('"""Not an experiment."""\n')
    listed = make(clone)
    assert "exp77      Does it float? (3 min on 2 cores)\n" in listed
    assert 'exp78      Said "so" in one line.\n' in listed and "_helper" not in listed
    assert make(clone, "-n", "exp77").splitlines()[-1].strip() == f"{RUN} exp77"


def test_variables_become_options(clone):
    last = make(clone, "-n", "exp3", "SEEDS=5", "DEVICE=cpu", "SET=a=1 b=2", "ARGS=--force").splitlines()[-1]
    assert last.replace("'", "").split() == f"{RUN} exp3 --seeds 5 --device cpu --set a=1 b=2 --force".split()
    last = make(clone, "-n", "quick", SET="b=2").splitlines()[-1]
    assert last.replace("'", "").split() == f"{RUN} exp3 --set data.name=mnist5k train.epochs=2 b=2".split()
    last = make(clone, "-n", "report", "EXPERIMENTS=exp2 exp3").splitlines()[-1]
    assert last.replace("'", "").strip() == ".venv/bin/python -m tinycnn report exp2 exp3"


@pytest.mark.parametrize("value", ["it's", "a;touch${IFS}made", "$(touch made)", "`touch made`", 'a"b', "a\\b", "*"])
def test_a_value_reaches_the_command_as_it_was_written(clone, value):
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (clone / "bootstrap.py").write_text("")
    said = make(clone, "-s", "exp3", SET=value, SEEDS=value, PYTHON=sys.executable).splitlines()
    assert said == ["-m", "tinycnn", "run", "exp3", "--seeds", value, "--set", *value.split()]
    assert not (clone / "made").exists()


def test_the_pythons_that_will_do_are_the_same_in_both_places():
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest, newest = bootstrap.OLDEST, bootstrap.NEWEST
    assert needs == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"


def test_everything_is_pinned():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert len(bootstrap.pinned(ROOT / "requirements.txt")) == len([line for line in lines if line]) > 10


# The environment


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    for version in ["1.0", "2.0"]:
        info = f"tiny-{version}.dist-info"
        with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny.py", f"version = '{version}'\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return folder


@pytest.fixture
def here(tmp_path, wheels, monkeypatch):
    """A folder with requirements that ask for tiny 1.0, and no network."""
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "requirements.txt").write_text("tiny==1.0  # a pin\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setattr(bootstrap, "DOWNLOAD", 0)
    monkeypatch.setattr(bootstrap, "INSTALLED", 0)
    return folder


def tiny():
    command = [".venv/bin/python", "-c", "import tiny; print(tiny.version)"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def quiet(capfd):
    """Whether setting up finds nothing to do."""
    capfd.readouterr()
    return bootstrap.main([]) == 0 and capfd.readouterr() == ("", "")


def test_two_at_once_make_one_environment_and_every_fault_is_mended(here, capfd):
    Path(".venv/bin").mkdir(parents=True)  # half made
    Path(".venv/bin/left over").touch()
    code = "import bootstrap; bootstrap.DOWNLOAD = bootstrap.INSTALLED = 0; raise SystemExit(bootstrap.main([]))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted((child.communicate(timeout=60)[0] for child in both), key=len)
    assert [child.returncode for child in both] == [0, 0]
    assert "waiting" in said[0] and "making" not in said[0]
    assert "was never finished: making" in said[1] and "GB" in said[1]
    assert tiny() == "1.0" and quiet(capfd) and not Path(".venv/bin/left over").exists()

    (here / "requirements.txt").write_text("tiny==3.0\n")
    before = Path(".venv/complete").read_bytes()
    assert bootstrap.main([]) == 1
    said = capfd.readouterr().err.splitlines()
    assert "No matching distribution" in said[-2] and "network" in said[-1]
    assert tiny() == "1.0" and Path(".venv/complete").read_bytes() == before, "what worked should be kept"

    (here / "requirements.txt").write_text("tiny==2.0\n")
    assert bootstrap.main([]) == 0 and "has changed: mending" in capfd.readouterr().out
    assert tiny() == "2.0" and quiet(capfd)

    subprocess.run([".venv/bin/python", "-m", "pip", "uninstall", "-qy", "tiny"], check=True)
    assert bootstrap.main([]) == 0 and "lacks tiny==2.0: mending" in capfd.readouterr().out
    assert tiny() == "2.0" and quiet(capfd)


@pytest.mark.parametrize("spoilt", ["interrupted", "moved", "without its python", "empty", "with a python too new"])
def test_what_cannot_be_mended_is_to_be_made_anew(here, spoilt):
    args = bootstrap.arguments(["--requirements", os.devnull])
    complete(args)
    assert bootstrap.fault(args) is None
    if spoilt == "interrupted":
        Path(".venv/complete").unlink()
    elif spoilt == "moved":
        Path(".venv").rename("elsewhere")
        args.venv = "elsewhere"
    elif spoilt == "without its python":
        Path(".venv/bin/python").unlink()
        Path(".venv/bin/python").symlink_to("gone")
    elif spoilt == "empty":
        shutil.rmtree(".venv")
        Path(".venv").mkdir()
    else:
        Path(".venv/complete").write_text(Path(".venv/complete").read_text().replace("3.", "4.", 1))
    assert bootstrap.fault(args)[1]


def complete(args):
    """Lay out an environment that passes for a finished one."""
    Path(".venv/bin").mkdir(parents=True)
    Path(".venv/bin/python").symlink_to(sys.executable)
    stamp = [bootstrap.running(), os.path.realpath(".venv"), bootstrap.digest(args)]
    Path(".venv/complete").write_text("\n".join(stamp))


def refused(capfd):
    assert bootstrap.main([]) == 1
    assert not Path(".venv").exists(), "started although it cannot end well"
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 15, 0), (2, 7, 18)])
def test_a_python_without_wheels_is_refused_in_a_line(here, version, monkeypatch, capfd):
    monkeypatch.setattr(bootstrap.sys, "version_info", version)
    monkeypatch.setattr(bootstrap, "answers", lambda command: "" if command[0] == "python3.12" else None)
    line = refused(capfd)
    assert "needs Python 3.11 to 3.14" in line and f"{version[0]}.{version[1]}:" in line and "PYTHON=python3.12" in line


def test_a_python_without_venv_is_refused_in_a_line(here, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert f"apt install python{bootstrap.running()}-venv" in refused(capfd)


def test_too_little_disk_is_refused_in_a_line(here, monkeypatch, capfd):
    monkeypatch.setattr(bootstrap, "INSTALLED", 6)
    monkeypatch.setattr(bootstrap, "free_gb", lambda _: 5)
    assert "6.0 GB" in refused(capfd)


def test_another_python_is_taken_only_when_asked_for(here, monkeypatch):
    args = bootstrap.arguments(["--requirements", os.devnull])
    complete(args)
    monkeypatch.setattr(bootstrap, "running", lambda: "3.99")
    assert bootstrap.fault(args) is None
    args.exact = True
    assert bootstrap.fault(args)[1]
