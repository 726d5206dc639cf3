"""Clusters against planted blobs, scipy and scikit-learn; their order; and what is refused."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from heteroscope.clustering.clusters import Clusters
from heteroscope.clustering.clusters import fit_clusters as fit_rows
from heteroscope.config import Clustering
from heteroscope.errors import DataError

METHODS = ["kmeans", "ward", "gmm"]


def fit_clusters(points: np.ndarray, spec: Clustering) -> Clusters:
    """Every row trains."""
    return fit_rows(points, np.arange(len(points)), spec)


def blobs(sizes=(20, 45, 30), columns=4, distance=20.0, seed=0):
    """Rows in a shuffled order, and the blob of each."""
    generator = np.random.default_rng(seed)
    blob = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = distance * np.eye(len(sizes), columns)
    return (centers[blob] + generator.normal(size=(len(blob), columns))).astype(np.float32), blob


def cloud(rows=120, columns=3, seed=5):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_planted_blobs_are_found_and_numbered_by_size(method):
    points, blob = blobs()
    clusters = fit_clusters(points, Clustering(method=method, k=3))
    assert adjusted_rand_score(blob, clusters.labels) == 1
    assert clusters.sizes.tolist() == [45, 30, 20]
    np.testing.assert_array_equal(clusters.labels, np.array([2, 0, 1])[blob])
    for cluster in range(3):
        np.testing.assert_allclose(clusters.centroids[cluster], points[clusters.labels == cluster].mean(0), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_new_rows_join_the_blob_they_come_from(method):
    points, _ = blobs()
    others, blob = blobs(seed=1)
    clusters = fit_clusters(points, Clustering(method=method, k=3))
    np.testing.assert_array_equal(clusters.assign(others, np.arange(95)), np.array([2, 0, 1])[blob])
    assert clusters.assign(others, np.arange(0)).shape == (0,)


@pytest.mark.parametrize("method", METHODS)
def test_equal_sizes_are_numbered_by_their_first_row(method):
    points, blob = blobs(sizes=(15, 15, 15))
    order = [int(value) for value in dict.fromkeys(blob.tolist())]
    labels = fit_clusters(points, Clustering(method=method, k=3)).labels
    np.testing.assert_array_equal(labels, np.argsort(order)[blob])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_clusters(method):
    spec = Clustering(method=method, k=4, seed=7)
    first, second = (fit_clusters(cloud(), spec) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.centroids.tobytes() == second.centroids.tobytes()


def test_ward_cuts_the_tree_of_scipy():
    points = cloud()
    expected = fcluster(linkage(points.astype(float), "ward"), 5, "maxclust")
    assert adjusted_rand_score(expected, fit_clusters(points, Clustering(method="ward", k=5)).labels) == 1


def test_kmeans_is_as_good_as_scikit_learn_and_stands_at_a_fixed_point():
    points = cloud()
    clusters = fit_clusters(points, Clustering(method="kmeans", k=5))
    inertia = ((points - clusters.centroids[clusters.labels]) ** 2).sum()
    assert inertia <= KMeans(5, n_init=10, random_state=0).fit(points.astype(float)).inertia_ * (1 + 1e-6)
    np.testing.assert_array_equal(clusters.assign(points, np.arange(120)), clusters.labels)


def test_a_mixture_assigns_by_its_posterior_where_the_nearest_centroid_would_not():
    generator = np.random.default_rng(2)
    narrow = generator.normal(size=(150, 2)) * [0.2, 0.2] + [4, 0]
    wide = generator.normal(size=(200, 2)) * [3, 3]
    points = np.concatenate([narrow, wide]).astype(np.float32)
    clusters = fit_clusters(points, Clustering(method="gmm", k=2))
    model = GaussianMixture(2, n_init=5, random_state=0).fit(points.astype(float))
    assert adjusted_rand_score(model.predict(points.astype(float)), clusters.labels) == 1
    behind = np.array([[6.5, 0.0]], dtype=np.float32)  # nearer to the narrow centre, but far outside of its spread
    nearest = np.linalg.norm(behind - clusters.centroids, axis=1).argmin()
    assert clusters.assign(behind, np.array([0]))[0] == 0 != nearest


@pytest.mark.parametrize("method", METHODS[:2])
def test_a_cluster_of_one_row(method):
    points, _ = blobs(sizes=(20, 15))
    lonely = np.concatenate([points, np.full((1, 4), 500, dtype=np.float32)])
    clusters = fit_clusters(lonely, Clustering(method=method, k=3))
    assert clusters.sizes.tolist() == [20, 15, 1]
    np.testing.assert_array_equal(clusters.centroids[2], [500] * 4)


@pytest.mark.parametrize("method", METHODS)
def test_k_above_the_training_rows_is_refused(method):
    with pytest.raises(DataError, match=r"k: 6 clusters .* 5 training rows; choose a smaller k"):
        fit_clusters(cloud(rows=5), Clustering(method=method, k=6))


@pytest.mark.parametrize("method", METHODS)
def test_k_above_the_distinct_training_rows_is_refused(method):
    points = np.repeat(cloud(rows=3), 10, axis=0)
    with pytest.raises(DataError, match=r"k: 4 .* only 3 of the 30 training rows are distinct"):
        fit_clusters(points, Clustering(method=method, k=4))


def test_a_mixture_that_its_rows_cannot_feed_is_refused():
    with pytest.raises(
        DataError, match=r"k: 4 in 10 dimensions needs at least 44 training rows .* there are 40; .* 9 "
    ):
        fit_clusters(cloud(rows=40, columns=10), Clustering(method="gmm", k=4))


def test_an_empty_cluster_is_refused():
    # Two distinct values a blob, and more components than blobs: no row belongs most to the spare component.
    points = np.repeat(np.array([[0.0], [1e-6], [10.0]]), [30, 30, 40], axis=0)
    with pytest.raises(DataError, match=r"gmm with k: 3 left 1 of its clusters empty; choose a smaller k"):
        fit_clusters(points, Clustering(method="gmm", k=3))
