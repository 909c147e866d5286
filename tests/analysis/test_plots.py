"""Figures say what the frames say, against counts and intervals made by hand, pandas or scipy."""

import frames
import networks
import numpy as np
import pytest
from scipy import stats

from analysis.plots import architecture, mistakes, runs, specs, studies
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import Spec, Target


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
    axes = specs.accuracy_against_parameters(summary, frames.references()[:0]).axes[0]
    pairs = list(zip(summary["parameters"], summary["last"], strict=True))
    best = {(p, a) for p, a in pairs if not any(q <= p and b >= a and (q, b) != (p, a) for q, b in pairs)}
    step = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert list(step.get_xdata())[:-1] == sorted(p for p, _ in best)  # and on to the end of the axis
    assert step.get_ydata()[:-1] == pytest.approx([100 * (100 - a) for _, a in sorted(best)])


def test_what_a_published_figure_is_its_mark_says_and_a_crowd_is_drawn_twice():
    references = frames.references()
    figure = specs.accuracy_against_parameters(frames.summary(4), references, [4_000, 8_000])
    whole, near = (axes for axes in figure.axes if axes.get_xlabel().startswith("parameters"))
    last, best, mean = references["last"].notna(), references["last"].isna(), references["n"] > 1
    for mark, part, column in (("s", last & ~mean, "last"), ("x", best & ~mean, "best"), ("D", mean, "best")):
        drawn = next(line for line in whole.lines if line.get_marker() == mark)
        assert list(drawn.get_xdata()) == references.loc[part, "parameters"].tolist()
        assert drawn.get_ydata() == pytest.approx(100 * (100 - references.loc[part, column]))
    assert near.get_xlim() == pytest.approx((6_400, 8_480))
    assert {"exp0", "exp1", "exp2", "exp3"} <= {text.get_text() for axes in figure.axes for text in axes.texts}


def test_of_networks_of_equal_size_the_best_stands_at_its_size_and_two_seeds_have_no_interval():
    summary = frames.summary(2).assign(parameters=7_872, n=[2, 3])
    axes = specs.accuracy_against_parameters(summary, frames.references()[:0]).axes[0]
    (points,) = (line for line in axes.lines if line.get_marker() == "o")
    best = int(summary["last"].argmax())
    assert points.get_xdata()[list(points.get_ydata()).index(min(points.get_ydata()))] == 7_872
    assert sorted(points.get_xdata())[0] < 7_872 and best == 1
    (bars,) = axes.collections
    low, high = (100 * (100 - summary[end][1]) for end in ("last_low", "last_high"))
    assert [bar[:, 1].tolist() for bar in bars.get_segments()] == [pytest.approx([high, low])]


def test_changes_are_drawn_as_the_legend_says_hollow_where_not_paired():
    frame = frames.changes(3)
    figure = specs.changes(frame)
    (axes,), legend = figure.axes, figure.legends[0].legend_handles
    bars = [line for line in axes.lines if line.get_linewidth() == 1.4 and not line.get_marker()]
    assert [list(line.get_xdata()) for line in bars] == frame.loc[:1, ["low", "high"]].to_numpy().tolist()
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx(frame["difference"])
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True, True]  # the last: one seed a side
    assert {dot.get_color() for dot in dots} == {handle.get_color() for handle in legend}


def test_what_all_changes_are_against_is_named_once_and_intervals_only_where_there_are_any():
    frame = frames.changes(2).assign(parent="base", n=2)
    frame["experiment"] = ["early and wide, 2 epochs", "early and wide, 5 epochs"]
    figure = specs.changes(frame)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["early and wide, 2 epochs (n=2)", "early and wide, 5 epochs (n=2)"]
    assert figure.axes[0].get_xlabel() == "points of accuracy against base"
    assert not any("interval" in text.get_text() for text in figure.legends[0].get_texts())


