"""Image search against scikit-learn's neighbours, and precision by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from heteroscope.evaluation import retrieval
from heteroscope.evaluation.retrieval import Neighbours, nearest, precision_table


def test_neighbours_are_those_of_scikit_learn_without_the_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "QUERIES", 4)
    generator = np.random.default_rng(0)
    query, gallery = generator.normal(size=(11, 5)), generator.normal(size=(30, 5))
    mine, theirs = generator.integers(0, 6, 11).astype(str), generator.integers(0, 6, 30).astype(str)
    found = nearest(query, gallery, mine, theirs, k=3)
    for number in range(11):
        others = np.flatnonzero(theirs != mine[number])
        model = NearestNeighbors(n_neighbors=3, metric="cosine").fit(gallery[others])
        distance, row = model.kneighbors(query[number : number + 1])
        assert found.row[number].tolist() == others[row[0]].tolist()
        np.testing.assert_allclose(found.similarity[number], 1 - distance[0])


def test_a_small_gallery_gives_fewer() -> None:
    found = nearest(np.ones((1, 2)), np.eye(2), np.array(["a"]), np.array(["a", "b"]), k=3)
    assert found.row.tolist() == [[1, -1, -1]]
    assert np.isnan(found.similarity[0, 1:]).all()
    assert found.similarity[0, 0] == pytest.approx(np.sqrt(0.5))


def test_precision_by_hand() -> None:
    """Query 3 has no neighbour and does not count; query 2 has one."""
    row = np.array([[0, 1], [2, 0], [1, -1], [-1, -1]])
    gallery_label = np.array([0, 0, 1])
    found = Neighbours(row, np.where(row >= 0, 0.5, np.nan))
    table = precision_table(found, np.array([0, 1, 1, 0]), gallery_label, np.array(list("abcd")), ["no", "yes"], [1, 2])
    value = table.set_index(["k", "query"])
    assert value.loc[(1, "all"), "precision"] == pytest.approx((1 + 1 + 0) / 3)
    assert value.loc[(2, "all"), "precision"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert value.loc[(2, "yes"), "precision"] == pytest.approx(0.25)
    assert value.loc[(2, "no"), ["queries", "precision"]].tolist() == [1, 1]
    assert value.loc[(1, "no"), "chance"] == pytest.approx(2 / 3)
    assert value.loc[(1, "all"), "chance"] == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3)
    assert (value["low"] <= value["precision"]).all()
    assert (value["precision"] <= value["high"]).all()
