"""Pictures and tables say what the arrays say, and can be read: no two labels on top of one another."""

import itertools
import re
import subprocess
import sys
from dataclasses import replace

import networks
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from torch import nn

from analysis.plots import training as pictures
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import Activation, Conv, Head, MaxPool, Network, Repeat, Residual, Spec, Target
from tinycnn.track import tables
from tinycnn.train.loop import EpochResult

DIGITS = DATASETS["mnist"].classes


def history(epochs, errors=lambda epoch: 0.6 + 20 / epoch, rate=lambda epoch: 0.1 / epoch, clean=None):
    """Return made-up epochs: ``errors`` in percent of the evaluation images, training images have twice as many."""
    return [
        EpochResult(e, errors(e) / 15 + 0.02, 100 - 2 * errors(e), errors(e) / 30, 100 - errors(e), rate(e), 12.3, 5e3,
                    1e9 + e, clean if e == epochs else None)
        for e in range(1, epochs + 1)
    ]  # fmt: skip


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def measured(network, channels=1, size=28):
    facts = replace(DATASETS["mnist"], channels=channels, size=size)
    return measure(Spec(name="some", model=network, target=Target(parameter_limit=None)), facts)


def deep():
    """Twelve layers that see more and more, up to 76 pixels of a picture with 32."""
    blocks = itertools.chain(*((Conv(3), Conv(3), MaxPool(2)) for _ in range(4)))
    return measured(Network(*blocks, Head(), padding=1), 3, 32).layers[:12]


def boxes(figure, texts):
    """Return the places of texts on the drawn picture, in dots; all of them must lie on it."""
    if not isinstance(figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(figure).draw()
    found = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    for box in found:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
    return found


def overlaps(figure, texts):
    """Return the pairs of texts that touch."""
    return [pair for pair in itertools.combinations(boxes(figure, texts), 2) if pair[0].overlaps(pair[1])]


def tick_labels(axis):
    if not isinstance(axis.figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(axis.figure).draw()  # ticks have their labels only then
    low, high = sorted(axis.get_view_interval())
    inside = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and tick.label1.get_visible()]
    return [tick.label1 for tick in inside]


def line(axes, start):
    return next(line for line in axes.lines if line.get_label().startswith(start))


def test_curves_draw_errors_losses_and_rates_of_every_epoch():
    run = history(15, clean=99.75)
    error, loss, rate = pictures.curves(run, target=99.4, kind="validation").axes
    np.testing.assert_allclose(line(error, "validation").get_ydata(), [0.6 + 20 / e for e in range(1, 16)])
    np.testing.assert_allclose(line(error, "training, as it ran").get_ydata(), [1.2 + 40 / e for e in range(1, 16)])
    np.testing.assert_allclose(line(error, "training, as in a test").get_ydata(), 0.25)
    np.testing.assert_allclose(line(error, "target 99.4 %").get_ydata(), 0.6)
    assert [list(drawn.get_ydata()) for drawn in loss.lines] == [[r.train_loss for r in run], [r.loss for r in run]]
    assert list(rate.lines[0].get_ydata()) == [r.learning_rate for r in run]
    assert all(list(axes.lines[0].get_xdata()) == list(range(1, 16)) for axes in (error, loss, rate))


@pytest.mark.parametrize("epochs", [1, 3, 100])
@pytest.mark.parametrize(
    ("errors", "rate"),
    [
        (lambda e: 20 / e, lambda e: 0.1 / 10**e),
        (lambda e: 0.5 + e / 1e5, lambda e: 0.0),
        (lambda e: 0, lambda e: 0.01),
    ],
    ids=["falling", "flat", "none"],
)
def test_curves_can_be_read_at_any_length(epochs, errors, rate):
    figure = pictures.curves(history(epochs, errors, rate), target=99.4)
    for axes in figure.axes:
        labels = tick_labels(axes.yaxis)
        assert 2 <= len(labels) <= 9 and not overlaps(figure, labels)
        for drawn in axes.lines:
            low, high = axes.get_ylim()
            assert all(low <= value <= high for value in drawn.get_ydata())
    for label in tick_labels(figure.axes[0].yaxis):
        assert re.fullmatch(r"[0-9.]+", label.get_text())
    below = tick_labels(figure.axes[2].xaxis)
    assert below and not overlaps(figure, below)
    assert all(label.get_text().isdigit() for label in below)


@pytest.mark.parametrize(("evaluated", "floor"), [(10_000, 0.005), (1_000, 0.05)])
def test_no_errors_are_drawn_as_half_an_image_and_the_picture_says_so(evaluated, floor):
    axes = pictures.curves(history(2, errors=lambda e: 2 - e), evaluated=evaluated).axes[0]
    assert list(line(axes, "test").get_ydata()) == [1, floor]
    assert axes.get_title(loc="right").startswith(f"{floor:g} %")
    assert not pictures.curves(history(2), evaluated=evaluated).axes[0].get_title(loc="right")


def test_confusion_counts_are_those_counted_by_hand():
    figure = pictures.confusion([0, 0, 0, 1, 1, 2], torch.tensor([0, 0, 2, 1, 0, 2]), ("a", "b", "c", "never"))
    axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts if text.get_text().isdigit()}
    assert cells == {(0, 0): "2", (2, 0): "1", (1, 1): "1", (0, 1): "1", (2, 2): "1"}  # (predicted, true)
    assert [t.get_text() for t in axes.texts if " of " in t.get_text()] == ["1 of 3", "1 of 2", "0 of 1", "0 of 0"]
    assert axes.get_title(loc="left") == "2 of 6 images wrong (33.33 %)"
    coloured = np.argwhere(np.asarray(axes.images[0].get_array()))
    assert coloured.tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_class_names_and_counts_do_not_overlap(name):
    classes = DATASETS[name].classes
    labels = np.repeat(np.arange(10), 12_000)
    figure = pictures.confusion(labels, np.random.default_rng(0).permutation(labels), classes)
    axes = figure.axes[0]
    assert not overlaps(figure, [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes._left_title])
    assert not overlaps(figure, [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()])


