"""Intervals by bootstrap of patients: percentiles over resamples of whole patients, all their images with them.

A resample is a weight for every patient, so that all resamples are scored at once. No head is trained again: the
intervals are conditional on the trained heads, and say how the numbers would vary over other test patients.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from heteroscope.evaluation.metrics import Counts, ratio

BOOTSTRAPS = 1000
BOOTSTRAPS_OF_MEANS = 2000  # a verdict may rest on them, and a mean costs little
SHARE = 0.95
SEED = 0
DEFINED = 0.9  # of the resamples, fewest that must define a value
FEWEST_PATIENTS = 10
"""Of fewer patients a score says little, and its interval is too narrow: of one it has no width at all."""
CELLS = 4_000_000  # weights of images that are held at once


def resample_weights(patients: int, *, bootstraps: int = BOOTSTRAPS, seed: int = SEED) -> np.ndarray:
    """How often each patient stands in each resample with replacement: (bootstraps, patients) int."""
    shares = np.full(patients, 1 / patients)
    return np.asarray(np.random.default_rng(seed).multinomial(patients, shares, size=bootstraps))


def percentile_interval(values: np.ndarray, share: float = SHARE) -> tuple[float, float]:
    """The interval that holds this share of the resamples' values (bootstraps,).

    Resamples that leave the value undefined, as one without images of a class does, do not count. Where they are more
    than a tenth, which is where a class has fewer than three patients or so, there is no interval: (NaN, NaN).
    """
    defined = values[np.isfinite(values)]
    if len(defined) < max(DEFINED * len(values), 1):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def mean_interval(
    value: np.ndarray, group: np.ndarray, *, seed: int, share: float = SHARE, bootstraps: int = BOOTSTRAPS_OF_MEANS
) -> tuple[float, float]:
    """The interval of the mean of `value` (n,) over the images of patients `group` (n,)."""
    patient, names = pd.factorize(group)
    sums = sums_by_patient(np.column_stack([value, np.ones(len(value))]), patient, len(names))
    drawn = resample_weights(len(names), bootstraps=bootstraps, seed=seed) @ sums
    return percentile_interval(drawn[:, 0] / drawn[:, 1], share)


def sums_by_patient(values: np.ndarray, patient: np.ndarray, patients: int) -> np.ndarray:
    """Sums of values (n, ...) over the images of each patient: (patients, ...) float."""
    sums = np.zeros((patients, *values.shape[1:]))
    np.add.at(sums, patient, values)
    return sums


def weighted_counts(probability: np.ndarray, label: np.ndarray, patient: np.ndarray, weight: np.ndarray) -> Counts:
    """Counts of every class against the rest, in every resample.

    Args:
        probability: (seeds, n, C).
        label: (n,) int.
        patient: (n,) int, the column of `weight`.
        weight: (resamples, patients).

    Returns:
        Arrays (resamples, seeds, C).
    """
    seeds, _, classes = probability.shape
    identity = np.eye(classes)
    said, is_it = identity[probability.argmax(axis=2)], identity[label]  # (seeds, n, C), (n, C)

    def resampled(values: np.ndarray) -> np.ndarray:
        sums = sums_by_patient(values, patient, weight.shape[1])
        return np.asarray((weight @ sums.reshape(len(sums), -1)).reshape(len(weight), *values.shape[1:]))

    tp = resampled(np.moveaxis(said * is_it, 1, 0))
    predicted = resampled(np.moveaxis(said, 1, 0))
    positive = np.broadcast_to(resampled(is_it)[:, None], (len(weight), seeds, classes))
    total = positive.sum(axis=2, keepdims=True)
    return Counts(tp=tp, fp=predicted - tp, fn=positive - tp, tn=total - predicted - positive + tp)


def weighted_auc(score: np.ndarray, positive: np.ndarray, patient: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The area under the ROC curve in every resample: (resamples,); NaN where one side is absent.

    The share of pairs of a positive and a negative image that the score puts in order, equal scores counting half,
    where each image stands as often as its patient was drawn.

    Args:
        score: (n,).
        positive: (n,) bool.
        patient: (n,) int, the column of `weight`.
        weight: (resamples, patients).
    """
    negatives = np.flatnonzero(~positive)[np.argsort(score[~positive], kind="stable")]
    # how many negatives each positive is ranked above: fewer and more where scores are equal
    fewer, more = (np.searchsorted(score[negatives], score[positive], side=side) for side in ("left", "right"))
    area = np.empty(len(weight))
    rows = max(1, CELLS // len(score))
    for start in range(0, len(weight), rows):
        some = weight[start : start + rows].astype(np.float32)  # counts of images: exact up to 16 million
        below = np.pad(some[:, patient[negatives]].cumsum(axis=1), ((0, 0), (1, 0)))
        images = some[:, patient[positive]]
        ordered = sum(np.einsum("ri,ri->r", images, below[:, place], dtype=np.float64) for place in (fewer, more)) / 2
        area[start : start + rows] = ratio(ordered, images.sum(axis=1, dtype=np.float64) * below[:, -1])
    return area
