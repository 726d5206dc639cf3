"""Which rows a projection shows, and where."""

from __future__ import annotations

import numpy as np
import pytest

from heteroscope.clustering import projections
from heteroscope.clustering.partition import Partition, partition_samples
from heteroscope.config import Clustering
from heteroscope.embedding.samples import Samples


def clustered(rows: int, width: int = 6) -> tuple[Samples, Partition]:
    """Every third row is a view of the row before."""
    generator = np.random.default_rng(0)
    view = (np.arange(rows) % 3 == 2).astype(int)
    names = np.array([f"i{row - view[row]}" for row in range(rows)], dtype=object)
    features = generator.normal(size=(rows, width)).astype(np.float32)
    part = np.full(rows, "train", dtype=object)
    samples = Samples(features, names, view, part, np.arange(rows) % 2, names, ["x", "y"], {})
    return samples, partition_samples(samples, Clustering(k=2))


def test_umap_repeats_and_keeps_blobs_apart() -> None:
    generator = np.random.default_rng(0)
    blob = np.repeat([0, 1], 30)
    points = (generator.normal(size=(60, 5)) + 30 * blob[:, None]).astype(np.float32)
    first, second = (projections.umap_points(points, seed=3) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    gap = np.linalg.norm(first[:, None] - first, axis=2)
    same = blob[:, None] == blob
    assert gap[~same].min() > np.median(gap[same])


def test_the_table_has_the_originals_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "PCA_ROWS", 60)
    samples, partition = clustered(90)
    drawn = projections.pca_projection(partition, seed=3)
    rows = np.sort(np.random.default_rng(3).choice(90, 60, replace=False))
    np.testing.assert_array_equal(drawn.rows, rows)
    np.testing.assert_array_equal(drawn.points, partition.coordinates[rows, :2])

    other = projections.Projection(np.array([0, 2, 4]), np.array([[1.0, 2], [3, 4], [5, 6]]))
    table = projections.projection_table(samples, {"pca": drawn, "umap": other}).set_index("image_id")
    originals = sorted({f"i{row}" for row in {*rows, 0, 4} if row % 3 != 2})
    assert sorted(table.index) == originals
    assert table.loc["i4", ["umap_1", "umap_2"]].tolist() == [5, 6]
    assert table["umap_1"].notna().sum() == 2  # the view is left out
    shown = [row for row in rows if row % 3 != 2]
    expected = partition.coordinates[shown, :2]
    np.testing.assert_allclose(table.loc[[f"i{row}" for row in shown], ["pca_1", "pca_2"]], expected, rtol=1e-6)


def test_one_component_lies_on_a_line() -> None:
    _, partition = clustered(30, width=1)
    points = projections.pca_projection(partition, seed=0).points
    assert points.shape == (30, 2)
    assert not points[:, 1].any()
