"""Euclidean distances within and between clusters, exact and in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist

BLOCK_VALUES = 8 * 1024**2
BLOCK_ROWS = 1024


def distances_to(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(n, k) float64 distances of (n, d) points to (k, d) centroids."""
    return np.concatenate([cdist(points[rows], centroids) for rows in _blocks(points)])


def mean_pairwise_distance(points: np.ndarray) -> float:
    """The mean Euclidean distance over all pairs of (n, d) points.

    Two blocks of points are held in float64 at a time, so memory does not grow with n.

    Returns:
        NaN where there is no pair.
    """
    blocks = list(_blocks(points))
    total = 0.0
    for number, rows in enumerate(blocks):
        total += float(pdist(points[rows]).sum())
        total += sum(float(cdist(points[rows], points[others]).sum()) for others in blocks[number + 1 :])
    pairs = len(points) * (len(points) - 1) // 2
    return total / pairs if pairs else float("nan")


def cluster_distances(points: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> pd.DataFrame:
    """The distance table of a clustering.

    Args:
        points: (n, d) training rows in the space that was clustered.
        labels: (n,) int, their clusters, 0 … k − 1.
        centroids: (k, d).

    Returns:
        k × k rows with the columns `cluster`, `other` and `distance`. Where `cluster` equals `other`, the distance is
        the mean over all pairs of the cluster's rows, and NaN for a cluster of one row; elsewhere it is the distance
        of the two centroids.
    """
    matrix = cdist(centroids, centroids)
    for cluster in range(len(centroids)):
        matrix[cluster, cluster] = mean_pairwise_distance(points[labels == cluster])
    rows, columns = np.indices(matrix.shape)
    return pd.DataFrame({"cluster": rows.ravel(), "other": columns.ravel(), "distance": matrix.ravel()})


def _blocks(points: np.ndarray) -> Iterator[slice]:
    rows = max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(points.shape[1], 1)))
    return (slice(start, start + rows) for start in range(0, len(points), rows))
