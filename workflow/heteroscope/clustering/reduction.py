"""Reduction of embeddings before clustering: principal components, or none; fitted on training rows alone.

Embeddings of more than `IN_MEMORY_VALUES` values are decomposed in blocks of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA, IncrementalPCA

from heteroscope.config import Reduction
from heteroscope.embedding.blocks import FeatureBlocks, Matrix, block_rows, is_large, row_blocks
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

    pca: PCA | IncrementalPCA | None
    dimensions: int
    explained_variance_ratio: np.ndarray

    @property
    def explained_variance(self) -> float:
        """Share of the training rows' variance that is kept; 1 where nothing is reduced."""
        return 1.0 if self.pca is None else float(self.explained_variance_ratio.sum())

    @property
    def in_blocks(self) -> bool:
        """Whether the components were fitted in blocks of rows."""
        return isinstance(self.pca, IncrementalPCA)

    def transform(self, features: Matrix) -> np.ndarray:
        """(n, d) float32 embeddings as (n, d') float32 coordinates in memory."""
        if not isinstance(features, FeatureBlocks):
            return features if self.pca is None else np.asarray(self.pca.transform(features), dtype=np.float32)
        if self.pca is None:
            return features.in_memory()
        points = np.empty((len(features), self.dimensions), dtype=np.float32)
        for rows in row_blocks(features, np.arange(len(features))):
            points[rows] = self.pca.transform(features[rows])
        return points


def fit_reduction(features: Matrix, rows: np.ndarray, spec: Reduction, seed: int) -> Reducer:
    """Fit a reduction on training rows.

    Wide embeddings are decomposed by scikit-learn's seeded randomised solver, narrow ones exactly, large ones in
    blocks. The largest loading of every component is positive, so that a picture is never mirrored by chance.

    Args:
        features: (n, d) float32, all rows.
        rows: (m,) int, the training rows.
        spec: the number of components, the share of variance, or none.
        seed: of the randomised solver.

    Raises:
        DataError: more components are asked for than the training rows span, or than a block tells.
    """
    columns = features.shape[1]
    if spec.method == "none":
        return Reducer(None, columns, np.empty(0))
    check_components(spec.components or 1, len(rows), columns)
    if is_large(features.shape):
        pca = _fit_in_blocks(features, rows, spec)
    else:
        pca = PCA(spec.components or spec.variance, copy=False, random_state=seed).fit(features[rows])
    return Reducer(pca, int(pca.n_components_), np.asarray(pca.explained_variance_ratio_, dtype=np.float64))


def _fit_in_blocks(features: Matrix, rows: np.ndarray, spec: Reduction) -> IncrementalPCA:
    """Principal components from one pass over blocks of rows (Ross et al. 2008, as scikit-learn has it).

    As many components are carried from block to block as a block has rows. Where an embedding has no more values than
    that, none is dropped and the answer is exact; else the last ones asked for are approximate.
    """
    pca = IncrementalPCA()
    for block in row_blocks(features, rows, max(block_rows(features.shape[1]), spec.components or 1)):
        pca.partial_fit(features[block])
    shares = np.cumsum(pca.explained_variance_ratio_)
    number = spec.components or int((shares <= spec.variance).sum()) + 1
    if number > len(shares):
        raise DataError(
            f"embeddings of this size are reduced in blocks, and the {len(shares)} principal components of a block hold"
            f" {shares[-1]:.1%} of the variance, less than `variance: {spec.variance}`; set `components` instead"
        )
    pca.n_components_ = number
    pca.components_ = pca.components_[:number].copy()
    pca.explained_variance_ = pca.explained_variance_[:number]
    pca.explained_variance_ratio_ = pca.explained_variance_ratio_[:number]
    pca.singular_values_ = pca.singular_values_[:number]
    return pca


def fit_rule_basis(features: Matrix, rows: np.ndarray, seed: int) -> Reducer:
    """The principal components in which the label rule is fitted, and an unreduced clustering drawn.

    Args:
        features: (n, d) float32, all rows.
        rows: (m,) int, the training rows.
        seed: of the randomised solver.
    """
    components = min(RULE_COMPONENTS, most_components(len(rows), features.shape[1]))
    return fit_reduction(features, rows, Reduction(method="pca", components=max(components, 1)), seed)


def check_components(components: int, rows: int, columns: int) -> None:
    """Refuse more principal components than training rows span.

    Raises:
        DataError: with the largest number that can be asked for.
    """
    most = most_components(rows, columns)
    if components > most:
        raise DataError(
            f"{components} principal components are asked for, but {rows} training rows of {columns} values span at"
            f" most {most}; set `components` to {max(most, 1)} or fewer, or train on more images"
        )


def most_components(rows: int, columns: int) -> int:
    """How many components centred rows can span."""
    return min(rows - 1, columns)
