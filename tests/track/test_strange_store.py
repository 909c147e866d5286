"""What a store holds may be anybody's: a run that cannot be understood is named and left out, and costs no other."""

import pytest
from foreign import TAGS, foreign_run
from mlflow import MlflowClient

from analysis import committed, evidence, load, report
from tinycnn.cli import commands as cli
from tinycnn.errors import UserError
from tinycnn.spec import load as experiments
from tinycnn.track import run

LACKING = [name for name in (*TAGS, "tinycnn.experiment", "tinycnn.seed") if name != "tinycnn.role"]
TAGGED = [
    ("seed", "three", "'three', no seed"),
    ("seed", "1.5", "'1.5', no seed"),
    ("seed", "-1", "'-1', no seed"),
    ("spec", "no spec", "'no spec', no spec"),
    ("spec", "[1]", "'[1]', no spec"),
    ("spec", "[" * 4000, "no spec"),
    ("fallback", "maybe", "'maybe', neither true nor false"),
    ("class_counts", "many", "'many', not a number for each class"),
    ("class_counts", "1 2", "'1 2', not a number for each class"),
]
ACCURACIES = [
    ([], "no number as its last test_accuracy"),
    ([1.0, float("nan")], "no number as its last test_accuracy"),
    ([1.0, float("inf")], "metric test_accuracy is 1.79"),
    ([1.0, -5.0], "metric test_accuracy is -5.0, no percentage"),
]
METRICS = [("parameters", 1.5, "no count"), ("macs", float("inf"), "no count"), ("last_accuracy", 1e9, "no percentage")]


def strange_runs(client, **own) -> dict[str, str]:
    """Put runs that cannot be into the store; return what is wrong by run. ``own``: what they tell of themselves."""

    def made(accuracies=(99.9, 99.9), **tags):
        return foreign_run(client, "0", accuracies, **own | tags)

    wrong = {}
    for tag in LACKING:
        client.delete_tag(run_id := made(), tag)
        wrong[run_id] = f"it has no tag {tag}"
    wrong |= {made(**{f"tinycnn.{tag}": value}): words for tag, value, words in TAGGED}
    wrong |= {made(accuracies): words for accuracies, words in ACCURACIES}
    for name, value, words in METRICS:
        client.log_metric(run_id := made(), name, value)
        wrong[run_id] = words
    return wrong


def test_every_strange_run_is_named_with_what_is_wrong_and_the_others_are_read(store, monkeypatch):
    monkeypatch.setattr(load, "_MOST", 100)
    client, notes = MlflowClient(), []
    wrong = strange_runs(client)
    good = [foreign_run(client, "0", [98.0, 99.0], seed=seed) for seed in (1, 0)]
    assert load.runs(notes=notes)["run_id"].tolist() == good
    told = {note.split()[1].rstrip(":"): note for note in notes}
    assert told.keys() == wrong.keys() and len(notes) == len(wrong)
    for run_id, words in wrong.items():
        assert words in told[run_id] and "\n" not in told[run_id] and len(told[run_id]) < 200


@pytest.fixture
def only_tiny(tmp_path, monkeypatch, tiny):
    """``tiny`` is the only experiment, nothing is committed, and a report comes into the test's folder."""
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "evidence")
    monkeypatch.setattr(experiments, "names", lambda: ["tiny"])
    monkeypatch.setattr(experiments, "load", lambda name: tiny)
    write = report.write
    monkeypatch.setattr(report, "write", lambda names: write(names, tmp_path / "reports"))
    return tmp_path / "reports" / "report.md"


def test_report_and_compare_say_the_same_as_without_the_strange_runs(
    only_tiny, plan, no_artifacts, store, tiny, capsys
):
    run.run(plan, seeds=2)
    assert cli.main(["report"]) == cli.main(["compare", "tiny"]) == 0
    out, before = capsys.readouterr().out, only_tiny.read_text()
    own = {"tinycnn.spec_hash": tiny.hash, "tinycnn.code_hash": plan.tags["tinycnn.code_hash"]}
    wrong = strange_runs(MlflowClient(), name="tiny", seed=1, **own)
    for verb in (["report"], ["compare", "tiny"]):
        assert cli.main(verb) == 0
        notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: run ")]
        assert len(notes) == 10 and {line.split()[2].rstrip(":") for line in notes} < wrong.keys()
    rows = [line for line in before.splitlines() if line.startswith("| tiny ")]
    assert rows == [line for line in only_tiny.read_text().splitlines() if line.startswith("| tiny ")]
    assert f"{len(wrong) - 10} more were left out" in only_tiny.read_text()
    assert cli.main(["compare", "tiny"]) == 0 and capsys.readouterr().out in out


def test_the_evidence_is_written_without_them(only_tiny, plan, no_artifacts, store, tiny, capsys, monkeypatch):
    monkeypatch.setattr(evidence.readme, "write", list)
    run.run(plan)
    own = {"tinycnn.spec_hash": tiny.hash, "tinycnn.code_hash": plan.tags["tinycnn.code_hash"]}
    strange_runs(MlflowClient(), name="tiny", seed=1, **own)
    assert cli.main(["evidence", "tiny"]) == 0
    assert committed.read("tiny")["seed"].unique().tolist() == [0]
    assert sum(line.startswith("note: run ") for line in capsys.readouterr().err.splitlines()) == 10


def test_where_nothing_else_is_there_the_line_says_what_is_wrong(only_tiny, store, capsys):
    run_id = foreign_run(MlflowClient(), "0", [99.0], name="tiny", seed="x")
    for verb in (["report"], ["compare", "tiny"]):
        assert cli.main(verb) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"run {run_id}: left out, its tag tinycnn.seed is 'x', no seed" in line and "; make " in line


def test_a_value_of_one_epoch_that_cannot_be_is_named_and_leaves_a_gap(store):
    client, notes = MlflowClient(), []
    run_id = foreign_run(client, "0", [98.0, 1e9, 99.0])
    epochs = load.epochs([run_id], notes)
    assert epochs[["epoch", "test_accuracy"]].values.tolist() == [[1, 98.0], [3, 99.0]]
    assert notes == [f"run {run_id}: its test_accuracy of epoch 2 is 1000000000.0, left out."]


@pytest.mark.parametrize(
    "text", ["", "\x00\xff", "a,b\n1,2\n", "index,label,predicted\nx,1,2\n", "index,label,predicted\n9999999,1,2\n"]
)
def test_a_list_of_mistakes_that_is_none_is_named_and_left_out(store, text):
    client, notes = MlflowClient(), []
    bad, good = (foreign_run(client, "0", [98.0], seed=seed) for seed in (0, 1))
    for run_id, content in ((bad, text), (good, "index,label,predicted\n5,1,2\n")):
        client.log_text(run_id, content, load.MISTAKES)
        client.set_tag(run_id, "tinycnn.class_counts", " ".join(["1000"] * 10))
    assert load.mistakes(load.runs(), notes)["seed"].tolist() == [1]
    assert len(notes) == 1 and notes[0].startswith(f"run {bad}: its mistakes.csv")


def test_damaged_evidence_is_a_line(tmp_path, monkeypatch):
    good = (committed.FOLDER / "exp2.csv").read_text()
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    head, first, *rest = good.splitlines()
    for lines, words in (([head], "numbers"), ([head, first.replace(",0,1,", ",x,1,", 1), *rest], "column seed")):
        (tmp_path / "exp2.csv").write_text("\n".join(lines) + "\n")
        with pytest.raises(UserError, match=f"exp2.csv: .*{words}.*from git again"):
            committed.read("exp2")
