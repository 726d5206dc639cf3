"""The clustering of samples: training rows alone decide."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score

from heteroscope.clustering.partition import (
    assignments_table,
    distance_table,
    nearest_images,
    partition_samples,
    quality_summary,
)
from heteroscope.config import Clustering, Reduction
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError

PCA = Reduction(method="pca", components=5)


def samples(rows=120, columns=60, seed=0):
    generator = np.random.default_rng(seed)
    blob = generator.integers(0, 3, rows)
    part = np.array(["train", "train", "train", "validation", "test"], dtype=object)[np.arange(rows) % 5]
    return Samples(
        features=(6 * np.eye(3, columns)[blob] + generator.normal(size=(rows, columns))).astype(np.float32),
        image_id=np.array([f"{row:016x}" for row in range(rows)], dtype=object),
        view=np.zeros(rows, dtype=np.int64),
        part=part,
        label=generator.integers(0, 2, rows),
        group=np.array([f"p{row // 2}" for row in range(rows)], dtype=object),
        class_names=["normal", "cataract"],
        embedding={},
    )


@pytest.mark.parametrize(
    ("method", "reduce"),
    [("kmeans", PCA), ("ward", PCA), ("gmm", PCA), ("kmeans", Reduction()), ("ward", Reduction())],
)
def test_other_rows_change_nothing_about_the_training_rows(method, reduce):
    first = samples()
    train = first.part == "train"
    spec = Clustering(method=method, k=3, reduce=reduce)
    moved = first.features.copy()
    moved[~train] = 100 * np.random.default_rng(9).normal(size=moved[~train].shape)
    one, two = (partition_samples(each, spec) for each in (first, replace(first, features=moved)))
    np.testing.assert_array_equal(one.cluster[train], two.cluster[train])
    assert one.clusters.centroids.tobytes() == two.clusters.centroids.tobytes()
    np.testing.assert_allclose(one.coordinates[train], two.coordinates[train], rtol=1e-5, atol=1e-4)


def test_assignments_keep_the_order_of_samples_and_measure_to_the_own_centroid():
    rows = samples()
    partition = partition_samples(rows, Clustering(k=3, reduce=PCA))
    table = assignments_table(rows, partition)
    assert list(table.columns) == ["image_id", "view", "part", "label", "group", "cluster", "distance"]
    np.testing.assert_array_equal(table["image_id"], rows.image_id)
    own = partition.clusters.centroids[table["cluster"]]
    np.testing.assert_allclose(table["distance"], np.linalg.norm(partition.points - own, axis=1), rtol=1e-6)
    all_distances = np.linalg.norm(partition.points[:, None] - partition.clusters.centroids, axis=2)
    np.testing.assert_array_equal(table["cluster"], all_distances.argmin(axis=1))


def test_distances_are_of_training_rows_in_the_clustered_space():
    rows = samples()
    partition = partition_samples(rows, Clustering(k=3, reduce=PCA))
    members = partition.points[(partition.cluster == 1) & (rows.part == "train")].astype(float)
    pairs = np.linalg.norm(members[:, None] - members, axis=2)[np.triu_indices(len(members), 1)]
    table = distance_table(rows, partition).set_index(["cluster", "other"])["distance"]
    assert table[1, 1] == pytest.approx(pairs.mean())


def test_coordinates_are_the_clustered_space_or_else_its_first_components():
    rows = samples()
    reduced = partition_samples(rows, Clustering(k=3, reduce=PCA))
    assert reduced.coordinates is reduced.points
    assert reduced.points.shape == (120, 5)
    raw = partition_samples(rows, Clustering(k=3))
    np.testing.assert_array_equal(raw.points, rows.features)
    assert raw.coordinates.shape == (120, 50)
    assert raw.basis.dimensions == 50


def test_the_summary_counts_all_rows_and_the_variance_that_is_kept():
    rows = samples()
    spec = Clustering(k=3, reduce=PCA)
    partition = partition_samples(rows, spec)
    summary = quality_summary(rows, partition, spec)
    assert summary["rows"] == {"train": 72, "validation": 24, "test": 24}
    assert sum(sum(cluster["rows"].values()) for cluster in summary["clusters"]) == 120
    assert [cluster["size"] for cluster in summary["clusters"]] == partition.clusters.sizes.tolist()
    train = rows.features[rows.part == "train"]
    values = np.linalg.svd(train - train.mean(axis=0), compute_uv=False) ** 2
    assert summary["space"]["explained_variance"] == pytest.approx(values[:5].sum() / values.sum(), rel=1e-4)
    points = partition.points[rows.part == "train"]
    for name, labels in (("clusters", partition.cluster), ("labels", rows.label)):
        expected = silhouette_score(points, labels[rows.part == "train"])
        assert summary["silhouette"][name] == pytest.approx(expected, rel=1e-6)


def test_the_nearest_images_are_distinct_training_originals():
    table = pd.DataFrame(
        {
            "image_id": ["a", "b", "c", "d", "a", "e", "f"],
            "view": [0, 0, 0, 0, 1, 0, 0],
            "part": ["train", "train", "train", "train", "train", "test", "train"],
            "cluster": [0, 0, 0, 0, 0, 0, 1],
            "distance": [4.0, 3.0, 2.0, 1.0, 0.5, 0.1, 9.0],
        }
    )
    content = pd.Series({"a": "A", "b": "B", "c": "same", "d": "same", "e": "E", "f": "F"})
    first, second = nearest_images(table, content, k=2, number=2)
    assert first.tolist() == [3, 1]  # d; not its copy c, the view of a, or the test image e
    assert second.tolist() == [6]


def test_without_training_rows_the_split_is_blamed():
    rows = samples()
    with pytest.raises(DataError, match="no training rows to cluster"):
        partition_samples(replace(rows, part=np.full(120, "test", dtype=object)), Clustering(k=3))
