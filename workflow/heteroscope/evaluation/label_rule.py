"""The shared rule of the label arm: one slope for all clusters, an intercept for each.

Under the verdict's null hypothesis one rule, with a prevalence of its own in each cluster, made the
labels. The rule is a ridge-logistic regression on the reduced embedding and the cluster; its
penalty and the temperature that calibrates it come from predictions cross-fitted by patient. New
labels are drawn from it while images, patients, embeddings, split and clusters stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from heteroscope.errors import DataError
from heteroscope.evaluation import metrics

PENALTIES = tuple(10.0**power for power in range(-4, 3))  # scikit-learn's C, from strong to weak
FOLDS = 5
INTERCEPT_SCALE = 10.0  # widens the cluster columns, so that the penalty hardly touches the intercepts
PREVALENCE_PRIOR = 0.5  # images added to every class of a cluster, so that no prevalence is 0 or 1


@dataclass(frozen=True)
class SharedRule:
    """A fitted rule.

    Attributes:
        probability: (n, C) of each original image, calibrated; the mean of a cluster is its prevalence.
        penalty: the chosen C of scikit-learn's logistic regression.
        temperature: what cross-fitted logits were divided by.
        cross_fitted_auc: of the uncalibrated, cross-fitted predictions.
        cross_fitted_log_loss: of the calibrated, cross-fitted predictions.
    """

    probability: np.ndarray
    penalty: float
    temperature: float
    cross_fitted_auc: float
    cross_fitted_log_loss: float


def fit_shared_rule(
    coordinates: np.ndarray, cluster: np.ndarray, label: np.ndarray, group: np.ndarray, *, seed: int
) -> SharedRule:
    """Fit the rule to all original images of training, validation and test.

    Args:
        coordinates: (n, d) the reduced embedding.
        cluster: (n,) int.
        label: (n,) int.
        group: (n,) patients; cross-fitting keeps them whole.
        seed: of the folds.

    Raises:
        DataError: too few patients of a class to cross-fit.
    """
    classes = int(label.max()) + 1
    design = _design(coordinates, cluster)
    folds = _folds(label, group, seed)
    cross_fitted = {penalty: _cross_fit(design, label, folds, penalty, classes) for penalty in PENALTIES}
    penalty = min(PENALTIES, key=lambda value: _log_loss(cross_fitted[value], label))
    temperature = _temperature(cross_fitted[penalty], label)
    logits = _logits(_fit(design, label, penalty), design, classes) / temperature
    return SharedRule(
        probability=_with_prevalence(logits, cluster, label),
        penalty=penalty,
        temperature=temperature,
        cross_fitted_auc=float(metrics.auc(softmax(cross_fitted[penalty], axis=1), label)),
        cross_fitted_log_loss=_log_loss(cross_fitted[penalty] / temperature, label),
    )


def redraw_labels(rule: SharedRule, label: np.ndarray, group: np.ndarray, *, seed: int, draw: int) -> np.ndarray:
    """New labels of all original images from the rule: (n,) int; depends on (seed, draw) alone.

    The images of a patient that agree in their label, copies of one image among them, get one label
    again, from the mean of their logits.
    """
    generator = np.random.default_rng([seed, draw])
    _, patient = np.unique(group, return_inverse=True)
    classes = rule.probability.shape[1]
    _, unit, count = np.unique(patient * classes + label, return_inverse=True, return_counts=True)
    logit = np.zeros((len(count), classes))
    np.add.at(logit, unit, np.log(np.clip(rule.probability, 1e-12, None)))
    return _draw(softmax(logit / count[:, None], axis=1), generator)[unit]


def _draw(probability: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    threshold = generator.random(len(probability))
    drawn = (probability.cumsum(axis=1) < threshold[:, None]).sum(axis=1)
    return np.asarray(np.minimum(drawn, probability.shape[1] - 1))


def _design(coordinates: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Coordinates in units of the first one's spread, beside one column a cluster."""
    centred = coordinates - coordinates.mean(axis=0)
    spread = centred.std(axis=0).max()
    return np.hstack(
        [centred / (spread if spread > 0 else 1.0), INTERCEPT_SCALE * np.eye(int(cluster.max()) + 1)[cluster]]
    )


def _folds(label: np.ndarray, group: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    patients = min(len(np.unique(group[label == value])) for value in np.unique(label))
    if patients < 2:
        raise DataError(
            "the label arm needs at least two patients of each class to cross-fit its rule; leave out `labels`"
        )
    splitter = StratifiedGroupKFold(n_splits=min(FOLDS, patients), shuffle=True, random_state=seed)
    return list(splitter.split(label, label, group))


def _fit(design: np.ndarray, label: np.ndarray, penalty: float) -> LogisticRegression:
    return LogisticRegression(C=penalty, max_iter=2000, tol=1e-6, fit_intercept=False).fit(design, label)


def _logits(model: LogisticRegression, design: np.ndarray, classes: int) -> np.ndarray:
    """(n, C); a class that was absent from the fit gets a logit no draw will choose."""
    decision = model.decision_function(design)
    columns = np.column_stack([np.zeros(len(design)), decision]) if decision.ndim == 1 else decision
    logits = np.full((len(design), classes), -30.0)
    logits[:, model.classes_] = columns
    return logits


def _cross_fit(
    design: np.ndarray, label: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]], penalty: float, classes: int
) -> np.ndarray:
    logits = np.empty((len(label), classes))
    for fitted, left_out in folds:
        logits[left_out] = _logits(_fit(design[fitted], label[fitted], penalty), design[left_out], classes)
    return logits


def _log_loss(logits: np.ndarray, label: np.ndarray) -> float:
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(label)), label]).mean())


def _temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The divisor of the logits with the smallest log loss (temperature scaling, Guo et al., 2017)."""
    found = minimize_scalar(lambda power: _log_loss(logits / np.exp(power), label), bounds=(-3, 5), method="bounded")
    return float(np.exp(found.x))


def _with_prevalence(logits: np.ndarray, cluster: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Probabilities whose sums in each cluster are its class counts: the intercepts fitted anew."""
    probability = np.empty_like(logits)
    classes = logits.shape[1]
    for value in np.unique(cluster):
        rows = np.flatnonzero(cluster == value)
        counts = np.bincount(label[rows], minlength=classes) + PREVALENCE_PRIOR
        target = counts / counts.sum()
        shift = np.zeros(classes)
        for _ in range(200):
            mean = softmax(logits[rows] + shift, axis=1).mean(axis=0)
            step = np.log(target) - np.log(np.clip(mean, 1e-300, None))
            shift += step
            if np.abs(step).max() < 1e-9:
                break
        probability[rows] = softmax(logits[rows] + shift, axis=1)
    return probability
