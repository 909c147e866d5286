"""What goes wrong around a run (a slip of the pen, a kill, others' runs, an address that is none) ends in one line."""

# ruff: noqa: F401, F811  (postgresql, signals_as_they_were, spec_file and tinycnn are fixtures)

import contextlib
import os
import sqlite3
import subprocess
from dataclasses import replace

import pytest
from test_cli import signals_as_they_were, spec_file, tinycnn
from test_make import CLEAN
from test_resume import Stop, interrupted
from test_search import postgresql

from tinycnn import ROOT
from tinycnn.cli import commands as cli
from tinycnn.cli import doctor
from tinycnn.errors import UserError
from tinycnn.launch import local as launch
from tinycnn.network import native
from tinycnn.spec import load as experiments
from tinycnn.study import storage as search
from tinycnn.track import address as place
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import resume
from tinycnn.track import run as runs
from tinycnn.train import checkpoint

# --- make ------------------------------------------------------------------------------------------------------------


def make(*arguments, **variables):
    return subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, env={**CLEAN, **variables}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("SEED=5", "SEED: no such variable, did you mean 'SEEDS'?"),
        ("seeds=5", "seeds: no such variable, did you mean 'SEEDS'?"),
        ("set=a=1", "set: no such variable, did you mean 'SET'?"),
        ("EPOCHS=3", 'EPOCHS: no such variable, SET="train.epochs=3"'),
        ("FOO='; touch made; $(shell touch made)", "FOO: no such variable, known: PYTHON, PORT"),
    ],
)
def test_make_stops_at_a_variable_that_nothing_reads_and_names_the_nearest(given, hint):
    for arguments in ((given,), ("exp3", given)):
        done = make(*arguments)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and hint in done.stderr
    assert not (ROOT / "made").exists()


def test_make_names_every_unknown_variable_with_and_without_a_python():
    said = make("exp3", "SEED=5", "EPOCHS=3", "SEEDS=2").stderr
    assert "'SEEDS'?" in said and "train.epochs=3" in said and said.count("\n") == 1
    said = make("exp3", "SEED=5", "PYTHON=no-such-python").stderr
    assert "SEED: no such variable; known: PYTHON PORT" in said and said.count("\n") == 1


def test_make_lets_its_own_variables_and_all_of_the_environment_pass():
    known = ("SEEDS=2", "PORT=1", "TRIALS=3", "EXPERIMENTS=exp3", "CXX=g++", "MLFLOW_TRACKING_URI=sqlite:///a.db")
    done = make("exp3", *known, SEED="5", EPOCHS="3", **{"odd%name": "1", "MAKE_IT": "so"})
    assert done.returncode == 0 and "--seeds '2'" in done.stdout, done.stderr


# --- a kill right after the run was made -----------------------------------------------------------------------------


@pytest.fixture
def plan(plan, few_images, no_artifacts):
    """``tiny`` on few images, which is also what resuming loads; without the pictures and the model at the end."""
    return plan


def only_made(store, plan, seed=0):
    """Make a run as training does, and lose all that comes after; return its id."""
    with contextlib.suppress(KeyboardInterrupt), store.run("lost", runs._tags(plan, seed)) as tracked:
        tracked.open()
        raise KeyboardInterrupt
    assert store.client.list_artifacts(tracked.id) == []
    return tracked.id


def test_a_run_of_which_only_its_making_was_stored_has_its_notes_after_it_is_resumed(store, plan):
    run_id = only_made(store, plan)
    assert resume.resume(run_id)["undelivered"] is None
    assert store.read(run_id, "spec.json") == plan.spec.to_json()
    assert "**Analysis** it learns" in store.entity(run_id).data.tags["mlflow.note.content"]


