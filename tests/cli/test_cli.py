"""What the command line promises: results on stdout, all else on stderr, an error one line and a documented code."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading

import pytest

from tinycnn import ROOT
from tinycnn.cli import commands as cli
from tinycnn.track import run as runs

VERBS = ("list", "show", "run", "resume", "rerun", "close", "compare", "doctor", "report", "evidence")
CODES = {0, 1, 2, 3, 4, 5, 6, 130}
HEAVY = ("torch", "mlflow", "optuna", "pandas", "matplotlib", "torchvision")


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """``main`` handles signals its own way; that is not to outlive a test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def tinycnn(capfd):
    """Run the command line in this process; returns its exit code, stdout and stderr."""

    def call(*arguments):
        capfd.readouterr()
        try:
            code = cli.main(list(arguments))
        except SystemExit as left:
            code = left.code
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def no_training(monkeypatch):
    def started(*arguments, **options):
        raise AssertionError("a training was started")

    monkeypatch.setattr(runs, "train", started)


@pytest.fixture
def spec_file(tiny, tmp_path):
    """``tiny`` as the spec.json of a run."""
    path = tmp_path / "spec.json"
    path.write_text(tiny.to_json())
    return str(path)


def process(*arguments, cwd, **options):
    """Start ``python -m tinycnn`` in a folder elsewhere."""
    path = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tinycnn", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, cwd=cwd, env=os.environ | path, text=True, **pipes)


# --- help ------------------------------------------------------------------------------------------------------------


def test_every_verb_has_help_with_the_exit_codes(tinycnn):
    code, out, err = tinycnn("--help")
    assert code == 0 and err == "" and all(verb in out for verb in VERBS)
    for verb in VERBS:
        code, out, err = tinycnn(verb, "--help")
        assert code == 0 and err == "" and out.startswith(f"usage: python -m tinycnn {verb}")
        assert "--json" in out and "exit codes" in out
        assert {int(number) for number in re.findall(r"^ +(\d+) ", out, re.MULTILINE)} >= CODES


