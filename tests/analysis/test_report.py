"""The report: complete from the committed evidence, short, the same wherever it is made, clear about what is left out.

The report of ``published`` is drawn once for all processes; the others are not drawn.
"""

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

from analysis import evidence, receptive_field, report, runs, select
from analysis.report import data, figures
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import load as experiments
from tinycnn.track import run

COMMITTED = ("exp3.csv", "sprint.csv", "cifar1.csv", "mistakes/classes.csv", "mistakes/exp3.csv",
             "specs_evaluated.csv", "studies/width.csv", "studies/width.json")  # fmt: skip


@pytest.fixture(scope="module")
def published(made_once):
    """The report on a part of the committed evidence, without a store and without data sets."""
    with made_once("published") as (folder, new), pytest.MonkeyPatch.context() as patch:
        if not new:
            return folder
        for name in COMMITTED:
            (folder / "evidence" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(evidence.FOLDER / name, folder / "evidence" / name)
        patch.setattr(evidence, "FOLDER", folder / "evidence")
        patch.setattr(receptive_field, "_IMAGES", 1)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'none' / 'mlflow.db'}")
        patch.setenv("TINYCNN_DATA", str(folder / "none"))
        assert not [note for note in report.write(None, folder)[1] if "cannot be drawn" in note]
    return folder


@pytest.fixture
def markdown(published):
    return (published / "report.md").read_text(encoding="utf-8")


def test_every_figure_is_there_as_png_svg_and_the_data_it_was_drawn_from(published, markdown):
    shown = set(re.findall(r"\(figures/(\w+)\.png\)", markdown))
    of_a_set = {f"{kind}_mnist" for kind in ("learning_curves", "seeds", "changes", "losses", "macs", "time")}
    of_the_best = {f"{kind}_exp3" for kind in ("layers", "augmentation", "receptive_fields", "confusion")}
    assert {"front", "study_width_slices", "learning_curves_cifar10"} | of_a_set | of_the_best <= shown
    assert "augmentation_sprint" not in shown  # only the best network under a budget is shown with its images
    assert {path.name for path in (published / "figures").iterdir()} == {
        f"{name}.{kind}" for name in shown for kind in ("png", "svg", "csv")
    }
    for name in shown:
        assert len(pd.read_csv(published / "figures" / f"{name}.csv")), name


def test_page_one_has_the_best_network_of_each_budget_beside_the_best_published_one(markdown):
    summary = markdown.split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in summary.splitlines() if "| mnist " in line]
    assert ["mnist", "2,000", "-", "-", "-", "-", "-", "Ethiraj & Bolla, 1.5k, 1,560", "99.21 (last, one run)"] in rows
    under = next(row for row in rows if row[1] == "8,000")
    assert under[2:4] == ["exp3", "7,872"] and under[5] == "5" and under[7].startswith("vivek-a81")
    counted = evidence.evaluations().set_index("data")["specs"]
    assert f"{counted['mnist']} on mnist" in summary and "(figures/front.png)" in summary and "| sprint " in summary


def test_an_iteration_has_its_five_parts_with_the_authors_and_the_computed_words(markdown):
    for name in ("exp3", "sprint", "cifar1"):
        section = markdown.split(f"\n### {name}: ")[1].split("\n### ")[0]
        parts = ["Target", "Change", "Result", "Analysis", "Receptive Field"]
        assert re.findall(r"^\*\*(.*)\.\*\*", section, re.MULTILINE) == parts
    section = markdown.split("\n### exp3: ")[1].split("\n### ")[0]
    assert experiments.load("exp3").notes.split("Analysis")[1].split()[0].capitalize() in section
    assert "Neither under- nor over-fitting" in section


def test_the_page_is_self_contained_and_says_the_same_as_the_markdown(published, markdown):
    page = (published / "report.html").read_text(encoding="utf-8")
    addresses = re.findall(r"""(?:src|href|srcset|data)=["']([^"']{1,30})""", page)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    assert "url(" not in page and "<script" not in page
    headings = [html.unescape(text) for text in re.findall(r"<h\d [^>]*>(.*?)</h\d>", page)]
    assert headings == re.findall(r"^#+ (.*)", markdown, re.MULTILINE)
    assert page.count("<img ") == markdown.count("![")


