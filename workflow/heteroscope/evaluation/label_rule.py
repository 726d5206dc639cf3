"""The shared rule of the label arm: one slope for all clusters, an intercept for each.

Under the verdict's null hypothesis one rule, with a prevalence of its own in each cluster, made the
labels. The rule is a ridge-logistic regression on the reduced embedding and the cluster; its
penalty and the temperature that calibrates it come from predictions cross-fitted by patient. New
labels are drawn from it while images, patients, embeddings, split and clusters stay as they are.

Two kinds are drawn from: `linear`, and `quadratic`, which may be curved in one of two ways. Squares of the first
components let a rule turn back; a saturating rule looks at the direction of an image from the centre alone, as the
best rule nearly does where embeddings have heavy tails: far images then tell less than a linear rule believes, and
clusters of far images would seem to have slopes of their own. Products of components are left out on purpose: that of
a component which tells the clusters apart with another one is a slope of each cluster's own by another name, and would
explain any difference away.

`rotated_probability` gives labels that the null hypothesis does not: rules that differ between the clusters
by a known angle, by which the test's power is measured.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from heteroscope.errors import DataError
from heteroscope.evaluation import metrics

logger = logging.getLogger(__name__)

PENALTIES = tuple(10.0**power for power in range(-4, 3))  # scikit-learn's C, from strong to weak
FOLDS = 5
INTERCEPT_SCALE = 10.0  # widens the cluster columns, so that the penalty hardly touches the intercepts
PREVALENCE_PRIOR = 0.5  # images added to every class of a cluster, so that no prevalence is 0 or 1
QUADRATIC_COMPONENTS = 10
CURVATURES = (0.3, 1.0)  # weights of the squares beside the linear terms
CALIBRATION_BINS = 10
TINY = 1e-12

RuleKind = Literal["linear", "quadratic"]


@dataclass(frozen=True)
class Shape:
    """What the rule's slope belongs to.

    Attributes:
        curvature: weight of the squares of the first components beside the linear terms; 0 without them.
        saturating: the linear terms are of every image's direction from the centre, whatever its distance.
    """

    curvature: float = 0.0
    saturating: bool = False


LINEAR = Shape()
SHAPES: dict[RuleKind, tuple[Shape, ...]] = {
    "linear": (LINEAR,),
    "quadratic": (LINEAR, *(Shape(curvature=weight) for weight in CURVATURES), Shape(saturating=True)),
}


@dataclass(frozen=True)
class SharedRule:
    """A fitted rule.

    Attributes:
        probability: (n, C) of each original image, calibrated; the mean of a cluster is its prevalence.
        slope_logit: (n, C) the calibrated logit without the clusters' intercepts, centred in every cluster.
        penalty: the chosen C of scikit-learn's logistic regression.
        curvature: the chosen weight of the squares; 0 without them.
        saturating: whether the rule looks at directions alone. A quadratic rule that would predict no better is
            linear: neither curved nor saturating.
        temperature: what cross-fitted logits were divided by.
        cross_fitted_auc: of the uncalibrated, cross-fitted predictions.
        cross_fitted_log_loss: of the calibrated, cross-fitted predictions.
        calibration_error: of the calibrated, cross-fitted predictions, see `calibration_error`.
        calibration_noise: what a perfectly calibrated rule would show by chance, see `calibration_noise`.
    """

    probability: np.ndarray
    slope_logit: np.ndarray
    penalty: float
    curvature: float
    saturating: bool
    temperature: float
    cross_fitted_auc: float
    cross_fitted_log_loss: float
    calibration_error: float
    calibration_noise: float

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear rule, by its kind or by choice."""
        return self.curvature == 0 and not self.saturating

    @property
    def summary(self) -> dict[str, float]:
        """What a reader must know of the fit."""
        return {
            field.name: float(getattr(self, field.name))
            for field in fields(self)
            if field.name not in ("probability", "slope_logit")
        }


