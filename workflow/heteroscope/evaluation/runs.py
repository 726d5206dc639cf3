"""The results of retraining, and their files: `runs` (one cluster, one arm) and `labels`, of one fold each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from heteroscope.errors import StoreError
from heteroscope.store import create_h5, open_h5, read_strings, write_strings

LABEL_ARRAYS = ("pooled_loss", "own_loss", "pooled_correct", "own_correct", "own_accuracy", "compared")


@dataclass(frozen=True)
class ArmRuns:
    """Predictions of one cluster's models in one arm.

    Attributes:
        probability: (repeats, seeds, test rows, classes) float32, on the common test set.
        size: (repeats,) training rows; the mean over folds.
        class_counts: (repeats, classes) training images of each class; the fewest of any fold.
        best_epoch: (repeats, seeds); the mean over folds.
    """

    probability: np.ndarray
    size: np.ndarray
    class_counts: np.ndarray
    best_epoch: np.ndarray


@dataclass(frozen=True)
class LabelRuns:
    """Scores of the pooled and the own heads on label sets: row 0 is the observed labels, row r the r-th draw.

    Losses and hits are means over seeds, for every test image.

    Attributes:
        pooled_loss, own_loss: (1 + draws, n) log loss of the pooled head and of the image's own
            cluster's head; NaN where that cluster can never be compared.
        pooled_correct, own_correct: (1 + draws, n) share of the seeds whose prediction is right.
        own_accuracy: (1 + draws, k) of each cluster's own head on all test images; NaN as above.
        compared: (1 + draws, n) bool, whether the image's cluster is compared.
        cluster: (n,) the test image's cluster.
    """

    pooled_loss: np.ndarray
    own_loss: np.ndarray
    pooled_correct: np.ndarray
    own_correct: np.ndarray
    own_accuracy: np.ndarray
    compared: np.ndarray
    cluster: np.ndarray

    @property
    def clusters(self) -> list[int]:
        """Clusters that are compared with the observed labels."""
        return [int(number) for number in np.unique(self.cluster[self.compared[0]])]

    @property
    def eligible(self) -> np.ndarray:
        """(1 + draws, k) bool, which clusters are compared."""
        return np.asarray(self.compared @ np.eye(self.own_accuracy.shape[1])[self.cluster] > 0)

    def take(self, rows: Sequence[int] | slice) -> LabelRuns:
        """The same of some label sets."""
        return replace(self, **{name: getattr(self, name)[rows] for name in LABEL_ARRAYS})


@dataclass(frozen=True)
class Rotations:
    """What the test sees where the rules differ by a known angle between clusters.

    Attributes:
        degrees: (m,) the angle of every label set.
        gain: (m,) G.
        gap: (m,) accuracy at stake: what the clusters' own true rules have before the unturned one (`rule_gap`).
    """

    degrees: np.ndarray
    gain: np.ndarray
    gap: np.ndarray


@dataclass(frozen=True)
class InteractionTest:
    """A Wald test that every compared cluster has the slopes of the first one.

    Attributes:
        p: of all interactions together; of more than two classes the smallest of one class against the rest,
            Holm-adjusted; NaN where it could not be computed.
        components: principal components whose slopes were compared.
        note: why there is no p; empty where there is one.
    """

    p: float
    components: int
    note: str = ""


@dataclass(frozen=True)
class LabelArm:
    """What the label arm yields.

    Attributes:
        linear: the observed labels, and draws from the linear rule.
        quadratic: the same from the quadratic rule; None where it predicts no better than the linear one, whose
            draws it would share.
        rotations: label sets of rules that differ between clusters, for the test's power.
        rules: linear and quadratic → how the rule fits (see `SharedRule.summary`).
        interaction: the conventional test beside the verdict.
    """

    linear: LabelRuns
    quadratic: LabelRuns | None
    rotations: Rotations
    rules: dict[str, dict[str, float]]
    interaction: InteractionTest


def gains(runs: LabelRuns) -> np.ndarray:
    """G of every label set: mean log loss of the pooled minus of the own head, over test images.

    Images of clusters that are not compared in a label set are left out of it; NaN where none is left. Folds count by
    their images.
    """
    images = runs.compared.sum(axis=1)
    sums = np.where(runs.compared, runs.pooled_loss - runs.own_loss, 0.0).sum(axis=1)
    return np.where(images > 0, sums / np.maximum(images, 1), np.nan)


def join_arms(folds: Sequence[ArmRuns]) -> ArmRuns:
    """The runs of all folds: each test image once, repeat r of every fold together."""
    return ArmRuns(
        probability=np.concatenate([runs.probability for runs in folds], axis=2),
        size=np.mean([runs.size for runs in folds], axis=0),
        class_counts=np.min([runs.class_counts for runs in folds], axis=0),
        best_epoch=np.mean([runs.best_epoch for runs in folds], axis=0),
    )


def join_labels(folds: Sequence[LabelRuns]) -> LabelRuns:
    """The runs of all folds: each test image once, label set s of every fold together.

    A cluster is compared where it is in every fold that tests images of it.
    """
    by_image = ("pooled_loss", "own_loss", "pooled_correct", "own_correct")
    cluster = np.concatenate([runs.cluster for runs in folds])
    compared = np.concatenate([runs.compared for runs in folds], axis=1)
    for number in np.unique(cluster):
        rows = cluster == number
        compared[:, rows] = compared[:, rows].all(axis=1, keepdims=True)
    return LabelRuns(
        **{name: np.concatenate([getattr(runs, name) for runs in folds], axis=1) for name in by_image},
        own_accuracy=np.average(
            [runs.own_accuracy for runs in folds], axis=0, weights=[len(runs.cluster) for runs in folds]
        ),
        compared=compared,
        cluster=cluster,
    )


def write_arm(path: Path, runs: ArmRuns, *, cluster: int, arm: str, test_images: list[str]) -> None:
    """Write one arm of one cluster; predictions in the order of `test_images`."""
    with create_h5(path, "runs", {"cluster": cluster, "arm": arm}) as file:
        file.create_dataset("probability", data=runs.probability, compression="gzip", shuffle=True, fletcher32=True)
        for name in ("size", "class_counts", "best_epoch"):
            file.create_dataset(name, data=getattr(runs, name))
        write_strings(file, "image_id", test_images)


def read_arm(path: Path, *, test_images: list[str]) -> ArmRuns:
    """Read one arm of one cluster.

    Raises:
        StoreError: the file is missing, damaged, or of other test images.
    """
    with open_h5(path, "runs") as file:
        _check_images(path, file, test_images)
        return ArmRuns(file["probability"][:], file["size"][:], file["class_counts"][:], file["best_epoch"][:])


def write_labels(path: Path, runs: LabelRuns, *, test_images: list[str]) -> None:
    """Write the label arm; columns in the order of `test_images`."""
    with create_h5(path, "labels", {}) as file:
        for name in (*LABEL_ARRAYS, "cluster"):
            file.create_dataset(name, data=getattr(runs, name), fletcher32=True)
        write_strings(file, "image_id", test_images)


def read_labels(path: Path, *, test_images: list[str]) -> LabelRuns:
    """Read the label arm.

    Raises:
        StoreError: the file is missing, damaged, or of other test images.
    """
    with open_h5(path, "labels") as file:
        _check_images(path, file, test_images)
        return LabelRuns(**{name: file[name][:] for name in (*LABEL_ARRAYS, "cluster")})


def _check_images(path: Path, file: h5py.File, test_images: list[str]) -> None:
    if read_strings(file, "image_id").tolist() != test_images:
        raise StoreError(f"{path}: made for other test images than the baseline; delete it and run the workflow again")
