"""Deep hybrid learning: classical classifiers on embeddings.

Everything that is fitted (standardisation, components, synthetic rows, the classifier, its hyper-parameters) sees
training rows alone; within cross-validation it sees those of the other folds alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import Pipeline
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import ClassifierMixin
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_sample_weight

from heteroscope.config import (
    AdaBoost,
    Hybrid,
    Logistic,
    MultilayerPerceptron,
    NearestNeighbours,
    RandomForest,
    SupportVectors,
    Tuning,
    XGBoost,
)
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError
from heteroscope.evaluation.metrics import METRICS
from heteroscope.stopwatch import Stopwatch
from heteroscope.training.preparation import preparation
from heteroscope.training.tuning import Candidate, tried

NEIGHBOURS = 5  # of SMOTE (Chawla et al., 2002)
CALIBRATION_FOLDS = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRows:
    """What a classifier is trained on.

    Attributes:
        features: (n, d) float32.
        label: (n,) int from 0.
        group: (n,) patients.
        view: (n,) int, 0 for originals: only they are asked in cross-validation.
    """

    features: np.ndarray
    label: np.ndarray
    group: np.ndarray
    view: np.ndarray

    def take(self, rows: np.ndarray) -> TrainingRows:
        """Some of the rows."""
        return TrainingRows(self.features[rows], self.label[rows], self.group[rows], self.view[rows])

    def fewest_patients(self) -> int:
        """Of a class."""
        return min(len(np.unique(self.group[self.label == c])) for c in np.unique(self.label))

    def folds(self, number: int, *, seed: int, what: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Row numbers to train on and to ask, a pair a fold; no patient is on both sides, classes are spread evenly.

        Raises:
            DataError: a class has fewer patients than there are folds.
        """
        if (fewest := self.fewest_patients()) < number:
            raise DataError(
                f"{what} takes {number} folds, but a class has {fewest} patients in the training set; set fewer folds,"
                " or train on more patients"
            )
        divided = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
        pairs = divided.split(self.features, self.label, self.group)
        return [(trained, asked[self.view[asked] == 0]) for trained, asked in pairs]


