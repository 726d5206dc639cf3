"""One analysis of a study: one backbone and one clustering, with all its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import Controls
from heteroscope.errors import StoreError
from heteroscope.evaluation import metrics
from heteroscope.evaluation.baseline import probabilities_of
from heteroscope.evaluation.controls import eligible_clusters
from heteroscope.evaluation.gaussian import GaussianRuns, read_gaussian
from heteroscope.evaluation.runs import ArmRuns, LabelArm, read_arm, read_labels
from heteroscope.store import read_json, read_table

CONTROL_ARMS = ("size", "balanced")


@dataclass(frozen=True)
class Analysis:
    """What a comparison reads of one backbone and one clustering.

    Attributes:
        assignments: a row a sample: image_id, view, part, label, group, cluster, distance.
        distances: cluster, other, distance.
        test: the test rows of `assignments`, in the order of all predictions.
        baseline: (seeds, test rows, classes) probabilities of the pooled head.
        curve: its metrics on nested random subsets (see `training.curve.training_curve`).
        arms: arm → one `ArmRuns` a cluster.
        labels: the label arm, or None where the study leaves it out.
        gaussian: the arm of data sets drawn from one Gaussian a class, or None where the study leaves it out.
        class_names: the negative class first.
        summary: the baseline's metrics.json.
        silhouette: of the training rows under the clusters; None where it is not defined.
        stability: of the clustering (see `clustering.stability.stability`).
        approximate: what of the clustering was done in blocks because of the data's size, in words.
    """

    backbone: str
    clustering: str
    k: int
    assignments: pd.DataFrame
    distances: pd.DataFrame
    test: pd.DataFrame
    baseline: np.ndarray
    curve: pd.DataFrame
    arms: dict[str, list[ArmRuns]]
    labels: LabelArm | None
    gaussian: GaussianRuns | None
    class_names: list[str]
    summary: dict[str, Any]
    silhouette: float | None
    stability: dict[str, Any]
    approximate: list[str]

    @property
    def train(self) -> pd.DataFrame:
        """Training rows, augmented views included."""
        return self.assignments[self.assignments["part"] == "train"]

    def eligible(self, controls: Controls) -> np.ndarray:
        """Which clusters are compared: (k,) bool; images count, not their views."""
        train = self.train[self.train["view"] == 0]
        return eligible_clusters(
            train["cluster"].to_numpy(),
            train["label"].to_numpy(),
            self.test["cluster"].to_numpy(),
            k=self.k,
            classes=len(self.class_names),
            min_class=controls.min_class,
            min_test=controls.min_test,
        )

    def metric_of_draws(self, name: str, arm: str) -> np.ndarray:
        """m̄ of every draw on the whole test set, a mean over seeds: (repeats, k)."""
        label = self.test["label"].to_numpy()
        return np.stack(
            [metrics.METRICS[name](runs.probability, label).mean(axis=1) for runs in self.arms[arm]], axis=1
        )

    def sizes(self, arm: str) -> np.ndarray:
        """Training rows of every draw: (repeats, k)."""
        return np.stack([runs.size for runs in self.arms[arm]], axis=1)


def load_analysis(files: dict[str, Any]) -> Analysis:
    """Read the files that `Layout.analyses` names for one backbone and clustering.

    Raises:
        StoreError: a file is missing or damaged, or two files speak of different test images.
    """
    predictions = read_table(Path(files["predictions"]))
    assignments = read_table(Path(files["assignments"]))
    shown = predictions.loc[predictions["seed"] == 0, "image_id"].tolist()
    originals = assignments[assignments["view"] == 0].set_index("image_id")
    if set(shown) != set(originals.index[originals["part"] == "test"]):
        raise StoreError(
            f"{files['predictions']} and {files['assignments']} have different test images; delete both and run again"
        )
    quality = read_json(Path(files["quality"]))
    return Analysis(
        backbone=files["backbone"],
        clustering=files["clustering"],
        k=files["k"],
        assignments=assignments,
        distances=read_table(Path(files["distances"])),
        test=originals.loc[shown].reset_index(),
        baseline=probabilities_of(predictions),
        curve=read_table(Path(files["curve"])),
        arms={
            arm: [read_arm(Path(paths[arm]), test_images=shown) for paths in files["runs"]]
            for arm in ("cluster", *CONTROL_ARMS)
        },
        labels=read_labels(Path(files["labels"]), test_images=shown) if files["labels"] else None,
        gaussian=read_gaussian(Path(files["gaussian"])) if files["gaussian"] else None,
        class_names=[
            name.removeprefix("probability_") for name in predictions.columns if name.startswith("probability_")
        ],
        summary=read_json(Path(files["metrics"])),
        silhouette=quality["silhouette"]["clusters"],
        stability=read_json(Path(files["stability"])),
        approximate=quality.get("approximate", []),
    )
