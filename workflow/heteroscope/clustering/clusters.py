"""k-means, Ward and Gaussian mixture: fitted on training rows, then assigned to any row.

Clusters are numbered by decreasing number of training rows; of two equal ones, that which holds the earlier
training row comes first. A centroid is the mean of a cluster's training rows, whatever the method.

Points of more than `IN_MEMORY_VALUES` values are clustered by k-means alone, in mini-batches; a training row then
belongs to the nearest of the centres that these end with. Ward takes at most `WARD_ROWS` rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import AgglomerativeClustering, KMeans, MiniBatchKMeans
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from heteroscope.clustering.distances import nearest_centroid
from heteroscope.config import Clustering
from heteroscope.embedding.blocks import Matrix, block_rows, drawn_rows, is_large, row_blocks
from heteroscope.errors import DataError

KMEANS_STARTS = 10
KMEANS_ITERATIONS = 1000
KMEANS_START_ROWS = 5000  # that mini-batches begin from
KMEANS_PASSES = 5  # of mini-batches over all rows
WARD_ROWS = 20_000  # whose distances take 1.6 GB
MIXTURE_STARTS = 5
MIXTURE_ITERATIONS = 500

Rule = Callable[[Matrix, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Clusters:
    """A fitted clustering.

    Attributes:
        labels: (n,) int, the clusters of the training rows.
        centroids: (k, d) float64, means of the clusters' training rows.
        rule: how rows that were not trained on are assigned.
    """

    labels: np.ndarray
    centroids: np.ndarray
    rule: Rule

    @property
    def sizes(self) -> np.ndarray:
        """(k,) int, training rows a cluster."""
        return np.bincount(self.labels, minlength=len(self.centroids))

    def assign(self, points: Matrix, rows: np.ndarray) -> np.ndarray:
        """(m,) int clusters of rows of (n, d) points.

        A Gaussian mixture assigns by its posterior, the other methods by the nearest centroid.
        """
        return self.rule(points, rows) if len(rows) else np.empty(0, dtype=np.int64)


def fit_clusters(points: Matrix, rows: np.ndarray, spec: Clustering) -> Clusters:
    """Cluster training rows.

    Args:
        points: (n, d) all rows, already reduced.
        rows: (m,) int, the training rows.
        spec: method, k and seed.

    Raises:
        DataError: k exceeds the training rows or the distinct ones, a cluster stays empty, a Gaussian mixture has
            fewer rows than its covariances need, or there are too many rows for the method.
    """
    check_rows(len(rows), spec)
    if is_large(points.shape) and spec.method != "kmeans":
        raise DataError(
            f"method {spec.method} holds all rows in memory, and {points.shape[0]} rows of {points.shape[1]} values are"
            " too many; reduce to fewer principal components (`reduce`), or choose kmeans"
        )
    _check_distinct(points, rows, spec)
    found, posterior = _FITS[spec.method](points, rows, spec)
    sizes = np.bincount(found, minlength=spec.k)
    if not sizes.all():
        raise DataError(
            f"{spec.method} with k: {spec.k} left {int((sizes == 0).sum())} of its clusters empty;"
            " choose a smaller k or another seed"
        )
    number = _numbering(found, sizes)
    labels = number[found]
    centroids = _means(points, rows, labels, spec.k)

    def nearest(points: Matrix, rows: np.ndarray) -> np.ndarray:
        return nearest_centroid(points, rows, centroids)

    def most_probable(points: Matrix, rows: np.ndarray) -> np.ndarray:
        assert posterior is not None
        return np.asarray(number[posterior(points, rows)])

    return Clusters(labels, centroids, most_probable if posterior else nearest)


def in_mini_batches(points: Matrix, spec: Clustering) -> bool:
    """Whether these points are clustered in mini-batches."""
    return spec.method == "kmeans" and is_large(points.shape)


def check_rows(rows: int, spec: Clustering) -> None:
    """Refuse a number of training rows that the method cannot cluster, before anything is computed.

    Raises:
        DataError: there are fewer rows than clusters, or more than Ward's distances of all pairs have room for.
    """
    if spec.k > rows:
        raise DataError(f"k: {spec.k} clusters are asked for, but there are {rows} training rows; choose a smaller k")
    if spec.method == "ward" and rows > WARD_ROWS:
        raise DataError(
            f"method ward holds the distances of all pairs of training rows: {rows} are too many, {WARD_ROWS} at most;"
            " choose kmeans or gmm"
        )


def _check_distinct(points: Matrix, rows: np.ndarray, spec: Clustering) -> None:
    distinct: set[bytes] = set()
    for block in row_blocks(points, rows):
        for row in points[block]:
            distinct.add(hashlib.sha256(row.tobytes()).digest())
            if len(distinct) == spec.k:
                return
    raise DataError(
        f"k: {spec.k} clusters are asked for, but only {len(distinct)} of the {len(rows)} training rows are distinct;"
        " choose a smaller k, or check the embedding (a backbone that gives every image the same values?)"
    )


def _fit_kmeans(points: Matrix, rows: np.ndarray, spec: Clustering) -> tuple[np.ndarray, None]:
    if in_mini_batches(points, spec):
        return _fit_mini_batches(points, rows, spec), None
    return _lloyd(points[rows], spec).labels_.astype(np.int64), None


def _lloyd(points: np.ndarray, spec: Clustering) -> KMeans:
    """Lloyd's iterations until no label changes, so that every centroid is the mean of its rows; overwrites points."""
    model = KMeans(
        spec.k,
        n_init=KMEANS_STARTS,
        max_iter=KMEANS_ITERATIONS,
        tol=0,
        algorithm="lloyd",
        copy_x=False,
        random_state=spec.seed,
    )
    # With three or more OpenMP threads the order of partial sums, and so the last digit, changes from run to run.
    with threadpool_limits(limits=1, user_api="openmp"):
        return model.fit(points)


