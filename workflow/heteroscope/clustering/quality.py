"""How well a clustering separates the training rows, and what its clusters hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import silhouette_score

SILHOUETTE_ROWS = 5000  # above it silhouettes are of that many rows: they compare all pairs


def silhouette(points: np.ndarray, labels: np.ndarray) -> float | None:
    """The mean silhouette of (n, d) points under (n,) labels.

    Returns:
        None where it is not defined: one label alone, or a label for every row.
    """
    if not 2 <= len(np.unique(labels)) < len(points):
        return None
    return float(silhouette_score(points, labels))


def cluster_contents(
    cluster: np.ndarray, part: np.ndarray, label: np.ndarray, class_names: list[str], k: int
) -> list[dict[str, Any]]:
    """Rows a cluster holds of every part of the split and class.

    Args:
        cluster: (n,) int.
        part: (n,) str.
        label: (n,) int, an index into `class_names`.
        class_names: in order.
        k: number of clusters.

    Returns:
        A mapping a cluster: `cluster`, `size` (training rows), `rows` (a number for each part) and `classes` (for each
        part a number for each class).
    """
    parts = [name for name in ("train", "validation", "test") if (part == name).any()]
    contents = []
    for number in range(k):
        counts = {
            name: np.bincount(label[(cluster == number) & (part == name)], minlength=len(class_names)) for name in parts
        }
        contents.append(
            {
                "cluster": number,
                "size": int(((cluster == number) & (part == "train")).sum()),
                "rows": {name: int(count.sum()) for name, count in counts.items()},
                "classes": {
                    name: dict(zip(class_names, count.tolist(), strict=True)) for name, count in counts.items()
                },
            }
        )
    return contents
