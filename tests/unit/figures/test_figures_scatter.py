"""Scatter panels: which attributes are shown, in which colours, and that UMAP repeats."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba

from heteroscope.figures.scatter import (
    Panel,
    attribute_panels,
    cluster_panel,
    label_panel,
    scatter_figure,
)
from heteroscope.figures.style import MISSING, colors


def test_numbers_get_a_colour_bar_and_words_get_categories():
    frame = pd.DataFrame(
        {
            "age": [30.0, np.nan, 50.0, 60.0],
            "count": pd.array([1, None, 3, 3], dtype="Int64"),
            "site": ["b", "a", None, "b"],
            "flag": [True, False, True, True],
        }
    )
    age, count, flag = attribute_panels(frame.drop(columns="site"))
    assert age.names is None
    assert count.names is None
    np.testing.assert_array_equal(age.data, [30, np.nan, 50, 60])
    np.testing.assert_array_equal(count.data, [1, np.nan, 3, 3])
    assert flag.names == ["False", "True"]
    [site] = attribute_panels(pd.DataFrame({"site": ["b", "a", None, "b", "a"]}))
    assert site.names == ["a", "b"]
    assert site.data.tolist() == [1, 0, -1, 1, 0]


def test_columns_that_tell_nothing_are_left_out():
    frame = pd.DataFrame({"constant": ["x"] * 8, "name": list("abcdefgh"), "empty": [None] * 8, "one": [1.0] * 8})
    assert attribute_panels(frame) == []


def test_rare_words_share_a_colour():
    words = [f"w{number:02d}" for number in range(12) for _ in range(20 - number)]
    [panel] = attribute_panels(pd.DataFrame({"camera": words}))
    assert panel.names == [f"w{number:02d}" for number in range(7)] + ["5 others"]
    assert np.bincount(panel.data).tolist() == [20, 19, 18, 17, 16, 15, 14, 13 + 12 + 11 + 10 + 9]


def test_no_more_attributes_than_fit():
    frame = pd.DataFrame({f"a{number}": [1.0, 2.0, 3.0] for number in range(9)})
    assert [panel.title for panel in attribute_panels(frame)] == [f"a{number}" for number in range(6)]


def test_every_point_is_drawn_in_its_colour_and_marker():
    layout = np.arange(12, dtype=float).reshape(6, 2)
    part = np.array(["train", "test", "train", "validation", "train", "test"])
    panels = [
        cluster_panel(np.array([0, 1, 2, 0, 1, 2]), 3),
        label_panel(np.array([0, 1, 0, 1, 0, 1]), ["normal", "cataract"]),
        Panel("site", np.array([0, -1, 0, 0, 1, 1]), ["x", "y"], colors(2)),
        Panel("age", np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])),
    ]
    figure = scatter_figure(layout, part, panels, title="t", axes=("x", "y"))
    drawn = [axis for axis in figure.axes if axis.collections and axis.get_title(loc="left")]
    assert [axis.get_title(loc="left") for axis in drawn] == ["cluster", "label", "site", "age"]
    for axis, panel in zip(drawn, panels, strict=True):
        faces = {}
        for collection, name in zip(axis.collections, ("train", "validation", "test"), strict=True):
            for place, face in zip(collection.get_offsets(), collection.get_facecolors(), strict=True):
                faces[int(place[0]) // 2] = tuple(face)
                assert part[int(place[0]) // 2] == name
        assert sorted(faces) == list(range(6))
        if panel.names is not None:
            expected = [to_rgba(panel.palette[code]) if code >= 0 else to_rgba(MISSING) for code in panel.data]
            assert [faces[row] for row in range(6)] == expected
        else:
            assert faces[2] == to_rgba(MISSING)
            assert len({faces[row] for row in (0, 1, 3, 4, 5)}) == 5
