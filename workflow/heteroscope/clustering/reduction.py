"""Reduction of embeddings before clustering: principal components, or none; fitted on training rows alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from heteroscope.config import Reduction
from heteroscope.errors import DataError

RULE_COMPONENTS = 50


@dataclass(frozen=True)
class Reducer:
    """A map from embeddings to the space that is clustered.

    Attributes:
        pca: the fitted components, or None where nothing is reduced.
        dimensions: d', the number of columns after `transform`.
        explained_variance_ratio: (d',) share of the training rows' variance that each component holds;
            empty where nothing is reduced.
    """

    pca: PCA | None
    dimensions: int
    explained_variance_ratio: np.ndarray

    @property
    def explained_variance(self) -> float:
        """Share of the training rows' variance that is kept; 1 where nothing is reduced."""
        return 1.0 if self.pca is None else float(self.explained_variance_ratio.sum())

    def transform(self, features: np.ndarray) -> np.ndarray:
        """(n, d) float32 embeddings as (n, d') float32 coordinates."""
        if self.pca is None:
            return features
        return np.asarray(self.pca.transform(features), dtype=np.float32)


def fit_reduction(features: np.ndarray, spec: Reduction, seed: int) -> Reducer:
    """Fit a reduction on training rows.

    Wide embeddings are decomposed by scikit-learn's seeded randomised solver, narrow ones exactly. The largest
    loading of every component is positive, so that a picture is never mirrored by chance.

    Args:
        features: (n, d) float32, training rows only.
        spec: the number of components, the share of variance, or none.
        seed: of the randomised solver.

    Raises:
        DataError: more components are asked for than the training rows span.
    """
    rows, columns = features.shape
    if spec.method == "none":
        return Reducer(None, columns, np.empty(0))
    most = most_components(rows, columns)
    if most < 1 or (spec.components or 0) > most:
        raise DataError(
            f"{spec.components or 1} principal components are asked for, but {rows} training rows of {columns} values"
            f" span at most {most}; set `components` to {max(most, 1)} or fewer, or train on more images"
        )
    pca = PCA(n_components=spec.components or spec.variance, random_state=seed).fit(features)
    return Reducer(pca, int(pca.n_components_), np.asarray(pca.explained_variance_ratio_, dtype=np.float64))


def fit_rule_basis(features: np.ndarray, seed: int) -> Reducer:
    """The principal components in which the label rule is fitted, and an unreduced clustering drawn.

    Args:
        features: (n, d) float32, training rows only.
        seed: of the randomised solver.
    """
    components = min(RULE_COMPONENTS, most_components(*features.shape))
    return fit_reduction(features, Reduction(method="pca", components=max(components, 1)), seed)


def most_components(rows: int, columns: int) -> int:
    """How many components centred rows can span."""
    return min(rows - 1, columns)