def test_of_all_the_evidence_it_is_short_unless_everything_is_asked_for(undrawn, fresh_clone, tmp_path):
    fresh_clone()
    report.write(None, tmp_path)
    short = (tmp_path / "report.md").read_text()
    assert len(re.findall(r"\w[^\s|]*", short)) < 3_500 and len(undrawn) <= 36
    report.write(None, tmp_path, everything=True)
    text = (tmp_path / "report.md").read_text()
    assert text.count("\n| (") == len(evidence.references()) > short.count("\n| (") == 0
    assert {f"confusion_{name}" for name in ("exp1", "exp2", "exp3", "exp4", "exp5")} <= set(undrawn)
    for table in re.findall(r"(?:^\|.*\n)+", text.split("\n## ", 1)[1], re.MULTILINE):  # one data set in each
        assert not ("| cifar1 " in table and "| exp3 " in table)


def test_toy_runs_get_a_row_and_no_chapter_unless_they_are_asked_for(repository, two_seeds, undrawn):
    for number in range(12):
        foreign_run(MlflowClient(), "0", [98.0], name=f"toy{number}", **{"tinycnn.data": "mnist5k"})
    report.write(None, repository)
    text = (repository / "report.md").read_text()
    assert re.findall(r"^### (\w+)", text, re.MULTILINE) == ["tiny"]
    assert len(re.findall(r"^\| toy", text, re.MULTILINE)) == 5 and "Some of 12; make report ALL=1 shows all" in text
    report.write(["toy3", "toy5"], repository)
    assert re.findall(r"^### (\w+)", (repository / "report.md").read_text(), re.MULTILINE) == ["toy3", "toy5"]


def test_after_the_best_of_each_budget_come_the_latest_experiments():
    summary = frames.summary(12)
    names = summary["experiment"].tolist()
    summary["last"] = [99.0] * 11 + [99.5]
    summary["parameters"] = 7_000
    trained = {"exp3": 20, "exp5": 30, "exp1": 10}
    stored = {name: pd.DataFrame({"started": [trained[name]]}) if name in trained else None for name in names}
    records = {name: select.Record(1, True, None, "", runs=rows) for name, rows in stored.items()}
    latest = data._latest(names, records)
    assert latest[:5] == ["exp5", "exp3", "exp1", "exp11", "exp10"]
    main = data._main(summary, evidence.references(), latest)
    assert main == ["exp1", "exp3", "exp5", "exp7", "exp8", "exp9", "exp10", "exp11"]


def test_arms_of_a_sweep_are_not_experiments_that_make_could_run(repository, two_seeds, plan, no_artifacts):
    held_out = dataclasses.replace(plan, data=dataclasses.replace(plan.data, kind="validation"))
    run.run(dataclasses.replace(held_out, spec=plan.spec.but(name="some_sweep")))
    assert not [note for note in data.collect().notes if "make some_sweep" in note]


