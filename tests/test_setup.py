"""`make`, its variables, and the .venv it makes: tried with wheels of a few bytes in place of torch, and no network."""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN = ".venv/bin/python -m tinycnn run"
KNOWN = (
    *("PYTHON", "TORCH_INDEX", "PORT", "STUDY", "SWEEP", "SEEDS", "WORKERS", "DEVICE", "SET", "ARGS", "TRIALS"),
    *("EXPERIMENTS", "ALL", "RUN", "TO"),
)
# Without what a surrounding `make test SEEDS=3`, or a pip.conf, would hand down.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("MAKE", "MFLAGS", "PIP_", "PYTHON", *KNOWN))
}

sys.path.insert(0, str(ROOT))
import bootstrap  # noqa: E402


@pytest.fixture
def clone(tmp_path):
    """A folder with a space in its name that holds what `make` reads."""
    return project(tmp_path / "a clone")


def project(folder):
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    for name in ("Makefile", "bootstrap.py", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def run_make(folder, *arguments, **variables):
    environment = {**CLEAN, "PIP_CONFIG_FILE": os.devnull, **variables}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )


def make(folder, *arguments, **variables):
    done = run_make(folder, *arguments, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# make


def test_make_alone_lists_every_experiment_and_target_with_its_time(clone):
    listed = make(clone)
    assert max(map(len, listed.splitlines())) <= 80
    whole = re.sub(r"\n {15}", " ", listed)
    lines = {line.split()[0]: line for line in whole.splitlines() if line.startswith("  ")}
    experiments = [path for path in (ROOT / "experiments").glob("*.py") if not path.name.startswith("_")]
    assert experiments
    for path in experiments:
        assert path.read_text().split('"""')[1].strip().splitlines()[0] in lines[path.stem]
    for target in ["setup", "quick", "test", "test-slow", "lint", "ui", "evidence", "report", "list", "doctor"]:
        assert "(" in lines[target]
    assert set(KNOWN) <= {word.strip(";").split("=")[0] for line in lines.values() for word in line.split()}


def test_an_experiment_file_is_a_target(clone):
    (clone / "experiments" / "exp77.py").write_text(
        '"""Does it float?\n\nRun       make exp77   (3 min on 2 cores)\n"""\n'
    )
    (clone / "experiments" / "_helper.py").write_text('"""Not an experiment."""\n')
    listed = make(clone)
    assert "exp77        Does it float? (3 min on 2 cores)\n" in listed and "_helper" not in listed
    assert make(clone, "-n", "exp77").splitlines()[-1].strip() == f"{RUN} exp77"


@pytest.mark.parametrize(
    ("target", "variables", "command"),
    [
        ("exp3", "SEEDS=5|DEVICE=cpu|SET=a=1 b=2", f"{RUN} exp3 --seeds 5 --device cpu --set a=1 b=2"),
        ("quick", "SET=b=2", f"{RUN} exp3 --set data.name=mnist5k train.epochs=2 b=2"),
        ("resume", "RUN=98597d8b|WORKERS=1", ".venv/bin/python -m tinycnn resume 98597d8b --workers 1"),
        ("export", "RUN=98597d8b|TO=c", ".venv/bin/python -m tinycnn export 98597d8b --to c"),
        ("zoo", "ARGS=--list", ".venv/bin/python -m tinycnn zoo --list"),
        ("report", "EXPERIMENTS=exp2 exp3", ".venv/bin/python -m tinycnn report exp2 exp3"),
        ("study", "STUDY=width|TRIALS=9", ".venv/bin/python -m tinycnn search width --trials 9"),
        ("setup", "TORCH_INDEX=https://a/b", '"$python" bootstrap.py https://a/b'),
        ("test", "ARGS=-x", ".venv/bin/python -m pytest --numprocesses auto --dist worksteal -x"),
    ],
)
def test_variables_become_options(clone, target, variables, command):
    last = make(clone, "-n", target, *variables.split("|")).replace("\\\n", " ").splitlines()[-1]
    assert last.replace("'", "").endswith(command) or last.replace("'", "").split() == command.split()


@pytest.mark.parametrize("value", ["it's", "a;touch${IFS}made", "$(touch made)", "`touch made`", 'a"b', "a\\b", "*"])
def test_a_value_reaches_the_command_as_it_was_written(clone, value):
    stand_in(clone, 'printf "%s\\n" "$@"')
    said = make(clone, "-s", "exp3", SET=value, SEEDS=value, PYTHON=sys.executable).splitlines()
    assert said == ["-m", "tinycnn", "run", "exp3", "--seeds", value, "--set", *value.split()]
    assert not (clone / "made").exists()


def test_nothing_around_make_adds_packages_or_forbids_byte_code(clone):
    stand_in(clone, "env")
    around = {"PYTHONPATH": "/else", "PYTHONHOME": "/else", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    handed = make(clone, "-s", "exp3", PYTHON="true", **around).splitlines()
    assert [line for line in handed if line.startswith("PYTHON") and line != "PYTHON=true"] == ["PYTHONUNBUFFERED=1"]


def stand_in(clone, script):
    """Have a shell script in place of the environment's Python."""
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    (clone / "bootstrap.py").write_text("")


@pytest.mark.parametrize("given", ["SEED=5", "seeds=5", "FOO='; touch made; $(shell touch made)"])
def test_an_unknown_variable_ends_in_one_line_that_names_the_known_ones(clone, given):
    done = run_make(clone, "-n", "exp3", given)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert f"{given.split('=')[0]}: not read by make exp3, which reads ARGS DEVICE LAUNCH" in done.stderr
    assert 'SET="train.epochs=3' in done.stderr and not (clone / "made").exists()
    known = ("CXX=g++", "MLFLOW_TRACKING_URI=sqlite:///a.db")
    assert make(clone, "-n", "exp3", *known, SEED="5")  # the environment may hold anything


@pytest.mark.parametrize(
    ("target", "given"), [("study", "SEEDS=5"), ("sweep", "SET=a=1"), ("rerun", "DEVICE=cpu"), ("exp3", "TRIALS=3")]
)
def test_a_variable_that_the_target_does_not_read_ends_in_one_line(clone, target, given):
    done = run_make(clone, "-n", target, given)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert f"{given.split('=')[0]}: not read by make {target}, which reads " in done.stderr


def test_variables_of_several_targets_and_a_missing_one_are_no_mistake(clone):
    assert make(clone, "-n", "exp3", "report", "SEEDS=2", "EXPERIMENTS=exp3")
    assert "No rule to make target 'missing'" in run_make(clone, "missing", "SEEDS=2").stderr


# .venv

TINY = "tiny==1.0  # a pin\n"
TORCH = "torch==1.0\ntorchvision==1.0\n"


def wheel(folder, name, version, needs=()):
    """Write a wheel that holds one module with its version, and one command."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"def main():\n    import sys\n    print({version!r}, sys.executable)\n",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {each}\n" for each in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Two folders: in `usual` torch needs what is not there; `cpu` has torch alone, which needs `tiny` of `usual`."""
    top = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        wheel(top / "usual", "tiny", version)
    wheel(top / "usual", "torch", "1.0", ["nvidia"])
    wheel(top / "usual", "torchvision", "1.0", ["torch==1.0"])
    wheel(top / "cpu", "torch", "1.0+cpu", ["tiny"])
    wheel(top / "cpu", "torchvision", "1.0+cpu", ["torch==1.0"])
    return top


@pytest.fixture(scope="module")
def offline(wheels):
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels / "usual")}


