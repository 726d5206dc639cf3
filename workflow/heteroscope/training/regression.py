"""Regressors on embeddings: an attribute of the images that is a number.

Everything that is fitted sees training rows alone. The target is brought to mean 0 and spread 1 of the training rows,
so that no hyper-parameter depends on its unit; predictions are in its own unit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import AdaBoostRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge as RidgeRegression
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from heteroscope.config import (
    AdaBoost,
    NearestNeighbours,
    Regression,
    RegressionForest,
    Ridge,
    SupportVectorRegression,
    XGBoost,
)
from heteroscope.data.targets import target_values
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError, StoreError
from heteroscope.training.preparation import preparation
from heteroscope.training.tuning import Candidate, tried

ERRORS = {"rmse": root_mean_squared_error, "mae": mean_absolute_error}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Regressed:
    """A regressor, trained and asked once a seed.

    Attributes:
        predicted: (seeds, test rows) float64, in the target's unit; test rows are those whose target is known.
        target: (test rows,) float64.
        test: (test rows,) int, row numbers of the samples.
        spec: the entry with the chosen hyper-parameters.
        candidates: what tuning tried, in its order; empty without tuning.
        mean: of the training target, what a regressor that learns nothing says.
        trained: number of training rows, with their views.
        unknown: part → number of original images whose target is not known.
    """

    predicted: np.ndarray
    target: np.ndarray
    test: np.ndarray
    spec: Regression
    candidates: list[Candidate]
    mean: float
    trained: int
    unknown: dict[str, int]


def target_of(samples: Samples, images: pd.DataFrame, name: str, dataset: str) -> np.ndarray:
    """The attribute of every sample, (n,) float64; NaN where it is not known.

    Args:
        samples: all rows; a view has the attribute of its image.
        images: images.parquet.
        name: the attribute, without its prefix.
        dataset: its id, for messages.

    Raises:
        DataError: the attribute does not exist, or is not a number.
        StoreError: the table misses an image of the split.
    """
    known = target_values(images, name, dataset)
    if (missing := ~np.isin(samples.image_id, known.index)).any():
        raise StoreError(
            f"images.parquet of dataset {dataset!r} has no row for image {samples.image_id[missing][0]}; delete it and"
            " run the workflow again"
        )
    return known.loc[samples.image_id].to_numpy()


def train_regression(
    samples: Samples, target: np.ndarray, spec: Regression, *, dataset: str, threads: int
) -> Regressed:
    """Tune on the training rows, train on them once a seed, predict the test rows. Validation rows take no part.

    Args:
        samples: all rows.
        target: (n,) float64; rows where it is NaN are left out.
        spec: the regressor.
        dataset: its id, for messages.
        threads: of forests and boosting.

    Raises:
        DataError: fewer than two known values to train on, none to test, or too few patients for the tuning's folds.
    """
    known = np.isfinite(target)
    train, test = (rows[known[rows]] for rows in (samples.rows("train"), samples.rows("test")))
    _check_values(target, train, test, samples, name=spec.target, dataset=dataset)
    features = samples.in_memory()
    chosen, candidates = _tune(replace(samples, features=features), target, train, spec, threads=threads)
    predicted = []
    for seed in range(spec.seeds if spec.is_random else 1):
        fitted = fit_regressor(features[train], target[train], chosen, seed=seed, threads=threads)
        predicted.append(np.asarray(fitted.predict(features[test]), dtype=np.float64))
        logger.info("seed %d: trained on %d rows", seed, len(train))
    original = samples.view == 0
    unknown = {part: int((~known & original & (samples.part == part)).sum()) for part in ("train", "test")}
    return Regressed(
        predicted=np.stack(predicted),
        target=target[test],
        test=test,
        spec=chosen,
        candidates=candidates,
        mean=float(target[train].mean()),
        trained=len(train),
        unknown=unknown,
    )


def _check_values(
    target: np.ndarray, train: np.ndarray, test: np.ndarray, samples: Samples, *, name: str, dataset: str
) -> None:
    values = np.unique(target[train])
    if len(values) < 2:
        there = f"the value {values[0]:g}" if len(values) else "none"
        raise DataError(
            f"dataset {dataset!r}: a regression takes two or more different values of attribute {name!r}, but of"
            f" {len(samples.rows('train'))} training rows it has {there}; name another `target`, or another split"
        )
    if not len(test):
        raise DataError(
            f"dataset {dataset!r}: attribute {name!r} is known of none of {len(samples.rows('test'))} test images;"
            " name another `target`, or another split"
        )


def _tune(
    samples: Samples, target: np.ndarray, train: np.ndarray, spec: Regression, *, threads: int
) -> tuple[Regression, list[Candidate]]:
    """The entry with hyper-parameters chosen by cross-validation on training rows, and all that were tried."""
    tuning = spec.tuning
    if tuning is None:
        return spec, []
    if (patients := len(np.unique(samples.group[train]))) < tuning.folds:
        raise DataError(
            f"tuning takes {tuning.folds} folds, but {spec.target!r} is known of {patients} training patients; set"
            " fewer folds, or train on more patients"
        )
    divided = GroupKFold(tuning.folds, shuffle=True, random_state=tuning.seed)
    folds = [(train[rows], train[asked]) for rows, asked in divided.split(train, groups=samples.group[train])]

    def values(parameters: dict[str, Any]) -> list[float]:
        candidate = spec.with_parameters(parameters)
        found = []
        for rows, others in folds:
            fitted = fit_regressor(
                samples.features[rows],
                target[rows],
                candidate,
                seed=tuning.seed,
                threads=threads,
                trained_on=f"training rows in one of {tuning.folds} folds of the tuning",
            )
            asked = others[samples.view[others] == 0]
            found.append(ERRORS[tuning.metric](target[asked], fitted.predict(samples.features[asked])))
        return found

    candidates = tried(tuning, values)
    best = min(candidates, key=lambda candidate: candidate.mean)
    return spec.with_parameters(best.parameters), candidates


def fit_regressor(
    features: np.ndarray,
    target: np.ndarray,
    spec: Regression,
    *,
    seed: int,
    threads: int,
    trained_on: str = "training rows",
) -> TransformedTargetRegressor:
    """Train a regressor with all that stands before it, on features (n, d) and a target (n,).

    Args:
        features: of all rows that are trained on.
        target: of the same.
        spec: the regressor.
        seed: of what is random.
        threads: of forests and boosting.
        trained_on: what these rows are, for messages.

    Raises:
        DataError: more components than the rows span, or fewer rows than neighbours.
    """
    entry = spec.regressor
    if isinstance(entry, NearestNeighbours) and len(target) < entry.n_neighbors:
        raise DataError(f"n_neighbors: {entry.n_neighbors}, but there are {len(target)} {trained_on}; ask for fewer")
    steps = [*preparation(spec, features.shape, seed=seed), ("regressor", _regressor(spec, seed=seed, threads=threads))]
    # scikit-learn would check on some rows that the scaling can be undone, which float64 does to the last digits alone
    whole = TransformedTargetRegressor(Pipeline(steps), transformer=StandardScaler(), check_inverse=False)
    return whole.fit(features, target)


def _regressor(spec: Regression, *, seed: int, threads: int) -> RegressorMixin:
    """The estimator that a regressor's entry names; its keys are scikit-learn's and XGBoost's own."""
    entry = spec.regressor
    keys = entry.model_dump(exclude={"method"})
    match entry:
        case Ridge():
            return RidgeRegression(**keys)
        case RegressionForest():
            return RandomForestRegressor(**keys, random_state=seed, n_jobs=threads)
        case AdaBoost():
            tree = DecisionTreeRegressor(max_depth=keys.pop("max_depth"), random_state=seed)
            return AdaBoostRegressor(tree, **keys, random_state=seed)
        case XGBoost():
            from xgboost import XGBRegressor  # only where it is asked for

            return XGBRegressor(**keys, tree_method="hist", random_state=seed, n_jobs=threads)
        case SupportVectorRegression():
            return SVR(**keys)
        case NearestNeighbours():
            return KNeighborsRegressor(**keys)
