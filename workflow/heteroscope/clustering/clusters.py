"""k-means, Ward and Gaussian mixture: fitted on training rows, then assigned to any row.

Clusters are numbered by decreasing number of training rows; of two equal ones, that which holds the earlier
training row comes first. A centroid is the mean of a cluster's training rows, whatever the method.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from heteroscope.clustering.distances import distances_to
from heteroscope.config import Clustering
from heteroscope.errors import DataError

KMEANS_STARTS = 10
KMEANS_ITERATIONS = 1000
MIXTURE_STARTS = 5
MIXTURE_ITERATIONS = 500

Rule = Callable[[np.ndarray], np.ndarray]


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

    def assign(self, points: np.ndarray) -> np.ndarray:
        """(n,) int clusters of (n, d) points: by the posterior of a Gaussian mixture, else by the nearest centroid."""
        return self.rule(points) if len(points) else np.empty(0, dtype=np.int64)


def fit_clusters(points: np.ndarray, spec: Clustering) -> Clusters:
    """Cluster training rows.

    Args:
        points: (n, d) training rows, already reduced.
        spec: method, k and seed.

    Raises:
        DataError: k exceeds the training rows or the distinct ones, a cluster stays empty, or a Gaussian mixture has
            fewer rows than its covariances need.
    """
    _check_size(points, spec)
    fit = {"kmeans": _fit_kmeans, "ward": _fit_ward, "gmm": _fit_mixture}[spec.method]
    found, posterior = fit(points, spec)
    sizes = np.bincount(found, minlength=spec.k)
    if not sizes.all():
        raise DataError(
            f"{spec.method} with k: {spec.k} left {int((sizes == 0).sum())} of its clusters empty;"
            " choose a smaller k or another seed"
        )
    number = _numbering(found, sizes)
    labels = number[found]
    centroids = np.stack([points[labels == cluster].mean(axis=0, dtype=np.float64) for cluster in range(spec.k)])

    def nearest(rows: np.ndarray) -> np.ndarray:
        return np.asarray(distances_to(rows, centroids).argmin(axis=1))

    def most_probable(rows: np.ndarray) -> np.ndarray:
        assert posterior is not None
        return np.asarray(number[posterior(rows)])

    return Clusters(labels, centroids, most_probable if posterior else nearest)


def _check_size(points: np.ndarray, spec: Clustering) -> None:
    rows = len(points)
    if spec.k > rows:
        raise DataError(f"k: {spec.k} clusters are asked for, but there are {rows} training rows; choose a smaller k")
    distinct = len({hashlib.sha256(row.tobytes()).digest() for row in points})
    if spec.k > distinct:
        raise DataError(
            f"k: {spec.k} clusters are asked for, but only {distinct} of the {rows} training rows are distinct;"
            " choose a smaller k, or check the embedding (a backbone that gives every image the same values?)"
        )


def _fit_kmeans(points: np.ndarray, spec: Clustering) -> tuple[np.ndarray, None]:
    """Lloyd's iterations until no label changes, so that every centroid is the mean of its rows."""
    model = KMeans(
        spec.k, n_init=KMEANS_STARTS, max_iter=KMEANS_ITERATIONS, tol=0, algorithm="lloyd", random_state=spec.seed
    )
    # With three or more OpenMP threads the order of partial sums, and so the last digit, changes from run to run.
    with threadpool_limits(limits=1, user_api="openmp"):
        return model.fit(points).labels_.astype(np.int64), None


def _fit_ward(points: np.ndarray, spec: Clustering) -> tuple[np.ndarray, None]:
    return AgglomerativeClustering(spec.k, linkage="ward").fit(points).labels_.astype(np.int64), None


def _fit_mixture(points: np.ndarray, spec: Clustering) -> tuple[np.ndarray, Rule]:
    """Gaussians with full covariances, one a cluster."""
    rows, dimensions = points.shape
    needed = spec.k * (dimensions + 1)
    if rows < needed:
        raise DataError(
            f"a Gaussian mixture with k: {spec.k} in {dimensions} dimensions needs at least {needed} training rows to"
            f" estimate its covariances, but there are {rows}; reduce to {max(rows // spec.k - 1, 1)} principal"
            " components or fewer (`reduce`), or choose kmeans"
        )
    model = GaussianMixture(
        spec.k, covariance_type="full", n_init=MIXTURE_STARTS, max_iter=MIXTURE_ITERATIONS, random_state=spec.seed
    )

    def posterior(rows: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(rows.astype(np.float64)), dtype=np.int64)

    try:
        with threadpool_limits(limits=1, user_api="openmp"):
            model.fit(points.astype(np.float64))
    except ValueError as error:
        raise DataError(
            f"the Gaussian mixture with k: {spec.k} has a singular covariance ({error}); choose fewer clusters,"
            " reduce to fewer principal components, or choose kmeans"
        ) from None
    return posterior(points), posterior


def _numbering(found: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(k,) int: the new number of each cluster as it was found."""
    first = np.array([np.flatnonzero(found == cluster)[0] for cluster in range(len(sizes))])
    number = np.empty(len(sizes), dtype=np.int64)
    number[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return number
