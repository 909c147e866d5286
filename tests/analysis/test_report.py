"""The report: complete from the committed evidence, the same bytes every time, and clear about what is left out."""

import dataclasses
import html
import json
import re
import shutil

import frames
import pandas as pd
import pytest
from foreign import foreign_run
from mlflow import MlflowClient

from analysis import evidence, report, runs
from analysis.report import data, figures
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import load as experiments
from tinycnn.track import run


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The report on the committed evidence, without a store and without data sets."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'none' / 'mlflow.db'}")
        patch.setenv("TINYCNN_DATA", str(folder / "none"))
        assert not [note for note in report.write(None, folder)[1] if "cannot be drawn" in note]
    return folder


@pytest.fixture
def markdown(published):
    return (published / "report.md").read_text(encoding="utf-8")


def test_every_figure_is_there_as_png_svg_and_the_data_it_was_drawn_from(published, markdown):
    shown = set(re.findall(r"\(figures/(\w+)\.png\)", markdown))
    for kind in ("learning_curves", "accuracy_parameters", "seeds", "changes", "schedules", "cost"):
        assert f"{kind}_mnist" in shown
    assert {"receptive_fields_exp3", "confusion_exp3", "study_width_slices"} <= shown
    assert {path.name for path in (published / "figures").iterdir()} == {
        f"{name}.{kind}" for name in shown for kind in ("png", "svg", "csv")
    }
    for name in shown:
        assert len(pd.read_csv(published / "figures" / f"{name}.csv")), name


def test_an_iteration_has_its_five_parts_with_the_authors_and_the_computed_words(markdown):
    for name in evidence.names():
        section = markdown.split(f"\n### {name}: ")[1].split("\n### ")[0]
        parts = ["Target", "Change", "Result", "Analysis", "Receptive Field"]
        assert re.findall(r"^#### (.*)", section, re.MULTILINE) == parts
    section = markdown.split("\n### exp3: ")[1].split("\n### ")[0]
    assert "| optimizer.name" in section.split("#### Change")[1].split("#### Result")[0]
    assert experiments.load("exp3").notes.split("Analysis")[1].split()[0].capitalize() in section
    assert "Neither under- nor over-fitting" in section


def test_data_sets_are_never_in_one_table_and_published_figures_are_marked(markdown):
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        assert not ("| cifar1 " in table and "| exp3 " in table)
    row = next(line for line in markdown.splitlines() if line.startswith("| (original, iteration 3)"))
    assert "99.50 (8)" in row and "best epoch, one run" in row
    assert markdown.count("| (") == len(evidence.references())


def test_the_page_is_self_contained_and_says_the_same_as_the_markdown(published, markdown):
    page = (published / "report.html").read_text(encoding="utf-8")
    addresses = re.findall(r"""(?:src|href|srcset|data)=["']([^"']{1,30})""", page)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    assert "url(" not in page and "<script" not in page
    headings = [html.unescape(text) for text in re.findall(r"<h\d [^>]*>(.*?)</h\d>", page)]
    assert headings == re.findall(r"^#+ (.*)", markdown, re.MULTILINE)
    assert page.count("<img ") == markdown.count("![")


def test_without_runs_or_with_an_unknown_name_there_is_a_line(repository):
    with pytest.raises(UserError, match="nothing to report: .*make exp3"):
        report.write(None, repository)
    with pytest.raises(UserError, match="no finished run of tiny .*make tiny"):
        report.write(["tiny"], repository)
    with pytest.raises(SpecError, match=r"no experiment is called 'tniy'; did you mean 'tiny'\?"):
        report.write(["tniy"], repository)


def test_failed_validation_and_fallback_runs_are_left_out_and_noted(repository, plan, no_artifacts, store):
    run.run(dataclasses.replace(plan, fallback="FALLBACK: mnist is missing"))
    found = data.collect()  # shown only while there is nothing else
    assert found.summary["verdict"].tolist() == ["not judged"]
    assert any("trained on the fallback data set mnist5k" in note for note in found.notes)
    run.run(dataclasses.replace(plan, data=dataclasses.replace(plan.data, kind="validation")))
    foreign_run(MlflowClient(), "0", [1.0], "FAILED", "tiny", 7)
    run.run(plan, seeds=2)
    found = data.collect()
    assert found.summary[["n", "verdict"]].values.tolist() == [[2, "met"]]
    note = next(note for note in found.notes if note.startswith("tiny: "))
    assert "1 failed" in note and "1 on a fallback data set" in note and "1 on validation images" in note


