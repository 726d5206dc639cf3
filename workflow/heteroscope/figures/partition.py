"""All figures of a clustering, made from its samples and tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from heteroscope.clustering.partition import Partition, nearest_images
from heteroscope.embedding.blocks import drawn_rows
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.attributes import restates_group
from heteroscope.figures.clusters import SHEET_COLUMNS, dendrogram_figure, distance_figure, exemplar_figure
from heteroscope.figures.pictures import read_pictures
from heteroscope.figures.scatter import (
    Panel,
    attribute_panels,
    cluster_panel,
    label_panel,
    scatter_figure,
    umap_layout,
)

ATTRIBUTE_PREFIX = "attr_"
# the most rows of a figure; above it as many are drawn at random, and the figure says so
SCATTER_ROWS = 20_000
UMAP_ROWS = 5000
DENDROGRAM_ROWS = 5000


def partition_figures(
    samples: Samples,
    partition: Partition,
    assignments: pd.DataFrame,
    distances: pd.DataFrame,
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
        images: images.parquet.
        pixels: pixels.h5.
        seed: of UMAP, and of the rows that are drawn where there are too many to show.

    Raises:
        StoreError: an image is missing in `pixels`.
    """
    clusters = partition.clusters
    k = len(clusters.centroids)
    by_image = images.set_index("image_id")
    panels = _panels(samples, partition, by_image)
    yield "centroid-distances.png", distance_figure(distances, clusters.sizes.tolist())
    yield "pca.png", _pca_figure(samples, partition, panels, seed)
    yield "umap.png", _umap_figure(samples, partition, panels, seed)
    yield "dendrogram.png", _dendrogram_figure(samples, partition, seed)
    nearest = nearest_images(assignments, by_image["content"], k, SHEET_COLUMNS)
    pictures = read_pictures(pixels, [samples.image_id[row] for rows in nearest for row in rows])
    sheet = [[(pictures[samples.image_id[row]], int(samples.label[row])) for row in rows] for rows in nearest]
    yield "exemplars.png", exemplar_figure(sheet, samples.class_names, clusters.sizes.tolist())


def _panels(samples: Samples, partition: Partition, by_image: pd.DataFrame) -> list[Panel]:
    named = [name for name in by_image.columns if name.startswith(ATTRIBUTE_PREFIX)]
    attributes = by_image[[name for name in named if not restates_group(by_image[name], by_image["group"])]].rename(
        columns=lambda name: name.removeprefix(ATTRIBUTE_PREFIX)
    )
    return [
        cluster_panel(partition.cluster, len(partition.clusters.centroids)),
        label_panel(samples.label, samples.class_names),
        *attribute_panels(attributes.reindex(samples.image_id)),
    ]


def _pca_figure(samples: Samples, partition: Partition, panels: list[Panel], seed: int) -> Figure:
    rows = drawn_rows(len(samples), SCATTER_ROWS, seed)
    shares = partition.basis.explained_variance_ratio
    layout = partition.coordinates[rows, :2]
    if layout.shape[1] == 1:
        layout = np.column_stack([layout[:, 0], np.zeros(len(layout))])
        shares = np.append(shares, 0.0)
    return scatter_figure(
        layout,
        samples.part[rows],
        _of(panels, rows),
        title=f"Principal components, fitted on {len(samples.rows('train'))} training rows"
        + (f"; {len(rows)} of {len(samples)} rows drawn at random" if len(rows) < len(samples) else ""),
        axes=(f"component 1 ({shares[0]:.1%} of variance)", f"component 2 ({shares[1]:.1%})"),
    )


def _umap_figure(samples: Samples, partition: Partition, panels: list[Panel], seed: int) -> Figure:
    rows = drawn_rows(len(samples), UMAP_ROWS, seed)
    drawn = (
        f"{len(rows)} of {len(samples)} rows drawn at random" if len(rows) < len(samples) else f"all {len(rows)} rows"
    )
    return scatter_figure(
        umap_layout(partition.coordinates[rows], seed),
        samples.part[rows],
        _of(panels, rows),
        title=f"UMAP of {partition.basis.dimensions} principal components, {drawn}",
        axes=("UMAP 1", "UMAP 2"),
    )


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
