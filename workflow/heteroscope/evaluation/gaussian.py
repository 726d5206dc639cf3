"""The results of the arm `gaussian` and their file: the same study on data sets drawn from one Gaussian a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heteroscope.evaluation.statistics import compared_omnibus
from heteroscope.store import create_h5, open_h5

ARRAYS = ("size", "class_counts", "eligible")


@dataclass(frozen=True)
class GaussianRuns:
    """Heads of the clusters of data sets: row 0 is the observed images in the reduced space, row r the r-th draw.

    Attributes:
        metric: name → (1 + draws, k), of each cluster's head on the whole test set, a mean over seeds; NaN where the
            clustering of the data set failed.
        size: (1 + draws, k) training images.
        class_counts: (1 + draws, k, classes) training images of each class.
        eligible: (1 + draws, k) bool, which clusters of the data set are compared.
    """

    metric: dict[str, np.ndarray]
    size: np.ndarray
    class_counts: np.ndarray
    eligible: np.ndarray

    def omnibus(self, metric: str) -> np.ndarray:
        """T over the compared clusters of every data set: (1 + draws,); NaN with fewer than two."""
        return compared_omnibus(self.metric[metric], self.size, self.eligible)


def write_gaussian(path: Path, runs: GaussianRuns) -> None:
    """Write the arm."""
    with create_h5(path, "gaussian") as file:
        for name in ARRAYS:
            file.create_dataset(name, data=getattr(runs, name), fletcher32=True)
        for name, values in runs.metric.items():
            file.create_dataset(f"metric/{name}", data=values, fletcher32=True)


def read_gaussian(path: Path) -> GaussianRuns:
    """Read the arm.

    Raises:
        StoreError: the file is missing or damaged.
    """
    with open_h5(path, "gaussian") as file:
        metric = {name: values[:] for name, values in file["metric"].items()}
        return GaussianRuns(metric, **{name: file[name][:] for name in ARRAYS})
