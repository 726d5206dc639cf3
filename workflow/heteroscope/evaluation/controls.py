"""The random arms: joint partitions of the training rows that mimic the clusters' sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd


def make_blocks(group: np.ndarray, cluster: np.ndarray, *, together: bool) -> np.ndarray:
    """The units that a random part takes whole: (n,) int.

    Args:
        group: (n,) the patient of each training row (an image or a view).
        cluster: (n,) int, the row's cluster.
        together: all rows of a patient in one cluster are one block; otherwise every row is its own
            (the published protocol draws augmented copies as images of their own).
    """
    if not together:
        return np.arange(len(group))
    return np.asarray(
        pd.DataFrame({"group": group, "cluster": cluster}).groupby(["group", "cluster"], sort=False).ngroup()
    )


def random_partition(
    cluster: np.ndarray, block: np.ndarray, *, seed: int, repeat: int, stratum: np.ndarray | None = None
) -> np.ndarray:
    """One joint draw for all clusters: a random partition of the rows into parts of the clusters' sizes.

    Blocks are shuffled and laid end to end; part c takes the stretch of the clusters' cumulated
    sizes, and a block that crosses a border goes to the side of its middle. With blocks of one row
    the sizes are exact.

    Args:
        cluster: (n,) int from 0.
        block: (n,) int, from `make_blocks`.
        seed: of the controls.
        repeat: number of the draw; draws depend on (seed, repeat) alone, so that every job draws the same.
        stratum: (n,) class of each row; given, part c gets cluster c's counts within every class.

    Returns:
        (n,) int, the part of each row.
    """
    generator = np.random.default_rng([seed, repeat])
    part = np.empty(len(cluster), dtype=np.int64)
    strata = np.zeros(len(cluster), dtype=np.int64) if stratum is None else stratum
    for value in np.unique(strata):
        rows = np.flatnonzero(strata == value)
        part[rows] = _cut(cluster[rows], block[rows], generator)
    return part


def _cut(cluster: np.ndarray, block: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    _, dense, size = np.unique(block, return_inverse=True, return_counts=True)
    borders = np.cumsum(np.bincount(cluster))
    return np.asarray(np.searchsorted(borders, shuffled_middles(size, generator), side="right")[dense])


def shuffled_middles(size: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Where the middle of each block of `size` (b,) lies when blocks are shuffled and laid end to end: (b,) float."""
    order = generator.permutation(len(size))
    middle = np.empty(len(size))
    middle[order] = np.cumsum(size[order]) - size[order] / 2
    return middle


def eligible_clusters(
    train_cluster: np.ndarray,
    train_label: np.ndarray,
    test_cluster: np.ndarray,
    *,
    k: int,
    classes: int,
    min_class: int,
    min_test: int,
) -> np.ndarray:
    """Which clusters are compared: enough training images of every class and enough test images; (k,) bool."""
    fewest = class_counts(train_cluster, train_label, k=k, classes=classes).min(axis=1)
    return np.asarray((fewest >= min_class) & (np.bincount(test_cluster, minlength=k) >= min_test))


def class_counts(cluster: np.ndarray, label: np.ndarray, *, k: int, classes: int) -> np.ndarray:
    """How many rows of each class every cluster holds: (k, classes) int."""
    counts = np.zeros((k, classes), dtype=np.int64)
    np.add.at(counts, (cluster, label), 1)
    return counts
