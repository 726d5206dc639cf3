"""The heat map of confusions: every pair in its own cell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heteroscope.figures.confusion import draw_confusion


def table_of(images: np.ndarray, names: list[str]) -> pd.DataFrame:
    pairs = {"class": np.repeat(names, len(names)), "predicted": np.tile(names, len(names))}
    totals = images.sum(axis=1, keepdims=True)
    share = np.divide(images, totals, out=np.full(images.shape, np.nan), where=totals > 0)
    return pd.DataFrame(pairs | {"images": images.ravel(), "share": share.ravel()})


def test_each_pair_stands_in_its_own_cell() -> None:
    images = np.array([[8.0, 1.5, 0.5], [0, 0, 0], [300, 0, 1200.4]])
    axis = draw_confusion(table_of(images, ["round", "a name too long to be shown", "striped"])).axes[0]
    cells = {text.get_position(): text.get_text() for text in axis.texts if text.get_text()[-1] in "%–"}
    assert cells[0, 0] == "8\n80.0%"
    assert cells[1, 0] == "1.5\n15.0%"
    assert cells[2, 1] == "0\n–", "no image of this class was tested"
    assert cells[2, 2] == "1200\n80.0%"
    assert len(cells) == 9
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert shown == ["round\nn = 10", "a name too long to …\nn = 0", "striped\nn = 1500"]
    assert [label.get_text() for label in axis.get_xticklabels()] == [name.split("\n")[0] for name in shown]


def test_many_classes_keep_every_share() -> None:
    images = np.random.default_rng(0).integers(1, 9, (20, 20)).astype(float)
    table = table_of(images, [f"class {number}" for number in range(20)])
    axis = draw_confusion(table).axes[0]
    np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), table["share"].to_numpy().reshape(20, 20))
    assert len(axis.texts) == 1, "no room for numbers"
