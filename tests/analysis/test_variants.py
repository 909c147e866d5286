"""Runs made with --set keep the experiment's name: a report shows them beside it, and never mixes them with it."""

import dataclasses
import time

import pytest
from foreign import foreign_run
from mlflow import MlflowClient

from analysis import committed, report, variants
from tinycnn.spec import load as experiments
from tinycnn.track import run


@pytest.fixture
def write(tmp_path, monkeypatch, tiny):
    """``tiny`` is the only experiment, and nothing is committed; return what writes a report and returns its text."""
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "evidence")
    monkeypatch.setattr(experiments, "names", lambda: ["tiny"])
    monkeypatch.setattr(experiments, "load", lambda name: tiny)

    def text(names=None):
        notes = report.write(names, tmp_path / "reports")[1]
        assert not any("cannot be drawn" in note for note in notes)
        return (tmp_path / "reports" / "report.md").read_text().replace("\u00a0", " ")

    return text


def table(text, data="mnist5k") -> list[list[str]]:
    """Return the cells of the table of a data set's variants."""
    part = text.split(f"### Variants on {data}\n")[1].split("\n#")[0].split("\n![")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def test_runs_with_other_settings_are_shown_with_these_and_never_counted_among_the_experiments(
    write, plan, no_artifacts, store, tiny
):
    run.run(plan, seeds=2)
    faster = dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02}), settings="optimizer.lr=0.02")
    outcome = run.run(faster, seeds=2)
    run.run(dataclasses.replace(faster, fallback="FALLBACK: mnist is missing"), first_seed=7)
    run.run(dataclasses.replace(faster, data=dataclasses.replace(plan.data, kind="validation")), first_seed=8)
    text = write()
    interval = f"{outcome['last_low']:.2f} to {outcome['last_high']:.2f}"
    figures = [f"{outcome['last']:.3f}", f"{outcome['last_std']:.3f}", interval, f"{outcome['last_min']:.2f}"]
    assert table(text) == [["tiny", "optimizer.lr=0.02", "2", *figures, f"{plan.measured.parameters:,}"]]
    assert next(line for line in text.splitlines() if line.startswith("| tiny ")).split("|")[4].strip() == "2"
    assert "1 on a fallback data set" in text and "1 on validation images" in text


def test_a_variant_without_its_settings_is_named_by_what_differs_or_else_by_its_hash(
    write, plan, no_artifacts, store, tiny
):
    run.run(plan)
    older = tiny.with_values({"optimizer.lr": 0.02, "train.epochs": 2, "target.accuracy": 0.4})
    run.run(dataclasses.replace(plan, spec=older))
    foreign_run(MlflowClient(), "0", [98.0], name="tiny", **{"tinycnn.data": "mnist5k"})
    found = [row[1] for row in table(write())]
    assert found == ["spec aaaaaaaaaaaa", "optimizer.lr 0.01 → 0.02; train.epochs 3 → 2"]


def test_variants_that_would_read_the_same_are_told_apart_by_their_hash(write, plan, no_artifacts, store, tiny):
    run.run(plan)
    for spec_hash in ("a" * 12, "b" * 12):  # the file changed between the two
        tags = {"tinycnn.data": "mnist5k", "tinycnn.settings": "optimizer.lr=0.02", "tinycnn.spec_hash": spec_hash}
        foreign_run(MlflowClient(), "0", [98.0], name="tiny", **tags)
    assert sorted(row[1] for row in table(write())) == [f"optimizer.lr=0.02 (spec {x * 12})" for x in "ab"]


def test_variants_on_another_data_set_stand_under_that(write, plan, no_artifacts, store, tiny):
    run.run(plan)
    foreign_run(MlflowClient(), "0", [91.0], name="tiny", **{"tinycnn.data": "fashion_mnist"})
    text = write()
    assert "### Variants on mnist5k" not in text
    assert [row[0] for row in table(text, "fashion_mnist")] == ["tiny"]


def test_without_variants_there_is_no_table_of_them(write, plan, no_artifacts, store):
    run.run(plan)
    assert "Variants" not in write()


def test_of_many_variants_the_latest_are_shown_the_rest_counted_and_it_stays_quick(write, store, monkeypatch):
    client = MlflowClient()
    for name in ("one", "two"):
        for seed in range(2):
            foreign_run(client, "0", [98.0, 99.0], name=name, seed=seed, **{"tinycnn.spec_hash": "c" * 12})
    for number in range(60):
        for name in ("one", "two"):
            tags = {"tinycnn.settings": f"optimizer.lr={number} " + "model.dropout=0.1 " * (number % 2 * 9)}
            tags |= {"tinycnn.spec_hash": f"{number:012x}"}
            foreign_run(client, "0", [98.0, 99.0], name=name, **tags)
    for name in ("one", "two"):  # what is shown as the experiment is what was run last
        foreign_run(client, "0", [98.0, 99.0], name=name, seed=3, **{"tinycnn.spec_hash": "c" * 12})
    monkeypatch.setattr(experiments, "names", list)
    write()  # whatever is done once
    begun = time.perf_counter()
    text = write()
    few = text.split("### Variants on mnist\n")[1]
    spent, rows = time.perf_counter() - begun, table(text, "mnist")
    assert len(rows) == variants.MOST == 20 and f"; {120 - 20} earlier ones are not shown" in few
    assert [row[0] for row in rows] == ["one"] * 10 + ["two"] * 10
    assert {row[1].split()[0] for row in rows} == {f"optimizer.lr={number}" for number in range(50, 60)}
    assert max(map(len, few.split("\n#")[0].splitlines()[4:])) < 180
    monkeypatch.setattr(variants, "MOST", 0)
    begun = time.perf_counter()
    write()
    assert spent < 2 * (time.perf_counter() - begun) + 1  # than without them
