"""Models on the same test images, two by two: is one better by more than chance explains?

The tests of McNemar and of DeLong take images for independent; the intervals of the differences resample patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar

from heteroscope.evaluation.intervals import percentile_interval, resample_weights, sums_by_patient
from heteroscope.evaluation.metrics import correct
from heteroscope.evaluation.scores import auc_of_classes
from heteroscope.evaluation.statistics import holm


def paired_table(
    models: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]], label: np.ndarray, group: np.ndarray
) -> pd.DataFrame:
    """Differences of accuracy and AUC, a row a pair of models.

    Args:
        models: name → probabilities (n, C) on the same images; of several seeds their mean.
        pairs: names of two models each.
        label: (n,) int.
        group: (n,) patients.

    Returns:
        Columns model, other, images, patients; accuracy_gain (model minus other) with low and high, the ends of the
        95 % interval over patients, how many images only one of them calls right, and the p of McNemar's exact test;
        auc_gain (of more than two classes the mean over classes) with low and high, and the p of DeLong's test, which
        two classes alone have. `_holm`: adjusted over the pairs.
    """
    _, patient = np.unique(group, return_inverse=True)
    patients = int(patient.max()) + 1
    weight = np.vstack([np.ones((1, patients), dtype=np.int64), resample_weights(patients)])
    asked = {name for pair in pairs for name in pair}
    scored = {name: _Scored.of(models[name], label, patient, weight) for name in models if name in asked}
    columns = {"images": len(label), "patients": patients}
    table = pd.DataFrame(
        [{"model": a, "other": b} | columns | _compared(scored[a], scored[b], label == 1) for a, b in pairs]
    )
    for test in ("mcnemar_p", "delong_p"):
        if test in table:
            table.insert(list(table.columns).index(test) + 1, f"{test}_holm", holm(table[test].to_numpy()))
    return table


@dataclass(frozen=True)
class _Scored:
    """A model on the test images: probabilities, hits (n,), and both scores as they are and in every resample."""

    probability: np.ndarray
    right: np.ndarray
    accuracy: np.ndarray
    auc: np.ndarray

    @classmethod
    def of(cls, probability: np.ndarray, label: np.ndarray, patient: np.ndarray, weight: np.ndarray) -> Self:
        right = correct(probability, label)
        sums = weight @ sums_by_patient(np.column_stack([right, np.ones(len(right))]), patient, weight.shape[1])
        areas = auc_of_classes(probability[None], label, patient, weight)[:, 0]
        return cls(probability, right, sums[:, 0] / sums[:, 1], areas.mean(axis=1))


def _compared(a: _Scored, b: _Scored, positive: np.ndarray) -> dict[str, Any]:
    two_classes = a.probability.shape[1] == 2
    return {
        **_difference("accuracy", a.accuracy - b.accuracy),
        "only_model_right": int((a.right & ~b.right).sum()),
        "only_other_right": int((~a.right & b.right).sum()),
        "mcnemar_p": mcnemar_p(a.right, b.right),
        **_difference("auc", a.auc - b.auc),
        "delong_p": delong(a.probability[:, 1], b.probability[:, 1], positive)[1] if two_classes else np.nan,
    }


def _difference(name: str, values: np.ndarray) -> dict[str, float]:
    """Of values as they are, and in every resample."""
    low, high = percentile_interval(values[1:])
    return {f"{name}_gain": float(values[0]), f"{name}_low": low, f"{name}_high": high}


def mcnemar_p(right: np.ndarray, other: np.ndarray) -> float:
    """The exact p that two models are right equally often (McNemar, 1947): binomial over images that divide them.

    Args:
        right: (n,) bool, whether the first model is right.
        other: (n,) bool, whether the second one is.
    """
    table = [[np.sum(a & b) for b in (other, ~other)] for a in (right, ~right)]
    return float(mcnemar(table, exact=True).pvalue)


def delong(score: np.ndarray, other: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """The difference of two areas under the ROC curve on the same images, and its p (DeLong et al., 1988).

    The area is the mean of each positive image's share of negative ones below it, and of each negative image's share of
    positive ones above it; the variances of both shares' differences, each divided by its number of images, add up.

    Args:
        score: (n,) of the first model, larger for positive images.
        other: (n,) of the second one.
        positive: (n,) bool.

    Returns:
        Area of the first minus area of the second, and p (two-sided, normal): 1 where both rank alike, NaN where a
        class has fewer than two images.
    """
    shares = [_placements(values, positive) for values in (score, other)]
    of_positive, of_negative = (first - second for first, second in zip(*shares, strict=True))
    if min(len(of_positive), len(of_negative)) < 2:
        return float("nan"), float("nan")
    difference = of_positive.mean()
    variance = sum(part.var(ddof=1) / len(part) for part in (of_positive, of_negative))
    if variance == 0:
        return float(difference), 1.0 if difference == 0 else 0.0
    return float(difference), float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def _placements(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive image the share of negative ones below it, of each negative the positive ones above it.

    Equal scores count half.
    """
    high, low = np.sort(score[positive]), np.sort(score[~positive])
    fewer, more = (np.searchsorted(low, score[positive], side=side) for side in ("left", "right"))
    below = (fewer + more) / (2 * max(len(low), 1))
    fewer, more = (np.searchsorted(high, score[~positive], side=side) for side in ("left", "right"))
    return below, 1 - (fewer + more) / (2 * max(len(high), 1))
