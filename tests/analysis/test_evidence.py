"""The committed evidence and the README's table and figures made from it."""

import csv
import dataclasses
import re
import shutil

import pandas as pd
import pytest

from analysis import evidence
from analysis.report import readme, write
from tinycnn.errors import UserError
from tinycnn.track import run


@pytest.fixture
def trained(repository, two_seeds, undrawn):
    """Two seeds of ``tiny`` in this test's store; evidence and README are written from it."""
    evidence.write()
    readme.write()
    return two_seeds


def test_the_evidence_holds_every_epoch_of_every_seed_with_its_origin(trained, tiny, store):
    frame = evidence.read("tiny")
    assert frame[["seed", "epoch"]].values.tolist() == [[seed, epoch] for seed in (0, 1) for epoch in (1, 2, 3)]
    for summary in trained["seeds"]:
        recorded = store.history(summary["run_id"], "test/accuracy")
        assert frame[frame["run_id"] == summary["run_id"]]["test_accuracy"].tolist() == list(recorded.values())
    assert set(frame["spec_hash"]) == {tiny.hash}
    assert not frame[["commit", "code_hash", "torch", "data_digest", "threads"]].isna().any().any()


def test_fewer_seeds_replace_more_only_by_name(trained, plan, store):
    path = evidence.FOLDER / "tiny.csv"
    text = path.read_text()
    path.write_text(text + "".join(line.replace(",1,", ",2,", 1) + "\n" for line in text.splitlines()[4:]))
    evidence.write()
    assert evidence.read("tiny")["seed"].nunique() == 3
    evidence.write(["tiny"])
    assert evidence.read("tiny")["seed"].nunique() == 2


def test_every_spec_evaluated_on_a_test_set_stays_on_the_list(trained, plan, tiny, fresh_clone):
    run.run(dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02})))
    for _ in range(2):
        evidence.write()
        readme.write()
        assert len(evidence.evaluated()) == 2
        assert "Specs evaluated so far, by test set: mnist5k 2." in readme.README.read_text()
        fresh_clone()


def test_a_readme_that_disagrees_with_the_evidence_is_detected(trained):
    readme.check()
    text = readme.README.read_text()
    readme.README.write_text(re.sub(r"\| tiny .*\|", "| tiny | 99.99 |", text))
    with pytest.raises(UserError, match="make evidence"):
        readme.check()
    readme.README.write_text(text)
    (readme.figures_folder() / "readme_learning_curves.csv").write_text("")
    with pytest.raises(UserError, match="readme_learning_curves.csv: differs .*make evidence"):
        readme.check()


def test_a_fresh_clone_draws_the_mistakes_from_what_is_committed(trained, fresh_clone, repository, undrawn):
    fresh_clone()
    notes = write(None, repository / "clone")[1]
    assert "confusion_tiny" in undrawn
    assert any("images that every seed gets wrong are not shown" in note for note in notes)  # other images are here


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace(",0,1,", ",x,1,", 1), "damaged"),
        (lambda text: "experiment,spec_hash\nexp2,0", "the column .* is missing"),
    ],
)
def test_damaged_evidence_is_a_line(tmp_path, monkeypatch, damage, words):
    shutil.copy(evidence.FOLDER / "exp2.csv", tmp_path)
    monkeypatch.setattr(evidence, "FOLDER", tmp_path)
    path = tmp_path / "exp2.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=f"exp2.csv: .*{words}"):
        evidence.read("exp2")


def test_the_first_table_says_what_all_seeds_of_a_record_cost():
    with (evidence.FOLDER / "record_8k.csv").open() as file:
        seconds = sum(float(row["seconds"]) * int(row["threads"]) for row in csv.DictReader(file))
    (row,) = [line for line in readme.records_table().splitlines() if line.startswith("| record_8k")]
    assert row.split("|")[9].strip() == f"{seconds / 3600:.2f}"


def test_a_record_stands_in_the_first_table_beside_the_best_published_network_under_its_limit(trained, monkeypatch):
    monkeypatch.setattr(readme, "_limit", lambda name: 8_000 if name == "tiny" else None)
    columns = ["name", "data", "parameters", "n", "best", "experiment"]
    rows = ("small", "mnist5k", 7000, 3, 98.5), ("worse", "mnist5k", 6000, 1, 97.0), ("large", "mnist5k", 9000, 1, 99.9)
    published = pd.DataFrame([(*row, None) for row in (*rows, ("other", "mnist", 100, 1, 99.8))], columns=columns)
    monkeypatch.setattr(evidence, "references", lambda: published)
    (row,) = [line for line in readme.records_table().splitlines() if line.startswith("| tiny")]
    mean = sum(seed["last"] for seed in trained["seeds"]) / 2
    assert "98.50 (small, n = 3)" in row and f"{mean:.3f}" in row and "8,000" in row
    assert "tiny" not in readme.results_table()
    monkeypatch.setattr(evidence, "references", lambda: published[2:])
    assert re.search(r"\n\| tiny .* - +\|", readme.records_table())  # none is published under the limit


def test_what_a_gpu_trained_is_named_in_the_table(trained):
    path = evidence.FOLDER / "tiny.csv"
    epochs = pd.read_csv(path)
    assert "| tiny " in readme.results_table() and "cuda" not in readme.results_table()
    epochs.assign(device="cuda").to_csv(path, index=False)
    (row,) = [line for line in readme.results_table().splitlines() if line.startswith("| tiny ")]
    assert [cell.strip() for cell in row.split("|")[2:4]] == [epochs["data"][0], "tinycnn, cuda"]
