"""Sheets of maps: who stands where, what is written below, and where the heat is."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from heteroscope.data.places import Lesions
from heteroscope.figures.explanations import Column, Examples, decided, draw_features, draw_sheet

NOWHERE = Lesions(*[np.empty(0)] * 4)
SIZE = 40


def make_examples(label: list[int], right: list[bool]) -> Examples:
    pictures = [np.full((SIZE, SIZE), 10 * number, dtype=np.uint8) for number in range(len(label))]
    words = [f"image {number}" for number in range(len(label))]
    lesions = [Lesions(*(np.array([value]) for value in (30.0, 10.0, 5.0, 5.0))), *[NOWHERE] * (len(label) - 1)]
    return Examples(pictures, words, np.array(label), np.array(right), lesions)


def make_column(title: str, right: list[bool]) -> Column:
    cams = np.zeros((len(right), 4, 4))
    cams[:, 3, 0] = 2.0  # the lower left corner
    words = [f"{title} of {number}" for number in range(len(right))]
    return Column(title, cams, words, np.array(right), [(5.0, 35.0)] * len(right))


def captions(figure: Figure, width: int) -> list[list[str]]:
    """What stands below the pictures of each row."""
    words = [axis.get_xlabel() for axis in figure.axes]
    return [words[start : start + width] for start in range(0, len(words), width)]


def test_one_map_an_image_puts_right_beside_wrong() -> None:
    right = [True, True, False, False, False]
    figure = draw_sheet(make_examples([0, 0, 0, 1, 1], right), [make_column("map", right)], title="t")
    assert captions(figure, 4) == [
        ["image 0", "map of 0", "image 2", "map of 2"],
        ["image 1", "map of 1", "", ""],
        ["", "", "image 3", "map of 3"],
        ["", "", "image 4", "map of 4"],
    ]
    assert [axis.get_title() for axis in figure.axes[:4]] == ["called right", "map", "called wrong", "map"]
    assert figure.axes[1].xaxis.label.get_color() != figure.axes[3].xaxis.label.get_color()
    assert [len(axis.patches) for axis in figure.axes[:4]] == [1, 1, 0, 0]  # the lesion's outline


def test_several_maps_an_image_stand_in_one_row() -> None:
    right = [False, True]
    columns = [make_column(title, right) for title in ("fused", "a", "b")]
    figure = draw_sheet(make_examples([0, 0], right), columns, title="t")
    assert captions(figure, 4) == [
        [f"image {n}", *(f"{title} of {n}" for title in ("fused", "a", "b"))] for n in (1, 0)
    ]


def test_the_heat_lies_where_the_map_says_and_elsewhere_the_image_is_seen() -> None:
    figure = draw_sheet(make_examples([0], [True]), [make_column("map", [True])], title="t")
    heat = figure.axes[1].images[1]
    alpha = np.asarray(heat.get_alpha())
    assert heat.get_array().shape == (SIZE, SIZE)
    assert alpha[-1, 0] == alpha.max() > 0
    assert alpha[: SIZE // 2, SIZE // 2 :].max() == 0
    assert "None is called wrong." in [text.get_text() for axis in figure.axes for text in axis.texts]


def test_words_name_the_class_that_a_map_is_of_where_it_is_another_or_has_no_place() -> None:
    probability, cams = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), np.array([[[1.0]], [[1.0]], [[0.0]]])
    names = ["benign", "a very long name of a class"]
    assert decided(probability, np.array([0, 0, 1]), names, cams) == [
        "called benign, 0.90",
        "called a very long na…, 0.80\nmap of benign",
        "called a very long na…, 0.70\nno place for a very long na…",
    ]


@pytest.mark.parametrize("images", [1, 3])
def test_features_have_a_row_each_below_the_images(images: int) -> None:
    pictures = [np.full((SIZE, SIZE, 3), 90, dtype=np.uint8)] * images
    rows = [(f"feature {number}", [np.eye(7)] * images) for number in range(2)]
    figure = draw_features(rows, pictures, ["benign"] * images, title="t")
    assert len(figure.axes) == 3 * (images + 1)
    assert [axis.texts[0].get_text() for axis in figure.axes if axis.texts] == ["feature 0", "feature 1"]
