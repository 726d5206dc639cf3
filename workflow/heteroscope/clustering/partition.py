"""The clustering of an experiment's rows: fitted on the training rows, then all rows assigned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.clustering.clusters import Clusters, fit_clusters
from heteroscope.clustering.distances import cluster_distances, distances_to
from heteroscope.clustering.quality import cluster_contents, silhouette
from heteroscope.clustering.reduction import Reducer, fit_reduction, fit_rule_basis
from heteroscope.config import Clustering
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError


@dataclass(frozen=True)
class Partition:
    """Samples and their clusters.

    Attributes:
        points: (n, d') float32, all rows in the space that was clustered.
        cluster: (n,) int.
        clusters: as fitted on the training rows.
        reducer: from embeddings to `points`.
        coordinates: (n, d'') float32: `points` where the clustering reduces, else principal components, to be drawn.
        basis: from embeddings to `coordinates`.
    """

    points: np.ndarray
    cluster: np.ndarray
    clusters: Clusters
    reducer: Reducer
    coordinates: np.ndarray
    basis: Reducer


def partition_samples(samples: Samples, spec: Clustering) -> Partition:
    """Reduce and cluster the training rows, and assign all rows.

    Raises:
        DataError: the training rows allow neither so many components nor so many clusters.
    """
    train = samples.rows("train")
    if not len(train):
        raise DataError(
            "the split has no training rows to cluster; give it smaller test, validation or backbone shares"
        )
    reducer = fit_reduction(samples.features[train], spec.reduce, spec.seed)
    points = reducer.transform(samples.features)
    clusters = fit_clusters(points[train], spec)
    others = np.flatnonzero(samples.part != "train")
    cluster = np.empty(len(samples), dtype=np.int64)
    cluster[train] = clusters.labels
    cluster[others] = clusters.assign(points[others])
    if reducer.pca is not None:
        return Partition(points, cluster, clusters, reducer, points, reducer)
    basis = fit_rule_basis(samples.features[train], spec.seed)
    return Partition(points, cluster, clusters, reducer, basis.transform(samples.features), basis)


def assignments_table(samples: Samples, partition: Partition) -> pd.DataFrame:
    """A row a sample: image_id, view, part, label, group, cluster, and the distance to the cluster's centroid."""
    distances = distances_to(partition.points, partition.clusters.centroids)
    return pd.DataFrame(
        {
            "image_id": samples.image_id,
            "view": samples.view,
            "part": samples.part,
            "label": samples.label,
            "group": samples.group,
            "cluster": partition.cluster,
            "distance": distances[np.arange(len(samples)), partition.cluster],
        }
    )


def distance_table(samples: Samples, partition: Partition) -> pd.DataFrame:
    """Distances within and between clusters, over training rows; see `cluster_distances`."""
    train = samples.rows("train")
    return cluster_distances(partition.points[train], partition.clusters.labels, partition.clusters.centroids)


def quality_summary(samples: Samples, partition: Partition, spec: Clustering) -> dict[str, Any]:
    """Silhouettes on training rows, the variance that the reduction keeps, and what each cluster holds."""
    train = samples.rows("train")
    points = partition.points[train]
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
            "clusters": silhouette(points, partition.clusters.labels, spec.seed),
            "labels": silhouette(points, samples.label[train], spec.seed),
        },
        "clusters": cluster_contents(partition.cluster, samples.part, samples.label, samples.class_names, spec.k),
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