def test_notes_too_long_for_a_tag_are_those_of_the_experiment_if_it_still_is_the_same(store, plan, monkeypatch):
    long = plan.spec.model_copy(update={"notes": plan.spec.notes + 9000 * "é"})
    plan = plan.but(long, plan.measured)
    first, second = only_made(store, plan), only_made(store, plan)
    monkeypatch.setattr(experiments, "names", lambda: [long.name])
    monkeypatch.setattr(experiments, "load", lambda name: long)
    resume.resume(first)
    assert store.read(first, "spec.json") == long.to_json()
    changed = long.but(optimizer={"lr": 0.5})
    monkeypatch.setattr(experiments, "load", lambda name: changed)
    resume.resume(second)
    assert store.read(second, "spec.json") == long.model_copy(update={"notes": ""}).to_json()


# --- what others put into the store ----------------------------------------------------------------------------------


def put(store, tags, metrics=(), status="FINISHED"):
    """Make a run as anybody can; return its id."""
    run_id = store.client.create_run(store.experiment_id, tags=tags).info.run_id
    for step, value in enumerate(metrics, start=1):
        store.client.log_metric(run_id, "test_accuracy", value, step=step)
    store.client.update_run(run_id, status)
    return run_id


def like(plan, seed=5, without=(), **other):
    """Return the tags of a run of ours, without some and with others instead."""
    tags = {key: str(value) for key, value in runs._tags(plan, seed).items()} | other
    return {key: value for key, value in tags.items() if key not in without}


def oddities(store, plan):
    """Put in what is almost a run of ours, in every way that nobody should rely on; return the ids."""
    return [
        put(store, like(plan)),
        put(store, like(plan, without=["tinycnn.seed"]), [90.0]),
        put(store, like(plan, **{"tinycnn.seed": "five"}), [90.0]),
        put(store, like(plan), [float("nan")]),
        put(store, like(plan, without=["tinycnn.spec_hash"]), [90.0]),
    ]


def named(lines, run_id):
    return [line for line in lines if run_id in line and "left out" in line]


def test_runs_that_are_almost_ours_are_named_once_and_fail_no_later_run(store, plan):
    odd = oddities(store, plan)
    reporter = Stop()
    done = runs.run(plan, seeds=2, first_seed=4, missing=True, reporter=reporter)
    assert [each["seed"] for each in done["seeds"]] == [4, 5] and done["specs_judged"] == 1
    assert {seed for seed, _ in reporter.trained} == {4, 5}  # that of seed 5 has not one accuracy
    assert [len(named(reporter.lines, run_id)) for run_id in odd] == [1] * len(odd)
    assert all("\n" not in line for line in reporter.lines)
    assert set(runs.finished(store, plan)) == {4, 5}


def test_a_metric_that_is_text_in_the_database_fails_no_later_run(store, plan, database):
    odd = put(store, like(plan), [90.0])
    with contextlib.closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("update metrics set value = 'much' where run_uuid = ?", (odd,))
        opened.execute("update latest_metrics set value = 'much' where run_uuid = ?", (odd,))
    reporter = Stop()
    assert runs.run(plan, first_seed=5, missing=True, reporter=reporter)["undelivered"] is None
    assert len(reporter.trained) == 3 and len(named(reporter.lines, odd)) == 1


def test_what_lies_below_our_run_and_is_no_seed_of_it_is_left_alone(store, plan, capsys):
    parent = interrupted(plan, 1, seeds=2)
    other = runs._tags(replace(plan, spec=plan.spec.but(optimizer={"lr": 0.5})), 1)
    tags = [{}, {"tinycnn.role": "seed"}, like(plan, without=["tinycnn.seed"]), like(plan, **{"tinycnn.seed": "-"})]
    tags += [{key: str(value) for key, value in other.items()}]
    odd = [put(store, each | {tracking.PARENT: parent}, [99.0], "RUNNING") for each in tags]
    empty = put(store, like(plan, 1) | {tracking.PARENT: parent})  # as ours, but without any accuracy
    reporter = Stop()
    done = resume.resume(parent, reporter=reporter)
    assert [each["seed"] for each in done["seeds"]] == [0, 1] and reporter.trained[-3:] == [(1, 1), (1, 2), (1, 3)]
    assert [len(named(reporter.lines, run_id)) for run_id in [*odd, empty]] == [1] * 6
    reporter = Stop()
    assert resume.resume(parent, reporter=reporter)["last"] == done["last"]  # finished: it is read from the store
    assert len(resume.rerun(parent)) == 2
    store.client.update_run(parent, status="RUNNING")
    assert cli.main(["close", parent]) == 0 and capsys.readouterr().err.count("left out") == 6
    assert {store.entity(run_id).info.status for run_id in odd} == {"RUNNING"}


