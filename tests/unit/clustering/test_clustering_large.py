"""Data above the size that memory is meant for: planted truth, exact methods, and what is held at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from heteroscope.clustering import clusters, partition, reduction
from heteroscope.clustering.clusters import fit_clusters
from heteroscope.clustering.distances import cluster_distances
from heteroscope.clustering.partition import (
    Partition,
    assignments_table,
    distance_table,
    partition_samples,
    quality_summary,
)
from heteroscope.clustering.reduction import fit_reduction
from heteroscope.config import Clustering, Reduction
from heteroscope.embedding import blocks
from heteroscope.embedding.blocks import FeatureBlocks
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError
from heteroscope.store import create_h5, read_embeddings, write_strings

COMPONENTS = Reduction(method="pca", components=4)
SIZES = (400, 250, 350)
ROWS, COLUMNS = sum(SIZES), 12


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is above the size; a block has some 40 rows of an embedding."""
    monkeypatch.setattr(blocks, "IN_MEMORY_VALUES", 100)
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 500)


def planted(sizes: tuple[int, ...] = SIZES, columns: int = COLUMNS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Well separated blobs, one after another as a class after a class stands in a folder, and the blob of each row."""
    generator = np.random.default_rng(seed)
    blob = np.repeat(np.arange(len(sizes)), sizes)
    spread = generator.normal(size=(len(blob), columns)) * 0.7 ** np.arange(columns)
    return (20 * np.eye(len(sizes), columns)[blob] + spread).astype(np.float32), blob


def samples_of(features: np.ndarray | FeatureBlocks) -> Samples:
    rows = len(features)
    return Samples(
        features=features,
        image_id=np.array([f"{row:016x}" for row in range(rows)], dtype=object),
        view=np.zeros(rows, dtype=np.int64),
        part=np.array(["train", "test", "train", "validation"], dtype=object)[np.arange(rows) % 4],
        label=np.arange(rows) % 2,
        group=np.array([str(row) for row in range(rows)], dtype=object),
        class_names=["a", "b"],
        embedding={},
    )


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[np.ndarray], FeatureBlocks]:
    """Features left in a file, whose order of rows is another one."""

    def store(features: np.ndarray) -> FeatureBlocks:
        order = np.random.default_rng(8).permutation(len(features))
        with create_h5(tmp_path / "e.h5", "embeddings") as file:
            file.create_dataset("features", data=features[order])
            write_strings(file, "image_id", [f"{row:016x}" for row in order])
        return FeatureBlocks([(read_embeddings([tmp_path / "e.h5"]), np.argsort(order))])

    return store


# ----------------------------------------------------------------------------- principal components


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("spec", [COMPONENTS, Reduction(method="pca", variance=0.97)])
def test_components_fitted_in_blocks_are_the_exact_ones(
    stored: Callable[[np.ndarray], FeatureBlocks], spec: Reduction
) -> None:
    features, _ = planted()
    train = np.arange(0, ROWS, 2)
    exact = PCA(spec.components or spec.variance, svd_solver="full").fit(features[train].astype(float))
    for source in (stored(features), features):
        reducer = fit_reduction(source, train, spec, seed=0)
        assert reducer.in_blocks
        assert reducer.dimensions == exact.n_components_
        np.testing.assert_allclose(reducer.transform(source), exact.transform(features), atol=1e-3)
        np.testing.assert_allclose(reducer.explained_variance_ratio, exact.explained_variance_ratio_, rtol=1e-4)
        assert reducer.explained_variance == pytest.approx(exact.explained_variance_ratio_.sum(), rel=1e-5)


@pytest.mark.usefixtures("large")
def test_components_of_embeddings_wider_than_a_block_are_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 64 * 20)
    features, _ = planted(columns=64)
    rows = np.random.default_rng(0).permutation(ROWS)
    reducer = fit_reduction(features, rows, COMPONENTS, seed=0)
    exact = PCA(4, svd_solver="full").fit(features.astype(float))
    assert reducer.pca is not None
    similarity = np.abs((reducer.pca.components_ * exact.components_).sum(axis=1))
    assert similarity.min() > 0.999
    np.testing.assert_allclose(reducer.explained_variance_ratio, exact.explained_variance_ratio_, rtol=0.01)


@pytest.mark.usefixtures("large")
def test_a_block_has_at_least_as_many_rows_as_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 2 * COLUMNS)
    assert fit_reduction(planted()[0], np.arange(ROWS), COMPONENTS, seed=0).dimensions == 4


@pytest.mark.usefixtures("large")
def test_a_share_that_the_components_of_a_block_do_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 64 * 3)
    noise = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    with pytest.raises(DataError, match=r"the 3 principal components of a block hold .* `variance: 0\.9`; set `compo"):
        fit_reduction(noise, np.arange(300), Reduction(method="pca", variance=0.9), seed=0)


# ---------------------------------------------------------------------------------------- k-means


@pytest.mark.usefixtures("large")
def test_mini_batches_find_planted_blobs_and_repeat(stored: Callable[[np.ndarray], FeatureBlocks]) -> None:
    features, blob = planted()
    train = np.flatnonzero(np.arange(ROWS) % 3 > 0)
    spec = Clustering(method="kmeans", k=3, seed=5)
    for points in (features, stored(features)):
        found = fit_clusters(points, train, spec)
        again = fit_clusters(points, train, spec)
        assert adjusted_rand_score(blob[train], found.labels) == 1
        assert found.sizes.tolist() == sorted(np.bincount(blob[train]), reverse=True)
        np.testing.assert_array_equal(found.labels, again.labels)
        assert found.centroids.tobytes() == again.centroids.tobytes()
        means = [features[train][found.labels == cluster].mean(axis=0, dtype=float) for cluster in range(3)]
        np.testing.assert_allclose(found.centroids, means, rtol=1e-12)


@pytest.mark.usefixtures("large")
def test_other_rows_join_the_nearest_centroid(stored: Callable[[np.ndarray], FeatureBlocks]) -> None:
    features = np.random.default_rng(3).normal(size=(600, 12)).astype(np.float32)
    others = np.random.default_rng(4).permutation(600)[:200]
    points = stored(features)
    found = fit_clusters(points, np.setdiff1d(np.arange(600), others), Clustering(k=5))
    distance = np.linalg.norm(features[others, None].astype(float) - found.centroids, axis=2)
    np.testing.assert_array_equal(found.assign(points, others), distance.argmin(axis=1))


@pytest.mark.usefixtures("large")
def test_centres_move_from_where_their_sample_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both begin in the first blob, which they would divide; the second blob must draw one of them over."""
    features, blob = planted((400, 350))
    monkeypatch.setattr(clusters, "drawn_rows", lambda rows, most, seed: np.array([0, 1]))
    centres = features[:2]
    distance = np.linalg.norm(features[:, None] - centres, axis=2)
    assert adjusted_rand_score(blob, distance.argmin(axis=1)) < 0.9
    found = fit_clusters(features, np.arange(750), Clustering(k=2))
    assert adjusted_rand_score(blob, found.labels) == 1


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("method", ["ward", "gmm"])
def test_other_methods_refuse_points_of_this_size(method: str) -> None:
    with pytest.raises(DataError, match=rf"method {method} .* 1000 rows of 12 values .* reduce to fewer .* kmeans"):
        fit_clusters(planted()[0], np.arange(ROWS), Clustering(method=method, k=3))


def test_ward_refuses_its_rows_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "WARD_ROWS", 499)
    monkeypatch.setattr(partition, "fit_reduction", lambda *_: pytest.fail("the features were read"))
    with pytest.raises(DataError, match=r"method ward .*: 500 are too many, 499 at most; choose kmeans or gmm"):
        partition_samples(samples_of(planted()[0]), Clustering(method="ward", k=3, reduce=COMPONENTS))