def test_what_a_store_holds_is_text_in_the_page_and_no_html(repository, plan, no_artifacts, store, undrawn):
    for name in ("<script>alert(1)</script>", "<img src=x onerror=alert(2)>"):
        foreign_run(MlflowClient(), "0", [98.0], name=name, **{"tinycnn.data": "mnist5k"})
    report.write(None, repository)
    page = (repository / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<img src=x" not in page and "&lt;script&gt;alert(1)" in page


def test_without_runs_or_with_an_unknown_name_there_is_a_line(repository):
    with pytest.raises(UserError, match="nothing to report: .*make exp3"):
        report.write(None, repository)
    with pytest.raises(UserError, match="no finished run of tiny .*make tiny"):
        report.write(["tiny"], repository)
    with pytest.raises(SpecError, match=r"no experiment is called 'tniy'; did you mean 'tiny'\?"):
        report.write(["tniy"], repository)


def test_of_what_holds_out_validation_images_report_and_evidence_say_so(repository, tiny, monkeypatch):
    held_out = tiny.but(data={"validation": 0.2})
    monkeypatch.setattr(experiments, "load", lambda name: held_out)
    with pytest.raises(UserError, match=r"no finished run on test images of tiny .*tiny holds out validation images"):
        report.write(["tiny"], repository)
    with pytest.raises(UserError, match="tiny: holds out validation images"):
        evidence.write(["tiny"])


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
    assert "| theirs/../x " in text and "98.550" in text and "(figures/learning_curves____a_set.png)" in text
    assert not any("cannot be drawn" in note for note in notes)


def test_images_that_every_seed_gets_wrong_are_shown_where_the_data_set_is(
    repository, two_seeds, plan, monkeypatch, undrawn
):
    monkeypatch.setattr(receptive_field, "data_here", lambda name: plan.data)
    report.write(None, repository)
    wrong = runs.mistakes(runs.read()).groupby("index")["seed"].nunique()
    shown = pd.read_csv(repository / "figures" / "always_wrong_tiny.csv")["index"]
    assert shown.tolist() == wrong[wrong == 2].index.tolist()


def test_studies_are_shown_with_their_best_and_how_it_compares(tmp_path, monkeypatch, undrawn):
    shutil.copy(evidence.FOLDER / "exp3.csv", tmp_path)
    trials, result = frames.study()
    result |= {"edges": ["optimizer.lr: at the upper end"], "comparison": {
        "base": "exp3", "promoted": "exp9", "seeds": 5, "difference": 0.02, "low": -0.01, "high": 0.05,
        "word": "inconclusive"}}  # fmt: skip
    studies = tmp_path / "studies"
    studies.mkdir()
    trials.to_csv(studies / "made_up.csv", index=False)
    (studies / "made_up.json").write_text(json.dumps(result, default=str))
    monkeypatch.setattr(evidence, "FOLDER", tmp_path)
    report.write(["exp3"], tmp_path / "reports", everything=True)
    assert "study_made_up_slices" in undrawn
    row, text = (tmp_path / "reports" / "report.md").read_text().split("## Studies")[1].split("### Study made_up")
    assert "exp9: +0.020 points (5 seeds, paired), 95 % interval -0.010 to +0.050" in row
    assert "- optimizer.lr: at the upper end\n" in text


def test_a_figure_that_cannot_be_drawn_costs_no_other_and_old_ones_are_removed(tmp_path):
    for name in ("old.png", "old.csv", "readme_x.png", "notes.txt"):
        (tmp_path / name).write_text("")
    saved = figures.FigureFolder(tmp_path, [])
    assert saved.add("bad", "", pd.DataFrame(), lambda: 1 / 0) == []
    assert saved.notes == ["figure bad: cannot be drawn (ZeroDivisionError: division by zero)."]
    saved.remove_others()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "readme_x.png"]


def test_runs_with_other_settings_are_listed_apart_by_what_differs(
    repository, two_seeds, plan, tiny, undrawn
):
    typed = dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02}), settings="optimizer.lr=0.02")
    run.run(typed, seeds=2)
    run.run(dataclasses.replace(typed, fallback="FALLBACK: mnist is missing"), first_seed=7)
    older = tiny.with_values({"optimizer.lr": 0.03, "train.epochs": 2, "target.accuracy": 0.4})
    run.run(dataclasses.replace(plan, spec=older))
    foreign_run(MlflowClient(), "0", [98.0], name="tiny", **{"tinycnn.data": "mnist5k"})
    report.write(None, repository)
    text = (repository / "report.md").read_text()
    assert next(line for line in text.splitlines() if line.startswith("| tiny ")).split("|")[4].strip() == "2"
    rows = text.split("## Other specs and variants")[1].split("\n#")[0].splitlines()
    found = [[row.split("|")[column].strip() for column in (1, 2, 5)] for row in rows if row.startswith("| tiny ")]
    expected = [["tiny", "-", "1"], ["tiny", "optimizer.lr 0.01 → 0.03; train.epochs 3 → 2", "1"],
                ["tiny", "optimizer.lr=0.02", "2"]]  # fmt: skip
    assert sorted(found) == expected