def test_runs_without_an_experiment_file_are_shown_with_what_they_recorded(repository, store, monkeypatch):
    monkeypatch.setattr(experiments, "names", list)
    for seed in range(2):
        tags = {"tinycnn.data": "../a set", "tinycnn.class_counts": "1"}
        foreign_run(MlflowClient(), "0", [98.0, 98.5 + seed / 10], name="theirs/../x", seed=seed, **tags)
    notes = report.write(None, repository / "reports")[1]
    text = (repository / "reports" / "report.md").read_text()
    assert "| theirs/../x " in text and "98.550" in text and "(figures/seeds____a_set.png)" in text
    assert not any("cannot be drawn" in note for note in notes)


def test_images_that_every_seed_gets_wrong_are_shown_where_the_data_set_is(
    repository, plan, no_artifacts, store, monkeypatch
):
    run.run(plan, seeds=2)
    monkeypatch.setattr(figures, "_test_set", lambda name: plan.data)
    report.write(None, repository)
    wrong = runs.mistakes(runs.read()).groupby("index")["seed"].nunique()
    shown = pd.read_csv(repository / "figures" / "always_wrong_tiny.csv")["index"]
    assert shown.tolist() == wrong[wrong == 2].index.tolist()


def test_studies_are_shown_with_their_figures(tmp_path, monkeypatch):
    shutil.copy(evidence.FOLDER / "exp3.csv", tmp_path)
    trials, curves, result = frames.study()
    result |= {"edges": ["optimizer.lr: at the upper end"], "comparison": {
        "base": "exp3", "promoted": "exp9", "seeds": 5, "difference": 0.02, "low": -0.01, "high": 0.05,
        "word": "inconclusive"}}  # fmt: skip
    studies = tmp_path / "studies"
    studies.mkdir()
    trials.to_csv(studies / "made_up.csv", index=False)
    curves.to_csv(studies / "made_up_epochs.csv", index=False)
    (studies / "made_up.json").write_text(json.dumps(result, default=str))
    (studies / "damaged.json").write_text("{")
    monkeypatch.setattr(evidence, "FOLDER", tmp_path)
    notes = report.write(["exp3"], tmp_path / "reports")[1]
    names = {path.stem for path in (tmp_path / "reports" / "figures").glob("study_made_up_*.svg")}
    assert names == {f"study_made_up_{kind}" for kind in ("history", "importances", "slices", "curves")}
    text = (tmp_path / "reports" / "report.md").read_text().split("### Study made_up")[1]
    assert "- optimizer.lr: at the upper end\n" in text
    assert "exp9 against exp3 on the test set: +0.020 points (5 seeds, paired), 95 % interval -0.010 to +0.050" in text
    assert any(note.startswith("study damaged: cannot be read") for note in notes)


def test_a_figure_that_cannot_be_drawn_costs_no_other_and_old_ones_are_removed(tmp_path):
    for name in ("old.png", "old.csv", "readme_x.png", "notes.txt"):
        (tmp_path / name).write_text("")
    saved = figures.FigureFolder(tmp_path, [])
    assert saved.add("bad", "", pd.DataFrame(), lambda: 1 / 0) == []
    assert saved.notes == ["figure bad: cannot be drawn (ZeroDivisionError: division by zero)."]
    saved.remove_others()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "readme_x.png"]


def variants(text) -> list[list[str]]:
    """Return experiment, settings, spec and n of each row of the table of variants."""
    rows = [line for line in text.split("### Variants on ")[1].split("\n#")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.split("|")[1:5]] for row in rows[2:]]


def test_runs_with_other_settings_are_listed_apart_by_what_differs(
    repository, plan, no_artifacts, store, tiny, monkeypatch
):
    run.run(plan, seeds=2)
    typed = dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02}), settings="optimizer.lr=0.02")
    run.run(typed, seeds=2)
    run.run(dataclasses.replace(typed, fallback="FALLBACK: mnist is missing"), first_seed=7)
    older = tiny.with_values({"optimizer.lr": 0.03, "train.epochs": 2, "target.accuracy": 0.4})
    run.run(dataclasses.replace(plan, spec=older))
    foreign_run(MlflowClient(), "0", [98.0], name="tiny", **{"tinycnn.data": "mnist5k"})
    report.write(None, repository)
    text = (repository / "report.md").read_text()
    assert next(line for line in text.splitlines() if line.startswith("| tiny ")).split("|")[4].strip() == "2"
    expected = [["tiny", "-", "a" * 12, "1"],
                ["tiny", "optimizer.lr 0.01 → 0.03; train.epochs 3 → 2", older.hash, "1"],
                ["tiny", "optimizer.lr=0.02", typed.spec.hash, "2"]]  # fmt: skip
    assert sorted(variants(text)) == expected
