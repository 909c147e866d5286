"""Figures can be read, with one run or many, and are saved to the same bytes: no label lies on another."""

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

from analysis import evidence, receptive_field, statistics
from analysis.plots import architecture, mistakes, receptive_fields, runs, specs, studies, style, training
from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import Spec, Target
from tinycnn.train.loop import EpochResult

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
        FigureCanvasAgg(figure).draw()
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


RUNS = {
    "the evidence": frames.evidence,
    "one run": lambda: frames.epochs(1, lambda k: 1),
    "six with long names": lambda: frames.epochs(6, name=frames.LONG),
    "twenty with long names": lambda: frames.epochs(20, lambda k: k % 5 + 1, name=frames.LONG),
    "100 epochs": lambda: frames.epochs(3, length=100),
}


@pytest.mark.parametrize("case", RUNS)
def test_figures_of_runs_are_legible(case):
    epochs = RUNS[case]()
    assert_legible(runs.learning_curves(epochs, 99.4))
    assert_legible(runs.seeds(statistics.last_epochs(epochs)))
    assert_legible(runs.losses(epochs[epochs["experiment"].isin(epochs["experiment"].unique()[:8])]))


@pytest.mark.parametrize("name", ["exp{}", frames.LONG])
@pytest.mark.parametrize(("count", "published"), [(1, 0), (3, 15), (20, 15)])
def test_figures_of_specs_are_legible_and_names_avoid_points(count, published, name):
    summary, references = frames.summary(count, name), frames.references()[:published]
    other = summary[:1].assign(data="cifar10", last=80.0, last_low=79.0, last_high=81.0)
    both, budgets = pd.concat([summary, other], ignore_index=True), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000]
    against_macs = specs.accuracy_against(summary, summary[:0], "macs", "multiply-accumulates of an image")
    for figure in (specs.accuracy_against_parameters(both, references, budgets), against_macs):
        assert_legible(figure)
        for axes in (axes for axes in figure.axes if axes.texts):
            boxes = [Text.get_window_extent(text) for text in axes.texts]
            for line in (line for line in axes.lines if line.get_marker() in ("o", "s", "x", "D")):
                for point in axes.transData.transform(line.get_xydata()):
                    assert not any(box.contains(*point) for box in boxes)


@pytest.mark.parametrize("count", [1, 4, 20])
def test_accuracy_against_bytes_is_legible(count):
    summary = frames.summary(count, "record_{}").rename(columns={"parameters": "bytes"})
    assert_legible(specs.accuracy_against(summary, evidence.references_of_bytes(), "bytes", "bytes"))


@pytest.mark.parametrize("network", [networks.everything(), networks.model_1(), networks.model_3(dropout=0.003)])
def test_layers_are_legible(network):
    measured = measure(Spec(name="some", model=network, target=Target(parameter_limit=None)), DATASETS["mnist"])
    assert_legible(architecture.architecture(measured, (1, 28, 28)))


def test_training_time_and_augmentation_are_legible():
    seconds = np.arange(1, 16)
    lines = {"exp3": (4 * seconds, 99.6 - 1 / seconds), "sprint": (seconds[:7], 99.6 - 2 / seconds[:7])}
    assert_legible(runs.training_time(lines, [144.0, 210.0, 230.0], 99.4))
    assert_legible(training.contact_sheet(np.zeros((6, 1, 8, 8)), np.zeros((4, 6, 1, 8, 8)), 0.48))


@pytest.mark.parametrize(("count", "fields", "name"), [(1, 1, "exp{}"), (3, 30, frames.LONG), (20, 4, frames.LONG)])
def test_changes_are_legible(count, fields, name):
    assert_legible(specs.changes(frames.changes(count, fields, name)))


@pytest.mark.parametrize("classes", [frames.DIGITS, frames.THINGS], ids=["digits", "things"])
@pytest.mark.parametrize(("seeds", "images"), [(1, 3), (5, 40), (3, 300)])
def test_figures_of_mistakes_are_legible(seeds, images, classes):
    wrong = frames.mistakes(seeds, images)
    assert_legible(mistakes.confusion(statistics.confusion(wrong, 10), [1_000] * 10, classes))
    table = statistics.wrong_for_every_seed(wrong)
    assert_legible(mistakes.always_wrong(np.zeros((len(table), 3, 32, 32), np.uint8), table, classes))
    labels, logits = np.arange(200) % 10, np.random.default_rng(0).normal(size=(200, 10))
    assert_legible(mistakes.worst_mistakes(np.zeros((200, 1, 4, 4), np.uint8), labels, logits, classes))
    crowded = np.full((10, 10), 1_000)
    assert_legible(mistakes.confusion(crowded, crowded.sum(1), classes))


@pytest.mark.parametrize("epochs", [1, 3, 100])
@pytest.mark.parametrize("errors", [lambda e: 20 / e, lambda e: 0.5 + e / 1e5, lambda e: 0], ids=str)
def test_curves_of_a_run_are_legible(epochs, errors):
    history = [EpochResult(e, 0.1, 100 - 2 * errors(e), 0.1 / e, 100 - errors(e), 0.1 / 10**e, 1.0, 1.0, e, 99.0)
               for e in range(1, epochs + 1)]  # fmt: skip
    assert_legible(training.curves(history, 99.4))


STUDIES = {
    "many": {},
    "accuracy": {"objective": "validation_accuracy"},
    "four fields": {"ranges": dict(list(frames.RANGES.items())[:4])},
    "a thousand": {"trials": 1_000},
}


@pytest.mark.parametrize("case", STUDIES)
def test_figures_of_studies_are_legible(case):
    trials, result = frames.study(**STUDIES[case])
    assert_legible(studies.slices(trials, result))


@pytest.mark.parametrize(
    ("network", "data"), [(networks.everything(), "mnist"), (networks.model_2(padding=1), "cifar10")]
)
def test_receptive_fields_are_legible(network, data):
    facts = DATASETS[data]
    shape = facts.channels, facts.size, facts.size
    layers = measure(Spec(name="some", model=network, target=Target(parameter_limit=None)), facts).layers
    fields = receptive_field.receptive_fields(network.build(shape, 10), layers, torch.randn(2, *shape))
    assert_legible(receptive_fields.receptive_fields(np.zeros(shape, np.uint8), fields))


def test_the_same_frames_give_the_same_bytes_in_any_process_and_with_any_style_of_the_users(tmp_path):
    code = """if True:
        import sys, pathlib, frames
        from analysis.plots import runs, style
        style.save(runs.learning_curves(frames.epochs(7), 99.4), pathlib.Path(sys.argv[1]))"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, cwd=tmp_path, env=environment)
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "x", "axes.grid": False}):
        style.save(runs.learning_curves(frames.epochs(7), 99.4), tmp_path / "here")
    for kind in ("png", "svg"):
        assert (tmp_path / f"here.{kind}").read_bytes() == (tmp_path / f"there.{kind}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "here.svg").read_bytes()