def test_a_record_without_epochs_or_seeds_is_a_line(store, plan):
    run_id = put(store, like(plan) | {"tinycnn.spec": plan.spec.model_dump_json()})
    with pytest.raises(UserError, match="its record has no epochs"):
        resume.resume(run_id)
    several = {"tinycnn.role": "seeds", "tinycnn.seeds": "2", "tinycnn.first_seed": "0"}
    parent = put(store, like(plan, **several), status="KILLED")
    with pytest.raises(UserError, match="none of its seeds is in the store"):
        resume.rerun(parent)
    store.client.set_tag(run_id, "tinycnn.resumed", "often")
    store.client.update_run(run_id, "KILLED")
    assert resume.resume(run_id)["undelivered"] is None


def test_the_doctor_names_what_cannot_be_resumed_and_goes_on(store, plan):
    run_id = interrupted(plan, 1)
    store.client.update_run(run_id, status="RUNNING")
    odd = [
        put(store, {"tinycnn.role": "seed"}, status="RUNNING"),
        put(store, {"tinycnn.role": "study"}, status="RUNNING"),
        put(store, {"tinycnn.role": "a role"}, status="RUNNING"),
        put(store, like(plan, **{tracking.PARENT: ".."}), status="RUNNING"),
        put(store, like(plan, **{"tinycnn.seed": "five"}), status="RUNNING"),
    ]
    put(store, {}, status="RUNNING")  # another program's
    put(store, {"tinycnn.role": "study", "tinycnn.study": "s", "tinycnn.process": "[]"}, status="RUNNING")
    findings = doctor.examine()
    lines = [finding["found"] for finding in findings if finding["name"] == "run"]
    assert [len(named(lines, each)) for each in odd] == [1] * 5 and len(lines) == 5
    left = [finding["found"] for finding in findings if finding["name"] == "interrupted run"]
    assert len(left) == 2 and any(run_id in line for line in left)


@pytest.mark.parametrize("parent", ["..", "", "x" * 3000])
def test_a_parent_that_is_no_run_is_never_taken_for_a_folder(store, plan, parent, tmp_path):
    run_id = interrupted(plan, 1)
    (tmp_path / "kept").touch()
    store.client.set_tag(run_id, tracking.PARENT, parent)
    for verb in (resume.resume, resume.close, resume.rerun):
        with pytest.raises(UserError, match=r"its tag mlflow\.parentRunId is not the id of a run"):
            verb(run_id)
    assert (tmp_path / "kept").exists() and checkpoint.folder(run_id).exists()


# --- addresses and settings ------------------------------------------------------------------------------------------

NOBODY = "0" * 32
TO_THE_STORE = [
    ("resume", NOBODY), ("rerun", NOBODY), ("close", NOBODY), ("search", "dropout_lr", "--offline"),
    ("compare", "exp2", "exp3"), ("report", "exp3"), ("evidence", "exp3"),
]  # fmt: skip
TO_THE_STUDIES = [
    ("search", "dropout_lr", "--offline"), ("promote", "dropout_lr", "--name", "promoted"),
    ("confirm", "dropout_lr", "--name", "exp3", "--offline"),
]  # fmt: skip


