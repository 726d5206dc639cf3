"""The figures of a comparison show the numbers that they are given, and nothing in another place."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.metrics import accuracy_score

from heteroscope.evaluation.comparison import baseline_table, transfer_table
from heteroscope.evaluation.statistics import critical_gain
from heteroscope.evaluation.verdict import label_test
from heteroscope.figures.comparison import (
    HALF_WIDTH,
    draw_baseline,
    draw_gain,
    draw_power,
    draw_retraining,
    draw_transfer,
    reasons_against,
)
from heteroscope.figures.style import NEUTRAL, save_figure


def accuracy_of(probability: np.ndarray, label: np.ndarray) -> float:
    """The mean over seeds, by scikit-learn."""
    return float(np.mean([accuracy_score(label, one.argmax(axis=1)) for one in probability]))


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for axis in figure.axes for text in axis.texts)


def test_retraining_marks_every_cluster_at_its_own_value(analysis, controls):
    axis = draw_retraining(analysis, controls, "accuracy").axes[0]
    label = analysis.test["label"].to_numpy()
    marks = {line.get_gid(): line for line in axis.lines if line.get_gid()}
    for cluster, runs in enumerate(analysis.arms["cluster"]):
        (x,), (y,) = marks[f"cluster-{cluster}"].get_data()
        assert (x, y) == (cluster, pytest.approx(accuracy_of(runs.probability[0], label)))


def test_retraining_shows_every_draw_of_both_controls_beside_its_cluster(analysis, controls):
    axis = draw_retraining(analysis, controls, "accuracy").axes[0]
    label = analysis.test["label"].to_numpy()
    clouds = [line for line in axis.lines if line.get_marker() == "o"]
    assert len(clouds) == 2 * analysis.k
    for number, cloud in enumerate(clouds):
        arm, cluster = ("size", "balanced")[number // analysis.k], number % analysis.k
        expected = [accuracy_of(one, label) for one in analysis.arms[arm][cluster].probability]
        np.testing.assert_allclose(cloud.get_ydata(), expected)
        place = cluster + (-0.2 if arm == "size" else 0.2)
        assert (np.abs(np.asarray(cloud.get_xdata()) - place) <= HALF_WIDTH + 1e-9).all()


def test_retraining_greys_a_cluster_that_is_not_compared_and_says_why(analysis, controls):
    axis = draw_retraining(analysis, controls, "accuracy").axes[0]
    colors = {line.get_gid(): line.get_color() for line in axis.lines if line.get_gid()}
    assert colors["cluster-2"] == NEUTRAL
    assert NEUTRAL not in (colors["cluster-0"], colors["cluster-1"])
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert names[0].split("\n") == ["0", "45 train, 33 test", "25 normal", "20 disease"]
    assert "not compared" in names[2]
    assert "3 training" in names[2]


def test_retraining_frames_what_is_compared_and_writes_what_lies_beyond(analysis, controls):
    wrong = analysis.arms["cluster"][2]
    flipped = dataclasses.replace(wrong, probability=wrong.probability[..., ::-1])
    arms = analysis.arms | {"cluster": [*analysis.arms["cluster"][:2], flipped]}
    axis = draw_retraining(dataclasses.replace(analysis, arms=arms), controls, "accuracy").axes[0]
    low, high = axis.get_ylim()
    label = analysis.test["label"].to_numpy()
    compared = [
        accuracy_of(one, label) for runs in arms.values() for cluster in (0, 1) for one in runs[cluster].probability
    ]
    assert low < min(compared) < max(compared) < high < 1.1
    beyond = accuracy_of(flipped.probability[0], label)
    assert beyond < low
    assert [text.get_text() for text in axis.texts] == [f"↓ {beyond:.3f}"]


def test_reasons_name_the_count_that_is_short(analysis, controls):
    assert reasons_against(analysis, controls) == ["", "", "3 training images of disease (5 needed)"]
    lenient = controls.model_copy(update={"min_class": 3})
    assert reasons_against(analysis, lenient) == ["", "", "2 test images (5 needed)"]


def test_reasons_agree_with_eligibility_for_many_thresholds(analysis, controls):
    for min_class in range(1, 30, 3):
        for min_test in range(1, 40, 4):
            chosen = controls.model_copy(update={"min_class": min_class, "min_test": min_test})
            assert [not reason for reason in reasons_against(analysis, chosen)] == analysis.eligible(chosen).tolist()


def drawn_gains(axis):
    """Places of lines by their names, bars, and outlines."""
    places = {line.get_gid(): line.get_xdata()[0] for line in axis.lines}
    bars = [bar for bar in axis.patches if isinstance(bar, Rectangle)]
    outlines = [patch for patch in axis.patches if patch.get_gid() == "curved"]
    return places, bars, outlines


def test_gain_draws_the_observed_value_and_every_draw(analysis):
    test = label_test(analysis, seed=0, level=0.05)
    test = dataclasses.replace(test, nonlinear_draws=test.draws.copy())  # no curved rule predicts better
    axis = draw_gain(test, "different", 0.05).axes[0]
    places, bars, outlines = drawn_gains(axis)
    assert places == {"observed": test.gain, "critical-linear": critical_gain(test.draws, 0.05)}
    assert sum(bar.get_height() for bar in bars) == len(test.draws)
    assert not outlines
    assert axis.get_title(loc="left") == f"different: p = {test.p:.3g}"


def test_gain_draws_the_curved_rule_and_its_own_line_which_must_be_exceeded_too(analysis):
    test = label_test(analysis, seed=0, level=0.05)
    curved = np.append(test.draws[:-1] + 0.1, np.nan)
    test = dataclasses.replace(test, nonlinear_draws=curved, p_nonlinear=0.75)
    axis = draw_gain(test, "nonlinear rule", 0.05).axes[0]
    places, bars, (outline,) = drawn_gains(axis)
    assert places["critical-linear"] == critical_gain(test.draws, 0.05)
    assert places["critical-curved"] == critical_gain(curved[:-1], 0.05)
    assert sum(bar.get_height() for bar in bars) == len(test.draws)
    ends = [*(bar.get_x() for bar in bars), bars[-1].get_x() + bars[-1].get_width()]
    heights = outline.get_xy()[1 : 2 * len(bars) : 2, 1]  # of two corners a bin and one at its foot on either side
    np.testing.assert_array_equal(heights, np.histogram(curved[:-1], ends)[0])
    assert heights.sum() == len(curved) - 1
    assert axis.get_title(loc="left") == f"nonlinear rule: p = {test.p:.3g} (linear rule), 0.75 (curved rule)"


@pytest.mark.parametrize(("draws", "level"), [(39, 0.05), (99, 0.05), (399, 0.01), (19, 0.05)])
def test_a_gain_rejects_exactly_beyond_the_critical_line(draws, level):
    values = np.random.default_rng(draws).normal(size=draws)
    critical = critical_gain(values, level)
    for gain, rejects in [(critical + 1e-6, True), (critical - 1e-6, False)]:
        p = (1 + (values >= gain).sum()) / (draws + 1)
        assert (p <= level) == rejects


def test_no_critical_line_where_the_draws_cannot_reach_the_level():
    assert critical_gain(np.arange(9.0), 0.05) is None


def test_gain_without_a_test_is_a_text():
    figure = draw_gain(None, "not assessable", 0.05)
    assert "not assessable" in texts(figure)
    assert not figure.axes[0].patches
    assert figure.get_figheight() < 1.5


def test_gain_without_a_cluster_to_compare_is_a_text(analysis):
    test = label_test(analysis, seed=0, level=0.05)
    empty = dataclasses.replace(test, gain=np.nan, draws=np.full(9, np.nan))
    assert "no cluster" in texts(draw_gain(empty, "not assessable", 0.05))


def test_power_stands_at_the_points_at_stake_with_its_intervals(analysis):
    test = dataclasses.replace(label_test(analysis, seed=0, level=0.05), detectable=0.0625)
    axis = draw_power(test, 0.04).axes[0]
    lines = {line.get_gid(): line for line in axis.lines if line.get_gid()}
    assert lines["detectable"].get_xdata()[0] == 6.25
    assert lines["wanted"].get_ydata()[0] == 0.8
    assert lines["level"].get_ydata()[0] == 0.04
    (container,) = axis.containers
    np.testing.assert_allclose(container.lines[0].get_xdata(), 100 * test.power["gap"])
    np.testing.assert_allclose(container.lines[0].get_ydata(), test.power["power"])
    bars = np.array(container.lines[2][0].get_segments(), dtype=float)[..., 1]
    np.testing.assert_allclose(bars, test.power[["power_low", "power_high"]])
    assert [text.get_text() for text in axis.texts] == ["30°", "90°"]


def test_power_that_no_gap_reaches_has_no_line(analysis):
    test = dataclasses.replace(label_test(analysis, seed=0, level=0.05), detectable=None)
    assert "detectable" not in {line.get_gid() for line in draw_power(test, 0.05).axes[0].lines}


def test_power_that_was_not_measured_is_a_text(analysis):
    assert "arm “labels” out" in texts(draw_power(None, 0.05))
    unmeasured = dataclasses.replace(label_test(analysis, seed=0, level=0.05), power=pd.DataFrame())
    figure = draw_power(unmeasured, 0.05)
    assert "“power” to 0" in texts(figure)
    assert figure.get_figheight() < 1.5


def test_transfer_writes_each_pair_in_its_own_cell(analysis):
    figure = draw_transfer(transfer_table(analysis, "accuracy"), "accuracy")
    axis = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axis.texts if "\n" in text.get_text()}
    label, cluster = analysis.test["label"].to_numpy(), analysis.test["cluster"].to_numpy()
    assert len(cells) == 9
    for model, runs in enumerate(analysis.arms["cluster"]):
        for tested in range(3):
            rows = cluster == tested
            value = accuracy_of(runs.probability[0][:, rows], label[rows])
            assert cells[tested, model] == f"{value:.3f}\nn = {rows.sum()}"


def test_transfer_hatches_the_column_of_few_images_only(analysis):
    axis = draw_transfer(transfer_table(analysis, "accuracy"), "accuracy").axes[0]
    hatched = [patch.get_xy() for patch in axis.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    assert sorted(hatched) == [(1.5, -0.5), (1.5, 0.5), (1.5, 1.5)]


def test_transfer_shows_an_undefined_value_as_a_dash(analysis):
    table = transfer_table(analysis, "accuracy")
    table.loc[table["tested_on"] == 2, "accuracy"] = np.nan
    axis = draw_transfer(table.sample(frac=1, random_state=0), "accuracy").axes[0]
    assert {text.get_text() for text in axis.texts if text.get_position()[0] == 2} == {"–\nn = 2"}


def test_baseline_stands_at_the_values_of_each_cluster(analysis):
    figure = draw_baseline(baseline_table(analysis, "accuracy"), "accuracy")
    axis = figure.axes[0]
    label, cluster = analysis.test["label"].to_numpy(), analysis.test["cluster"].to_numpy()
    expected = [accuracy_of(analysis.baseline[:, cluster == c], label[cluster == c]) for c in range(3)]
    (dots,) = [line for line in axis.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots.get_ydata(orig=False), expected)
    (whole,) = [line for line in axis.lines if line.get_gid() == "whole"]
    assert whole.get_ydata()[0] == pytest.approx(accuracy_of(analysis.baseline, label))
    assert [name.get_text() for name in axis.get_xticklabels()] == ["0\nn = 33", "1\nn = 25", "2\nn = 2"]


def test_baseline_draws_the_intervals_of_its_table(analysis):
    table = baseline_table(analysis, "accuracy")
    axis = draw_baseline(table, "accuracy").axes[0]
    (lines,) = [lines for lines in axis.collections if lines.get_gid() == "intervals"]
    ends = np.array(lines.get_segments())[..., 1]
    np.testing.assert_allclose(ends, table.loc[table["cluster"] != "all", ["accuracy_low", "accuracy_high"]])


def test_figures_survive_clusters_without_test_images_and_controls_without_draws(analysis, controls, tmp_path):
    test = analysis.test.assign(cluster=analysis.test["cluster"].replace(2, 1))
    arms = {
        arm: [dataclasses.replace(r, probability=r.probability[:1] * np.nan) for r in runs] if arm == "size" else runs
        for arm, runs in analysis.arms.items()
    }
    emptied = dataclasses.replace(analysis, test=test, arms=arms)
    figures = [
        draw_retraining(emptied, controls, "auc"),
        draw_transfer(transfer_table(emptied, "auc"), "auc"),
        draw_baseline(baseline_table(emptied, "auc"), "auc"),
    ]
    for number, figure in enumerate(figures):
        save_figure(figure, tmp_path / f"{number}.png")
    assert "not defined" in texts(figures[2])


def test_figures_are_the_same_bytes_twice(analysis, controls, tmp_path):
    for name in ("first.png", "second.png"):
        save_figure(draw_retraining(analysis, controls, "auc"), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_transfer_of_twenty_clusters_keeps_every_value_of_the_table():
    generator = np.random.default_rng(0)
    rows = [(i, j, 50, False, generator.uniform()) for i in range(20) for j in range(20)]
    table = pd.DataFrame(rows, columns=["model", "tested_on", "images", "few", "f1"])
    axis = draw_transfer(table, "f1").axes[0]
    np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), table["f1"].to_numpy().reshape(20, 20))
