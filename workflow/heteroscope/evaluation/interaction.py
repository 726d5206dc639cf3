"""The conventional answer beside the verdict: do the clusters' slopes differ in a logistic regression?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from statsmodels.tools.sm_exceptions import PerfectSeparationError

from heteroscope.evaluation.statistics import holm

MOST_COMPONENTS = 10
IMAGES_A_PARAMETER = 10


@dataclass(frozen=True)
class InteractionTest:
    """A Wald test that every cluster has the slopes of the first one.

    Attributes:
        p: of all interactions together; of more than two classes the smallest of one class against the rest,
            Holm-adjusted; NaN where it could not be computed.
        components: principal components whose slopes were compared.
        note: why there is no p; empty where there is one.
    """

    p: float
    components: int
    note: str = ""


def interaction_test(
    coordinates: np.ndarray, cluster: np.ndarray, label: np.ndarray, group: np.ndarray
) -> InteractionTest:
    """Logistic regression on the first components, the clusters, and their products; patients are clusters of errors.

    As many components are used as leave ten images of the rarer class a parameter (Peduzzi et al., 1996), at most
    ten. The Wald statistic uses the covariance that is robust to the correlation of a patient's images.

    Args:
        coordinates: (n, d) the reduced embedding, most important component first.
        cluster: (n,) int.
        label: (n,) int.
        group: (n,) patients.
    """
    _, cluster = np.unique(cluster, return_inverse=True)
    k = int(cluster.max()) + 1
    if k < 2:
        return InteractionTest(float("nan"), 0, "there is one cluster only")
    rarest = int(np.bincount(label).min())
    components = min(rarest // (IMAGES_A_PARAMETER * k) - 1, MOST_COMPONENTS, coordinates.shape[1])
    if components < 1:
        return InteractionTest(float("nan"), 0, f"{rarest} images of the rarest class are too few for {k} clusters")
    slopes = coordinates[:, :components]
    slopes = (slopes - slopes.mean(axis=0)) / np.maximum(slopes.std(axis=0), 1e-12)
    others = np.eye(k)[cluster][:, 1:]
    products = (others[:, :, None] * slopes[:, None, :]).reshape(len(slopes), -1)
    design = np.hstack([np.ones((len(slopes), 1)), others, slopes, products])
    _, patient = np.unique(group, return_inverse=True)
    classes = range(1, 2) if label.max() == 1 else range(int(label.max()) + 1)
    p = np.array([_wald_p(design, label == value, patient, products.shape[1]) for value in classes])
    if not np.isfinite(p).any():
        return InteractionTest(float("nan"), components, "the classes are separable within the clusters")
    return InteractionTest(float(np.nanmin(holm(p))), components)


def _wald_p(design: np.ndarray, hit: np.ndarray, patient: np.ndarray, tested: int) -> float:
    """p that the last `tested` coefficients are zero; NaN where the fit does not converge."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a separable fit warns instead of failing
            model = sm.Logit(hit.astype(float), design).fit(
                disp=0, maxiter=100, cov_type="cluster", cov_kwds={"groups": patient}
            )
            restriction = np.eye(design.shape[1])[-tested:]
            return float(model.wald_test(restriction, scalar=True, use_f=False).pvalue)
    except (PerfectSeparationError, np.linalg.LinAlgError, Warning):
        return float("nan")
