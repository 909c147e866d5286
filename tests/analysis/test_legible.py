"""Comparison figures can be read, with one run or many, and are saved to the same bytes: no label lies on another."""

import itertools
import os
import subprocess
import sys

import frames
import matplotlib
import networks
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from analysis import figures, style
from analysis.receptive import effective_receptive_field
from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import Spec, Target

pytestmark = pytest.mark.slow  # a minute of drawing


def drawn_texts(figure):
    """Draw a figure; return each text that is on it and the box it takes, in pixels."""
    found, draw = [], Text.draw

    def spy(self, renderer, *args, **options):
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), Text.get_window_extent(self, renderer)))
        return draw(self, renderer, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", spy)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return found


def assert_legible(figure):
    """Fail where two texts touch, one runs off the figure, or one is smaller than 5.5 points."""
    texts = drawn_texts(figure)
    assert texts
    for (text, box), (other, its) in itertools.combinations(texts, 2):
        common = np.minimum(box.max, its.max) - np.maximum(box.min, its.min)
        assert common.min() < 0.5, f"{text!r} and {other!r} lie on one another"
    width, height = figure.bbox.size
    for text, box in texts:
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1, f"{text!r} is cut off"
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 5.5
    assert figure.get_figwidth() in (style.COLUMN, style.PAGE)


RUNS = {
    "the evidence": frames.evidence,
    "one run": lambda: frames.epochs(1, lambda k: 1),
    "one epoch": lambda: frames.epochs(2, length=1),
    "two of ten seeds": lambda: frames.epochs(2, lambda k: 10),
    "six": lambda: frames.epochs(6),
    "six with long names": lambda: frames.epochs(6, name=frames.LONG),
    "seven": lambda: frames.epochs(7),
    "twenty with long names": lambda: frames.epochs(20, lambda k: k % 5 + 1, name=frames.LONG),
    "thirty": lambda: frames.epochs(30, lambda k: 2),
    "two data sets": lambda: frames.epochs(12, data=lambda k: ("mnist", "cifar10")[k % 2]),
    "gaps": lambda: frames.with_gaps(frames.epochs(3)),
    "nothing": lambda: frames.epochs(1).iloc[:0],
    "100 epochs": lambda: frames.epochs(3, length=100),
}


@pytest.mark.parametrize("case", RUNS)
def test_figures_of_runs_are_legible(case):
    epochs = RUNS[case]()
    assert_legible(figures.learning_curves(epochs, 99.4))
    assert_legible(figures.seeds(epochs))
    assert_legible(figures.schedules(epochs))


def unknown_costs():
    frame = frames.summary(3)
    frame.loc[0, ["seconds", "macs", "last_low", "last_high"]] = np.nan
    frame.loc[1, "last_mean"] = np.nan
    return frame


SUMMARIES = {
    "one": (lambda: frames.summary(1), None, None),
    "three": (lambda: frames.summary(3), frames.references, 8_000),
    "three, no limit": (lambda: frames.summary(3), frames.references, None),
    "no references": (lambda: frames.summary(8), lambda: frames.references()[:0], 8_000),
    "twenty": (lambda: frames.summary(20), frames.references, 8_000),
    "twenty with long names": (lambda: frames.summary(20, frames.LONG), frames.references, 8_000),
    "eighty": (lambda: frames.summary(80), frames.references, 8_000),
    "two data sets": (lambda: frames.summary(6, data=lambda k: ("mnist", "cifar10")[k % 2]), frames.references, 8_000),
    "unknown": (unknown_costs, None, 8_000),
    "nothing": (lambda: frames.summary(1)[:0], None, 8_000),
    "references alone": (lambda: frames.summary(1)[:0], frames.references, 8_000),
}


@pytest.mark.parametrize("case", SUMMARIES)
def test_figures_of_summaries_are_legible(case):
    summary, references, limit = SUMMARIES[case]
    assert_legible(figures.accuracy_against_parameters(summary(), references and references(), limit))
    assert_legible(figures.cost(summary()))


@pytest.mark.parametrize("count", [3, 20])
def test_names_of_points_keep_off_every_point_and_their_lines_off_every_name(count):
    summary = frames.summary(count)
    for figure in (figures.cost(summary), figures.accuracy_against_parameters(summary, frames.references(), 8_000)):
        drawn_texts(figure)
        for axes in (axes for axes in figure.axes if axes.texts):
            boxes = {text: Text.get_window_extent(text) for text in axes.texts}
            for line in (line for line in axes.lines if line.get_marker() in ("o", "s")):
                for place in axes.transData.transform(line.get_xydata()):
                    assert not any(box.contains(*place) for box in boxes.values())
            for text in (text for text in axes.texts if text.arrow_patch):
                way = text.arrow_patch.get_path().transformed(text.arrow_patch.get_transform())
                assert not any(way.intersects_bbox(box) for other, box in boxes.items() if other is not text)


@pytest.mark.parametrize("name", ["exp{}", frames.LONG])
@pytest.mark.parametrize("fields", [1, 30])
@pytest.mark.parametrize("count", [0, 1, 3, 20, 40])
def test_changes_are_legible(count, fields, name):
    frame = frames.changes(max(1, count), fields, name)[:count]
    assert_legible(figures.changes(frame))


def test_looks_are_legible():
    for counts in ([8], [8, 2], [100_000, 1, 1], []):
        names = ["mnist", "a-data-set-with-a-long-name", "cifar10"][: len(counts)]
        assert_legible(figures.looks(pd.DataFrame({"data": names, "specs": counts})))


@pytest.mark.parametrize("classes", [frames.DIGITS, frames.THINGS], ids=["digits", "things"])
@pytest.mark.parametrize(("seeds", "images"), [(1, 3), (5, 40), (5, 0), (3, 300)])
def test_figures_of_mistakes_are_legible(seeds, images, classes):
    mistakes = frames.mistakes(seeds, images)
    assert_legible(figures.confusion(mistakes, [1_000] * 10, classes))
    table = figures.wrong_for_every_seed(mistakes)
    pictures = np.zeros((len(table), 3, 32, 32), np.uint8)
    assert_legible(figures.always_wrong(pictures, table, None if classes is frames.DIGITS else classes))


STUDIES = {
    "many": {},
    "one trial": {"trials": 1},
    "nothing complete": {"states": ("pruned", "over_limit")},
    "no trial at all": {"trials": 0},
    "three": {"trials": 3, "states": ("complete",)},
    "accuracy": {"objective": "validation_accuracy"},
    "four fields": {"ranges": dict(list(frames.RANGES.items())[:4])},
    "a thousand": {"trials": 1_000},
    "some running": {"trials": 9, "states": ("complete", "running")},
}


def test_a_study_without_a_limit_or_with_gaps_is_legible():
    trials, curves, facts = frames.study(12)
    trials["excess"] = pd.array([None] * 12, dtype="Int64")
    trials["parameters"] = trials["parameters"].astype("Int64")
    trials.loc[3:4, ["parameters", *facts["ranges"]]] = None
    facts["limit"] = None
    assert_legible(figures.feasibility(trials, facts))
    assert_legible(figures.parallel(trials, facts))
    assert_legible(figures.contour(trials, facts, "optimizer.lr", "optimizer.name"))
    assert_legible(figures.history(trials, facts))


@pytest.mark.parametrize("case", STUDIES)
def test_figures_of_studies_are_legible(case):
    trials, curves, facts = frames.study(**STUDIES[case])
    assert_legible(figures.history(trials, facts))
    assert_legible(figures.importances(facts))
    assert_legible(figures.importances({**facts, "importances": None}))
    assert_legible(figures.feasibility(trials, facts))
    assert_legible(figures.pruned_curves(curves, trials, facts))
    assert_legible(figures.parallel(trials, facts))
    for x, y in itertools.permutations(list(facts["ranges"])[:5], 2):
        if case == "many":
            assert_legible(figures.contour(trials, facts, x, y))
    assert_legible(figures.contour(trials, facts, "model.dropout", "schedule.step_size"))
    assert_legible(figures.contour(trials, facts, "model.dropout", "never.searched"))


NETWORKS = {
    "early_pool": (networks.early_pool(), "mnist"),
    "model_3": (networks.model_3(), "mnist"),
    "padded, in colour": (networks.model_2(padding=1), "cifar10"),
    "every layer": (networks.everything(), "mnist"),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_receptive_fields_are_legible_and_the_squares_those_of_the_layers(case):
    network, data = NETWORKS[case]
    facts = DATASETS[data]
    shape = facts.channels, facts.size, facts.size
    layers = measure(Spec(name="some", model=network, target=Target(parameter_limit=None)), facts).layers
    effective = effective_receptive_field(network.build(shape, 10), layers, torch.randn(2, *shape))
    figure = figures.receptive_fields(np.zeros(shape, np.uint8), layers, effective)
    assert_legible(figure)
    fields = list(dict.fromkeys(layer.receptive_field for layer in layers if layer.receptive_field > 1))
    squares = [max(patch.get_linewidth() == 1.1 and patch.get_width() for patch in axes.patches)
               for axes in figure.axes if axes.patches]  # fmt: skip
    assert squares == fields


# --- how they are saved ----------------------------------------------------------------------------------------------


def some_figures():
    trials, _, facts = frames.study(20)
    return {
        "curves": figures.learning_curves(frames.epochs(7), 99.4),
        "parameters": figures.accuracy_against_parameters(frames.summary(9), frames.references(), 8_000),
        "contour": figures.contour(trials, facts, "model.dropout", "optimizer.lr"),
        "parallel": figures.parallel(trials, facts),
    }


def test_the_same_frames_give_the_same_bytes_whatever_the_users_style_is(tmp_path):
    for folder, settings in (("plain", {}), ("loud", {"font.size": 20, "svg.hashsalt": "x", "axes.grid": False})):
        (tmp_path / folder).mkdir()
        with matplotlib.rc_context(settings):
            for name, figure in some_figures().items():
                style.save(figure, tmp_path / folder / name)
    files = sorted(path.name for path in (tmp_path / "plain").iterdir())
    assert files == sorted(f"{name}.{kind}" for name in some_figures() for kind in ("png", "svg"))
    for name in files:
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "loud" / name).read_bytes(), name
        assert b"<dc:date>" not in (tmp_path / "plain" / name).read_bytes()


def test_another_process_with_another_hash_seed_gives_the_same_bytes(tmp_path):
    code = """if True:
        import sys, frames
        from analysis import figures, style
        style.save(figures.learning_curves(frames.epochs(3), 99.4), sys.argv[1])"""
    surroundings = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, cwd=tmp_path, env=surroundings)
    for path in style.save(figures.learning_curves(frames.epochs(3), 99.4), tmp_path / "here"):
        assert path.read_bytes() == (tmp_path / f"there{path.suffix}").read_bytes()


def test_an_ending_is_not_doubled_and_a_dot_in_a_name_is_no_ending(tmp_path):
    figure = figures.looks(pd.DataFrame({"data": ["mnist"], "specs": [8]}))
    assert [path.name for path in style.save(figure, tmp_path / "a.svg")] == ["a.png", "a.svg"]
    assert [path.name for path in style.save(figure, tmp_path / "v1.5")] == ["v1.5.png", "v1.5.svg"]


def test_series_differ_in_mark_and_dash_so_that_grey_is_enough():
    assert len({mark["marker"] for mark in style.SERIES}) == len(style.SERIES)
    assert len({mark["dashes"] for mark in style.SERIES}) == len(style.SERIES)


def test_names_are_shortened_in_their_middle():
    assert style.short("exp3") == "exp3"
    assert style.short("abcdefghij", 7) == "abc…hij" and len(style.short(frames.LONG)) == 18
