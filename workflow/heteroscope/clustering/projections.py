"""Projections of an embedding to a plane: for figures, and for the explorer of the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from heteroscope.clustering.partition import Partition
from heteroscope.embedding.blocks import drawn_rows
from heteroscope.embedding.samples import Samples

# the most rows of a projection; above it as many are drawn at random, and figures say so
PCA_ROWS = 20_000
UMAP_ROWS = 5000
UMAP_NEIGHBOURS = 15


@dataclass(frozen=True)
class Projection:
    """Some rows of the samples, projected to a plane.

    Attributes:
        rows: (m,) int, rows of the samples.
        points: (m, 2) float.
    """

    rows: np.ndarray
    points: np.ndarray


def pca_projection(partition: Partition, seed: int) -> Projection:
    """The first two principal components; the second is 0 where there is only one."""
    rows = drawn_rows(len(partition.coordinates), PCA_ROWS, seed)
    points = partition.coordinates[rows, :2]
    return Projection(rows, np.pad(points, ((0, 0), (0, 2 - points.shape[1]))))


def umap_projection(partition: Partition, seed: int) -> Projection:
    """UMAP of the principal components."""
    rows = drawn_rows(len(partition.coordinates), UMAP_ROWS, seed)
    return Projection(rows, umap_points(partition.coordinates[rows], seed))


def umap_points(points: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) UMAP projection of (n, d) points; the same seed gives the same projection. It takes n ≥ 4."""
    from umap import UMAP  # imports and compiles for seconds: only where it is needed

    model = UMAP(
        n_neighbors=min(UMAP_NEIGHBOURS, len(points) - 1),
        init="pca" if points.shape[1] >= 2 else "random",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(points), dtype=np.float64)


def projection_table(samples: Samples, projections: dict[str, Projection]) -> pd.DataFrame:
    """A row an original image that some projection shows: image_id, and two columns a projection (pca_1, pca_2).

    They are NaN where a projection does not show the image.
    """
    table = pd.DataFrame({"image_id": samples.image_id, "view": samples.view})
    for name, projection in projections.items():
        table.loc[projection.rows, [f"{name}_1", f"{name}_2"]] = projection.points
    shown = table[table["view"] == 0].drop(columns="view").set_index("image_id")
    return shown.dropna(how="all").reset_index()
