"""Figures say what the frames say, against counts and intervals made by hand, pandas or scipy."""

import frames
import numpy as np
import pytest
from scipy import stats

from analysis.plots import mistakes, runs, specs, studies, style


def test_learning_curves_are_the_means_of_the_seeds_in_a_band_from_lowest_to_highest():
    epochs = frames.epochs(2, lambda k: 4, length=6)
    axes = runs.learning_curves(epochs).axes[0]
    errors = epochs.assign(errors=100 * (100 - epochs["test_accuracy"])).groupby(["experiment", "epoch"])["errors"]
    for line, band, name in zip(axes.lines, axes.collections, ("exp0", "exp1"), strict=False):
        np.testing.assert_allclose(line.get_ydata(), errors.mean()[name])
        path = band.get_paths()[0].vertices
        for epoch in range(1, 7):
            heights = path[np.isclose(path[:, 0], epoch), 1]
            assert (heights.min(), heights.max()) == pytest.approx(
                (errors.min()[name, epoch], errors.max()[name, epoch])
            )


def test_of_the_seeds_every_point_the_mean_and_students_interval_are_drawn():
    last = frames.epochs(1, length=1).assign(test_accuracy=[99.4, 99.5, 99.6])
    interval, mean, points = runs.seeds(last).axes[0].lines
    assert points.get_xdata() == pytest.approx([60, 50, 40])
    assert mean.get_xdata() == pytest.approx(50)
    half = 4.302653 * 0.1 / 3**0.5  # t of two degrees of freedom, 97.5 %, from a printed table
    assert sorted(interval.get_xdata()) == pytest.approx([50 - 100 * half, 50 + 100 * half], rel=1e-5)


def test_one_run_has_wilsons_interval_in_dashes():
    interval, point = runs.seeds(frames.epochs(1, lambda k: 1, length=1).assign(test_accuracy=99.5)).axes[0].lines
    wilson = stats.binomtest(9_950, 10_000).proportion_ci(method="wilson")
    assert sorted(interval.get_xdata()) == pytest.approx([1e4 * (1 - wilson.high), 1e4 * (1 - wilson.low)])
    assert interval.get_linestyle() == "--" and point.get_xdata() == pytest.approx(50)


def test_the_front_is_of_those_that_no_smaller_network_beats():
    summary = frames.summary(60)
    axes = specs.accuracy_against_parameters(summary, frames.references()[:0], None).axes[0]
    pairs = list(zip(summary["parameters"], summary["last"], strict=True))
    best = {(p, a) for p, a in pairs if not any(q <= p and b >= a and (q, b) != (p, a) for q, b in pairs)}
    step = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert list(step.get_xdata()) == sorted(p for p, _ in best)
    assert step.get_ydata() == pytest.approx([100 * (100 - a) for _, a in sorted(best)])


def test_limit_and_published_figures_are_drawn_and_a_crowd_near_the_limit_twice():
    references = frames.references()
    figure = specs.accuracy_against_parameters(frames.summary(4), references, 8_000)
    whole, zoom = figure.axes
    squares = next(line for line in whole.lines if line.get_marker() == "s")
    assert list(squares.get_xdata()) == references["parameters"].tolist()
    assert squares.get_ydata() == pytest.approx(100 * (100 - references["best"]))
    assert any(list(line.get_xdata()) == [8_000, 8_000] for line in whole.lines)
    assert zoom.get_xlabel() == "parameters, those near the limit" and zoom.get_xlim()[0] > 6_480
    assert {"exp0", "exp1", "exp2", "exp3"} <= {text.get_text() for axes in figure.axes for text in axes.texts}


def test_changes_are_drawn_with_their_intervals_and_hollow_where_not_paired():
    frame = frames.changes(3)
    axes = specs.changes(frame).axes[0]
    bars = [line for line in axes.lines if line.get_linewidth() == 1.4]
    assert [list(line.get_xdata()) for line in bars] == frame.loc[:1, ["low", "high"]].to_numpy().tolist()
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx(frame["difference"])
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True, True]
    assert dots[1].get_color() == style.BLUE and dots[2].get_color() == style.GREY  # of one seed a side


def test_confusion_holds_the_counts_and_each_class_its_share():
    matrix = np.diag([7.0, 4, 1]) + [[0, 0, 1], [1.5, 0, 0], [0, 0, 0]]
    axes = mistakes.confusion(matrix, [8, 6, 1], "abc", ", mean of n=2").axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts if "%" not in text.get_text()}
    assert cells.items() >= {(2, 0): "1", (0, 1): "1.5"}.items() and len(cells) == 3  # (predicted, true), and "wrong"
    assert [t.get_text() for t in axes.texts if "%" in t.get_text()] == ["12.50 %", "25.00 %", "0.00 %"]
    assert axes.get_title(loc="left") == "2.5 of 15 wrong, mean of n=2"


def test_slices_hold_the_complete_trials_over_each_field_and_the_star_is_the_best():
    trials, _, result = frames.study()
    result["ranges"] |= {"train.batch_size": {"kind": "choice", "choices": [128, 32]}}
    trials["train.batch_size"] = np.where(trials["state"] == "complete", 32.0, np.nan)  # 32 in a column with gaps
    done, best = trials[trials["state"] == "complete"], trials.loc[result["best"]]
    panels = {axes.get_title(loc="left"): axes for axes in studies.slices(trials, result).axes if axes.lines}
    assert list(panels)[:3] == ["parameters", "model.dropout", "optimizer.lr"]  # by importance
    dots, star = panels["model.dropout"].lines
    np.testing.assert_allclose(dots.get_xydata(), done[["model.dropout", "value"]])
    np.testing.assert_allclose(star.get_xydata()[0], best[["model.dropout", "value"]].astype(float))
    chosen = panels["optimizer.name"].lines[0].get_xdata()
    assert list(chosen) == [["SGD", "Adam", "AdamW"].index(name) for name in done["optimizer.name"]]
    assert set(panels["train.batch_size"].lines[0].get_xdata()) == {1}


def test_curves_of_a_study_end_in_a_cross_where_a_trial_was_pruned():
    trials, curves, result = frames.study()
    lines = studies.learning_curves(curves, trials, result).axes[0].lines
    pruned = [line for line in lines if line.get_marker() == "x"]
    assert len(pruned) == (trials["state"] == "pruned").sum()
    assert {(line.get_xdata()[-1], tuple(line.get_markevery())) for line in pruned} == {(4, (-1,))}
    best = next(line for line in lines if line.get_color() == style.BLACK)
    expected = curves[curves["trial"] == result["best"]].groupby("epoch")["validation_loss"].mean()
    np.testing.assert_allclose(best.get_ydata(), expected)


def test_the_figures_of_a_study_are_drawn_from_plain_rows():
    trials, curves, result = frames.study(12)
    drawn = dict(studies.draw(result, trials.to_dict("records"), curves.to_dict("records")))
    assert list(drawn) == ["history", "importances", "slices", "curves"]
    assert dict(studies.draw({"best": None}, [], [])) == {}
