"""Comparison figures say what the frames say, against counts and intervals made by hand, pandas or scipy."""

import frames
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats

from analysis import figures, figures_axes, style


def test_learning_curves_are_the_means_of_the_seeds_in_a_band_from_lowest_to_highest():
    epochs = frames.epochs(2, lambda k: 4, length=6)
    axes = figures.learning_curves(epochs).axes[0]
    errors = epochs.assign(errors=100 * (100 - epochs["test_accuracy"])).groupby(["experiment", "epoch"])["errors"]
    for line, band, name in zip(axes.lines, axes.collections, ("exp0", "exp1"), strict=False):
        np.testing.assert_allclose(line.get_ydata(), errors.mean()[name])
        path = band.get_paths()[0].vertices
        for epoch in range(1, 7):
            heights = path[np.isclose(path[:, 0], epoch), 1]
            assert (heights.min(), heights.max()) == pytest.approx(
                (errors.min()[name, epoch], errors.max()[name, epoch])
            )


def test_no_errors_at_all_are_drawn_at_half_an_error():
    assert figures_axes.errors_of([100, 99.995, 99.4]).tolist() == pytest.approx([0.5, 0.5, 60])


def test_one_could_tell_994_from_996_in_the_curves_of_the_evidence():
    figure = figures.learning_curves(frames.evidence(), 99.4)
    FigureCanvasAgg(figure).draw()
    heights = figure.axes[0].transData.transform([(1, 60), (1, 40)])[:, 1]
    assert (heights[0] - heights[1]) / figure.dpi * 72 > 9  # points: more than a line of text is high


def test_data_sets_never_share_a_panel():
    epochs = frames.epochs(4, data=lambda k: ("mnist", "cifar10")[k % 2])
    curves = [axes for axes in figures.learning_curves(epochs).axes if axes.lines]
    assert [len(axes.lines) for axes in curves] == [2, 2]
    assert [axes.get_title(loc="left") for axes in curves] == ["mnist", "cifar10"]
    summary = frames.summary(4, data=lambda k: ("mnist", "cifar10")[k % 2])
    panels = figures.accuracy_against_parameters(summary, None, None).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["mnist", "cifar10"]


def test_more_experiments_than_can_be_shown_are_said_to_be_left_out():
    epochs = frames.epochs(30, lambda k: 1)
    figure = figures.learning_curves(epochs, 99.4)
    assert figure.get_suptitle().startswith("24 of 30 experiments, those with the fewest errors;")
    assert figures.seeds(epochs).legends[0].get_title().get_text().startswith("24 of 30")
    last = epochs[epochs["epoch"] == 15].sort_values("test_accuracy", ascending=False)["experiment"][:24]
    assert {axes.get_title(loc="left") for axes in figure.axes} == {f"{name} (n=1)" for name in last}


def test_of_the_seeds_every_point_the_mean_and_students_interval_are_drawn():
    epochs = frames.epochs(1, length=2)
    epochs.loc[epochs["epoch"] == 2, "test_accuracy"] = [99.4, 99.5, 99.6]
    interval, mean, points = figures.seeds(epochs).axes[0].lines
    assert points.get_xdata() == pytest.approx([60, 50, 40])
    assert mean.get_xdata() == pytest.approx(50)
    half = 4.302653 * 0.1 / 3**0.5  # t of two degrees of freedom, 97.5 %, from a printed table
    assert sorted(interval.get_xdata()) == pytest.approx([50 - 100 * half, 50 + 100 * half], rel=1e-5)


def test_an_interval_that_leaves_the_axis_ends_in_an_arrow():
    epochs = frames.epochs(1, lambda k: 2, length=1)
    epochs["test_accuracy"] = [99.4, 99.5]  # t of one degree of freedom: 12.7
    axes = figures.seeds(epochs).axes[0]
    low, high = axes.get_xlim()
    assert {line.get_marker(): float(line.get_xdata()[0]) for line in axes.lines[3:]} == {"<": low, ">": high}


def test_a_run_that_ended_early_is_no_last_epoch():
    epochs = frames.with_gaps(frames.epochs(1))
    points = figures.seeds(epochs).axes[0].lines[2]
    assert len(points.get_xdata()) == 2


def test_experiments_of_one_schedule_share_its_line():
    epochs = frames.epochs(3)
    epochs.loc[epochs["experiment"] == "exp2", "learning_rate"] = epochs.loc[
        epochs["experiment"] == "exp0", "learning_rate"].to_numpy()  # fmt: skip
    figure = figures.schedules(epochs)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["exp0, exp2", "exp1"]
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), [0.02 / epoch for epoch in range(1, 16)])


