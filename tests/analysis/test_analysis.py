"""What is said of the runs: which runs speak for a spec, the comparison, the committed evidence and the README."""

import dataclasses
import re
import statistics

import pandas as pd
import pytest

from analysis import committed, compare, evidence, load, readme, report
from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.spec import load as experiments
from tinycnn.track import run


@pytest.fixture
def on_test(plan, no_artifacts, store):
    """Train ``tiny`` with two seeds into this test's store."""
    return run.run(plan, seeds=2)


def test_only_runs_of_the_spec_as_it_is_speak_for_it(plan, on_test, tiny):
    changed = dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02}))
    fallback = dataclasses.replace(plan, fallback="FALLBACK: mnist is missing")
    validated = dataclasses.replace(plan, data=dataclasses.replace(plan.data, kind="validation"))
    for other in (changed, fallback, validated):
        run.run(other)
    frame = load.runs()
    assert len(frame) == 5
    assert load.of_spec(frame, tiny)["run_id"].tolist() == [s["run_id"] for s in on_test["seeds"]]


def test_of_a_seed_run_twice_the_first_run_counts_not_the_best(plan, on_test, tiny):
    again = run.run(plan)
    mine = load.of_spec(load.runs(), tiny)
    assert again["run_id"] not in mine["run_id"].tolist()
    assert mine["seed"].tolist() == [0, 1]


def test_runs_of_older_code_are_not_mixed_with_newer_ones(plan, on_test, tiny, monkeypatch):
    monkeypatch.setattr(run.provenance, "code", lambda *_: {"tinycnn/train/loop.py:train": "0" * 12})
    newest = run.run(plan, first_seed=1)
    assert load.of_spec(load.runs(), tiny)["run_id"].tolist() == [newest["run_id"]]


def test_a_comparison_gives_n_the_changes_and_the_difference_of_the_means(plan, on_test, tiny):
    other = tiny.but(name="other", optimizer={"lr": 0.02})
    theirs = run.run(dataclasses.replace(plan, spec=other), seeds=3)
    result = compare.compare([tiny, other])
    base, row = result["experiments"]
    assert (base["n"], row["n"]) == (2, 3)
    assert row["changes"] == {"optimizer.lr": {"from": 0.01, "to": 0.02}}
    a, b = ([s["last"] for s in outcome["seeds"]] for outcome in (on_test, theirs))
    assert base["source"] == f"the store, spec {tiny.hash}"
    found = row["against_base"]  # paired: seeds 0 and 1 are shared
    assert (found["n"], found["paired"]) == (2, True)
    assert found["difference"] == pytest.approx(statistics.mean(b[:2]) - statistics.mean(a))
    assert all(len(line) <= 80 for line in compare.text(result).splitlines())


def test_comparing_what_was_never_run_says_so_in_a_line(store, tiny):
    with pytest.raises(UserError, match=r"^tiny: no finished runs .*make tiny"):
        compare.compare([tiny])


@pytest.fixture
def repository(tmp_path, monkeypatch, tiny):
    """A folder for evidence, a README with an empty table, and ``tiny`` as the only experiment."""
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "evidence")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(experiments, "names", lambda: ["tiny"])
    monkeypatch.setattr(experiments, "load", lambda name: tiny)
    readme.README.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    return tmp_path


def test_the_evidence_holds_every_epoch_of_every_seed_with_its_origin(repository, on_test, tiny, store):
    evidence.write()
    frame = committed.read("tiny")
    assert frame[["seed", "epoch"]].values.tolist() == [[seed, epoch] for seed in (0, 1) for epoch in (1, 2, 3)]
    for summary in on_test["seeds"]:
        recorded = store.history(summary["run_id"], "test_accuracy")
        assert frame[frame["run_id"] == summary["run_id"]]["test_accuracy"].tolist() == list(recorded.values())
    assert set(frame["spec_hash"]) == {tiny.hash}
    assert not frame[["commit", "code_hash", "torch", "data_digest", "threads"]].isna().any().any()


def test_the_evidence_holds_which_images_each_seed_got_wrong(repository, on_test, plan):
    evidence.write()
    wrong = committed.mistakes("tiny")
    count = len(plan.data.evaluation.labels)
    for summary in on_test["seeds"]:
        assert 100 * (1 - (wrong["seed"] == summary["seed"]).sum() / count) == pytest.approx(summary["last"])
    labels = plan.data.evaluation.labels
    assert committed.class_counts() == {"mnist5k": labels.bincount(minlength=10).tolist()}
    assert wrong["label"].tolist() == labels[wrong["index"].tolist()].tolist()


def test_a_fresh_clone_draws_the_mistakes_from_what_is_committed(repository, on_test, monkeypatch):
    evidence.write()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository / 'none.db'}")
    notes = report.write(None, repository / "clone")[1]
    assert (repository / "clone" / "figures" / "confusion_tiny.svg").exists()
    assert any("images that every seed gets wrong are not shown" in note for note in notes)  # it has no such images


def test_the_table_says_mean_deviation_and_minimum_of_the_last_epoch(repository, on_test):
    evidence.write()
    row = next(line for line in readme.README.read_text().splitlines() if line.startswith("| tiny"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    last = [summary["last"] for summary in on_test["seeds"]]
    assert cells[3] == "2"
    assert cells[5:8] == [f"{statistics.mean(last):.3f}", f"{statistics.stdev(last):.3f}", f"{min(last):.2f}"]


def test_every_spec_a_test_set_has_judged_stays_on_the_list(repository, plan, on_test, tiny):
    evidence.write()
    run.run(dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02})))
    evidence.write()
    known = pd.read_csv(committed.FOLDER / committed.JUDGED)
    assert len(known) == 2
    assert known["spec_hash"].tolist() == sorted(known["spec_hash"])
    assert "mnist5k 2" in readme.README.read_text()


def test_a_readme_that_disagrees_with_the_evidence_is_found_out(repository, on_test):
    evidence.write()
    readme.check()
    text = readme.README.read_text()
    readme.README.write_text(re.sub(r"\| tiny .*\|", "| tiny | 99.99 |", text))
    with pytest.raises(UserError, match="make evidence"):
        readme.check()


def test_the_readme_of_this_repository_says_what_its_evidence_says():
    readme.check()


def test_the_iteration_that_the_readme_shows_works_when_dropped_in(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("```python\n")[1].split("```")[0]
    name = re.search(r'name="(\w+)"', shown)[1]
    path = tmp_path / f"{name}.py"
    path.write_text(shown, encoding="utf-8")
    spec = experiments.load(str(path))
    assert list(spec.difference(experiments.load("exp3")))[0] == "model.layers"
    assert len(shown.splitlines()) <= 17