def odd_files(tmp_path):
    """Make a pipe, a file of one line and a database of somebody else's."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "line").write_text("one line")
    (tmp_path / "damaged").write_text('{"a": 1}\n')


def refused(answer, setting):
    """Check that a command ended in one line, with its setting, what was wrong and no library's exception."""
    code, out, err = answer
    line = err.splitlines()[-1]
    assert code == 1 and out == "" and line.startswith("tinycnn: ") and setting in line, answer
    assert not any(word in err for word in ("Traceback", "TINYCNN_DEBUG", "tinycnn resume")), err
    return line


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("https://[::1", "Invalid IPv6 URL"),
        ("mysql+pymysql://me:secret@host/runs", "No module named 'pymysql'; install it"),
        ("postgresql+psycopg2://me:secret@host/runs", "No module named 'psycopg2'"),
        ("postgresql://me:secret@host:port/runs", "'port'"),
        ("sqlite:///{}/pipe", "is no regular file"),
        ("sqlite:///:memory:", "is no regular file"),
    ],
)
def test_a_store_address_that_cannot_work_is_one_line_for_every_command(
    tinycnn, spec_file, few_images, no_data, tmp_path, monkeypatch, uri, what
):
    odd_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(tmp_path))
    for command in [("run", spec_file), *TO_THE_STORE]:
        line = refused(tinycnn(*command), "MLFLOW_TRACKING_URI")
        assert what in line and "secret" not in line
    code, out, err = tinycnn("doctor")
    assert code == 1 and "BAD  store " in out and what in out and "data mnist5k" in out and "secret" not in out + err
    assert not (tmp_path / ":memory:").exists()


def test_a_store_in_memory_is_refused_before_a_run_is_lost_in_it(tinycnn, spec_file, few_images, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite://")
    assert "would be lost" in refused(tinycnn("run", spec_file), "MLFLOW_TRACKING_URI")


@pytest.mark.parametrize("place", ["s3://bucket/runs", "gs://bucket/runs", "nobody://bucket"])
def test_artifacts_that_no_library_here_can_store_are_said_before_anything_is_trained(
    tinycnn, spec_file, few_images, database, place
):
    with contextlib.closing(sqlite3.connect(database)) as opened, opened:
        tracking.Store()
        opened.execute("update experiments set artifact_location = ? where name = 'tinycnn'", (place,))
    code, out, err = tinycnn("run", spec_file)
    assert f"keeps files in {place}: " in refused((code, out, err), "MLFLOW_TRACKING_URI") and ": epoch " not in err


@pytest.mark.parametrize(
    ("storage", "what"),
    [
        ("postgresql://me:secret@host:port/studies", "'port'"),
        ("postgresql+psycopg2://me:secret@host/studies", "No module named 'psycopg2'; install it"),
        ("sqlite:///:memory:", "is none of a file"),
        ("sqlite:///{}/pipe", "is no regular file"),
        ("{}/pipe", "is no regular file"),
        ("{}/line", "is no journal of studies"),
        ("{}/damaged", "'op_code'"),
    ],
)
def test_a_studies_address_that_cannot_work_is_one_line_and_leaves_nothing(
    tinycnn, no_data, database, tmp_path, monkeypatch, storage, what
):
    odd_files(tmp_path)
    monkeypatch.setenv("OPTUNA_STORAGE", storage.format(tmp_path))
    for command in TO_THE_STUDIES:
        line = refused(tinycnn(*command), "OPTUNA_STORAGE")
        assert what in line and "secret" not in line
    assert (tmp_path / "line").read_text() == "one line"
    code, out, err = tinycnn("doctor")
    assert "data mnist5k" in out and "secret" not in out + err
    assert code == (0 if what == "'op_code'" else 1) and ("BAD  studies " in out) == bool(code)


def test_a_setting_of_blanks_is_none(monkeypatch):
    for setting, where in (("MLFLOW_TRACKING_URI", place.uri), ("OPTUNA_STORAGE", search.address)):
        monkeypatch.delenv(setting, raising=False)
        default = where()
        monkeypatch.setenv(setting, "  ")
        assert where() == default


def tables(path):
    with contextlib.closing(sqlite3.connect(path)) as opened:
        return {name for (name,) in opened.execute("select name from sqlite_master")}


def test_one_sqlite_file_for_both_is_refused_before_it_is_made(tinycnn, no_data, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'both.db'}")
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path / '..' / tmp_path.name / 'both.db'}")
    for command in (*TO_THE_STUDIES, ("resume", NOBODY)):
        assert "both name" in refused(tinycnn(*command), "OPTUNA_STORAGE")
    assert not (tmp_path / "both.db").exists()