def test_the_front_is_of_those_that_no_smaller_network_beats():
    summary = frames.summary(60)
    axes = figures.accuracy_against_parameters(summary, None, None).axes[0]
    pairs = list(zip(summary["parameters"], summary["last_mean"], strict=True))
    best = {(p, a) for p, a in pairs if not any(q <= p and b >= a and (q, b) != (p, a) for q, b in pairs)}
    step = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert list(step.get_xdata()) == sorted(p for p, _ in best)
    assert step.get_ydata() == pytest.approx([100 * (100 - a) for _, a in sorted(best)])


def test_the_limit_and_every_published_figure_are_drawn():
    references = frames.references()
    axes = figures.accuracy_against_parameters(frames.summary(3), references, 8_000).axes[0]
    squares = next(line for line in axes.lines if line.get_marker() == "s")
    assert list(squares.get_xdata()) == references["parameters"].tolist()
    assert squares.get_ydata() == pytest.approx(100 * (100 - references["best"]))
    assert any(list(line.get_xdata()) == [8_000, 8_000] for line in axes.lines)


def test_near_the_limit_a_crowd_is_drawn_twice_and_every_network_of_ours_is_named():
    figure = figures.accuracy_against_parameters(frames.summary(4), frames.references(), 8_000)
    assert [axes.get_xlabel() for axes in figure.axes] == ["parameters", "parameters, those near the limit"]
    low, high = figure.axes[1].get_xlim()
    assert 6_480 < low < 7_344 and 8_000 < high < 8_800
    named = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"exp0", "exp1", "exp2", "exp3"} <= named


def test_changes_are_drawn_with_their_intervals_and_hollow_where_not_paired():
    frame = frames.changes(3)
    axes = figures.changes(frame).axes[0]
    bars = [line for line in axes.lines if line.get_linewidth() == 1.4]
    assert [list(line.get_xdata()) for line in bars] == frame.loc[:1, ["low", "high"]].to_numpy().tolist()
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx(frame["difference"])
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True, True]
    assert dots[1].get_color() == style.BLUE and dots[2].get_color() == style.GREY  # nothing says how sure that is


def test_confusion_holds_the_mean_counts_of_a_run():
    rows = [(0, 5, 3, 8), (0, 6, 3, 8), (1, 5, 3, 8), (1, 7, 0, 1)]  # seed, index, label, predicted
    mistakes = pd.DataFrame(rows, columns=["seed", "index", "label", "predicted"])
    axes = figures.confusion(mistakes, [10] * 10, frames.DIGITS).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts if "%" not in text.get_text()}
    assert cells.items() >= {(8, 3): "1.5", (1, 0): "0.5"}.items()
    shares = [text.get_text() for text in axes.texts if "%" in text.get_text()]
    assert shares == ["5.00 %", *["0.00 %"] * 2, "15.00 %", *["0.00 %"] * 6]
    assert axes.get_title(loc="left") == "2 of 100 wrong, mean of n=2"
    assert "0.7 of 100" in figures.confusion(mistakes[:2], [10] * 10, frames.DIGITS, 3).axes[0].get_title(loc="left")


def test_only_what_every_run_gets_wrong_is_always_wrong():
    rows = [(0, 5, 3, 8), (1, 5, 3, 2), (2, 5, 3, 2), (0, 6, 1, 7), (1, 6, 1, 7), (0, 9, 4, 9), (1, 9, 4, 6)]
    rows.append((2, 9, 4, 5))
    mistakes = pd.DataFrame(rows, columns=["seed", "index", "label", "predicted"])
    table = figures.wrong_for_every_seed(mistakes)
    assert table.to_numpy().tolist() == [[5, 3, 2, 2], [9, 4, 5, 1]]
    assert figures.wrong_for_every_seed(mistakes, runs=4).empty  # a run without a mistake has no row
    images = np.arange(2, dtype=np.uint8)[:, None, None, None] * np.ones((2, 1, 4, 4), np.uint8)
    panels = [axes for axes in figures.always_wrong(images, table).axes if axes.images]
    assert [axes.get_title() for axes in panels] == ["3 → 2\nno. 5", "4 → 5\nno. 9"]
    assert [np.asarray(axes.images[0].get_array()).max() for axes in panels] == [0, 1]


@pytest.mark.parametrize("objective", ["validation_loss", "validation_accuracy"])
def test_the_history_of_a_study_goes_down_to_its_best(objective):
    trials, _, facts = frames.study(objective=objective)
    axes = figures.history(trials, facts).axes[0]
    best, dots = axes.lines[:2]
    assert dots.get_marker() == "o" and (np.diff(best.get_ydata()) <= 0).all()
    values = trials["value"].dropna()
    last = values.min() if objective == "validation_loss" else 100 * (100 - values.max())
    assert best.get_ydata()[-1] == pytest.approx(last) == pytest.approx(dots.get_ydata().min())


