"""The clustering of an experiment's rows: fitted on the training rows, then all rows assigned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.clustering.clusters import Clusters, check_rows, fit_clusters, in_mini_batches
from heteroscope.clustering.distances import cluster_distances, distances_to_own
from heteroscope.clustering.quality import SILHOUETTE_ROWS, cluster_contents, silhouette
from heteroscope.clustering.reduction import Reducer, fit_reduction, fit_rule_basis
from heteroscope.config import Clustering
from heteroscope.embedding.blocks import Matrix, drawn_rows
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError


@dataclass(frozen=True)
class Partition:
    """Samples and their clusters.

    Attributes:
        points: (n, d') float32, all rows in the space that was clustered; on disk where embeddings are and nothing
            is reduced.
        cluster: (n,) int.
        clusters: as fitted on the training rows.
        reducer: from embeddings to `points`.
        coordinates: (n, d'') float32: `points` where the clustering reduces, else principal components, to be drawn.
        basis: from embeddings to `coordinates`.
        approximate: what was done in blocks because of the data's size, in words; empty where all is exact.
    """

    points: Matrix
    cluster: np.ndarray
    clusters: Clusters
    reducer: Reducer
    coordinates: np.ndarray
    basis: Reducer
    approximate: list[str]


def partition_samples(samples: Samples, spec: Clustering) -> Partition:
    """Reduce and cluster the training rows, and assign all rows.

    Raises:
        DataError: the training rows do not allow so many components or clusters, or are too many for the method.
    """
    train = samples.rows("train")
    if not len(train):
        raise DataError(
            "the split has no training rows to cluster; give it smaller test, validation or backbone shares"
        )
    check_rows(len(train), spec)
    reducer = fit_reduction(samples.features, train, spec.reduce, spec.seed)
    basis = reducer if reducer.pca else fit_rule_basis(samples.features, train, spec.seed)
    coordinates = basis.transform(samples.features)
    points = coordinates if reducer.pca else samples.features
    clusters = fit_clusters(points, train, spec)
    others = np.flatnonzero(samples.part != "train")
    cluster = np.empty(len(samples), dtype=np.int64)
    cluster[train] = clusters.labels
    cluster[others] = clusters.assign(points, others)
    approximate = ["principal components were fitted in blocks of rows"] if reducer.in_blocks else []
    if in_mini_batches(points, spec):
        approximate.append("k-means ran in mini-batches")
    return Partition(points, cluster, clusters, reducer, coordinates, basis, approximate)


def assignments_table(samples: Samples, partition: Partition) -> pd.DataFrame:
    """A row a sample: image_id, view, part, label, group, cluster, and the distance to the cluster's centroid."""
    distances = distances_to_own(partition.points, partition.cluster, partition.clusters.centroids)
    return pd.DataFrame(
        {
            "image_id": samples.image_id,
            "view": samples.view,
            "part": samples.part,
            "label": samples.label,
            "group": samples.group,
            "cluster": partition.cluster,
            "distance": distances,
        }
    )


def distance_table(samples: Samples, partition: Partition) -> pd.DataFrame:
    """Distances within and between clusters, over training rows; see `cluster_distances`."""
    clusters = partition.clusters
    return cluster_distances(partition.points, samples.rows("train"), clusters.labels, clusters.centroids)


def quality_summary(samples: Samples, partition: Partition, spec: Clustering) -> dict[str, Any]:
    """Silhouettes on training rows, the variance that the reduction keeps, and what each cluster holds.

    The silhouettes' `rows` is there only where they are of a sample, `approximate` only where something is.
    """
    train = samples.rows("train")
    drawn = drawn_rows(len(train), SILHOUETTE_ROWS, spec.seed)
    points = partition.points[train[drawn]]
    sampled = {"rows": len(drawn)} if len(drawn) < len(train) else {}
    approximate = {"approximate": partition.approximate} if partition.approximate else {}
    return {
        "method": spec.method,
        "k": spec.k,
        "seed": spec.seed,
        "space": {
            "reduction": spec.reduce.method,
            "dimensions": partition.reducer.dimensions,
            "explained_variance": partition.reducer.explained_variance,
        },
        "rows": {name: len(samples.rows(name)) for name in ("train", "validation", "test")},
        "silhouette": {
            "clusters": silhouette(points, partition.clusters.labels[drawn]),
            "labels": silhouette(points, samples.label[train[drawn]]),
            **sampled,
        },
        "clusters": cluster_contents(partition.cluster, samples.part, samples.label, samples.class_names, spec.k),
        **approximate,
    }


def nearest_images(table: pd.DataFrame, content: pd.Series, k: int, number: int) -> list[np.ndarray]:
    """The training images nearest to each centroid, nearest first; copies of one image count once.

    Args:
        table: of assignments.
        content: image_id → what is equal for copies of an image.
        k: number of clusters.
        number: the most images a cluster.

    Returns:
        For each cluster row numbers of the table, originals only.
    """
    originals = table[(table["part"] == "train") & (table["view"] == 0)]
    ordered = originals.assign(content=originals["image_id"].map(content)).sort_values("distance", kind="stable")
    distinct = ordered.drop_duplicates(["cluster", "content"])
    return [distinct.index[distinct["cluster"] == cluster].to_numpy()[:number] for cluster in range(k)]
