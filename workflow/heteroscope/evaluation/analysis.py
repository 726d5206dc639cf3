"""One analysis of a study: one backbone and one clustering, with all its runs, of all folds together."""

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
from heteroscope.evaluation.curve import merge_folds
from heteroscope.evaluation.gaussian import GaussianRuns, read_gaussian
from heteroscope.evaluation.label_sets import label_arm, read_label_sets
from heteroscope.evaluation.runs import ArmRuns, LabelArm, join_arms, join_labels, read_arm, read_labels
from heteroscope.store import read_json, read_table

CONTROL_ARMS = ("size", "balanced")


@dataclass(frozen=True)
class Analysis:
    """What a comparison reads of one backbone and one clustering.

    Attributes:
        assignments: a row a sample: image_id, view, part, label, group, cluster, distance; with folds, part is
            `train` for all that is clustered.
        distances: cluster, other, distance.
        test: the test rows of `assignments`, in the order of all predictions.
        baseline: (seeds, test rows, classes) probabilities of the pooled head.
        curve: its metrics on nested random subsets (see `training.curve.training_curve`).
        arms: arm → one `ArmRuns` a cluster.
        labels: the label arm, or None where the study leaves it out.
        gaussian: the arm of data sets drawn from one Gaussian a class, one a fold; empty where the study leaves it out.
        class_names: the negative class first.
        summary: the baseline's metrics.json, of the first fold: what all folds have in common is read from it.
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
    gaussian: list[GaussianRuns]
    class_names: list[str]
    summary: dict[str, Any]
    silhouette: float | None
    stability: dict[str, Any]
    approximate: list[str]

    @property
    def train(self) -> pd.DataFrame:
        """Clustered rows, which train (with folds, in all folds but one), augmented views included."""
        return self.assignments[self.assignments["part"] == "train"]

    def eligible(self, controls: Controls) -> np.ndarray:
        """Which clusters are compared: (k,) bool; images, not views, to train on in every fold and to test in all."""
        fewest = np.array([runs.class_counts[0].min() for runs in self.arms["cluster"]])
        tested = np.bincount(self.test["cluster"], minlength=self.k)
        return np.asarray((fewest >= controls.min_class) & (tested >= controls.min_test))

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
    assignments = read_table(Path(files["assignments"]))
    folds = files["folds"]
    predictions = [read_table(Path(fold["predictions"])) for fold in folds]
    shown = [table.loc[table["seed"] == 0, "image_id"].tolist() for table in predictions]
    quality = read_json(Path(files["quality"]))
    return Analysis(
        backbone=files["backbone"],
        clustering=files["clustering"],
        k=files["k"],
        assignments=assignments,
        distances=read_table(Path(files["distances"])),
        test=_test_rows(assignments, shown, files),
        baseline=np.concatenate([probabilities_of(table) for table in predictions], axis=1),
        curve=merge_folds([read_table(Path(fold["curve"])) for fold in folds]),
        arms={arm: _read_arms(folds, shown, arm) for arm in ("cluster", *CONTROL_ARMS)},
        labels=_read_label_arm(files, shown),
        gaussian=[read_gaussian(Path(fold["gaussian"])) for fold in folds if fold["gaussian"]],
        class_names=[
            name.removeprefix("probability_") for name in predictions[0].columns if name.startswith("probability_")
        ],
        summary=read_json(Path(folds[0]["metrics"])),
        silhouette=quality["silhouette"]["clusters"],
        stability=read_json(Path(files["stability"])),
        approximate=quality.get("approximate", []),
    )


def _test_rows(assignments: pd.DataFrame, shown: list[list[str]], files: dict[str, Any]) -> pd.DataFrame:
    """The assignments of the test images of all folds, in the order of the predictions."""
    originals = assignments[assignments["view"] == 0].set_index("image_id")
    tested = originals.index if len(shown) > 1 else originals.index[originals["part"] == "test"]
    image_id = [image for images in shown for image in images]
    if sorted(image_id) != sorted(tested):
        predictions = ", ".join(fold["predictions"] for fold in files["folds"])
        raise StoreError(
            f"{predictions} and {files['assignments']} have different test images; delete them and run again"
        )
    return originals.loc[image_id].reset_index()


def _read_arms(folds: list[dict[str, Any]], shown: list[list[str]], arm: str) -> list[ArmRuns]:
    """One `ArmRuns` a cluster."""
    return [
        join_arms([read_arm(Path(path), test_images=images) for path, images in zip(paths, shown, strict=True)])
        for paths in zip(*([runs[arm] for runs in fold["runs"]] for fold in folds), strict=True)
    ]


def _read_label_arm(files: dict[str, Any], shown: list[list[str]]) -> LabelArm | None:
    if files["label_sets"] is None:
        return None
    folds = zip(files["folds"], shown, strict=True)
    runs = join_labels([read_labels(Path(fold["labels"]), test_images=images) for fold, images in folds])
    sets = read_label_sets(Path(files["label_sets"]))
    if len(runs.compared) != len(sets.label):
        raise StoreError(
            f"{files['folds'][0]['labels']} holds {len(runs.compared)} label sets, {files['label_sets']}"
            f" {len(sets.label)}; delete both and run again"
        )
    return label_arm(sets, runs)