class Fitted(Protocol):
    """A trained classifier with all that stands before it."""

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities (n, C) of features (n, d)."""


@dataclass(frozen=True)
class CalibratedMargins:
    """A classifier that gives margins, and the logistic curve that makes probabilities of them (Platt, 1999)."""

    pipeline: Pipeline
    curve: LogisticRegression

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """See `Fitted`."""
        return np.asarray(self.curve.predict_proba(_margins(self.pipeline, features)))


@dataclass(frozen=True)
class Trained:
    """A classifier, trained and asked once a seed.

    Attributes:
        probability: (seeds, test rows, C) float32.
        spec: the entry with the chosen hyper-parameters.
        candidates: what tuning tried, in its order; empty without tuning.
        tuning_s: seconds of tuning.
        training_s: seconds of one training, without tuning; a mean over seeds.
        prediction_s: seconds of all predictions on the test rows; a mean over seeds.
    """

    probability: np.ndarray
    spec: Hybrid
    candidates: list[Candidate]
    tuning_s: float
    training_s: float
    prediction_s: float


def train_hybrid(samples: Samples, spec: Hybrid, *, threads: int) -> Trained:
    """Tune on the training rows, train on them once a seed, predict the test rows. Validation rows take no part.

    Args:
        samples: all rows.
        spec: the classifier.
        threads: of forests and boosting.

    Raises:
        DataError: the training rows are too few for what is asked, or lack a class.
    """
    train, test = samples.rows("train"), samples.features[samples.rows("test")]
    rows = TrainingRows(samples.features[train], samples.label[train], samples.group[train], samples.view[train])
    if missing := set(range(len(samples.class_names))) - set(rows.label):
        raise DataError(f"no training image of class {samples.class_names[missing.pop()]!r}; choose another split")
    watch = Stopwatch()
    chosen, candidates = tune(rows, spec, threads=threads)
    tuning = watch.lap()
    probability, training, prediction = [], [], []
    for seed in range(spec.seeds if spec.is_random else 1):
        fitted = fit(rows, chosen, seed=seed, threads=threads)
        training.append(watch.lap())
        probability.append(np.asarray(fitted.predict_proba(test), dtype=np.float32))
        prediction.append(watch.lap())
        logger.info("seed %d: trained in %.2f s, %d images in %.3f s", seed, training[-1], len(test), prediction[-1])
    mean = [float(np.mean(seconds)) for seconds in (training, prediction)]
    return Trained(np.stack(probability), chosen, candidates, tuning if candidates else 0.0, *mean)


def tune(rows: TrainingRows, spec: Hybrid, *, threads: int) -> tuple[Hybrid, list[Candidate]]:
    """Choose hyper-parameters by cross-validation on the training rows, all images of a patient on one side.

    Args:
        rows: the training rows.
        spec: with `tuning`; without it, it is returned as it is.
        threads: of forests and boosting.

    Returns:
        The entry with the chosen hyper-parameters, and all that were tried.

    Raises:
        DataError: too few patients for the folds.
    """
    tuning = spec.tuning
    if tuning is None:
        return spec, []
    folds = rows.folds(tuning.folds, seed=tuning.seed, what="tuning")

    def values(parameters: dict[str, Any]) -> list[float]:
        candidate = spec.with_parameters(parameters)
        return [
            _value(fit(rows.take(trained), candidate, seed=tuning.seed, threads=threads), rows.take(asked), tuning)
            for trained, asked in folds
        ]

    candidates = tried(tuning, values)
    best = max(candidates, key=lambda candidate: candidate.mean)
    return spec.with_parameters(best.parameters), candidates


def _value(fitted: Fitted, rows: TrainingRows, tuning: Tuning) -> float:
    return float(METRICS[tuning.metric](fitted.predict_proba(rows.features), rows.label))


def fit(rows: TrainingRows, spec: Hybrid, *, seed: int, threads: int) -> Fitted:
    """Train a classifier with all that stands before it.

    Args:
        rows: the training rows.
        spec: the classifier; its `tuning` is not looked at.
        seed: of everything that is drawn.
        threads: of forests and boosting.

    Raises:
        DataError: more components than the rows span, or a class that is too small for what is asked.
    """
    pipeline: Fitted = _fit_pipeline(rows, spec, seed=seed, threads=threads)
    if not isinstance(spec.classifier, SupportVectors):
        return pipeline
    margins, asked_rows = [], []
    folds = min(CALIBRATION_FOLDS, max(rows.fewest_patients(), 2))
    for trained, asked in rows.folds(folds, seed=seed, what="the curve that turns margins into probabilities"):
        without = _fit_pipeline(rows.take(trained), spec, seed=seed, threads=threads)
        margins.append(_margins(without, rows.features[asked]))
        asked_rows.append(asked)
    # classes that were made equal for the machine stay so for the curve, which would else undo it
    curve = LogisticRegression(class_weight=None if spec.imbalance == "none" else "balanced")
    return CalibratedMargins(pipeline, curve.fit(np.concatenate(margins), rows.label[np.concatenate(asked_rows)]))


def _margins(pipeline: Pipeline, features: np.ndarray) -> np.ndarray:
    """(n, 1) of two classes, (n, C) of more."""
    margins = np.asarray(pipeline.decision_function(features))
    return margins.reshape(len(features), -1)


def _fit_pipeline(rows: TrainingRows, spec: Hybrid, *, seed: int, threads: int) -> Pipeline:
    steps = preparation(spec, (len(rows.label), rows.features.shape[1]), seed=seed)
    if sampler := _sampler(spec, rows.label, seed):
        steps.append(("sample", sampler))
    pipeline = Pipeline([*steps, ("classifier", _classifier(spec, seed=seed, threads=threads))])
    weighted = spec.imbalance == "class-weights"
    weights = {"classifier__sample_weight": compute_sample_weight("balanced", rows.label)} if weighted else {}
    pipeline.fit(rows.features, rows.label, **weights)
    return pipeline


def _sampler(spec: Hybrid, label: np.ndarray, seed: int) -> SMOTE | RandomOverSampler | RandomUnderSampler | None:
    """What changes the number of training rows of each class, if anything."""
    if spec.imbalance == "oversample":
        return RandomOverSampler(random_state=seed)
    if spec.imbalance == "undersample":
        return RandomUnderSampler(random_state=seed)
    if spec.imbalance != "smote":
        return None
    smallest = int(np.bincount(label).min())
    if smallest < 2:
        raise DataError(
            f"imbalance: smote draws rows between neighbours of a class, but one has {smallest} training row; use"
            " oversample or class-weights, or train on more images"
        )
    return SMOTE(k_neighbors=min(NEIGHBOURS, smallest - 1), random_state=seed)


def _classifier(spec: Hybrid, *, seed: int, threads: int) -> ClassifierMixin:
    """The estimator that a classifier's entry names; its keys are scikit-learn's and XGBoost's own."""
    entry = spec.classifier
    keys = entry.model_dump(exclude={"method"})
    match entry:
        case RandomForest():
            return RandomForestClassifier(**keys, random_state=seed, n_jobs=threads)
        case AdaBoost():
            tree = DecisionTreeClassifier(max_depth=keys.pop("max_depth"), random_state=seed)
            return AdaBoostClassifier(tree, **keys, random_state=seed)
        case XGBoost():
            from xgboost import XGBClassifier  # only where it is asked for

            return XGBClassifier(**keys, tree_method="hist", random_state=seed, n_jobs=threads)
        case Logistic():
            return LogisticRegression(**keys)
        case SupportVectors():
            return SVC(**keys, decision_function_shape="ovr")
        case MultilayerPerceptron():
            return MLPClassifier(**keys, random_state=seed)
        case NearestNeighbours():
            return KNeighborsClassifier(**keys)
