"""The report: complete from the committed evidence alone, the same bytes every time, and honest about what is odd."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import frames
import pandas as pd
import pytest
from foreign import foreign_run
from mlflow import MlflowClient

from analysis import blocks, committed, gather, load, pictured, readme, report
from analysis.album import Album
from tinycnn import ROOT
from tinycnn.cli import commands as cli
from tinycnn.errors import SpecError, UserError
from tinycnn.spec import load as experiments
from tinycnn.track import run

FORM = ["Target", "Change", "Result", "Analysis", "Receptive Field"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The report on the committed evidence, without a store and without data sets."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'none' / 'mlflow.db'}")
        patch.setenv("TINYCNN_DATA", str(folder / "none"))
        patch.setenv("TINYCNN_DEBUG", "1")  # a figure that fails is to fail here
        report.write(None, folder)
    return folder


class Page(HTMLParser):
    """The elements of a page: headings and table cells as text, and every address it takes something from."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.addresses, self.style, self._in = {}, [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._in = tag
        self.texts.setdefault(tag, []).append("")
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in:
            self.texts[self._in][-1] += data


@pytest.fixture(scope="module")
def page(published):
    return Page((published / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def markdown(published):
    return (published / "report.md").read_text(encoding="utf-8")


def test_a_fresh_clone_makes_the_whole_report_from_what_is_committed(published, markdown):
    for name in committed.names():
        assert f"\n### {name}: " in markdown
    figures = published / "figures"
    for kind in ("learning_curves", "accuracy_parameters", "seeds", "changes", "schedules", "cost"):
        assert (figures / f"{kind}_mnist.png").exists(), kind
    assert {"looks.png", "receptive_fields_exp3.png"} <= {path.name for path in figures.iterdir()}


def test_every_figure_is_there_as_png_svg_and_the_data_it_was_drawn_from(published, markdown):
    shown = set(re.findall(r"\(figures/(\w+)\.png\)", markdown))
    assert len(shown) > 15
    assert {path.name for path in (published / "figures").iterdir()} == {
        f"{name}.{kind}" for name in shown for kind in ("png", "svg", "csv")
    }
    for name in shown:
        assert len(pd.read_csv(published / "figures" / f"{name}.csv")), name


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes_in_another_process(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCNN_DATA", str(tmp_path / "none"))
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    report.write(["exp2", "cifar1"], ours)
    code = "from pathlib import Path; from analysis import report; report.write(['exp2', 'cifar1'], Path(input()))"
    command, other = [sys.executable, "-c", code], os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run(command, cwd=ROOT, env=other, input=f"{theirs}", text=True, check=True)
    files = sorted(path.relative_to(ours) for path in ours.rglob("*.*"))
    assert len(files) > 30
    for file in files:
        assert (theirs / file).read_bytes() == (ours / file).read_bytes(), file


def test_an_iteration_has_the_seeds_form(markdown):
    section = markdown.split("\n### exp3: ")[1].split("\n### ")[0]
    assert re.findall(r"^#### (.*)", section, re.MULTILINE) == FORM
    assert "| optimizer.name" in section.split("#### Change")[1].split("#### Result")[0]
    words = experiments.load("exp3").notes
    assert words.split("Analysis")[1].split()[0].capitalize() in section  # the author's own
    assert "Neither under- nor over-fitting" in section  # the computed diagnosis


def test_the_numbers_are_those_of_the_evidence(markdown):
    last = committed.read("exp3").query("epoch == 15")["test_accuracy"]
    row = next(line for line in markdown.splitlines() if line.startswith("| exp3 "))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[1:6] == [f"{last.mean():.3f}", cells[2], str(len(last)), f"{last.std():.3f}", f"{last.min():.2f}"]


def test_data_sets_are_never_in_one_table(markdown):
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        if "95 % interval" in table:
            assert not ("| cifar1 " in table and "| exp3 " in table)
    for path in ("learning_curves", "accuracy_parameters", "seeds", "cost"):
        assert f"figures/{path}_cifar10.png" in markdown and f"figures/{path}_mnist.png" in markdown


def test_published_figures_stand_there_as_what_they_are(markdown):
    row = next(line for line in markdown.splitlines() if line.startswith("| (the seed, iteration 3)"))
    assert "99.50 (8)" in row and "best epoch, one run" in row
    assert markdown.count("| (") == len(committed.references())


def test_the_page_is_self_contained(page):
    assert [address for address in page.addresses if not address.startswith(("data:image/png;base64,", "#"))] == []
    assert "url(" not in page.texts["style"][0] and "@import" not in page.texts["style"][0]
    assert len(page.texts.get("script", [])) == 0


def test_the_page_and_the_markdown_say_the_same(page, markdown):
    headings = [text for level in "1234" for text in page.texts[f"h{level}"]]
    assert sorted(headings) == sorted(re.findall(r"^#+ (.*)", markdown, re.MULTILINE))
    assert len(page.texts["img"]) == markdown.count("![")
    rows = [line for line in markdown.splitlines() if line.startswith("|") and not line.startswith("| :")]
    assert len(page.texts["tr"]) == len([line for line in rows if not re.match(r"^\|[ :|-]+\|$", line)])


def test_what_an_author_writes_cannot_break_the_page(tmp_path):
    content = [blocks.heading(1, "<b>&"), blocks.paragraph("<script>alert(1)</script>")]
    content += [blocks.table(("a|b",), [("<i>|",)], "<")]
    page = Page(report.render(content, "html", tmp_path))
    assert "script" not in page.texts and "i" not in page.texts and "b" not in page.texts
    assert page.texts["p"] == ["<script>alert(1)</script>"]


@pytest.fixture
def no_evidence(tmp_path, monkeypatch):
    """Nothing is committed, and ``tiny`` is the only experiment."""
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "evidence")
    monkeypatch.setattr(experiments, "names", lambda: ["tiny"])
    (tmp_path / "evidence").mkdir()


@pytest.fixture
def only_tiny(no_evidence, tiny, monkeypatch):
    monkeypatch.setattr(experiments, "load", lambda name: tiny)


def test_an_empty_store_and_no_evidence_are_a_line(only_tiny, tmp_path):
    with pytest.raises(UserError, match="nothing to report: .*make exp3"):
        report.write(None, tmp_path)
    with pytest.raises(UserError, match="no finished run of tiny .*make tiny"):
        report.write(["tiny"], tmp_path)


def test_an_unknown_name_is_a_line_with_the_nearest_known(tmp_path):
    with pytest.raises(SpecError, match=r"no experiment is called 'epx3'; did you mean 'exp3'\?"):
        report.write(["epx3"], tmp_path)


def test_failed_and_validation_runs_are_left_out_and_said(only_tiny, plan, no_artifacts, store, tiny):
    run.run(plan, seeds=2)
    run.run(dataclasses.replace(plan, data=dataclasses.replace(plan.data, kind="validation")))
    foreign_run(MlflowClient(), "0", [1.0], "FAILED", "tiny", 7)
    found = gather.gather()
    assert found.epochs["seed"].drop_duplicates().tolist() == [0, 1]
    note = next(note for note in found.notes if note.startswith("tiny: "))
    assert "1 failed" in note and "1 on validation images" in note


def test_runs_on_a_fallback_data_set_are_shown_apart_and_not_judged(only_tiny, plan, no_artifacts, store, tiny):
    run.run(dataclasses.replace(plan, fallback="FALLBACK: mnist is missing"))
    found = gather.gather()
    assert found.summary["verdict"].tolist() == ["not judged"]
    assert any("trained on the fallback data set mnist5k" in note for note in found.notes)
    run.run(plan)  # one on the real data is what counts
    assert gather.gather().summary["verdict"].tolist() == ["met"]


def test_runs_of_another_spec_are_shown_with_a_line(only_tiny, plan, no_artifacts, store, tiny):
    run.run(dataclasses.replace(plan, spec=tiny.with_values({"optimizer.lr": 0.02})))
    found = gather.gather()
    assert found.summary[["n", "verdict"]].values.tolist() == [[1, "not judged"]]
    assert any(tiny.hash in note and "not judged" in note for note in found.notes)


def test_runs_that_no_file_speaks_for_are_shown_with_what_they_tell(no_evidence, store, tmp_path):
    MlflowClient().create_run("0")
    for seed in range(2):
        tags = {"tinycnn.data": "../a set", "tinycnn.class_counts": "1"}
        run_id = foreign_run(MlflowClient(), "0", [98.0, 98.5 + seed / 10], name="theirs/../x", seed=seed, **tags)
        MlflowClient().log_text(run_id, "index,label,predicted\n1,2,3\n", load.MISTAKES)
    notes = report.write(None, tmp_path / "reports")[1]
    text = (tmp_path / "reports" / "report.md").read_text()
    assert "| theirs/../x " in text and "98.550" in text
    assert "(figures/seeds____a_set.png)" in text
    assert any("1 runs in the store were not made by this project" in note for note in notes)
    assert not any("cannot be drawn" in note for note in notes)


def test_runs_that_lack_numbers_are_left_out_or_shown_without_them(no_evidence, store, tmp_path):
    client = MlflowClient()
    for seed, accuracies in enumerate([[98.0, 98.5], [float("nan"), 97.0], [99.0, float("nan")], []]):
        foreign_run(client, "0", accuracies, name="gaps", seed=seed)
    foreign_run(client, "0", [], name="nothing")
    notes = report.write(None, tmp_path / "reports")[1]
    row = next(line for line in (tmp_path / "reports" / "report.md").read_text().splitlines() if "| gaps " in line)
    assert "97.750" in row.split("|")[2] and row.split("|")[4].strip() == "2"  # (98.5 + 97) / 2
    told = [note.split("left out, ")[1] for note in notes if note.startswith("run ")]
    assert told == ["it has finished and has no number as its last test_accuracy."] * 3
    assert not any("cannot be drawn" in note for note in notes)


def test_a_store_without_any_accuracy_is_a_line(no_evidence, store, tmp_path):
    run_id = foreign_run(MlflowClient(), "0", [], name="nothing")
    with pytest.raises(UserError, match=f"no finished run .*run {run_id}: left out, it has finished and has no number"):
        report.write(None, tmp_path)


def test_studies_are_shown_with_their_figures(tmp_path, monkeypatch):
    shutil.copy(committed.FOLDER / "exp3.csv", tmp_path)
    trials, curves, facts = frames.study()
    facts |= {"edges": ["optimizer.lr: at the upper end"], "comparison": {
        "base": "exp3", "promoted": "exp9", "seeds": 5, "difference": 0.02, "low": -0.01, "high": 0.05,
        "word": "inconclusive"}}  # fmt: skip
    studies = tmp_path / "studies"
    studies.mkdir()
    trials.to_csv(studies / "made_up.csv", index=False)
    curves.to_csv(studies / "made_up_epochs.csv", index=False)
    (studies / "made_up.json").write_text(json.dumps(facts, default=str))
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    notes = report.write(["exp3"], tmp_path / "reports")[1]
    names = {path.stem for path in (tmp_path / "reports" / "figures").glob("study_made_up_*.svg")}
    kinds = ("history", "importances", "contour", "parallel", "feasibility", "pruned")
    assert names == {f"study_made_up_{kind}" for kind in kinds}
    text = (tmp_path / "reports" / "report.md").read_text().split("### Study made_up")[1]
    assert "- optimizer.lr: at the upper end\n" in text
    assert "exp9 against exp3 on the test set, 5 seeds, paired: +0.020 points" in text and "inconclusive" in text
    assert not any("cannot be drawn" in note for note in notes)


def test_more_seeds_of_the_same_spec_speak_before_fewer(only_tiny, plan, no_artifacts, store, tiny):
    run.run(plan, seeds=3)
    whole = load.epochs(load.runs()["run_id"].tolist())
    evidence = whole.assign(experiment="tiny", spec_hash=tiny.hash, data="mnist5k", code_hash="", dirty="false")
    evidence = evidence.assign(data_digest="", parameters=1)
    evidence["seed"] = evidence["run_id"].map({run_id: n for n, run_id in enumerate(whole["run_id"].unique())})
    for seeds, source in ((2, "the store"), (3, "reports/evidence")):  # of as many the committed ones
        evidence[evidence["seed"] < seeds].to_csv(committed.FOLDER / "tiny.csv", index=False)
        assert gather.gather().sources["tiny"].startswith(source)


def test_what_every_seed_gets_wrong_is_shown_where_the_images_are(
    only_tiny, plan, no_artifacts, store, tmp_path, monkeypatch
):
    run.run(plan, seeds=2)
    monkeypatch.setattr(pictured, "_test_images", lambda data: plan.data)
    notes = report.write(None, tmp_path)[1]
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"confusion_tiny.svg", "always_wrong_tiny.svg"} <= names
    wrong = load.mistakes(load.runs()).groupby("index")["seed"].nunique()
    shown = pd.read_csv(tmp_path / "figures" / "always_wrong_tiny.csv")["index"]
    assert shown.tolist() == wrong[wrong == 2].index.tolist()
    assert not any("cannot be drawn" in note for note in notes)


def test_a_figure_that_cannot_be_drawn_costs_no_other(tmp_path):
    album = Album(tmp_path, [])
    assert album.add("bad", "", pd.DataFrame(), lambda: 1 / 0) == []
    assert album.notes == ["figure bad: cannot be drawn (ZeroDivisionError: division by zero)."]


def test_figures_of_an_earlier_report_go_and_the_readmes_stay(tmp_path):
    for name in ("old.png", "old.csv", "readme_x.png", "notes.txt"):
        (tmp_path / name).write_text("")
    Album(tmp_path, []).forget_others()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "readme_x.png"]


