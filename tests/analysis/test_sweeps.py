"""What a sweep came to is in the evidence and in the report, with the same numbers."""

import json

import pytest

from analysis import evidence, runs, sweeps
from analysis.report import chapters, figures, readme
from tinycnn.errors import UserError
from tinycnn.spec import sweep as definitions


def arm(name, accuracies, against=None, diverged=0):
    mean = sum(accuracies.values()) / len(accuracies) if accuracies else None
    return {
        "arm": name, "parameters": 7520, "macs": 1_400_000, "epochs": 12, "evaluated_on": "validation",
        "diverged": diverged,
        "accuracies": accuracies, "n": len(accuracies), "last": mean, "last_std": 0.05, "last_min": 99.1,
        "against_base": against,
    }  # fmt: skip


def result(seeds=3):
    better = {"difference": 0.1, "low": 0.04, "high": 0.16, "n": seeds, "paired": True}
    accuracies = {str(seed): 99.2 for seed in range(seeds)}
    arms = arm("base", accuracies), arm("SiLU", accuracies, better), arm("explodes", {}, diverged=2)
    return {"sweep": "acts", "base": "exp3", "data": "mnist", "arms": [*arms]}


class Stored:
    """A store with one sweep."""

    def __init__(self, *_, **__):
        pass

    def search(self, tags, **_):
        return [self] if tags["tinycnn.sweep"] == "acts" else []

    info = type("Info", (), {"run_id": "1"})

    def read(self, run_id, name):
        return json.dumps(result())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "FOLDER", tmp_path)
    return tmp_path / "sweeps"


def test_a_record_of_more_trainings_than_the_store_has_is_kept(folder, monkeypatch):
    monkeypatch.setattr(definitions, "names", lambda: ["acts", "never_run"])
    monkeypatch.setattr(runs, "database", lambda: None)
    monkeypatch.setattr("tinycnn.track.mlflow_store.Store", Stored)
    assert [path.name for path in sweeps.write()] == ["acts.json"]
    assert sweeps.read() == {"acts": result()}
    (folder / "acts.json").write_text(json.dumps(result(seeds=16)))
    assert sweeps.write() == []


def test_a_damaged_record_is_a_line_that_names_it(folder):
    folder.mkdir()
    (folder / "acts.json").write_text("{")
    with pytest.raises(UserError, match=r"acts.json: cannot be read .*; restore it from git"):
        sweeps.read()


def test_the_report_says_what_each_arm_brings_and_how_many_diverged(tmp_path):
    saved = figures.FigureFolder(tmp_path, [])
    elements = chapters.sweeps({"acts": result()}, saved, everything=False)
    table = next(each for each in elements if each["kind"] == "table")
    silu = next(row for row in table["rows"] if row[0] == "SiLU")
    assert "99.200" in silu
    assert "+0.100 points (3 seeds, paired), 95 % interval +0.040 to +0.160" in silu
    assert any("2 trainings diverged" in each.get("text", "") for each in elements)
    assert saved.names == ["sweep_acts"]
    assert saved.notes == []


def test_a_short_report_has_the_sweeps_of_the_most_seeds(tmp_path):
    saved = figures.FigureFolder(tmp_path, [])
    found = {f"of_{seeds}": result(seeds) for seeds in (2, 8, 1, 4)}

    def titles(everything):
        return [each["text"] for each in chapters.sweeps(found, saved, everything) if each["kind"] == "heading"]

    assert titles(everything=False) == ["Sweep of_8", "Sweep of_4"]
    (table, *_) = chapters.sweeps(found, saved, everything=False)
    assert [row[0] for row in table["rows"]] == [*found] and {row[4] for row in table["rows"]} == {"SiLU"}
    assert len(titles(everything=True)) == 4


def test_what_was_tried_is_one_table_with_the_number_of_trainings(folder):
    folder.mkdir()
    (folder / "acts.json").write_text(json.dumps(result()))
    text = readme.tried()
    assert "In all 8 trainings" in text
    lines = [line for line in text.splitlines() if line.startswith("| acts")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[1] for row in cells] == ["base", "SiLU", "explodes"]
    assert cells[1][:6] == ["acts", "SiLU", "7,520", "12", "3", "validation"]
    assert cells[1][6:] == ["99.200 ± 0.050", "+0.100", "+0.040 to +0.160"]
    assert cells[2][4:] == ["0", "validation", "- ± 0.050", "-", "-"]


def test_the_ranks_of_fewer_epochs_are_compared_with_those_of_all(folder):
    # by hand: of the six pairs of four networks, five are in the same order; the first after 2 epochs ends 0.2 below
    accuracies = {2: (98.0, 98.1, 98.4, 98.3), 15: (99.0, 99.1, 99.2, 99.4)}
    arms = [
        arm(f"{network}, {epochs}", {"0": accuracy}) | {"parameters": 3000 + network, "epochs": epochs}
        for epochs, each in accuracies.items()
        for network, accuracy in enumerate(each)
    ]
    (row,) = sweeps.rank_agreement({"arms": arms}).itertuples()
    assert (row.epochs, row.most, row.networks) == (2, 15, 4)
    assert row.tau == pytest.approx((5 - 1) / 6)
    assert row.regret == pytest.approx(0.2)
    folder.mkdir()
    (folder / "ladder.json").write_text(json.dumps(result() | {"arms": arms}))
    assert "| ladder |      2 | 15 |        4 |          0.67 |          0.200 |" in readme.tried()


def test_one_network_or_one_number_of_epochs_has_no_ranks():
    assert sweeps.rank_agreement(result()).empty
    assert sweeps.rank_agreement({"arms": [arm("explodes", {}, diverged=2)]}).empty
