"""The curve over training size shows its numbers, and each cluster where it belongs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sklearn.metrics import accuracy_score

from heteroscope.evaluation.curve import points
from heteroscope.figures.curve import draw_curve
from heteroscope.figures.style import PALETTE, save_figure


def lines(figure):
    return {line.get_gid(): line for line in figure.axes[0].lines if line.get_gid()}


def test_the_band_its_mean_and_every_subset_stand_at_their_sizes(analysis, controls):
    figure = draw_curve(analysis, controls, "accuracy")
    drawn, expected = lines(figure), points(analysis.curve, "accuracy")
    np.testing.assert_allclose(drawn["mean"].get_xydata(), expected[["training_images", "mean"]])
    np.testing.assert_allclose(drawn["all"].get_xydata(), [[90, expected["mean"].iloc[-1]]])
    subsets = analysis.curve.query("share < 1").groupby(["share", "repeat"])["accuracy"].mean()
    np.testing.assert_allclose(drawn["subsets"].get_ydata(), subsets)
    assert len(subsets) == 20
    (band,) = [one for one in figure.axes[0].collections if one.get_gid() == "band"]
    corners = band.get_paths()[0].vertices
    assert corners[:, 0].max() == 45, "beyond half of the images there is one set, which has no spread"
    for row in expected[expected["share"] < 1].itertuples():
        heights = corners[np.isclose(corners[:, 0], row.training_images), 1]
        assert (heights.min(), heights.max()) == pytest.approx((row.low, min(row.high, 1)))


def test_each_cluster_stands_at_its_images_and_its_own_models_value(analysis, controls):
    figure = draw_curve(analysis, controls, "accuracy")
    drawn, label = lines(figure), analysis.test["label"].to_numpy()
    for cluster, images in enumerate([45, 35, 10]):
        (point,) = drawn[f"cluster-{cluster}"].get_xydata()
        models = analysis.arms["cluster"][cluster].probability[0]
        value = np.mean([accuracy_score(label, one.argmax(axis=1)) for one in models])
        assert point.tolist() == [images, pytest.approx(value)]
        assert to_hex(drawn[f"cluster-{cluster}"].get_markeredgecolor()) == PALETTE[cluster].lower()
    faces = [to_hex(drawn[f"cluster-{cluster}"].get_markerfacecolor()) for cluster in range(3)]
    assert faces == [PALETTE[0].lower(), PALETTE[1].lower(), "#ffffff"], "cluster 2 is not compared"
    assert {text.get_text() for text in figure.axes[0].texts} == {"0", "1", "2"}


def test_the_axis_names_its_ends_and_round_sizes_between_them(analysis, controls):
    axis = draw_curve(analysis, controls, "accuracy").axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["10", "20", "50", "90"]
    low, high = axis.get_xlim()
    assert low < 10 < 90 < high


def test_views_of_an_image_do_not_move_a_cluster(analysis, controls):
    rows = analysis.assignments
    copies = rows[(rows["part"] == "train") & (rows["cluster"] == 0)].assign(view=1)
    doubled = dataclasses.replace(analysis, assignments=pd.concat([rows, copies], ignore_index=True))
    assert lines(draw_curve(doubled, controls, "accuracy"))["cluster-0"].get_xdata() == [45]


def test_a_curve_of_the_full_set_alone_and_undefined_values_are_drawn(analysis, controls, tmp_path):
    undefined = dataclasses.replace(
        analysis.arms["cluster"][1], probability=analysis.arms["cluster"][1].probability * np.nan
    )
    arms = analysis.arms | {"cluster": [analysis.arms["cluster"][0], undefined, analysis.arms["cluster"][2]]}
    alone = dataclasses.replace(analysis, curve=analysis.curve.query("share == 1"), arms=arms)
    figure = draw_curve(alone, controls, "auc")
    save_figure(figure, tmp_path / "one.png")
    assert "cluster-1" not in lines(figure)
    assert lines(figure)["all"].get_xdata() == [90]


def test_the_figure_is_the_same_bytes_twice(analysis, controls, tmp_path):
    for name in ("first.png", "second.png"):
        save_figure(draw_curve(analysis, controls, "accuracy"), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