def small(folder):
    """A project that asks for `tiny` alone and no gigabytes."""
    text = (project(folder) / "bootstrap.py").read_text()
    sizes = next(line for line in text.splitlines() if line.startswith("WITH_CUDA"))
    (folder / "bootstrap.py").write_text(text.replace(sizes, "WITH_CUDA = WITHOUT = (0, 0)"))
    (folder / "requirements.txt").write_text(TINY)
    (folder / "tinycnn").mkdir()
    (folder / "tinycnn" / "__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, offline):
    """A folder with a .venv, of which an earlier `make` left a part, made by two `make` at once."""
    folder = small(tmp_path_factory.mktemp("made") / "a b")
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/rest").touch()
    command = ["make", "setup", f"PYTHON={sys.executable}"]
    environment = {**CLEAN, **offline, "PIP_CONFIG_FILE": os.devnull}
    both = [subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [child.communicate(timeout=240)[0] for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert sum("making .venv" in each for each in said) == 1 and not (folder / ".venv/bin/rest").exists()
    return folder


@pytest.fixture
def here(made, tmp_path):
    """A copy of that folder, under another name."""
    return shutil.copytree(made, tmp_path / "c d", symlinks=True)


def output(folder, *command):
    return subprocess.run(command, cwd=folder, env=CLEAN, capture_output=True, text=True, check=True).stdout.strip()


def version(folder, module="tiny"):
    return output(folder, ".venv/bin/python", "-c", f"import {module}; {module}.main()").split()[0]


def test_a_second_setup_does_nothing_and_at_once(made):
    before, begun = (made / ".venv/stamp.json").stat(), time.perf_counter()
    assert make(made, "-s", "setup") == ""
    assert time.perf_counter() - begun < 5 and (made / ".venv/stamp.json").stat() == before


def test_a_copied_folder_works_with_its_own_environment(here, offline):
    where = "import tinycnn; print(tinycnn.__file__)"
    assert output("/", here / ".venv/bin/python", "-c", where) == str(here / "tinycnn/__init__.py")
    make(here, "setup", **offline)
    assert output(here, "sh", ".venv/bin/tiny") == f"1.0 {here}/.venv/bin/python"
    assert f"{here}/.venv" in (here / ".venv/bin/activate").read_text()
    assert make(here, "-s", "setup") == ""


def test_changed_requirements_are_installed_and_what_fails_is_said_in_a_line_and_tried_again(here, offline):
    (here / "requirements.txt").write_text("tiny==3.0\n")
    for _ in range(2):
        done = run_make(here, "setup", **offline)
        *_, reason, line, _ = done.stderr.splitlines()
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "No matching distribution found for tiny==3.0" in reason and line.startswith(
            "setup: the installation failed"
        )
        assert version(here) == "1.0"
    (here / "requirements.txt").write_text("tiny==2.0\n")
    make(here, "setup", **offline)
    assert version(here) == "2.0"


def test_torch_index_is_where_torch_comes_from_and_the_rest_from_the_usual_index(here, wheels, offline):
    (here / "requirements.txt").write_text(TORCH + TINY)
    make(here, "setup", f"TORCH_INDEX={wheels / 'cpu'}", **offline)
    assert [version(here, name) for name in ("torch", "torchvision", "tiny")] == ["1.0+cpu", "1.0+cpu", "1.0"]
    assert make(here, "-s", "setup") == "", "without TORCH_INDEX what was taken last is kept"
    (here / "requirements.txt").write_text(TORCH + "tiny==2.0\n")
    make(here, "setup", **offline)
    assert version(here) == "2.0" and version(here, "torch") == "1.0+cpu"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The commands of a setup in a folder without .venv, in which nothing is run."""
    (tmp_path / "requirements.txt").write_text(TORCH + TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap.signal, "signal", lambda *_: None)
    commands = []

    def run(lock, *command):
        commands.append(command)
        (tmp_path / ".venv/lib" / "python{}.{}".format(*sys.version_info) / "site-packages").mkdir(
            parents=True, exist_ok=True
        )

    monkeypatch.setattr(bootstrap, "run", run)
    return commands


def test_torch_index_may_be_an_address(commands, monkeypatch):
    monkeypatch.setattr(bootstrap, "WITHOUT", (0, 0))
    bootstrap.main("https://an.index/cpu")
    _, torch, rest = commands
    assert torch[-4:] == ("--index-url", "https://an.index/cpu", "torch==1.0", "torchvision==1.0")
    assert rest[-2:] == ("-r", "requirements.txt")


@pytest.mark.parametrize("running", [(3, 10, 13), (3, 15, 0)])
def test_a_python_out_of_range_is_refused_in_a_line(commands, running, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", running)
    with pytest.raises(SystemExit, match=r"^setup: this Python is out of range: .* python3.11 to python3.14$"):
        bootstrap.main()
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert needs == f">=3.{bootstrap.OLDEST[1]},<3.{bootstrap.NEWEST[1] + 1}"


def test_too_little_disk_and_a_missing_folder_are_refused_in_a_line(commands, monkeypatch):
    monkeypatch.setattr(bootstrap, "WITHOUT", (1e6, 2e6))
    with pytest.raises(SystemExit, match=r"^setup: 3000000.0 GB of disk are needed, .* free: make room$"):
        bootstrap.main("https://an.index/cpu")
    with pytest.raises(SystemExit, match=r"^setup: TORCH_INDEX=.*/wheels is neither a folder nor a URL$"):
        bootstrap.main("wheels")


def test_everything_is_pinned():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pins = [line for line in lines if line]
    assert len(pins) > 10 and all(line.count("==") == 1 for line in pins)