def _fit_mini_batches(points: Matrix, rows: np.ndarray, spec: Clustering) -> np.ndarray:
    """(m,) int: the centres of a sample's k-means, moved by all rows in mini-batches, and each row's nearest of them.

    A mini-batch is a stretch of consecutive rows, since single ones are slow to read; their order is drawn anew in
    each of `KMEANS_PASSES` passes.
    """
    most = max(spec.k, min(KMEANS_START_ROWS, 4 * block_rows(points.shape[1])))
    start = _lloyd(points[rows[drawn_rows(len(rows), most, spec.seed)]], spec).cluster_centers_
    model = MiniBatchKMeans(
        spec.k, init=start, n_init=1, reassignment_ratio=0, compute_labels=False, random_state=spec.seed
    )
    generator = np.random.default_rng(spec.seed)
    batches = list(row_blocks(points, rows))
    with threadpool_limits(limits=1, user_api="openmp"):
        for _ in range(KMEANS_PASSES):
            for number in generator.permutation(len(batches)):
                model.partial_fit(points[batches[number]])
    return nearest_centroid(points, rows, model.cluster_centers_)


def _fit_ward(points: Matrix, rows: np.ndarray, spec: Clustering) -> tuple[np.ndarray, None]:
    return AgglomerativeClustering(spec.k, linkage="ward").fit(points[rows]).labels_.astype(np.int64), None


def _fit_mixture(points: Matrix, rows: np.ndarray, spec: Clustering) -> tuple[np.ndarray, Rule]:
    """Gaussians with full covariances, one a cluster."""
    dimensions = points.shape[1]
    needed = spec.k * (dimensions + 1)
    if len(rows) < needed:
        raise DataError(
            f"a Gaussian mixture with k: {spec.k} in {dimensions} dimensions needs at least {needed} training rows to"
            f" estimate its covariances, but there are {len(rows)}; reduce to {max(len(rows) // spec.k - 1, 1)}"
            " principal components or fewer (`reduce`), or choose kmeans"
        )
    model = GaussianMixture(
        spec.k, covariance_type="full", n_init=MIXTURE_STARTS, max_iter=MIXTURE_ITERATIONS, random_state=spec.seed
    )

    def posterior(points: Matrix, rows: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(points[rows].astype(np.float64)), dtype=np.int64)

    try:
        with threadpool_limits(limits=1, user_api="openmp"):
            model.fit(points[rows].astype(np.float64))
    except ValueError as error:
        raise DataError(
            f"the Gaussian mixture with k: {spec.k} has a singular covariance ({error}); choose fewer clusters,"
            " reduce to fewer principal components, or choose kmeans"
        ) from None
    return posterior(points, rows), posterior


_FITS: dict[str, Callable[[Matrix, np.ndarray, Clustering], tuple[np.ndarray, Rule | None]]] = {
    "kmeans": _fit_kmeans,
    "ward": _fit_ward,
    "gmm": _fit_mixture,
}


def _means(points: Matrix, rows: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """(k, d) float64 means of the rows of each cluster."""
    if not is_large(points.shape):
        return np.stack([points[rows[labels == cluster]].mean(axis=0, dtype=np.float64) for cluster in range(k)])
    cluster = np.empty(len(points), dtype=np.int64)
    cluster[rows] = labels
    sums = np.zeros((k, points.shape[1]))
    for block in row_blocks(points, rows):
        sums += np.eye(k)[cluster[block]].T @ points[block].astype(np.float64)
    return sums / np.bincount(labels, minlength=k)[:, None]


def _numbering(found: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(k,) int: the new number of each cluster as it was found."""
    first = np.array([np.flatnonzero(found == cluster)[0] for cluster in range(len(sizes))])
    number = np.empty(len(sizes), dtype=np.int64)
    number[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return number