# --------------------------------------------------------------------------------- the whole stage


@pytest.mark.parametrize("reduce", [COMPONENTS, Reduction()])
def test_a_partition_from_disk_is_that_of_memory(
    stored: Callable[[np.ndarray], FeatureBlocks], monkeypatch: pytest.MonkeyPatch, reduce: Reduction
) -> None:
    features, _ = planted()
    spec = Clustering(k=3, reduce=reduce)
    exact = partition_samples(samples_of(features), spec)
    assert exact.approximate == []
    monkeypatch.setattr(blocks, "IN_MEMORY_VALUES", 100)
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 500)
    samples = samples_of(stored(features))
    found = partition_samples(samples, spec)
    np.testing.assert_array_equal(found.cluster, exact.cluster)
    np.testing.assert_allclose(found.coordinates, exact.coordinates, atol=1e-3)
    np.testing.assert_allclose(
        assignments_table(samples, found)["distance"], assignments_table(samples, exact)["distance"], atol=1e-3
    )
    np.testing.assert_allclose(
        distance_table(samples, found)["distance"], distance_table(samples, exact)["distance"], rtol=1e-4
    )
    before, after = (quality_summary(samples, each, spec) for each in (exact, found))
    assert after["silhouette"]["clusters"] == pytest.approx(before["silhouette"]["clusters"], rel=1e-4)
    assert after["clusters"] == before["clusters"]
    words = ["principal components were fitted in blocks of rows"] if reduce.method == "pca" else []
    assert after["approximate"] == [*words, "k-means ran in mini-batches"]
    assert "approximate" not in before