def test_trials_over_the_limit_are_crosses_above_it():
    trials, _, facts = frames.study()
    figure = figures.feasibility(trials, facts)
    lines = figure.axes[0].lines
    cross = next(line for line in lines if line.get_marker() == "x")
    star = next(line for line in lines if line.get_marker() == "*")
    assert (cross.get_ydata() > 8_000).all() and len(cross.get_ydata()) == (trials["state"] == "over_limit").sum()
    assert list(star.get_xdata()) == [facts["best"]]
    assert f"over the limit ({len(cross.get_ydata())})" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_pruned_curves_end_in_a_cross_where_they_were_pruned():
    trials, curves, facts = frames.study()
    lines = figures.pruned_curves(curves, trials, facts).axes[0].lines
    pruned = [line for line in lines if line.get_marker() == "x"]
    assert len(pruned) == (trials["state"] == "pruned").sum()
    assert {(line.get_xdata()[-1], tuple(line.get_markevery())) for line in pruned} == {(4, (-1,))}
    best = next(line for line in lines if line.get_color() == style.BLACK)
    expected = curves[curves["trial"] == facts["best"]].groupby("epoch")["validation_loss"].mean()
    np.testing.assert_allclose(best.get_ydata(), expected)


def test_importances_come_with_the_largest_first():
    axes = figures.importances({"importances": {"a": 0.1, "b": 0.7, "c": 0.2}}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c", "a"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([70, 20, 10])
    assert [text.get_text() for text in axes.texts] == ["70 %", "20 %", "10 %"]


def test_parallel_lines_go_through_the_values_on_the_scale_that_was_searched():
    trials, _, facts = frames.study(2, states=("complete",))
    trials.loc[0, ["optimizer.lr", "optimizer.name", "schedule.step_size"]] = [0.001 * 30**0.5, "AdamW", 5]
    axes = figures.parallel(trials, facts).axes[0]
    names = [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]
    assert names == list(facts["ranges"])  # made with falling importances
    best, other = np.asarray(axes.lines[0].get_xdata()), axes.collections[0].get_segments()[0][:, 0]
    first = best if facts["best"] == 0 else other
    places = dict(zip(names, first, strict=True))
    assert places["optimizer.lr"] == pytest.approx(0.5)  # 0.001 to 0.03: the middle of the logarithms
    assert places["optimizer.name"] == 1 and places["schedule.step_size"] == 0.5


def test_choices_that_are_numbers_are_known_in_a_column_with_gaps():
    trials, _, facts = frames.study(3, states=("complete", "complete", "failed"))
    facts["ranges"] = {"train.batch_size": {"kind": "choice", "choices": [128, 32]}}
    trials["train.batch_size"] = [32, 128, np.nan]
    axes = figures.contour(trials, facts, "model.dropout", "train.batch_size").axes[0]
    assert axes.collections[-1].get_offsets()[:, 1].tolist() == [1, 0]
    assert axes.yaxis.get_major_formatter()(0, 0) == "128"


def test_a_map_is_drawn_between_numbers_and_not_between_choices():
    trials, _, facts = frames.study()
    numbers = figures.contour(trials, facts, "model.dropout", "schedule.step_size").axes[0]
    choices = figures.contour(trials, facts, "model.dropout", "optimizer.name").axes[0]
    assert len(numbers.collections) == len(choices.collections) + 1
    points = choices.collections[-1].get_offsets()
    done = trials[trials["state"] == "complete"]
    np.testing.assert_allclose(points[:, 0], done["model.dropout"])
    assert points[:, 1].tolist() == [["SGD", "Adam", "AdamW"].index(name) for name in done["optimizer.name"]]


def test_one_run_has_wilsons_interval_in_dashes_and_more_have_students():
    epochs = frames.epochs(1, lambda k: 1, length=1).assign(test_accuracy=99.5)
    interval, point = figures.seeds(epochs).axes[0].lines
    wilson = stats.binomtest(9_950, 10_000).proportion_ci(method="wilson")
    assert sorted(interval.get_xdata()) == pytest.approx([1e4 * (1 - wilson.high), 1e4 * (1 - wilson.low)])
    assert interval.get_linestyle() == "--" and point.get_xdata() == pytest.approx(50)
    epochs = frames.epochs(1, lambda k: 6)
    last = epochs[epochs["epoch"] == 15]["test_accuracy"]
    student = stats.ttest_1samp(last, 99).confidence_interval(0.95)
    drawn = figures.seeds(epochs).axes[0].lines[0]
    assert sorted(drawn.get_xdata()) == pytest.approx([100 * (100 - student.high), 100 * (100 - student.low)])
    assert drawn.get_linestyle() == "-"
