"""What the command line promises: results on stdout, everything else on stderr, documented exit codes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from tinycnn import ROOT
from tinycnn.cli import commands, show
from tinycnn.cli.main import as_called, note, program
from tinycnn.errors import UserError
from tinycnn.spec import StepLR
from tinycnn.track import close as closing
from tinycnn.track import jobs, mlflow_store, resume, run, seed
from tinycnn.track.mlflow_store import EVERY, Store

COUNTS = {"exp1": 28624, "exp2": 7344, "exp3": 7872}
HEAVY = ("torch", "mlflow", "optuna", "pandas", "matplotlib", "torchvision", "scipy", "numpy")


def process(*arguments, cwd, **options):
    """Start ``python -m tinycnn`` in a folder elsewhere."""
    command = [sys.executable, "-m", "tinycnn", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, **pipes)


def imported_by(code, names):
    """Return which of these modules a process has imported after this code."""
    code = f"import sys\n{code}\nprint(*[name for name in {names} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return done.stderr.split()


# --- help and start ---------------------------------------------------------------------------------------------------


def test_the_exit_codes_stand_in_the_help_and_every_command_has_examples_and_its_options(tinycnn):
    code, out, err = tinycnn("--help")
    assert code == 0 and err == "" and all(f"\n  {name} " in out for name in program.commands)
    assert {int(n) for n in re.findall(r"^ +(\d+) ", out, re.MULTILINE)} == {0, 1, 2, 3, 4, 5, 6, 130}
    for name, command in program.commands.items():
        code, out, err = tinycnn(name, "--help")
        assert code == 0 and err == "" and out.startswith(f"Usage: python -m tinycnn {name}")
        assert all(parameter.human_readable_name in out or parameter.opts[0] in out for parameter in command.params)
        assert "--json" in out and all(len(line) <= 80 for line in out.splitlines())
        examples = out.partition("examples:\n")[2].split("\n")[:-1]
        assert examples and all(each.startswith(f"    python -m tinycnn {name}") for each in examples)


def test_help_and_list_import_nothing_heavy():
    code = "from tinycnn.cli.commands import main\nfor words in (['--help'], ['run', '--help'], ['list']): main(words)"
    assert imported_by(code, HEAVY) == []


def test_a_run_starts_without_the_modules_that_only_figures_and_studies_need():
    code = "import tinycnn.cli.progress, tinycnn.track.run"
    assert imported_by(code, ("pandas", "matplotlib", "scipy", "optuna", "mlflow")) == []


def test_a_slow_command_first_says_that_it_starts(tinycnn, monkeypatch, capfd, database):
    monkeypatch.setattr(sys, "argv", ["tinycnn", "close", "0" * 32])
    assert commands.main() == 1
    assert capfd.readouterr().err.startswith(f"close {'0' * 32}: starting\n")


# --- list, show, doctor -----------------------------------------------------------------------------------------------


def test_list_names_experiments_studies_layers_and_data(tinycnn):
    code, out, err = tinycnn("list", "--json")
    found = json.loads(out)
    assert code == 0 and err == "" and found["studies"]["dropout_lr"].startswith("Dropout")
    rows = {row["name"]: row for row in found["experiments"]}
    assert {name: rows[name]["parameters"] for name in COUNTS} == COUNTS
    code, out, err = tinycnn("list")
    assert code == 0 and err == ""
    names = (*rows, *found["studies"], *found["sweeps"], *found["layers"], *found["data"])
    assert all(f"\n  {name} " in out for name in names) and all(f"{count:,} param" in out for count in COUNTS.values())


def test_parameters_that_the_evidence_does_not_tell_are_left_open(tinycnn, tmp_path, monkeypatch):
    (tmp_path / "exp3.csv").write_text("experiment,spec_hash,parameters\nexp3,000000000000,1\n")
    monkeypatch.setattr(show, "EVIDENCE", tmp_path)
    assert {row["parameters"] for row in json.loads(tinycnn("list", "--json")[1])["experiments"]} == {None}
    assert "- parameters (show counts them), mnist, 15 epochs" in tinycnn("list")[1]


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


def test_an_experiment_is_a_name_a_file_or_the_spec_of_a_run(tinycnn, tiny, spec_file, tmp_path, monkeypatch):
    by_name = tinycnn("show", "exp3")
    assert by_name[0] == 0 and tinycnn("show", str(ROOT / "experiments" / "exp3.py")) == by_name
    monkeypatch.chdir(tmp_path)
    code, out, _ = tinycnn("show", "spec.json", "--json")
    assert code == 0 and json.loads(out)["hash"] == tiny.hash
    source = 'from experiments.exp3 import SPEC as E\nprint("built")\nSPEC = E.but(name="mine")\n'
    (tmp_path / "mine.py").write_text(source)
    once = ("--set", "train.epochs=2", "optimizer.lr=0.5", "--set", "augment.flip=True")
    code, out, err = tinycnn("show", "mine.py", "--json", *once)
    found = json.loads(out)
    assert code == 0 and err == "built\n" and found["parent"] == "exp3" and len(found["notices"]) > 0
    changed = {"train.epochs": 2, "optimizer.lr": 0.5, "augment.flip": True}
    assert {name: change["to"] for name, change in found["difference"].items()} == changed


def test_augmented_draws_an_image(tinycnn, spec_file, tmp_path):
    path = tmp_path / "out.png"
    code, out, err = tinycnn("show", spec_file, "--augmented", str(path), "--offline", "--json")
    assert code == 0 and json.loads(out)["name"] == "tiny" and str(path) in err
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and path.stat().st_size > 5000
    code, out, err = tinycnn("show", spec_file, "--augmented", str(tmp_path), "--offline")
    assert (code, out) == (1, "") and err.startswith(f"tinycnn: {tmp_path}: cannot be written") and err.count("\n") == 1


def test_doctor_says_what_there_is_and_how_to_mend_the_rest(tinycnn, tmp_path, monkeypatch):
    code, out, err = tinycnn("doctor", "--json")
    found = {check["name"]: check for check in json.loads(out)}
    assert code == 0 and err == "" and all(check["ok"] for check in found.values())
    assert {"python", "torch", "mlflow", "devices", "kernels", "store", "disk", "data mnist"} <= set(found)
    assert str(tmp_path) in found["store"]["found"] and not (tmp_path / "store").exists()
    (tmp_path / "file").write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file'}")
    monkeypatch.setenv("CXX", "no-such-compiler")
    code, out, err = tinycnn("doctor")
    assert "BAD  kernels " in out and "-> set CXX to a C++ compiler" in out
    assert code == 1 and re.search(r"^BAD +store .*not a database", out, re.MULTILINE)
    assert "MLFLOW_TRACKING_URI" in out


def test_doctor_tells_a_queue_that_cannot_be_read_from_a_store_that_cannot(tinycnn, store, monkeypatch, tmp_path):
    (tmp_path / "checkpoints" / ("a" * 32) / "jobs").mkdir(parents=True)

    def unread():
        raise UserError("Slurm's queue cannot be read here: no squeue")

    monkeypatch.setattr(jobs, "queued", unread)
    code, out, _ = tinycnn("doctor")
    assert code == 1 and re.search("^ok +store ", out, re.MULTILINE)
    assert re.search("^BAD +jobs in the queue +Slurm's queue cannot be read here: no squeue$", out, re.MULTILINE)


def test_doctor_shows_the_store_beside_jobs_of_another(tinycnn, store, monkeypatch, tmp_path):
    (tmp_path / "checkpoints" / ("a" * 32) / "jobs").mkdir(parents=True)
    monkeypatch.setattr(jobs, "queued", lambda: {"a" * 32: {"PENDING": 2}})
    code, out, _ = tinycnn("doctor")
    assert code == 0 and re.search("^ok +store ", out, re.MULTILINE)
    assert re.search(f"^ok +jobs in the queue +{'a' * 32} 2 PENDING$", out, re.MULTILINE) and "not in the store" in out


# --- run, resume, rerun -----------------------------------------------------------------------------------------------


def test_run_prints_json_and_nothing_else_to_stdout(tinycnn, spec_file, database, few_images, no_artifacts):
    code, out, err = tinycnn("run", spec_file, "--json", "--set", "train.epochs=2", "--first-seed", "3")
    found = json.loads(out)
    assert code == 0 and found["data"] == "mnist5k" and found["fallback"] is False and found["parameters"] == 7344
    assert found["epochs"] == 2 and found["verdict"] == "met" and [each["seed"] for each in found["seeds"]] == [3]
    assert {"last", "best", "best_epoch", "min_last5", "run_id"} <= set(found["seeds"][0])
    lines = err.splitlines()
    assert sum(": epoch " in line for line in lines) == 2 and f"tiny seed 3: MLflow run {found['run_id']}" in lines
    assert "Warning" not in err and "\r" not in err and all(len(line) <= 80 for line in lines)


def test_several_seeds_are_one_line_and_tables_only_with_v(tinycnn, spec_file, database, few_images, no_artifacts):
    seeds = ("run", spec_file, "--set", "train.epochs=2", "--seeds", "2", "--workers", "1", "--missing")
    code, out, err = tinycnn(*seeds, "-v")
    assert code == 0 and len(re.findall(r"^\| +[12] \| .*\d\.\d\d \|", out, re.MULTILINE)) >= 4
    code, out, err = tinycnn(*seeds)
    assert code == 0 and ": epoch " not in err and "|" not in out and "last 5" not in out
    line = r"^tiny: [\d.]+ ± [\d.]+ %, 95 % CI [\d.]+ to [\d.]+, n = 2, min [\d.]+, target met$"
    assert re.search(line, out, re.MULTILINE)
    assert "1 spec has been evaluated on this test set so far." in out


def test_the_exit_codes_tell_how_a_training_ended(tinycnn, spec_file, store, few_images, no_artifacts, monkeypatch):
    quick = ("run", spec_file, "--missing", "--set", "train.epochs=1", "target.last_epochs=1")
    assert tinycnn(*quick, "target.accuracy=99.99")[0] == 0
    assert tinycnn(*quick, "target.accuracy=99.99", "--require-target")[0] == 4
    assert tinycnn(*quick, "target.accuracy=null", "--require-target")[0] == 4, "not judged is not met"
    code, out, err = tinycnn(*quick, "target.accuracy=0.1", "--require-target", "--json")
    assert code == 0
    outcome = json.loads(out) | {"undelivered": "the store is full"}
    monkeypatch.setattr(run, "run", lambda *_, **__: outcome)
    code, out, err = tinycnn(*quick)
    assert code == 5 and "target met" in out and f"resume {outcome['run_id'][:8]}`" in err.splitlines()[-1]


def test_a_fallback_cannot_be_missed(tinycnn, spec_file, database, few_images, no_artifacts, no_data):
    code, out, err = tinycnn("run", spec_file, "--set", "data.name=mnist", "train.epochs=1", "--offline")
    assert code == 0 and "tiny on mnist5k" in out and "target not judged" in out
    assert "!!!!!!!!\nFALLBACK: mnist is missing" in err


@pytest.mark.parametrize("same", [True, False])
def test_a_rerun_says_whether_every_number_is_the_same(tinycnn, monkeypatch, same):
    first = None if same else {"epoch": 2, "metric": "test_loss", "then": 0.5, "now": 0.25}
    compared = {"run_id": "a" * 32, "rerun": "b" * 32, "epochs": 2, "numbers": 8, "same_weights": same, "same": same}
    compared |= {"differing": 0 if same else 3, "first": first}
    monkeypatch.setattr(resume, "rerun", lambda *_, **__: [compared])
    code, out, err = tinycnn("rerun", "a" * 32)
    assert code == (0 if same else 6) and err == ""
    assert ("all 8 numbers of 2 epochs are the same to the last bit" in out) == same
    assert ("3 of 8 numbers differ, first test_loss in epoch 2: 0.5 then, 0.25 now" in out) != same
    assert json.loads(tinycnn("rerun", "a" * 32, "--json")[1]) == [compared]


def test_an_id_may_be_shortened_as_long_as_it_is_unique(tinycnn, monkeypatch):
    ids = ["abcd1" + 27 * "0", "abcd2" + 27 * "0"]
    tags = {}, {mlflow_store.ORIGIN: "eeee1" + 27 * "0"}  # the second was delivered from another store
    runs = [
        SimpleNamespace(info=SimpleNamespace(run_id=each), data=SimpleNamespace(tags=own))
        for each, own in zip(ids, tags, strict=True)
    ]
    monkeypatch.setattr(mlflow_store, "Store", lambda *_: SimpleNamespace(search=lambda *_: runs))
    monkeypatch.setattr(closing, "close", lambda run_id, _: f"closed {run_id}")
    assert tinycnn("close", "abcd1") == (0, f"closed {ids[0]}\n", "")
    assert tinycnn("close", "eeee") == (0, f"closed {ids[1]}\n", "")
    for given, found in (
        ("abcd", f"2 runs in the store have an id that begins so: {', '.join(ids)}"),
        ("abce", "no runs"),
    ):
        code, out, err = tinycnn("close", given)
        assert (code, out) == (1, "") and err.startswith(f"tinycnn: run {given}: {found}") and err.count("\n") == 1


# --- interruptions ----------------------------------------------------------------------------------------------------


def interrupt(monkeypatch, number, after):
    """Raise a signal in training, after this epoch; 0 is before the first."""
    train = seed.train

    def interrupted(spec, seed, **options):
        if not after:
            signal.raise_signal(number)
        for result in train(spec, seed, **options):
            yield result
            if result.epoch == after:
                signal.raise_signal(number)

    monkeypatch.setattr(seed, "train", interrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_names_the_command_that_continues(
    tinycnn, spec_file, database, few_images, no_artifacts, monkeypatch, number
):
    with monkeypatch.context() as patch:
        interrupt(patch, number, after=2)
        code, out, err = tinycnn("run", spec_file)
    hint = r"tinycnn: interrupted; what was logged is kept; `\S+ -m tinycnn resume ([0-9a-f]{8})` continues"
    assert "\ninterrupting ...\n" in err  # said at once, before anything is ended
    assert code == 130 and out == "" and (found := re.fullmatch(hint, err.splitlines()[-1])), err
    code, out, err = tinycnn("resume", found[1])
    assert code == 0, err
    assert "seed 0: training epochs 3 to 3" in err and err.count(": epoch ") == 1 and "target met" in out


def test_an_interrupted_study_names_the_command_that_continues(tinycnn, monkeypatch, no_data):
    from tinycnn.study import worker

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "run", interrupted)
    code, out, err = tinycnn("search", "dropout_lr")
    assert code == 130 and " -m tinycnn search dropout_lr` continues" in err


def test_a_run_survives_its_terminal_under_nohup(tinycnn):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    tinycnn("--help")
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_process_that_is_told_to_end_leaves_killed_runs_that_can_be_resumed(spec_file, database, tmp_path):
    child = process("run", spec_file, "--seeds", "2", "--set", "train.epochs=10000", "data.images=320", cwd=tmp_path)
    watchdog = threading.Timer(300, child.kill)
    watchdog.start()
    lines, told = [], False
    for line in child.stderr:
        lines.append(line)
        if ": epoch 1/" in line and not told:
            child.send_signal(signal.SIGTERM)  # once: a second one ends what is being tidied up
            told = True
    assert child.wait() == 130 and "tinycnn resume " in lines[-1] and "Traceback" not in "".join(lines), lines
    watchdog.cancel()
    child.communicate()
    found = Store().search({}, EVERY)
    assert 2 <= len(found) <= 3 and {each.info.status for each in found} == {"KILLED"}  # a parent and its seeds


def test_a_reader_that_ends_early_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as closed:
        child = process("list", cwd=tmp_path, stdout=closed)
        assert child.communicate()[1] == "" and child.returncode == 0


# --- what is seen on the way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 120])
def test_what_is_printed_fits_the_terminal(screen, columns):
    for words in (["list"], ["show", "exp3"]):
        assert columns * 0.8 < max(map(len, screen(columns, lambda words=words: commands.main(words)))) <= columns


@pytest.mark.parametrize("columns", [80, 120])
def test_the_lines_of_a_study_are_broken_at_words(screen, columns):
    from tinycnn.cli.progress import StudyTerminal

    study = SimpleNamespace(name="dropout_lr", objective="validation_loss")

    def searched():
        with StudyTerminal("dropout_lr") as reporter:
            reporter.study(study, 30, 2, 0.05, 2, "a" * 32)
            for number, value in ((2, 0.04), (3, 0.045), (4, None)):
                outcome = SimpleNamespace(value=value, accuracy=98.7, state="pruned", epochs=[1] * 5, seconds=34.2)
                values = {"model.dropout": 0.0123, "schedule": StepLR(5), "optimizer.lr": 0.00749}
                reporter.trial(number, outcome, values, 7872)

    lines = screen(columns, searched)
    assert max(map(len, lines)) <= columns and "30 trials (2 trained before)" in " ".join(lines)
    assert " ".join(lines).count(", best 0.04000") >= 3 and "trial 4: pruned after 5 epochs" in " ".join(lines)
    words = {word for line in lines for word in line.split()}
    assert {"schedule", "StepLR(step_size=5,", "0.00749),", "validation"} - words == {"validation"}


@pytest.mark.parametrize("columns, rate", [(80, False), (120, True)])
def test_the_bar_of_a_run_keeps_its_accuracy_and_gives_up_images_a_second_first(plan, screen, columns, rate):
    from tinycnn.cli.progress import Terminal

    def trained():
        with Terminal() as reporter:
            reporter.started(plan, 1000, [])
            reporter.images(1000, 100)
            reporter.epoch(1000, SimpleNamespace(epoch=1, accuracy=98.61))

    frames = screen(columns, trained)
    shown = [frame for frame in frames if "epoch 1/3 test 98.61 %" in frame]
    assert shown and max(map(len, frames)) <= columns and all(("images/s" in frame) == rate for frame in shown)


def test_a_note_is_broken_at_words_but_not_in_what_is_pasted(screen, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    words = "word " * 14
    lines = screen(80, lambda: note(f"{words}`python -m tinycnn resume {'a' * 32}` continues"))
    assert lines[:2] == [f"note: {words}".rstrip(), "`python -m tinycnn resume aaaaaaaa` continues"]


@pytest.mark.parametrize(
    ("make", "folder", "command", "pasted"),
    [
        (False, ROOT, f"`python -m tinycnn resume {'a' * 32}`", "`.venv/bin/python -m tinycnn resume aaaaaaaa`"),
        (True, ROOT, f"`python -m tinycnn resume {'a' * 32}`", "`make resume RUN=aaaaaaaa`"),
        (True, ROOT, "`python -m tinycnn search width`", "`make study STUDY=width`"),
        (True, ROOT, "`python -m tinycnn compare exp2 exp3`", "`.venv/bin/python -m tinycnn compare exp2 exp3`"),
        (False, "/", "`python -m tinycnn list`", f"`{ROOT}/.venv/bin/python -m tinycnn list`"),
        (False, "/", "`make ui` shows it", f"`make -C {ROOT} ui` shows it"),
    ],
)
def test_a_printed_command_can_be_pasted_where_this_one_was_called(monkeypatch, make, folder, command, pasted):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "executable", f"{ROOT}/.venv/bin/python")
    if make:
        monkeypatch.setenv("MAKELEVEL", "1")
    assert as_called(command) == pasted