def fit_shared_rule(
    coordinates: np.ndarray,
    cluster: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    *,
    seed: int,
    kind: RuleKind = "linear",
) -> SharedRule:
    """Fit the rule to all original images of training, validation and test.

    Args:
        coordinates: (n, d) the reduced embedding.
        cluster: (n,) int.
        label: (n,) int.
        group: (n,) patients; cross-fitting keeps them whole.
        seed: of the folds.
        kind: linear, or of the shape (see `SHAPES`) whose cross-fitted log loss is the smallest.

    Raises:
        DataError: too few patients of a class to cross-fit.
    """
    classes = int(label.max()) + 1
    folds = _folds(label, group, seed)
    intercepts = INTERCEPT_SCALE * np.eye(int(cluster.max()) + 1)[cluster]
    designs = {shape: np.hstack([_slope_columns(coordinates, shape), intercepts]) for shape in SHAPES[kind]}
    cross_fitted = {
        (shape, penalty): _cross_fit(design, label, folds, penalty, classes)
        for shape, design in designs.items()
        for penalty in PENALTIES
    }
    shape, penalty = min(cross_fitted, key=lambda choice: _log_loss(cross_fitted[choice], label))
    saturating = ", saturating" if shape.saturating else ""
    logger.info("%s rule: penalty %g, curvature %g%s", kind, penalty, shape.curvature, saturating)
    chosen = cross_fitted[shape, penalty]
    temperature = _temperature(chosen, label)
    predicted = softmax(chosen / temperature, axis=1)
    logits = _logits(_fit(designs[shape], label, penalty), designs[shape], classes) / temperature
    return SharedRule(
        probability=_with_prevalence(logits, cluster, label),
        slope_logit=_centred(logits, cluster),
        penalty=penalty,
        curvature=shape.curvature,
        saturating=shape.saturating,
        temperature=temperature,
        cross_fitted_auc=float(metrics.auc(softmax(chosen, axis=1), label)),
        cross_fitted_log_loss=_log_loss(chosen / temperature, label),
        calibration_error=calibration_error(predicted, label),
        calibration_noise=calibration_noise(predicted, group),
    )


