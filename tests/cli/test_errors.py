"""What a mistake leads to: one line that says what is wrong, a documented exit code, no result and no traceback."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycnn.cli import doctor
from tinycnn.spec import load
from tinycnn.track import run

NOBODY = "0" * 32


def refused(answer, code):
    """Check that a command ended in one line and this exit code; return the line."""
    assert answer[0] == code and answer[1] == "", answer
    line = answer[2]
    assert line.startswith("tinycnn: ") and line.count("\n") == 1 and "TINYCNN_DEBUG" not in line, answer
    assert line[:-1].isprintable(), answer
    return line


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        ("shw exp3", 2, "'show'"),
        ("--json list", 2, "--json"),
        ("run exp3 --seed=3", 2, "'--seeds'"),
        ("run exp3 --seeds 0", 2, "--seeds"),
        ("run exp3 --first-seed 4294967295 --seeds 2 --set data.name=mnist5k", 2, "seed"),
        ("run exp3 --device gpu --offline", 1, "'gpu'"),
        ("run exp3 --no-fallback --offline", 1, "TINYCNN_DATA"),
        ("run exp1 --set target.parameter_limit=8000", 3, "28,624"),
        ("show", 2, "EXPERIMENT"),
        ("show exp33", 2, "'exp3'"),
        ("show nobody.py", 2, "nobody.py"),
        ("show exp3 --set train.epoch=3", 2, "did you mean 'epochs'"),
        ("show exp3 --set train.epochs", 2, "FIELD=VALUE"),
        ("show exp3 --set optimizer.lr=fast", 2, "optimizer.lr"),
        ("show exp3 --set data.name=cifar", 2, "cifar10"),
        ("resume exp3", 2, "not the id of a run"),
        (f"resume {NOBODY}", 1, NOBODY),
        (f"rerun {NOBODY}", 1, NOBODY),
        (f"close {NOBODY}", 1, NOBODY),
        ("search dropout", 2, "'dropout_lr'"),
        ("promote dropout_lr", 2, "--name"),
        ("compare exp3 exp33", 2, "'exp3'"),
        ("report exp33", 2, "exp33"),
        ("evidence exp33", 2, "exp33"),
    ],
)
def test_a_mistake_is_a_line_with_the_right_word(tinycnn, database, few_images, no_data, words, code, word):
    assert word in refused(tinycnn(*words.split()), code)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("mine.py", "x = 1\n1/0", "mine.py, line 2: ZeroDivisionError"),
        ("mine.py", "def f(:", "mine.py, line 1: SyntaxError"),
        ("mine.py", "from tinycnn.spec import *\nTrain(epochs=0)", "line 2: Train.epochs"),
        ("mine.json", "{", "not JSON"),
        ("mine.txt", "", "mine.txt"),
    ],
)
def test_a_broken_file_is_a_line_with_its_place(tinycnn, tmp_path, monkeypatch, name, content, word):
    (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    assert word in refused(tinycnn("show", name), 2)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


@settings(max_examples=30)
@given(st.sampled_from(sorted(load.load("exp3").flat())), st.text(max_size=20) | st.floats().map(str) | st.just("[{}]"))
def test_any_value_is_shown_or_refused_in_a_line(field, value):
    import contextlib
    import io

    from tinycnn.cli import commands

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.main(["show", "exp3", "--json", "--set", f"{field}={value}"])
    if code:
        refused((code, out.getvalue(), err.getvalue()), 3 if code == 3 else 2)
    else:
        assert json.loads(out.getvalue())["name"] and err.getvalue() == ""


# --- stores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run {}", f"resume {NOBODY}", f"close {NOBODY}"])
def test_a_store_that_cannot_be_used_is_a_line_for_every_command(
    tinycnn, spec_file, few_images, tmp_path, monkeypatch, command
):
    (tmp_path / "file").write_text("no database")
    for uri in (f"sqlite:///{tmp_path / 'file'}", f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert "MLFLOW_TRACKING_URI" in refused(tinycnn(*command.format(spec_file).split()), 1)


def test_a_storage_of_studies_that_cannot_be_used_is_a_line(tinycnn, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no journal")
    monkeypatch.setenv("OPTUNA_STORAGE", str(tmp_path / "file"))
    assert "OPTUNA_STORAGE" in refused(tinycnn("promote", "dropout_lr", "--name", "new"), 1)


def test_a_password_is_in_no_line(tinycnn, spec_file, few_images, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+pymysql://me:secret@host/runs")
    assert "secret" not in refused(tinycnn("run", spec_file), 1)


# --- training ---------------------------------------------------------------------------------------------------------


def test_a_loss_that_becomes_infinite_fails_in_a_line(tinycnn, spec_file, database, few_images):
    values = ("model.norm=none", "target.parameter_limit=null", "optimizer.name=SGD", "optimizer.lr=100")
    code, out, err = tinycnn("run", spec_file, "--set", *values, "optimizer.weight_decay=1")
    assert code == 1 and out == "" and "loss" in err.splitlines()[-1] and "Traceback" not in err


# --- the unforeseen ---------------------------------------------------------------------------------------------------


def test_an_error_that_nobody_foresaw_is_a_line_too_and_a_traceback_on_request(tinycnn, monkeypatch):
    def fail():
        raise RuntimeError("odd")

    monkeypatch.setattr(doctor, "examine", fail)
    assert tinycnn("doctor") == (1, "", "tinycnn: RuntimeError: odd (TINYCNN_DEBUG=1 shows where)\n")
    monkeypatch.setenv("TINYCNN_DEBUG", "1")
    with pytest.raises(RuntimeError, match="odd"):
        tinycnn("doctor")


def test_an_interrupted_start_offers_nothing_to_resume(tinycnn, spec_file, few_images, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "prepare", interrupted)
    assert tinycnn("run", spec_file) == (130, "", "tinycnn: interrupted; what was logged is kept\n")
