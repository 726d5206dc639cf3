"""Euclidean distances within and between clusters, exact and in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist
from tqdm import tqdm

from heteroscope.embedding.blocks import Matrix, row_blocks

BLOCK_VALUES = 8 * 1024**2
BLOCK_ROWS = 1024
SLOW_BLOCKS = 100  # of one cluster, from which on progress is shown: about ten minutes of a core


def nearest_centroid(points: Matrix, rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(m,) int, the number of the centroid, of (k, d), that is nearest to each of (m,) rows of (n, d) points."""
    nearest = np.empty(len(points), dtype=np.int64)
    for block in _blocks(points, rows):
        nearest[block] = cdist(points[block], centroids).argmin(axis=1)
    found: np.ndarray = nearest[rows]
    return found


def distances_to_own(points: Matrix, labels: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(n,) float64 distances of (n, d) points to the one of (k, d) centroids that (n,) labels name."""
    distances = np.empty(len(points))
    for block in _blocks(points, np.arange(len(points))):
        distances[block] = cdist(points[block], centroids)[np.arange(len(block)), labels[block]]
    return distances


def mean_pairwise_distance(points: Matrix, rows: np.ndarray) -> float:
    """The mean Euclidean distance over all pairs of (m,) rows of (n, d) points.

    Two blocks of points are held in float64 at a time, so memory does not grow with m. Time does, with m² d: a core
    takes some minutes for 100,000 rows of 100 values, and a hundred times that for ten times the rows.

    Returns:
        NaN where there is no pair.
    """
    blocks = list(_blocks(points, rows))
    total = 0.0
    for number, block in enumerate(tqdm(blocks, "pairs", mininterval=2, disable=len(blocks) < SLOW_BLOCKS)):
        here = points[block]
        total += float(pdist(here).sum())
        total += sum(float(cdist(here, points[others]).sum()) for others in blocks[number + 1 :])
    pairs = len(rows) * (len(rows) - 1) // 2
    return total / pairs if pairs else float("nan")


def cluster_distances(points: Matrix, rows: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> pd.DataFrame:
    """The distance table of a clustering.

    Args:
        points: (n, d) in the space that was clustered.
        rows: (m,) int, the training rows.
        labels: (m,) int, their clusters, 0 … k − 1.
        centroids: (k, d).

    Returns:
        k × k rows with the columns `cluster`, `other` and `distance`. Where `cluster` equals `other`, the distance is
        the mean over all pairs of the cluster's training rows, and NaN for a cluster of one row; elsewhere it is the
        distance of the two centroids.
    """
    matrix = cdist(centroids, centroids)
    for cluster in range(len(centroids)):
        matrix[cluster, cluster] = mean_pairwise_distance(points, rows[labels == cluster])
    numbers, others = np.indices(matrix.shape)
    return pd.DataFrame({"cluster": numbers.ravel(), "other": others.ravel(), "distance": matrix.ravel()})


def _blocks(points: Matrix, rows: np.ndarray) -> Iterator[np.ndarray]:
    return row_blocks(points, rows, max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(points.shape[1], 1))))
