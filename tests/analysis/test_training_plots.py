"""The figures of one run say what its arrays say."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.plots import training
from analysis.plots.mistakes import worst_mistakes
from tinycnn.data import Images
from tinycnn.train.loop import EpochResult


def history(epochs, errors=lambda epoch: 0.6 + 20 / epoch, clean=None):
    """Return made-up epochs: ``errors`` in percent of the evaluation images, training images have twice as many."""
    return [
        EpochResult(e, errors(e) / 15 + 0.02, 100 - 2 * errors(e), errors(e) / 30, 100 - errors(e), 0.1 / e, 12.3, 5e3,
                    1e9 + e, clean if e == epochs else None)
        for e in range(1, epochs + 1)
    ]  # fmt: skip


def line(axes, start):
    return next(line for line in axes.lines if line.get_label().startswith(start))


def test_curves_draw_errors_losses_and_rates_of_every_epoch():
    run = history(15, clean=99.75)
    error, loss, rate = training.curves(run, target=99.4, kind="validation").axes
    np.testing.assert_allclose(line(error, "validation").get_ydata(), [0.6 + 20 / e for e in range(1, 16)])
    np.testing.assert_allclose(line(error, "training, as it ran").get_ydata(), [1.2 + 40 / e for e in range(1, 16)])
    np.testing.assert_allclose(line(error, "training, clean").get_ydata(), 0.25)
    np.testing.assert_allclose(line(error, "target 99.4 %").get_ydata(), 0.6)
    assert [list(drawn.get_ydata()) for drawn in loss.lines] == [[r.train_loss for r in run], [r.loss for r in run]]
    assert list(rate.lines[0].get_ydata()) == [r.learning_rate for r in run]


def test_a_run_has_curves_confusion_and_worst_mistakes():
    labels, logits = torch.tensor([0, 0, 0, 1, 1, 2]), torch.eye(3)[[0, 0, 2, 1, 0, 2]]
    images = Images(torch.zeros(6, 1, 28, 28, dtype=torch.uint8), labels)
    split = SimpleNamespace(evaluation=images, kind="test", classes=("a", "b", "c"))
    drawn = dict(training.draw(history(3), split, logits, SimpleNamespace(parameters=7_872), None))
    assert list(drawn) == ["curves.png", "confusion.png", "worst_mistakes.png"]
    axes = drawn["confusion.png"].axes[0]
    assert axes.get_title(loc="left") == "2 of 6 wrong"
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]  # (true, predicted)


@pytest.mark.parametrize("channels", [1, 3])
def test_worst_mistakes_come_in_the_order_of_cross_entropy(channels):
    random = torch.Generator().manual_seed(3)
    labels = torch.randint(10, (500,), generator=random)
    logits = torch.randn(500, 10, generator=random) * 2 + 4 * nn.functional.one_hot(labels, 10)
    images = torch.randint(256, (500, channels, 28, 28), generator=random, dtype=torch.uint8)
    figure = worst_mistakes(images, labels, logits, "0123456789", most=5)
    losses, wrong = nn.functional.cross_entropy(logits.double(), labels, reduction="none"), logits.argmax(1) != labels
    assert figure.get_suptitle() == f"worst mistakes, true → predicted: 5 of {wrong.sum()} in 500 images"
    for index, axes in zip(torch.where(wrong, losses, -1).topk(5).indices.tolist(), figure.axes, strict=False):
        sure = 100 * logits[index].softmax(0).max()
        percent = f"{sure:.0f} %" if sure < 99.5 else "> 99 %"
        assert axes.get_title() == f"{labels[index]} → {logits[index].argmax()}\n{percent}, no. {index}"
        shown = np.asarray(axes.images[0].get_array())
        np.testing.assert_array_equal(shown, images[index].numpy().transpose(1, 2, 0).repeat(3 // channels, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_contact_sheet_holds_every_image_in_its_row(channels):
    rows = torch.rand(4, 5, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    panels = training.contact_sheet(rows[0], rows[1:]).axes
    assert [axes.get_ylabel() for axes in panels[::5]] == ["original", "draw 1", "draw 2", "draw 3"]
    for axes, image in zip(panels, rows.flatten(0, 1), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image.permute(1, 2, 0).expand(8, 8, 3))


def test_the_figures_of_a_run_need_matplotlib_and_numpy_only():
    code = "import sys, analysis.plots.training; print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
