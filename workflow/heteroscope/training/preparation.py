"""What stands before a classifier or regressor on embeddings; fitted on training rows."""

from __future__ import annotations

from typing import Any

from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from heteroscope.clustering.reduction import check_components
from heteroscope.config import Hybrid, Regression


def preparation(spec: Hybrid | Regression, shape: tuple[int, int], *, seed: int) -> list[tuple[str, Any]]:
    """The steps of a pipeline that standardise and reduce features.

    Args:
        spec: its `standardize` and `reduce`.
        shape: of the training features.
        seed: of the components.

    Raises:
        DataError: more components than the rows span.
    """
    steps: list[tuple[str, Any]] = []
    if spec.standardize:
        steps.append(("standardize", StandardScaler()))
    if spec.reduce.method == "pca":
        check_components(spec.reduce.components or 1, *shape)
        steps.append(("reduce", PCA(spec.reduce.components or spec.reduce.variance, random_state=seed)))
    return steps
