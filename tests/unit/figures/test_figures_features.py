"""Figures of features, of a search and of backbones side by side: what is drawn is what the tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from heteroscope.evaluation.feature_tests import Correlations, Units, correlate, feature_table
from heteroscope.evaluation.models import ROC_GRID
from heteroscope.figures.features import draw_correlations, draw_volcano
from heteroscope.figures.models import draw_models, draw_roc
from heteroscope.figures.retrieval import Shown, retrieval_figure
from heteroscope.figures.style import MISSING, label_colors

NAMES = ["benign", "malignant"]


def planted(classes: int = 2) -> tuple[Units, pd.DataFrame]:
    """Thirty features of 60 units: 0 to 3 rise with the class and go together, 4 falls."""
    generator = np.random.default_rng(0)
    label = np.arange(60) % classes
    features = generator.normal(size=(60, 30))
    features[:, 1:4] = features[:, :1] + 0.1 * features[:, 1:4]
    features[:, :4] += 2 * label[:, None]
    features[:, 4] -= 2 * label
    return Units(features, label), feature_table(Units(features, label), [*NAMES, "normal"][:classes])


def test_every_feature_is_a_point_in_the_colour_of_its_class() -> None:
    _, table = planted()
    axis = draw_volcano(table, NAMES, 0.01, "patient").axes[0]
    points = {to_hex(part.get_facecolor()[0]): np.asarray(part.get_offsets()) for part in axis.collections}
    colors = [MISSING.lower(), *(color.lower() for color in label_colors(2))]
    assert [len(points[color]) for color in colors] == [25, 1, 4]
    shown = table.set_index("feature").loc[4]
    np.testing.assert_allclose(points[colors[1]], [[shown["effect"], -np.log10(shown["q"])]])
    assert shown["effect"] < 0
    assert axis.get_title(loc="left") == "5 of 30 features differ between classes (Welch's t, by patient)"
    assert axis.get_xlabel() == "Cohen's d, malignant minus benign"
    assert "4" in {text.get_text() for text in axis.texts}


def test_of_three_classes_effects_have_no_side() -> None:
    _, table = planted(3)
    axis = draw_volcano(table, [*NAMES, "normal"], 0.01, "image").axes[0]
    assert axis.get_xlabel() == "η² of the classes"
    assert axis.get_xlim()[0] == 0


def test_a_q_of_zero_is_drawn() -> None:
    table = planted()[1].assign(q=0.0)
    assert np.isfinite(draw_volcano(table, NAMES, 0.05, "image").axes[0].get_ylim()).all()


def drawn_correlations(found: Correlations, table: pd.DataFrame) -> tuple[list[int], np.ndarray, list[tuple]]:
    heat = next(axis for axis in draw_correlations(found, table, NAMES, 0.9).axes if axis.images)
    frames = [patch for patch in heat.patches if isinstance(patch, Rectangle)]
    numbers = [int(label.get_text()) for label in heat.get_yticklabels()]
    return numbers, np.asarray(heat.images[0].get_array()), [(p.get_x(), p.get_y(), p.get_width()) for p in frames]


def test_the_heat_map_has_the_order_of_the_tree_and_frames_what_is_redundant() -> None:
    units, table = planted()
    found = correlate(units.features, table["feature"].to_numpy()[:12], 0.9)
    numbers, values, [frame] = drawn_correlations(found, table)
    assert sorted(numbers) == sorted(found.feature)
    np.testing.assert_allclose(values, np.corrcoef(units.features[:, numbers], rowvar=False))
    begin = int(frame[0] + 0.5)
    assert frame == (begin - 0.5, begin - 0.5, 4)
    assert set(numbers[begin : begin + 4]) == {0, 1, 2, 3}


def test_images_that_are_found_have_the_frame_of_their_class() -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    rows = [[Shown(picture, 0), Shown(picture, 0, 0.9), Shown(picture, 1, 0.75)], [Shown(picture[..., 0], 1)]]
    figure = retrieval_figure(rows, NAMES, title="found")
    shown = [axis for axis in figure.axes if axis.images]
    assert [to_hex(axis.spines["left"].get_edgecolor()) for axis in shown] == [
        label_colors(2)[number].lower() for number in (0, 0, 1, 1)
    ]
    assert [axis.get_xlabel() for axis in shown] == ["", "0.900", "0.750 ×", ""]
    assert [axis.get_title() for axis in shown] == ["query", "1", "2", ""]


def scores() -> pd.DataFrame:
    table = pd.DataFrame({"backbone": ["a", "b"], "classifier": "linear"})
    for metric, value in (("accuracy", 0.6), ("auc", 0.8), ("f1", 0.5)):
        ends = {f"{metric}_low": [value - 0.1, np.nan], f"{metric}_high": [value + 0.1, np.nan]}
        table = table.assign(**{metric: [value, value + 0.1]}, **ends)
    return table.assign(silhouette_labels=[0.1, None], silhouette_clusters=[0.2, -0.3])


def test_scores_stand_on_their_lines() -> None:
    axes = draw_models(scores()).axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["a", "b"]
    for axis, value in zip(axes, (0.6, 0.8, 0.5), strict=False):
        np.testing.assert_allclose(axis.get_lines()[0].get_xydata(), [[value, 0], [value + 0.1, 1]])
        np.testing.assert_allclose(axis.collections[0].get_segments()[0], [[value - 0.1, 0], [value + 0.1, 0]])
    assert [line.get_xdata()[0] for line in axes[3].get_lines()[:2]] == [0.1, 0.2]


def test_classifiers_are_named_where_there_are_several() -> None:
    table = scores().assign(classifier=["linear", "end-to-end"])
    assert [label.get_text() for label in draw_models(table).axes[0].get_yticklabels()] == [
        "a\nlinear",
        "b\nend-to-end",
    ]


def test_a_panel_a_class_with_a_curve_a_model() -> None:
    curves = {name: {"a": ROC_GRID, "b": np.sqrt(ROC_GRID)} for name in ("round", "square", "striped", "dotted")}
    figure = draw_roc(curves, scores())
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in panels] == [f"{name} against the rest" for name in curves]
    np.testing.assert_allclose(panels[3].get_lines()[2].get_ydata(), np.sqrt(ROC_GRID))
    assert figure.legends[0].get_texts()[0].get_text() == "a\n0.800 (0.700 to 0.900)"
