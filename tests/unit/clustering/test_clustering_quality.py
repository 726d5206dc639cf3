"""Silhouettes against loops, and counts against the rows."""

import numpy as np
import pytest

from heteroscope.clustering.quality import cluster_contents, silhouette


def rows_and_labels():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [12, 9, 7])
    return (generator.normal(size=(28, 3)) + labels[:, None]).astype(np.float32), labels


def loop_silhouette(points, labels):
    values = []
    for row, own in zip(points, labels, strict=True):
        distance = np.linalg.norm(points - row, axis=1)
        inside = distance[labels == own].sum() / ((labels == own).sum() - 1)
        outside = min(distance[labels == other].mean() for other in set(labels.tolist()) - {int(own)})
        values.append((outside - inside) / max(inside, outside))
    return np.mean(values)


def test_silhouette_equals_its_definition():
    points, labels = rows_and_labels()
    assert silhouette(points, labels) == pytest.approx(loop_silhouette(points.astype(float), labels), rel=1e-5)


@pytest.mark.parametrize("labels", [np.zeros(28, int), np.arange(28)])
def test_a_silhouette_that_is_not_defined_is_none(labels):
    assert silhouette(rows_and_labels()[0], labels) is None


def test_contents_count_every_row_once():
    cluster = np.array([0, 0, 0, 1, 1, 0, 1])
    part = np.array(["train", "train", "train", "train", "train", "test", "test"])
    label = np.array([0, 1, 1, 0, 0, 1, 1])
    contents = cluster_contents(cluster, part, label, ["normal", "cataract"], 2)
    assert contents == [
        {
            "cluster": 0,
            "size": 3,
            "rows": {"train": 3, "test": 1},
            "classes": {"train": {"normal": 1, "cataract": 2}, "test": {"normal": 0, "cataract": 1}},
        },
        {
            "cluster": 1,
            "size": 2,
            "rows": {"train": 2, "test": 1},
            "classes": {"train": {"normal": 2, "cataract": 0}, "test": {"normal": 0, "cataract": 1}},
        },
    ]