def guesses(count, classes=10, scale=4.0):
    random = torch.Generator().manual_seed(3)
    labels = torch.randint(classes, (count,), generator=random)
    return labels, torch.randn(count, classes, generator=random) * 2 + scale * nn.functional.one_hot(labels, classes)


@pytest.mark.parametrize("channels", [1, 3])
def test_worst_mistakes_come_in_the_order_of_cross_entropy(channels):
    labels, logits = guesses(500)
    images = noise(500, channels, 28, 28)
    axes = pictures.worst_mistakes(images, labels, logits, DIGITS, count=5).axes[0]
    losses = nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    wrong = logits.argmax(1) != labels
    expected = torch.where(wrong, losses, -1).topk(5).indices.tolist()
    assert axes.texts[0].get_text() == f"Worst mistakes, true → predicted: 5 of {wrong.sum()} in 500 images"
    for index, text, shown in zip(expected, axes.texts[1:], axes.images, strict=True):
        predicted, sure = logits[index].argmax(), 100 * logits[index].softmax(0).max()
        certainty = f"{sure:.0f} %" if sure < 99.5 else "> 99 %"
        assert text.get_text() == f"{labels[index]} → {predicted}\n{certainty}  no. {index}"
        np.testing.assert_array_equal(shown.get_array(), images[index].transpose(1, 2, 0).repeat(3 // channels, 2))


@pytest.mark.parametrize("mistakes", [0, 1, 7])
def test_fewer_mistakes_than_asked_for_are_all_shown(mistakes):
    labels = np.arange(10)
    logits = 2000.0 * np.eye(10)[np.where(labels < mistakes, labels + 1, labels)]  # e to the 2000 overflows
    axes = pictures.worst_mistakes(noise(10, 1, 28, 28), labels, logits, DIGITS).axes[0]
    assert len(axes.images) == len(axes.texts) - 1 == mistakes
    assert axes.texts[0].get_text().startswith("No mistake in 10" if not mistakes else "Worst")
    assert all("> 99 %" in text.get_text() for text in axes.texts[1:])


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_titles_of_mistakes_do_not_overlap_with_long_names(name):
    classes = sorted(DATASETS[name].classes, key=len)[-2:] * 5  # every title is of the longest
    labels, logits = guesses(60_000, scale=0)
    figure = pictures.worst_mistakes(np.zeros((60_000, 1, 4, 4), np.uint8), labels, logits, classes)
    assert not overlaps(figure, figure.axes[0].texts)
    assert len(figure.axes[0].images) == 24


def squares(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()]


def test_squares_have_the_sides_of_the_receptive_fields_and_one_middle():
    figure = pictures.receptive_field(noise(1, 28, 28), measured(networks.model_3()).layers)
    drawn = squares(figure.axes[0])
    assert [square.get_width() for square in drawn] == [3, 5, 7, 8, 12, 16, 20, 24, 28]  # r + (k - 1) j, by hand
    assert {tuple(square.get_center()) for square in drawn} == {(14, 14)}
    assert not any(patch.get_hatch() for patch in figure.axes[0].patches)  # nothing is padded
    listed = [text.get_text() for text in figure.axes[1].texts]
    assert listed[2:8] == ["1", "conv 3×3, 8", "3 × 3", "2", "conv 3×3, 12", "5 × 5"]
    assert listed[-3:] == ["9", "average, 1×1 conv to classes", "28 × 28"]


def test_fields_beyond_the_picture_show_padding_and_stay_legible():
    figure = pictures.receptive_field(noise(3, 32, 32), deep())
    picture, table = figure.axes
    assert [square.get_width() for square in squares(picture)] == [3, 5, 6, 10, 14, 16, 24, 32, 36, 52]
    assert any(patch.get_hatch() for patch in picture.patches)
    listed = [text.get_text() for text in table.texts]
    assert "(not drawn) 76 × 76" in listed and listed[-1].startswith("hatched: padding")
    assert not overlaps(figure, [*picture.texts, *table.texts])


def test_a_picture_is_drawn_where_nothing_grows():
    layers = measured(Network(Conv(4, 1), Head()), 3, 32).layers[:1]
    figure = pictures.receptive_field(noise(3, 20, 32), layers)
    assert not squares(figure.axes[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_contact_sheet_holds_every_image_in_its_row(channels):
    rows = torch.rand(4, 5, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    figure = pictures.contact_sheet(rows[0], rows[1:])
    axes = figure.axes[0]
    sheet = np.asarray(axes.images[0].get_array())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "draw 1", "draw 2", "draw 3"]
    assert not overlaps(figure, axes.get_yticklabels())
    for middle, row in zip(axes.get_yticks(), rows, strict=True):
        top = int(middle + 0.5) - 4
        for column, image in enumerate(row):
            cell = sheet[top : top + 8, column * 10 : column * 10 + 8]
            np.testing.assert_array_equal(cell, image.permute(1, 2, 0).expand(8, 8, 3))


def cells(table):
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("|")]


TABLES = networks.NAMED | {
    "everything": networks.everything,
    "big": lambda: Network(Conv(2048, dropout=0.125, dropout_of="elements", bias=True), Head(), padding=1),
    "deep": lambda: Network(Residual(Repeat(Residual(Repeat(Conv(32, bias=True), times=3)))), Head(), padding=1),
}


@pytest.mark.parametrize("data", ["mnist", "cifar10"])
@pytest.mark.parametrize("name", TABLES)
def test_layer_tables_add_up_and_fit_a_terminal(name, data):
    facts = DATASETS[data]
    found = measured(TABLES[name](), facts.channels, facts.size)
    table = tables.layer_table(found.layers)
    assert max(map(len, table.splitlines())) <= 80
    rows = [[int(count.replace(",", "")) for count in row[3:]] for row in cells(table)[2:] if row[3]]
    assert len(rows) == len(found.layers) + 1
    assert [sum(row[i] for row in rows[:-1]) for i in (0, 1)] == rows[-1][:2] == [found.parameters, found.macs]
    assert [row[2] for row in rows[-2:]] == [found.receptive_field] * 2


def test_batch_norm_activation_and_dropout_share_the_row_of_their_convolution():
    network = Network(Activation(), Conv(16, padding=1, dropout=0.05), MaxPool(2), Activation("gelu"), Head())
    table = tables.layer_table(measured(network, 3, 32).layers)
    assert cells(table)[2:] == [
        ["0", "ReLU", "3×32×32", "0", "0", "1"],
        ["1", "conv 3×3, 16, padding 1, BN,", "16×32×32", "464", "442,368", "3"],  # 3*3*3*16 + 2*16; 432 * 32 * 32
        ["", "ReLU, dropout 0.05", "", "", "", ""],
        ["2", "max-pool 2", "16×16×16", "0", "0", "4"],
        ["3", "GELU", "16×16×16", "0", "0", "4"],
        ["4", "average, 1×1 conv to classes", "10", "160", "160", "34"],  # 4 + 15 * 2
        ["total", "", "", "624", "442,528", "34"],
    ]


def test_a_kind_that_is_cut_into_lines_is_still_all_there():
    found = measured(networks.everything())
    whole, last = {}, None
    for name, kind, *_ in cells(tables.layer_table(found.layers))[2:-1]:
        last = name or last
        whole[last] = f"{whole.get(last, '')} {kind}".strip()
    assert whole == {layer.name: layer.kind for layer in found.layers}


@pytest.mark.parametrize("kind", ["test", "validation"])
def test_epoch_tables_fit_a_terminal_and_hold_every_epoch(kind):
    table = tables.epoch_table(history(100, rate=lambda e: 4.0512e-8 * e), kind)
    assert max(map(len, table.splitlines())) <= 80
    head, _, *rows = cells(table)
    assert len(rows) == 100 and head[3].startswith(kind[:3])
    assert rows[1] == ["2", "0.7267", "78.80", "0.3533", "89.40", "8.1e-08", "12.3"]


def test_tables_need_neither_torch_nor_matplotlib():
    code = "import sys, tinycnn.track.tables; print([m for m in ('torch', 'matplotlib', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_pictures_are_saved_at_150_dots_per_inch(tmp_path):
    figure = pictures.confusion([0, 1], [0, 1], "01")
    figure.savefig(tmp_path / "picture.png")
    header = (tmp_path / "picture.png").read_bytes()[16:20]
    assert int.from_bytes(header, "big") == pytest.approx(150 * figure.get_figwidth(), abs=1)