def test_help_imports_nothing_heavy_and_answers_at_once(tmp_path):
    code = f"""
import sys
from tinycnn.cli.commands import main
for arguments in [["--help"], *([verb, "--help"] for verb in {VERBS})]:
    try:
        main(arguments)
    except SystemExit as left:
        assert left.code == 0
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = process("run", "--help", cwd=tmp_path)
    assert "usage" in child.communicate()[0]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 0.5, "seconds of processor time"


# --- list, show, doctor ----------------------------------------------------------------------------------------------


def test_list_names_experiments_networks_and_data(tinycnn):
    code, out, err = tinycnn("list", "--json")
    found = json.loads(out)
    assert code == 0 and err == ""
    rows = {row["name"]: row for row in found["experiments"]}
    counts = [28624, 7344, 7872]
    assert [rows[name]["parameters"] for name in ("exp1", "exp2", "exp3")] == counts
    code, out, err = tinycnn("list")
    assert code == 0 and err == ""
    assert all(word in out for word in (*rows, *found["layers"], *found["data"], *(f"{n:,}" for n in counts)))


def test_show_prints_spec_difference_and_layers(tinycnn):
    code, out, err = tinycnn("show", "exp3")
    assert code == 0 and err == "" and "7,872 parameters (at most 8,000)" in out
    assert "optimizer.name" in out and "(exp2: SGD)" in out and "| total" in out
    code, out, err = tinycnn("show", "exp3", "--json")
    found = json.loads(out)
    assert code == 0 and err == "" and found["name"] == "exp3" and found["parent"] == "exp2"
    assert found["parameters"] == 7872 and found["parameter_limit"] == 8000
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"]) > 10**6
    assert found["receptive_field"] == found["layers"][-1]["receptive_field"] == 28
    assert found["difference"]["optimizer.name"] == {"from": "SGD", "to": "Adam"}
    code, out, err = tinycnn("show", "exp1", "--json")
    assert code == 0 and json.loads(out)["parameter_limit"] is None


def test_an_experiment_is_a_name_a_file_or_the_spec_of_a_run(tinycnn, tiny, spec_file, tmp_path, monkeypatch):
    by_name = tinycnn("show", "exp3")
    assert by_name[0] == 0 and tinycnn("show", str(ROOT / "experiments" / "exp3.py")) == by_name
    monkeypatch.chdir(ROOT)
    assert tinycnn("show", "experiments/exp3.py") == by_name
    monkeypatch.chdir(tmp_path)
    code, out, _ = tinycnn("show", "spec.json", "--json")
    assert code == 0 and json.loads(out)["hash"] == tiny.hash
    derived = tmp_path / "mine.py"
    derived.write_text('from experiments.exp3 import SPEC as E\nSPEC = E.but(name="mine", train={"epochs": 2})\n')
    code, out, _ = tinycnn("show", "mine.py", "--json", "--set", "optimizer.lr=0.5", "--set", "augment.flip=True")
    shown = json.loads(out)
    assert code == 0 and shown["parent"] == "exp3" and len(shown["notices"]) > 0
    assert {name: change["to"] for name, change in shown["difference"].items()} == {
        "train.epochs": 2, "optimizer.lr": 0.5, "augment.flip": True,
    }  # fmt: skip


def test_augmented_draws_a_picture(tinycnn, spec_file, tmp_path):
    path = tmp_path / "out.png"
    code, out, err = tinycnn("show", spec_file, "--augmented", str(path), "--offline", "--json")
    assert code == 0 and json.loads(out)["name"] == "tiny" and str(path) in err
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and path.stat().st_size > 5000
    for bad in (tmp_path, tmp_path / "no" / "out.png"):
        code, out, err = tinycnn("show", spec_file, "--augmented", str(bad), "--offline")
        assert code == 1 and out == "" and err.count("\n") == 1
        assert err.startswith(f"tinycnn: {bad}: cannot be written")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.png", "spec.json"]


def test_doctor_says_what_there_is_and_where(tinycnn, tmp_path, monkeypatch):
    code, out, err = tinycnn("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(out)}
    assert code == (0 if all(finding["ok"] for finding in found.values()) else 1) and err == ""
    assert {"python", "torch", "mlflow", "devices", "store", "disk", "data mnist", "data mnist5k"} <= set(found)
    assert found["store"]["ok"] and str(tmp_path) in found["store"]["found"] and not (tmp_path / "store").exists()
    assert found["data mnist5k"]["ok"] and all(finding["ok"] or finding["cure"] for finding in found.values())

    (tmp_path / "file").write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file'}")
    code, out, err = tinycnn("doctor")
    assert code == 1 and re.search(r"^BAD +store .*not a database", out, re.MULTILINE) and "-> set MLFLOW" in out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file' / 'below' / 'mlflow.db'}")
    assert tinycnn("doctor")[0] == 1


# --- run -------------------------------------------------------------------------------------------------------------


def test_run_prints_json_and_nothing_else_to_stdout(tinycnn, spec_file, database, few_images):
    code, out, err = tinycnn("run", spec_file, "--json", "--set", "train.epochs=2", "--first-seed", "3")
    found = json.loads(out)
    assert code == 0 and found["data"] == "mnist5k" and found["fallback"] is False and found["parameters"] == 7344
    assert found["epochs"] == 2 and found["verdict"] == "met" and found["spec_hash"]
    for each in (found, *found["seeds"]):
        assert {"last", "best", "best_epoch", "min_last5", "run_id"} <= set(each)
    assert [each["seed"] for each in found["seeds"]] == [3]
    lines = err.splitlines()
    assert sum(": epoch " in line for line in lines) == 2 and any(found["run_id"] in line for line in lines)
    assert "Traceback" not in err and "Warning" not in err and "\r" not in err


def test_run_prints_a_table_of_the_epochs_and_a_line_of_verdict(tinycnn, spec_file, database, few_images, no_artifacts):
    code, out, err = tinycnn("run", spec_file, "--set", "train.epochs=2", "--seeds", "2")
    assert code == 0 and len(re.findall(r"^\| +[12] \| .*\d\.\d\d \|", out, re.MULTILINE)) >= 4
    assert "\ntiny: 7,344 parameters, target met (0.5 % in each of the last 2 epochs: 2 of 2 seeds;" in out
    code, out, err = tinycnn("run", spec_file, "--set", "train.epochs=2", "--seeds", "2", "--missing")
    assert code == 0 and ": epoch " not in err and "target met" in out


def test_the_exit_codes_are_those_documented(
    tinycnn, spec_file, database, few_images, no_artifacts, no_data, monkeypatch
):
    quick = ("run", spec_file, "--set", "train.epochs=1", "target.last_epochs=1")
    assert tinycnn("list")[0] == 0
    code, out, err = tinycnn("run", "exp3", "--no-fallback", "--offline")
    assert code == 1 and out == "" and err.count("\n") == 1 and "mnist" in err and "TINYCNN_DATA" in err
    code, out, err = tinycnn("show", "exp3", "--set", "train.epoch=3")
    assert code == 2 and out == "" and err.count("\n") == 1 and "train.epoch: " in err and "epochs'?" in err
    code, out, err = tinycnn("run", "exp1", "--set", "target.parameter_limit=8000")
    assert code == 3 and out == "" and err.count("\n") == 1 and "28,624" in err and "8,000" in err
    assert tinycnn(*quick, "target.accuracy=99.99", "--require-target")[0] == 4
    assert tinycnn(*quick, "target.accuracy=null", "--require-target")[0] == 4, "not judged is not met"
    assert tinycnn(*quick, "target.accuracy=99.99", "--missing")[0] == 0
    assert tinycnn(*quick, "target.accuracy=0.1", "--missing", "--require-target")[0] == 0

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        monkeypatch.setattr(runs, "train", lambda *_, number=number, **__: signal.raise_signal(number))
        code, out, err = tinycnn(*quick)
        assert code == 130 and err.splitlines()[-1].startswith("tinycnn: interrupted")


def test_a_fallback_cannot_be_missed_on_the_terminal(tinycnn, spec_file, database, few_images, no_artifacts, no_data):
    wanted = ("run", spec_file, "--set", "data.name=mnist", "train.epochs=2")
    code, out, err = tinycnn(*wanted, "--json")
    found = json.loads(out)
    assert code == 0 and found["fallback"] is True and found["data"] == "mnist5k" and found["verdict"] == "not judged"
    assert "!!!!!!!!\nFALLBACK: mnist is missing" in err and "127.0.0.1" not in out
    code, out, err = tinycnn(*wanted, "--offline")
    assert code == 0 and "tiny on mnist5k" in out and "target not judged (trained on the fallback" in out


def test_a_loss_that_is_no_number_fails_in_a_line(tinycnn, spec_file, database, few_images):
    settings = ("model.norm=none", "target.parameter_limit=null", "optimizer.name=SGD", "optimizer.lr=100",
                "optimizer.weight_decay=1")  # fmt: skip
    code, out, err = tinycnn("run", spec_file, "--set", *settings)
    assert code == 1 and out == ""
    last = err.splitlines()[-1]
    assert re.fullmatch(r"tinycnn: tiny: the training loss became .* the last good epoch is \d\..*", last)


@pytest.mark.parametrize("uri", ["sqlite:///{}/file", "sqlite:///{}/file/mlflow.db"])
def test_a_store_that_cannot_be_used_is_a_line(tinycnn, spec_file, tmp_path, monkeypatch, few_images, no_training, uri):
    (tmp_path / "file").write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(tmp_path))
    code, out, err = tinycnn("run", spec_file)
    assert code == 1 and out == "" and err.count("\n") == 1 and err.startswith("tinycnn: the store sqlite:///")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_exits_with_130_and_is_killed_in_the_store(spec_file, database, tmp_path, number):
    from tinycnn.track.mlflow_store import Store

    child = process("run", spec_file, "--seeds", "2", "--set", "train.epochs=10000", cwd=tmp_path)
    watchdog = threading.Timer(300, child.kill)
    watchdog.start()
    try:
        said = []
        for line in child.stderr:
            said.append(line)
            if ": epoch 1/" in line:
                child.send_signal(number)
        child.wait()
    finally:
        watchdog.cancel()
        child.kill()
        child.communicate()
    assert child.returncode == 130, said
    assert re.fullmatch(
        r"tinycnn: interrupted; what was logged until now is kept; "
        r"`python -m tinycnn resume [0-9a-f]{32}` goes on from there\n",
        said[-1],
    )
    assert "Traceback" not in "".join(said)
    found = Store().search({}, ("FINISHED", "FAILED", "KILLED", "RUNNING"))
    assert 2 <= len(found) <= 3 and {run.info.status for run in found} == {"KILLED"}  # parent and children
    assert [run.data.metrics["test_accuracy"] for run in found if "test_accuracy" in run.data.metrics]


@pytest.mark.parametrize("arguments", [("run", "--help"), pytest.param(("list",), marks=pytest.mark.slow)])
def test_a_reader_that_goes_is_no_error(tmp_path, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as closed:
        child = process(*arguments, cwd=tmp_path, stdout=closed)
        assert child.communicate()[1] == "" and child.returncode == 0


# --- anything else ---------------------------------------------------------------------------------------------------

NASTY = (
    "", " ", "-", "--", ".", "..", "../../../etc/passwd", "/etc/passwd", "/dev/null", "~", "%s%n", "*", "exp3 ", "EXP3",
    "exp3.py", "exp3.json", "exp33", "exp", "éxp3", "實驗三", "\U0001f4a5", "exp3\n", "exp3\t", "\x1b[31mexp3", "\x07",
    "\u202eexp3", "\udcff", "exp3\x00", "x" * 300, "x" * 5000, "exp3;ls", "$(ls)", "__init__", "experiments", "0",
)  # fmt: skip
VALUES = (
    "", " ", "abc", "null", "NaN", "Infinity", "-Infinity", "-1", "-0.0001", "1e400", "1e-400", "9" * 400, "9" * 5000,
    "1.5", "true", "[1]", "{}", '{"a": 1}', "[" * 2000, '"', "'3'", "0x10", "1_0", "１２", "٣", "\x00", "\x1b[2J",
    "\udcff", "../..", "é", "\U0001f4a5", "3 epochs", "None", "None None", "=", "==3",
)  # fmt: skip


def misspelt(word, rng):
    """Return the word truncated, doubled, in capitals, or with letters swapped or replaced."""
    at = rng.randrange(len(word) - 1)
    return rng.choice([
        word[: at + 1], word * 2, word.upper(), word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        f"{word[:at]}é{word[at + 1 :]}", word + " ", f" {word}", word[::-1], word[:at] + word[at:].replace(".", ".."),
    ])  # fmt: skip


def altered():
    """Return the same 200 command lines every time, most of them wrong and none of them a training."""
    from tinycnn.spec import load as experiments

    rng = random.Random(2)
    fields = sorted(experiments.load("exp3").flat())
    lines = [("show", name) for name in NASTY] + [("compare", name) for name in ("", "exp33", "\x1b", "\udcff")]
    lines += [("show", "exp3", "--set", f"{rng.choice(fields)}={value}") for value in VALUES for _ in range(2)]
    lines += [("show", "exp3", "--set", f"{misspelt(rng.choice(fields), rng)}=1") for _ in range(30)]
    words = [misspelt(rng.choice(VERBS), rng) for _ in range(20)]
    lines += [(word, "exp3") for word in words if word not in VERBS]
    options = ("--json", "--set", "--device", "--offline")
    lines += [("show", "exp3", misspelt(rng.choice(options), rng)) for _ in range(10)]
    lines += [(), ("",), ("show",), ("show", "exp3", "exp3"), ("show", "exp3", "--set"), ("show", "--set", "a=1"),
              ("list", "exp3"), ("--json", "list"), ("show", "exp3", "--set", "train.epochs=1", "train.epochs=2"),
              ("show", "exp3", "--set", "train.epochs"), ("show", "exp3", "--set", "="), ("show", "exp3", "--set", "a"),
              ("show", "exp3", "--set", "train={}"), ("show", "exp3", "--set", "train.epochs.x=1"),
              ("show", "exp3", "--set", "name=other"), ("show", "exp3", "--set", "__class__.x=1"),
              ("show", "exp3", "--set", "model.name=model_1"), ("show", "exp3", "--set", "data.name=cifar10"),
              ("show", "exp3", "--augmented")]  # fmt: skip
    seeds = ("0", "-1", "1.5", "abc", "1e3", "٣", "", "1001", "0000099999")
    lines += [("run", "exp3", "--seeds", value) for value in seeds]
    lines += [("run", "exp3", "--first-seed", value) for value in ("-1", "4294967296", "9" * 5000, "x", "１", "")]
    lines += [("run", "exp3", "--first-seed", "4294967295", "--seeds", "2", "--set", "data.name=mnist5k")]
    devices = ("", "gpu", "CPU", "cuda:-1", "cuda:x", "meta", "\udcff")
    lines += [("run", "exp3", "--device", value) for value in devices]
    impossible = ("model.dropout=1.5", "train.epochs=0", "train.batch_size=0")
    lines += [("run", "exp3", "--set", value) for value in impossible]
    return lines


def fault(code, out, err):
    """Return what is wrong with how a command line ended, or None."""
    if code not in CODES:
        return f"exit code {code}"
    if "Traceback" in err or "TINYCNN_DEBUG" in err:
        return "an error that nobody had thought of"
    if code == 0:
        return None if out and not err else "done, and yet something to complain about, or nothing to show"
    if out:
        return "failed, and yet a result"
    if not err.startswith("tinycnn: ") or err.count("\n") != 1:
        return "not one line"
    unseen = [character for character in err[:-1] if not character.isprintable()]
    return f"control characters {unseen}" if unseen else "a very long line" if len(err) > 1100 else None


def test_no_command_line_ends_in_a_traceback(tinycnn, few_images, no_training, no_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = altered()
    assert len(lines) > 150
    faults = [(line, why, answer) for line in lines if (why := fault(*(answer := tinycnn(*line))))]
    assert not faults, "\n".join(f"{why}: {line!r:.200} -> {answer!r:.500}" for line, why, answer in faults)


def test_no_altered_spec_ends_in_a_traceback(tinycnn, tiny, tmp_path, no_training):
    rng, text = random.Random(3), tiny.to_json()
    words = re.findall(r'"[a-z_]+"|[0-9.]+|true|false|null|[{}\[\]:,]', text)
    texts = ["", "null", "[]", "{}", "3", '"exp3"', "\x00", "[" * 100_000]
    texts += [text * 2, "\ufeff" + text, text.replace("{", "[")]
    texts += [text[: rng.randrange(len(text))] for _ in range(10)]
    for _ in range(40):
        start = rng.randrange(len(text))
        texts.append(text[:start] + text[start:].replace(rng.choice(words), rng.choice((*words, *VALUES)), 1))
    path = tmp_path / "spec.json"
    faults = []
    for changed in texts:
        path.write_bytes(changed.encode("utf-8", "surrogateescape"))
        if why := fault(*(answer := tinycnn("show", str(path)))):
            faults.append(f"{why}: {changed[:200]!r} -> {answer!r:.500}")
    assert not faults, "\n".join(faults)
