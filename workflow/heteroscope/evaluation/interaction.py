"""The conventional answer beside the verdict: do the clusters' slopes differ in a logistic regression?"""

from __future__ import annotations

import warnings

import numpy as np
from statsmodels.discrete.discrete_model import Logit
from statsmodels.tools.sm_exceptions import (
    ConvergenceWarning,
    HessianInversionWarning,
    PerfectSeparationError,
    PerfectSeparationWarning,
)

from heteroscope.evaluation.runs import InteractionTest
from heteroscope.evaluation.statistics import holm

MOST_COMPONENTS = 10
PATIENTS_A_PARAMETER = 10


def interaction_test(
    coordinates: np.ndarray, cluster: np.ndarray, label: np.ndarray, group: np.ndarray
) -> InteractionTest:
    """Logistic regression on the first components, the clusters, and their products.

    With all products the clusters are regressed each on its own: as many components are used as leave ten patients of
    every class and cluster a parameter (Peduzzi et al., 1996), at most ten; clusters with too few for one component
    are left out. The covariance of the Wald statistic is robust to the correlation of a patient's images.

    Args:
        coordinates: (n, d) the reduced embedding, most important component first.
        cluster: (n,) int.
        label: (n,) int.
        group: (n,) patients.
    """
    rarest = _rarest(cluster, label, group)
    compared = np.flatnonzero(rarest >= 2 * PATIENTS_A_PARAMETER)
    if len(compared) < 2:
        return InteractionTest(
            float("nan"), 0, f"fewer than two clusters have {2 * PATIENTS_A_PARAMETER} patients of every class"
        )
    parameters = int(rarest[compared].min()) // PATIENTS_A_PARAMETER  # an intercept and the slopes
    components = min(parameters - 1, MOST_COMPONENTS, coordinates.shape[1])
    rows = np.isin(cluster, compared)
    _, patient = np.unique(group[rows], return_inverse=True)
    design, tested = _design(coordinates[rows, :components], cluster[rows])
    classes = int(label.max()) + 1
    p = np.array(
        [_wald_p(design, label[rows] == value, patient, tested) for value in (range(classes) if classes > 2 else [1])]
    )
    if not np.isfinite(p).any():
        return InteractionTest(float("nan"), components, "the classes are separable within the clusters")
    # a class whose fit fails tells nothing, but it was asked
    return InteractionTest(float(holm(np.where(np.isfinite(p), p, 1.0)).min()), components)


def _rarest(cluster: np.ndarray, label: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(k,) patients of the class with the fewest in each cluster."""
    seen = {(c, value, patient) for c, value, patient in zip(cluster.tolist(), label.tolist(), group, strict=True)}
    counts = np.zeros((int(cluster.max()) + 1, int(label.max()) + 1), dtype=int)
    for c, value, _ in seen:
        counts[c, value] += 1
    return np.asarray(counts.min(axis=1))


def _design(slopes: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, int]:
    """Intercept, clusters, slopes and their products, which come last; and the number of products."""
    slopes = (slopes - slopes.mean(axis=0)) / np.maximum(slopes.std(axis=0), 1e-12)
    others = (cluster[:, None] == np.unique(cluster)[1:]).astype(float)
    products = (others[:, :, None] * slopes[:, None, :]).reshape(len(slopes), -1)
    return np.hstack([np.ones((len(slopes), 1)), others, slopes, products]), products.shape[1]


def _wald_p(design: np.ndarray, hit: np.ndarray, patient: np.ndarray, tested: int) -> float:
    """p that the last `tested` coefficients are zero; NaN where the fit does not converge."""
    try:
        with warnings.catch_warnings():
            for category in (PerfectSeparationWarning, ConvergenceWarning, HessianInversionWarning, RuntimeWarning):
                warnings.simplefilter("error", category)  # a separable fit warns instead of failing
            model = Logit(hit.astype(float), design).fit(
                disp=0, maxiter=100, cov_type="cluster", cov_kwds={"groups": patient}
            )
            restriction = np.eye(design.shape[1])[-tested:]
            return float(model.wald_test(restriction, scalar=True, use_f=False).pvalue)
    except (PerfectSeparationError, np.linalg.LinAlgError, Warning):
        return float("nan")