def test_reduced_points_that_fit_are_clustered_exactly(
    stored: Callable[[np.ndarray], FeatureBlocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "IN_MEMORY_VALUES", ROWS * 4)
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 500)
    features, _ = planted()
    for method in ("kmeans", "ward", "gmm"):
        found = partition_samples(samples_of(stored(features)), Clustering(method=method, k=3, reduce=COMPONENTS))
        assert found.approximate == ["principal components were fitted in blocks of rows"]


def test_silhouettes_of_a_sample_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(planted()[0])
    spec = Clustering(k=3, seed=2)
    found = partition_samples(samples, spec)
    assert set(quality_summary(samples, found, spec)["silhouette"]) == {"clusters", "labels"}
    monkeypatch.setattr(partition, "SILHOUETTE_ROWS", 60)
    drawn = []
    monkeypatch.setattr(partition, "silhouette", lambda points, labels: drawn.append((points, labels)))
    assert quality_summary(samples, found, spec)["silhouette"]["rows"] == 60
    train = samples.rows("train")
    expected = train[np.sort(np.random.default_rng(2).choice(500, 60, replace=False))]
    for (points, labels), values in zip(drawn, (found.cluster, samples.label), strict=True):
        np.testing.assert_array_equal(points, samples.features[expected])
        np.testing.assert_array_equal(labels, values[expected])


def test_distances_within_clusters_are_exact_on_disk(stored: Callable[[np.ndarray], FeatureBlocks]) -> None:
    features, blob = planted((30, 20))
    rows = np.arange(0, 50, 2)
    centroids = np.zeros((2, COLUMNS))
    found = cluster_distances(stored(features), rows, blob[rows], centroids).set_index(["cluster", "other"])["distance"]
    for cluster in (0, 1):
        members = features[rows][blob[rows] == cluster].astype(float)
        pairs = np.linalg.norm(members[:, None] - members, axis=2)[np.triu_indices(len(members), 1)]
        assert found[cluster, cluster] == pytest.approx(pairs.mean(), rel=1e-10)


@pytest.mark.parametrize("reduce", [COMPONENTS, Reduction()])
def test_memory_does_not_hold_the_features(
    stored: Callable[[np.ndarray], FeatureBlocks], monkeypatch: pytest.MonkeyPatch, reduce: Reduction
) -> None:
    """20,000 rows of 64 values are 5.1 MB."""
    features = planted((10_000, 6000, 4000), columns=64)[0]
    samples = samples_of(stored(features))
    del features
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 500 * 64)
    monkeypatch.setattr(reduction, "RULE_COMPONENTS", 4)
    spec = Clustering(k=3, reduce=reduce)

    def peak(source: Callable[[], Samples]) -> tuple[int, Partition]:
        tracemalloc.start()
        rows = source()
        found = partition_samples(rows, spec)
        assignments_table(rows, found)
        quality_summary(rows, found, spec)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, found

    monkeypatch.setattr(partition, "SILHOUETTE_ROWS", 100)
    in_memory, exact = peak(lambda: replace(samples, features=samples.in_memory()))
    monkeypatch.setattr(blocks, "IN_MEMORY_VALUES", 100)
    in_blocks, found = peak(lambda: samples)
    np.testing.assert_array_equal(found.cluster, exact.cluster)
    size = 20_000 * 64 * 4
    assert in_blocks < 0.7 * size
    assert in_memory > size
