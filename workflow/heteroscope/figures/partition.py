"""All figures of a clustering, made from its samples and tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from heteroscope.clustering.partition import Partition, nearest_images
from heteroscope.clustering.projections import Projection
from heteroscope.data.attributes import telling_attributes
from heteroscope.embedding.blocks import drawn_rows
from heteroscope.embedding.samples import Samples
from heteroscope.figures.clusters import SHEET_COLUMNS, dendrogram_figure, distance_figure, exemplar_figure
from heteroscope.figures.pictures import read_pictures
from heteroscope.figures.scatter import (
    Panel,
    attribute_panels,
    cluster_panel,
    label_panel,
    scatter_figure,
)

DENDROGRAM_ROWS = 5000  # the most; above it as many are drawn at random, and the figure says so


def partition_figures(
    samples: Samples,
    partition: Partition,
    assignments: pd.DataFrame,
    distances: pd.DataFrame,
    projections: dict[str, Projection],
    *,
    images: pd.DataFrame,
    pixels: Path,
    seed: int,
) -> Iterator[tuple[str, Figure]]:
    """File names and figures, one after another.

    Args:
        samples: the rows that were clustered.
        partition: their clustering.
        assignments: its table, in the order of the samples.
        distances: its table of distances.
        projections: pca and umap.
        images: images.parquet.
        pixels: pixels.h5.
        seed: of the rows that the dendrogram draws where there are too many to show.

    Raises:
        StoreError: an image is missing in `pixels`.
    """
    clusters = partition.clusters
    k = len(clusters.centroids)
    by_image = images.set_index("image_id")
    panels = _panels(samples, partition, by_image)
    yield "centroid-distances.png", distance_figure(distances, clusters.sizes.tolist())
    yield "pca.png", _pca_figure(samples, partition, panels, projections["pca"])
    yield "umap.png", _umap_figure(samples, partition, panels, projections["umap"])
    yield "dendrogram.png", _dendrogram_figure(samples, partition, seed)
    nearest = nearest_images(assignments, by_image["content"], k, SHEET_COLUMNS)
    pictures = read_pictures(pixels, [samples.image_id[row] for rows in nearest for row in rows])
    sheet = [[(pictures[samples.image_id[row]], int(samples.label[row])) for row in rows] for rows in nearest]
    yield "exemplars.png", exemplar_figure(sheet, samples.class_names, clusters.sizes.tolist())


def _panels(samples: Samples, partition: Partition, by_image: pd.DataFrame) -> list[Panel]:
    return [
        cluster_panel(partition.cluster, len(partition.clusters.centroids)),
        label_panel(samples.label, samples.class_names),
        *attribute_panels(telling_attributes(by_image).reindex(samples.image_id)),
    ]


def _pca_figure(samples: Samples, partition: Partition, panels: list[Panel], projection: Projection) -> Figure:
    shares = [*partition.basis.explained_variance_ratio, 0.0]  # the second of two, where there is only one
    return scatter_figure(
        projection.points,
        samples.part[projection.rows],
        _of(panels, projection.rows),
        title=f"Principal components, fitted on {len(samples.rows('train'))} training rows;"
        f" {_drawn(projection, samples)}",
        axes=(f"component 1 ({shares[0]:.1%} of variance)", f"component 2 ({shares[1]:.1%})"),
    )


def _umap_figure(samples: Samples, partition: Partition, panels: list[Panel], projection: Projection) -> Figure:
    return scatter_figure(
        projection.points,
        samples.part[projection.rows],
        _of(panels, projection.rows),
        title=f"UMAP of {partition.basis.dimensions} principal components, {_drawn(projection, samples)}",
        axes=("UMAP 1", "UMAP 2"),
    )


def _drawn(projection: Projection, samples: Samples) -> str:
    shown, there = len(projection.rows), len(samples)
    return f"{shown} of {there} rows drawn at random" if shown < there else f"all {there} rows"


def _of(panels: list[Panel], rows: np.ndarray) -> list[Panel]:
    """The same panels of some rows; without numbers that are known of none of them."""
    shown = [replace(panel, data=panel.data[rows]) for panel in panels]
    return [panel for panel in shown if panel.names is not None or np.isfinite(panel.data).any()]


def _dendrogram_figure(samples: Samples, partition: Partition, seed: int) -> Figure:
    train, clusters = samples.rows("train"), partition.clusters
    drawn = drawn_rows(len(train), DENDROGRAM_ROWS, seed)
    rows = train[drawn]
    return dendrogram_figure(
        partition.points[rows],
        clusters.labels[drawn],
        len(clusters.centroids),
        samples.label[rows],
        samples.class_names,
        of=len(train),
    )
