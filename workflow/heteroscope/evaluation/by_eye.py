"""The published comparison as it was read: one model of each cluster against five random sets of its size, by eye."""

from __future__ import annotations

import numpy as np

from heteroscope.evaluation import metrics
from heteroscope.evaluation.analysis import Analysis

RANDOM_SETS = 5  # of the published study, one training each
DEVIATIONS = 2  # of the five: the smallest gap that is taken for one


def beyond_spread(observed: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Where a value is more than two standard deviations of its draws away from their mean: (...) bool.

    Args:
        observed: (...).
        draws: (draws, ...).
    """
    gap = np.abs(observed - draws.mean(axis=0))
    return np.asarray(gap > DEVIATIONS * draws.std(axis=0, ddof=1))


def called_by_eye(analysis: Analysis, metric: str) -> list[int] | None:
    """The clusters whose model such a reader takes for another one than random sets give, whatever their classes are.

    The first training of each cluster, and of the first five random sets of its size, is read.

    Returns:
        Their numbers; None where fewer than five random sets were drawn.
    """
    label = analysis.test["label"].to_numpy()
    first = {
        arm: np.stack([metrics.METRICS[metric](runs.probability[:, 0], label) for runs in analysis.arms[arm]], axis=1)
        for arm in ("cluster", "size")
    }
    if len(first["size"]) < RANDOM_SETS:
        return None
    called = beyond_spread(first["cluster"][0], first["size"][:RANDOM_SETS])
    return [int(cluster) for cluster in np.flatnonzero(called)]
