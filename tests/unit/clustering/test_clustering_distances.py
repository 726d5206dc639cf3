"""Distances against loops over all pairs."""

import itertools
import math

import numpy as np
import pytest

from heteroscope.clustering import distances
from heteroscope.clustering.distances import (
    cluster_distances,
    distances_to_own,
    mean_pairwise_distance,
    nearest_centroid,
)


def points(rows=23, columns=5):
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


def mean_of_all(rows):
    return mean_pairwise_distance(rows, np.arange(len(rows)))


def loop_mean(rows):
    return np.mean([math.dist(a.astype(float), b.astype(float)) for a, b in itertools.combinations(rows, 2)])


@pytest.mark.parametrize("block", [1, 2, 7, 23, 100])
def test_mean_pairwise_distance_equals_a_loop_for_any_block(monkeypatch, block):
    monkeypatch.setattr(distances, "BLOCK_ROWS", block)
    assert mean_of_all(points()) == pytest.approx(loop_mean(points()), rel=1e-12)


def test_wide_rows_are_read_in_smaller_blocks(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_VALUES", 12)
    assert mean_of_all(points()) == pytest.approx(loop_mean(points()), rel=1e-12)


def test_one_row_has_no_pair():
    assert math.isnan(mean_of_all(points(rows=1)))


def test_distances_to_centroids(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_ROWS", 4)
    rows, centroids = points(), points(rows=3)
    expected = np.array([[math.dist(a.astype(float), b.astype(float)) for b in centroids] for a in rows])
    labels = np.arange(23) % 3
    np.testing.assert_allclose(distances_to_own(rows, labels, centroids), expected[np.arange(23), labels], rtol=1e-12)
    some = np.array([20, 3, 4, 11, 9, 22])
    np.testing.assert_array_equal(nearest_centroid(rows, some, centroids), expected[some].argmin(axis=1))


def test_the_table_holds_within_on_the_diagonal_and_centroid_distances_beside_it():
    rows = points()
    labels = np.array([0] * 12 + [1] * 10 + [2])
    centroids = np.stack([rows[labels == cluster].mean(axis=0, dtype=float) for cluster in range(3)])
    others = np.full((2, 5), 100, dtype=np.float32)  # that do not train
    table = cluster_distances(np.concatenate([others, rows]), np.arange(2, 25), labels, centroids)
    assert list(table.columns) == ["cluster", "other", "distance"]
    assert len(table) == 9
    value = table.set_index(["cluster", "other"])["distance"]
    assert value[0, 0] == pytest.approx(loop_mean(rows[:12]))
    assert value[1, 1] == pytest.approx(loop_mean(rows[12:22]))
    assert math.isnan(value[2, 2])
    for a, b in itertools.permutations(range(3), 2):
        assert value[a, b] == pytest.approx(math.dist(centroids[a], centroids[b]))
