"""The figure of scores by attribute shows the table's numbers, and says where there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from heteroscope.figures import attribute_scores
from heteroscope.figures.attribute_scores import draw_attribute_scores


def scored(levels: dict[str, int], classes: tuple[str, ...] = ("normal", "ill")) -> pd.DataFrame:
    """The whole test set and some levels of each attribute; the second level of each is of few patients."""
    names = [("all", "all"), *((name, f"level {n}") for name, count in levels.items() for n in range(count))]
    tables = []
    for number, (metric, name) in enumerate([("accuracy", None), *(("sensitivity", name) for name in classes)]):
        table = pd.DataFrame(names, columns=["attribute", "level"]).assign(metric=metric, images=50, patients=30)
        table["class"] = pd.Series([name] * len(table), dtype=object)
        few = table["level"] == "level 1"
        value = np.where(few, np.nan, 0.5 + 0.1 * number + 0.01 * np.arange(len(table)))
        tables.append(table.assign(few=few, value=value, low=value - 0.1, high=value + 0.1))
    return pd.concat(tables, ignore_index=True)


def test_every_level_has_its_dots_and_intervals_or_says_why_not() -> None:
    table = scored({"site": 3, "sex": 2})
    rows = {name: of_class.iloc[1:] for name, of_class in table.groupby(table["class"].fillna("accuracy"))}
    levels = rows["accuracy"]
    metric, sensitivity = draw_attribute_scores(table, "accuracy").axes
    dots = {line.get_gid(): line for axis in (metric, sensitivity) for line in axis.lines if line.get_gid()}
    for name in ("accuracy", "normal", "ill"):
        np.testing.assert_array_equal(dots[name].get_xdata(), rows[name]["value"])
    [lines] = [c for c in metric.collections if c.get_gid() == "interval accuracy"]
    ends = [segment[:, 0].tolist() for segment in lines.get_segments() if segment.size]
    expected = levels.loc[~levels["few"], ["low", "high"]]
    np.testing.assert_allclose(ends, expected)
    said = [text.get_text() for text in metric.texts]
    assert said.count("fewer than 10 patients") == levels["few"].sum()
    assert {"site", "sex"} <= set(said)
    whole = next(line for line in metric.lines if line.get_linestyle() == "--")
    assert list(whole.get_xdata()) == [table.loc[0, "value"]] * 2
    assert [tick.get_text() for tick in metric.get_yticklabels()] == levels["level"].tolist()


def test_attributes_that_find_no_room_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_scores, "MOST_ROWS", 4)
    figure = draw_attribute_scores(scored({"site": 3, "sex": 2}), "accuracy")
    assert figure.get_supxlabel() == "in the table alone: sex"
    assert len(figure.axes[0].get_yticks()) == 3


def test_many_classes_have_no_panel_and_no_attributes_end_in_words() -> None:
    figure = draw_attribute_scores(scored({"site": 2}, classes=("a", "b", "c", "d", "e")), "accuracy")
    assert len(figure.axes) == 1
    [axis] = draw_attribute_scores(scored({}), "accuracy").axes
    assert axis.texts[0].get_text() == "no attribute has two levels among the test images"