def test_a_database_of_the_others_is_refused_and_left_as_it_is(
    tinycnn, spec_file, few_images, no_data, template, database, tmp_path, monkeypatch
):
    import optuna

    mlflows, before = tmp_path / "store" / "mlflow.db", tables(database)
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path / 'other.db'}")
    optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'other.db'}").engine.dispose()
    optunas = tables(tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.delenv("OPTUNA_STORAGE")
    for command in (("run", spec_file), ("resume", NOBODY)):
        assert "holds what OPTUNA_STORAGE is for" in refused(tinycnn(*command), "MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'third.db'}")
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{mlflows}")
    for command in TO_THE_STUDIES:
        assert "holds what MLFLOW_TRACKING_URI is for" in refused(tinycnn(*command), "OPTUNA_STORAGE")
    assert tables(tmp_path / "other.db") == optunas and tables(mlflows) == before


@pytest.mark.slow
def test_one_postgresql_database_for_both_is_refused(tinycnn, no_data, spec_file, few_images, postgresql, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", postgresql)
    search.storage()  # makes its tables
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql.replace("postgresql:", "postgresql+psycopg:"))
    assert "both name" in refused(tinycnn("run", spec_file), "MLFLOW_TRACKING_URI")
    monkeypatch.delenv("OPTUNA_STORAGE")
    assert "holds what OPTUNA_STORAGE is for" in refused(tinycnn("run", spec_file), "MLFLOW_TRACKING_URI")


@pytest.mark.parametrize("compiler", ["'", "g++ '", "   ", "no-such-compiler"])
def test_a_compiler_that_is_no_command_is_said_and_the_run_goes_on(
    tinycnn, spec_file, few_images, no_artifacts, database, monkeypatch, compiler
):
    monkeypatch.setenv("CXX", compiler)
    native._library.cache_clear()
    try:
        code, out, err = tinycnn("run", spec_file, "--set", "train.epochs=1")
        assert code == 0 and "Traceback" not in err
        assert ("CXX=" in err or "no-such-compiler" in err) == bool(compiler.strip())
        code, out, err = tinycnn("doctor")
        assert ("BAD  kernels " in out) == bool(compiler.strip()) and "data mnist5k" in out
    finally:
        native._library.cache_clear()


# --- what was not foreseen, and what was interrupted -----------------------------------------------------------------


def test_every_verb_can_say_what_it_was_doing():
    verbs = next(action for action in cli._parser()._actions if action.choices and "run" in action.choices).choices
    assert {made.get_default("verb").__name__ for made in verbs.values()} == set(cli._DOING)


@pytest.mark.parametrize(
    ("module", "name", "command", "doing"),
    [
        (runs, "run", ("run", "{}"), "training {}"),
        (resume, "resume", ("resume", NOBODY), f"going on with run {NOBODY}"),
        (resume, "rerun", ("rerun", NOBODY), f"making run {NOBODY} again"),
        (doctor, "examine", ("doctor",), "looking at what is installed"),
    ],
)
def test_what_was_not_foreseen_says_what_was_being_done(
    tinycnn, spec_file, few_images, monkeypatch, module, name, command, doing
):
    def fail(*arguments, **options):
        raise RuntimeError("odd")

    monkeypatch.setattr(module, name, fail)
    code, out, err = tinycnn(*(word.format(spec_file) for word in command))
    assert (code, out) == (1, "")
    assert err == f"tinycnn: while {doing.format(spec_file)}: RuntimeError: odd (TINYCNN_DEBUG=1 shows where)\n"


def stop(monkeypatch, error, at):
    """Raise an error at (seed, epoch): 0 is before the first."""
    train = runs.train

    def stopping(spec, seed, **options):
        if (seed, 0) == at:
            raise error
        for result in train(spec, seed, **options):
            yield result
            if (seed, result.epoch) == at:
                raise error

    monkeypatch.setattr(runs, "train", stopping)


@pytest.mark.parametrize(
    ("error", "at", "code", "offered"),
    [
        (KeyboardInterrupt(), (0, 0), 130, False),
        (KeyboardInterrupt(), (0, 1), 130, True),
        (KeyboardInterrupt(), (1, 0), 130, True),  # the first of two seeds is whole
        (RuntimeError("odd"), (0, 2), 1, False),  # it would fail the same way again
    ],
)
def test_resume_is_offered_after_an_interruption_where_an_epoch_was_trained(
    tinycnn, spec_file, few_images, no_artifacts, database, monkeypatch, error, at, code, offered
):
    stop(monkeypatch, error, at)
    seeds = ("--seeds", "2", "--workers", "1") if at[0] else ()
    ended, out, err = tinycnn("run", spec_file, *seeds)
    last = err.splitlines()[-1]
    assert ended == code and ("tinycnn resume" in last) == offered and "Traceback" not in err, err


def test_where_no_checkpoint_could_be_kept_no_resume_is_offered(
    tinycnn, spec_file, few_images, no_artifacts, database, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYCNN_CHECKPOINTS", str(tmp_path / "file" / "below"))
    stop(monkeypatch, KeyboardInterrupt(), (0, 2))
    code, out, err = tinycnn("run", spec_file)
    assert code == 130 and "tinycnn resume" not in err.splitlines()[-1]


def test_a_child_interrupted_again_before_its_next_epoch_is_still_offered(
    tinycnn, spec_file, few_images, no_artifacts, store, monkeypatch
):
    stop(monkeypatch, KeyboardInterrupt(), (0, 1))
    tinycnn("run", spec_file, "--seeds", "2", "--workers", "1")
    (child,) = store.search({"tinycnn.role": "seed"}, tracking.EVERY)
    monkeypatch.setattr(runs, "train", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    code, out, err = tinycnn("resume", child.info.run_id)
    assert code == 130 and f"resume {child.info.run_id}` goes on" in err.splitlines()[-1]


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_seed_whose_process_is_killed_offers_resume_only_after_an_epoch(store, plan, monkeypatch, epoch):
    def killed(function, tasks, **_):
        if epoch:
            with contextlib.suppress(KeyboardInterrupt):
                function(
                    tasks[0], lambda what, *content: (_ for _ in ()).throw(KeyboardInterrupt) if what == "epoch" else 0
                )
        raise launch.Lost("its process was killed")

    monkeypatch.setattr(launch, "side_by_side", killed)
    with pytest.raises(UserError, match="its process was killed") as caught:
        runs.run(plan, seeds=2, workers=2)
    assert ("tinycnn resume" in str(caught.value)) == bool(epoch)


# --- uploads that were killed ----------------------------------------------------------------------------------------


def test_what_a_killed_upload_left_is_gone_once_the_run_is_resumed(store, plan, tmp_path):
    run_id, other = interrupted(plan, 1), interrupted(plan, 1)
    left = []
    for each in (run_id, other):
        folder = tmp_path / "store" / "mlruns" / each / "artifacts"
        (folder / "below").mkdir()
        left.append([folder / ".artifact.uploading.abc", folder / "below" / ".artifact.uploading.def"])
    for path in (*left[0], *left[1]):
        path.write_text("half")
    resume.resume(run_id)
    assert not any(path.exists() for path in left[0]) and all(path.exists() for path in left[1])
    assert store.read(run_id, "spec.json") == plan.spec.to_json()


@pytest.mark.parametrize("place", ["mlflow-artifacts:/1", "s3://bucket/1", "{}"])
def test_a_folder_that_is_not_the_runs_own_is_not_searched(store, plan, database, tmp_path, place):
    (tmp_path / ".artifact.uploading.other").touch()
    tracked = tracking.Run(store, "", {}, None, interrupted(plan, 1))
    with contextlib.closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("update runs set artifact_uri = ?", (place.format(tmp_path),))
    tracked.clear_uploads()
    assert (tmp_path / ".artifact.uploading.other").exists()
