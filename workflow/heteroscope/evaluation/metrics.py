"""Metrics of many models at once.

scikit-learn scores one model a call; a study scores thousands. Every function takes
probabilities (..., n, C) and labels broadcastable to (..., n) and returns (...). The tests compare
each with scikit-learn. Binary metrics are those of class 1; with more classes they are macro means
over the classes, and AUC is one-vs-rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

PUBLISHED = ("accuracy", "auc", "sensitivity", "specificity")
LOG_LOSS_CLIP = 1e-7


def correct(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Whether each prediction is right: (..., n) bool. The first of equal classes wins."""
    return np.asarray(probability.argmax(axis=-1) == label)


def log_losses(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Minus the log of the probability given to the true class: (..., n), clipped at 1e-7."""
    label = np.broadcast_to(label, probability.shape[:-1])
    chosen = np.take_along_axis(probability, label[..., None], axis=-1)[..., 0]
    return np.asarray(-np.log(np.clip(chosen.astype(np.float64), LOG_LOSS_CLIP, 1.0)))


def accuracy(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The share of right predictions."""
    return np.asarray(correct(probability, label).mean(axis=-1))


def auc(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The area under the ROC curve from mid-ranks (Mann-Whitney); NaN where a class is absent."""
    classes = probability.shape[-1]
    if classes == 2:
        return _auc_of(probability[..., 1], label == 1)
    return np.asarray(np.mean([_auc_of(probability[..., c], label == c) for c in range(classes)], axis=0))


def _auc_of(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    positive = np.broadcast_to(positive, score.shape)
    n = score.shape[-1]
    positives = positive.sum(axis=-1)
    rank_sum = np.where(positive, rankdata(score, axis=-1), 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((rank_sum - positives * (positives + 1) / 2) / (positives * (n - positives)))


class Counts(NamedTuple):
    """True and false positives and negatives of one class: (...) float each."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray


def _one_vs_rest(formula: Callable[[Counts], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A metric from the counts of a class; 0 / 0 is NaN."""

    def metric(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
        classes = probability.shape[-1]
        predicted = probability.argmax(axis=-1)
        label = np.broadcast_to(label, predicted.shape)
        values = []
        for c in [1] if classes == 2 else range(classes):
            is_c, said_c = label == c, predicted == c
            cells = (is_c & said_c, ~is_c & said_c, is_c & ~said_c, ~is_c & ~said_c)
            with np.errstate(invalid="ignore", divide="ignore"):
                values.append(formula(Counts(*(cell.sum(axis=-1).astype(np.float64) for cell in cells))))
        return np.asarray(np.mean(values, axis=0))

    return metric


sensitivity = _one_vs_rest(lambda n: n.tp / (n.tp + n.fn))
specificity = _one_vs_rest(lambda n: n.tn / (n.tn + n.fp))
# scikit-learn's convention: 0 where nothing was called positive
precision = _one_vs_rest(lambda n: np.nan_to_num(n.tp / (n.tp + n.fp)))
f1 = _one_vs_rest(lambda n: np.nan_to_num(2 * n.tp / (2 * n.tp + n.fp + n.fn)))

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": accuracy,
    "auc": auc,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "precision": precision,
    "recall": sensitivity,
    "f1": f1,
}
