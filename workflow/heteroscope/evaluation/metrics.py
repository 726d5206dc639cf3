"""Metrics of many models at once.

scikit-learn scores one model a call; a study scores thousands. Every function takes
probabilities (..., n, C) and labels broadcastable to (..., n) and returns (...). The tests compare
each with scikit-learn. Binary metrics are those of class 1; with more classes they are macro means
over the classes, and AUC is one-vs-rest: NaN where one of the classes is absent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

PUBLISHED = ("accuracy", "auc", "sensitivity", "specificity")
LOG_LOSS_CLIP = 1e-7

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]


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
    """True and false positives and negatives, each class against the rest: (...) float each."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part of a whole, elementwise; 0 / 0 is NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole)


# precision and F1 follow scikit-learn's convention: 0 where nothing was called positive
FORMULAS: dict[str, Callable[[Counts], np.ndarray]] = {
    "sensitivity": lambda n: ratio(n.tp, n.tp + n.fn),
    "specificity": lambda n: ratio(n.tn, n.tn + n.fp),
    "precision": lambda n: np.nan_to_num(ratio(n.tp, n.tp + n.fp)),
    "recall": lambda n: ratio(n.tp, n.tp + n.fn),
    "f1": lambda n: np.nan_to_num(ratio(2 * n.tp, 2 * n.tp + n.fp + n.fn)),
}


def _counts(probability: np.ndarray, label: np.ndarray, value: int) -> Counts:
    predicted = probability.argmax(axis=-1)
    is_it, said_it = np.broadcast_to(label, predicted.shape) == value, predicted == value
    cells = (is_it & said_it, ~is_it & said_it, is_it & ~said_it, ~is_it & ~said_it)
    return Counts(*(cell.sum(axis=-1).astype(np.float64) for cell in cells))


def _of_study(formula: Callable[[Counts], np.ndarray]) -> Metric:
    """A metric from counts: of class 1, or the mean over more than two classes."""

    def metric(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
        classes = probability.shape[-1]
        values = [formula(_counts(probability, label, c)) for c in ([1] if classes == 2 else range(classes))]
        return np.asarray(np.mean(values, axis=0))

    return metric


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "auc": auc,
    **{name: _of_study(formula) for name, formula in FORMULAS.items()},
}