def rotated_probability(
    rule: SharedRule,
    coordinates: np.ndarray,
    cluster: np.ndarray,
    label: np.ndarray,
    side: np.ndarray,
    *,
    degrees: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Probabilities (n, C) under rules that are `degrees` apart between the clusters of two sides.

    Within each cluster the rule is turned by half the angle in the plane of its own logits and those of one random
    direction of the reduced embedding, one side towards that direction and the other away from it. The angle is that
    of logits as vectors over the cluster's images, centred over images and classes: at 90 degrees the two sides'
    logits are uncorrelated there. Every cluster keeps its prevalences and the spread of its logits.

    Args:
        rule: fitted to the same images.
        coordinates: (n, d) the reduced embedding.
        cluster: (n,) int.
        label: (n,) int, for the prevalences.
        side: (k,) +1 or −1, of each cluster.
        degrees: between 0 and 180.
        generator: of the direction, one a class.
    """
    columns = _slope_columns(coordinates, LINEAR)
    logits = columns @ generator.normal(size=(columns.shape[1], rule.slope_logit.shape[1]))
    own, other = (_between_classes(_centred(values, cluster)) for values in (rule.slope_logit, logits))
    turned = np.empty_like(own)
    half = np.deg2rad(degrees) / 2
    for value in np.unique(cluster):
        rows = np.flatnonzero(cluster == value)
        length = float(np.linalg.norm(own[rows]))
        across = other[rows] - own[rows] * (own[rows] * other[rows]).sum() / max(length**2, TINY)
        across *= length / max(float(np.linalg.norm(across)), TINY)
        turned[rows] = np.cos(half) * own[rows] + side[value] * np.sin(half) * across
    return _with_prevalence(turned, cluster, label)


def rule_gap(probability: np.ndarray, shared: np.ndarray) -> float:
    """Expected accuracy of the true rule minus that of another, where labels follow `probability`: both (n, C)."""
    other = np.take_along_axis(probability, shared.argmax(axis=1)[:, None], axis=1)
    return float((probability.max(axis=1) - other[:, 0]).mean())


def calibration_error(probability: np.ndarray, label: np.ndarray) -> float:
    """Mean |predicted − observed| over bins of equal counts: of two classes the second's, of more the top one's.

    The expected calibration error of Naeini et al. (2015) with bins of equal counts.
    """
    binary = probability.shape[1] == 2
    predicted = probability[:, 1] if binary else probability.max(axis=1)
    hit = label == 1 if binary else label == probability.argmax(axis=1)
    gaps = [abs(predicted[rows].mean() - hit[rows].mean()) * len(rows) for rows in _bins(predicted)]
    return float(np.sum(gaps) / len(label))


def calibration_noise(probability: np.ndarray, group: np.ndarray) -> float:
    """The `calibration_error` to be expected of labels that do follow these probabilities (n, C), one draw a patient.

    A bin's share then errs as a normal variable of variance Σ p (1 − p) / n², whose mean size is √(2 / π) times its
    standard deviation; images of one patient are counted as one.
    """
    predicted = probability[:, 1] if probability.shape[1] == 2 else probability.max(axis=1)
    images_a_patient = len(group) / len(np.unique(group))
    variance = [(predicted[rows] * (1 - predicted[rows])).sum() * images_a_patient for rows in _bins(predicted)]
    return float(np.sqrt(2 / np.pi * np.array(variance)).sum() / len(predicted))


def _bins(predicted: np.ndarray) -> list[np.ndarray]:
    """Rows in bins of equal counts, by rising prediction."""
    return np.array_split(np.argsort(predicted, kind="stable"), min(CALIBRATION_BINS, len(predicted)))


def redraw_labels(
    probability: np.ndarray, label: np.ndarray, group: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """New labels of all original images from a rule's probabilities (n, C): (n,) int.

    The images of a patient that agree in their label, copies of one image among them, get one label
    again, from the mean of their logits.
    """
    _, patient = np.unique(group, return_inverse=True)
    classes = probability.shape[1]
    _, unit, count = np.unique(patient * classes + label, return_inverse=True, return_counts=True)
    logit = np.zeros((len(count), classes))
    np.add.at(logit, unit, np.log(np.clip(probability, 1e-12, None)))
    return _draw(softmax(logit / count[:, None], axis=1), generator)[unit]


def _draw(probability: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    threshold = generator.random(len(probability))
    drawn = (probability.cumsum(axis=1) < threshold[:, None]).sum(axis=1)
    return np.asarray(np.minimum(drawn, probability.shape[1] - 1))


def _slope_columns(coordinates: np.ndarray, shape: Shape) -> np.ndarray:
    """Coordinates in units of the first one's spread, or their directions; then the weighted squares of the first."""
    centred = coordinates - coordinates.mean(axis=0)
    spread = centred.std(axis=0).max()
    linear = np.asarray(centred / (spread if spread > 0 else 1.0), dtype=np.float64)
    if shape.saturating:
        distance = np.linalg.norm(linear, axis=1, keepdims=True)
        # scaled to the usual distance, so that penalties mean the same
        linear = linear * (np.median(distance) / np.maximum(distance, TINY))
    if shape.curvature == 0:
        return linear
    squares = linear[:, :QUADRATIC_COMPONENTS] ** 2
    return np.hstack([linear, shape.curvature * (squares - squares.mean(axis=0))])


def _between_classes(logits: np.ndarray) -> np.ndarray:
    """Logits (n, C) without the mean of each image, which no probability depends on."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True))


def _centred(logits: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Logits (n, C) without the mean of each cluster."""
    size = np.bincount(cluster)[:, None]
    sums = np.zeros((len(size), logits.shape[1]))
    np.add.at(sums, cluster, logits)
    return np.asarray(logits - (sums / np.maximum(size, 1))[cluster])


def _folds(label: np.ndarray, group: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    patients = min(len(np.unique(group[label == value])) for value in np.unique(label))
    if patients < 2:
        raise DataError(
            "the label arm needs at least two patients of each class to cross-fit its rule; leave out `labels`"
        )
    splitter = StratifiedGroupKFold(n_splits=min(FOLDS, patients), shuffle=True, random_state=seed)
    return list(splitter.split(label, label, group))


def _fit(design: np.ndarray, label: np.ndarray, penalty: float) -> LogisticRegression:
    # few columns beside the images: Newton's steps take a fraction of lbfgs's time to the same optimum
    model = LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-6, fit_intercept=False)
    return model.fit(design, label)


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