def test_the_losses_are_means_over_the_seeds():
    epochs = frames.epochs(2, lambda k: 2, length=4)
    panels = [axes for axes in runs.losses(epochs).axes if axes.lines]
    for axes, name in zip(panels, ("exp0", "exp1"), strict=True):
        means = epochs[epochs["experiment"] == name].groupby("epoch")[["train_loss", "test_loss"]].mean()
        np.testing.assert_allclose([line.get_ydata() for line in axes.lines], means.T)


def test_near_the_target_the_learning_curves_are_drawn_again():
    whole, near = runs.learning_curves(frames.epochs(3), 99.4).axes
    assert near.get_ylim()[1] < 2 * 60 < whole.get_ylim()[1] and near.get_ylim()[0] < 60
    assert len(runs.learning_curves(frames.epochs(3), 10.0).axes) == 1  # none comes near it


def test_a_network_is_drawn_layer_by_layer_with_a_bracket_around_a_sum():
    facts = DATASETS["mnist"]
    measured = measure(Spec(name="some", model=networks.everything(), target=Target(parameter_limit=None)), facts)
    (axes,) = architecture.architecture(measured, (1, 28, 28)).axes
    words = [text.get_text() for text in axes.texts]
    for layer in measured.layers:
        assert {"×".join(map(str, layer.output)), f"{layer.receptive_field}×{layer.receptive_field}"} <= set(words)
    assert [f"{layer.parameters:,}" for layer in measured.layers if layer.parameters] == [
        word for word in words[6:] if word.replace(",", "").isdigit() and word != "10"]  # fmt: skip
    sums = [layer for layer in measured.layers if layer.kind.startswith("sum")]
    assert len(axes.lines) == len(sums) == 2


def test_confusion_holds_the_counts_and_each_class_its_share():
    matrix = np.diag([7.0, 4, 1]) + [[0, 0, 1], [1.5, 0, 0], [0, 0, 0]]
    axes = mistakes.confusion(matrix, [8, 6, 1], "abc", ", mean of n=2").axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts if "%" not in text.get_text()}
    assert cells.items() >= {(2, 0): "1.0", (0, 1): "1.5"}.items() and len(cells) == 3  # (predicted, true), and "wrong"
    assert [t.get_text() for t in axes.texts if "%" in t.get_text()] == ["12.50 %", "25.00 %", "0.00 %"]
    assert axes.get_title(loc="left") == "2.5 of 15 wrong, mean of n=2"


def test_slices_hold_the_complete_trials_over_each_field_and_the_star_is_the_best():
    trials, result = frames.study()
    result["ranges"] |= {"train.batch_size": {"kind": "choice", "choices": [128, 32]}}
    trials["train.batch_size"] = np.where(trials["state"] == "complete", 32.0, np.nan)  # 32 in a column with gaps
    done, best = trials[trials["state"] == "complete"], trials.loc[result["best"]]
    titles = {axes.get_title(loc="left"): axes for axes in studies.slices(trials, result).axes if axes.lines}
    assert list(titles)[:3] == ["parameters", "model.dropout, 50 %", "optimizer.lr, 25 %"]  # by importance
    panels = {title.split(",")[0]: axes for title, axes in titles.items()}
    dots, star = panels["model.dropout"].lines
    np.testing.assert_allclose(dots.get_xydata(), done[["model.dropout", "value"]])
    np.testing.assert_allclose(star.get_xydata()[0], best[["model.dropout", "value"]].astype(float))
    chosen = panels["optimizer.name"].lines[0].get_xdata()
    assert list(chosen) == [["SGD", "Adam", "AdamW"].index(name) for name in done["optimizer.name"]]
    assert set(panels["train.batch_size"].lines[0].get_xdata()) == {1}


def test_the_figures_of_a_study_are_drawn_from_plain_rows():
    trials, result = frames.study(12)
    drawn = dict(studies.draw(result, trials.to_dict("records")))
    assert list(drawn) == ["slices"]
    assert dict(studies.draw({"best": None}, [])) == {}