def test_damaged_evidence_is_a_line_and_the_rest_is_shown(tmp_path, monkeypatch):
    for name in ("exp2", "exp3"):
        shutil.copy(committed.FOLDER / f"{name}.csv", tmp_path)
    (tmp_path / "exp2.csv").write_text("experiment,spec_hash\nexp2,0")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "s.json").write_text("{")
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    found = gather.gather(["exp2", "exp3"])
    assert found.summary["experiment"].tolist() == ["exp3"]
    assert any("exp2.csv: lacks the column" in note for note in found.notes)
    assert any(note.startswith("study s: cannot be read") for note in found.notes)


def test_the_verb_prints_where_the_report_is_and_what_is_odd(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(report, "write", lambda names: ([tmp_path / "report.md"], ["exp9: odd."]))
    assert cli.main(["report", "exp3"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'report.md'}\n" and err == "note: exp9: odd.\n"
    assert cli.main(["report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == ["exp9: odd."]


def test_the_readmes_figures_are_drawn_from_the_evidence(tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    for path in readme.figures(tmp_path):
        shown = readme.figures_folder() / path.name
        if path.suffix == ".csv":
            assert shown.read_bytes() == path.read_bytes(), path.name
        else:  # another processor may round a line's edge otherwise
            ours, theirs = (np.asarray(Image.open(each).convert("L"), dtype=float) for each in (path, shown))
            assert ours.shape == theirs.shape and abs(ours - theirs).mean() < 1, path.name
