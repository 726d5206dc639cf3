"""The results of retraining, and their files: `runs` (one cluster, one arm) and `labels`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from heteroscope.errors import StoreError
from heteroscope.store import create_h5, open_h5, read_strings, write_strings

LABEL_ARRAYS = ("pooled_loss", "own_loss", "pooled_correct", "own_correct", "own_accuracy", "eligible")
ROTATION_ARRAYS = ("degrees", "gain", "gap")


@dataclass(frozen=True)
class ArmRuns:
    """Predictions of one cluster's models in one arm.

    Attributes:
        probability: (repeats, seeds, test rows, classes) float32, on the common test set.
        size: (repeats,) training rows.
        class_counts: (repeats, classes) training rows of each class.
        best_epoch: (repeats, seeds).
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
        eligible: (1 + draws, k) bool.
        cluster: (n,) the test image's cluster.
    """

    pooled_loss: np.ndarray
    own_loss: np.ndarray
    pooled_correct: np.ndarray
    own_correct: np.ndarray
    own_accuracy: np.ndarray
    eligible: np.ndarray
    cluster: np.ndarray

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

    Images of clusters that are not eligible in a label set are left out of it; NaN where none is left.
    """
    counted = runs.eligible.astype(bool)[:, runs.cluster]
    images = counted.sum(axis=1)
    sums = np.where(counted, runs.pooled_loss - runs.own_loss, 0.0).sum(axis=1)
    return np.where(images > 0, sums / np.maximum(images, 1), np.nan)


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


def write_labels(path: Path, arm: LabelArm, *, test_images: list[str]) -> None:
    """Write the label arm; columns in the order of `test_images`."""
    attributes = {"rules": arm.rules, "interaction": asdict(arm.interaction)}
    with create_h5(path, "labels", attributes) as file:
        for kind in ("linear", "quadratic"):
            if (runs := getattr(arm, kind)) is not None:
                for name in LABEL_ARRAYS:
                    file.create_dataset(f"{kind}/{name}", data=getattr(runs, name), fletcher32=True)
        for name in ROTATION_ARRAYS:
            file.create_dataset(f"rotations/{name}", data=getattr(arm.rotations, name))
        file.create_dataset("cluster", data=arm.linear.cluster, fletcher32=True)
        write_strings(file, "image_id", test_images)


def read_labels(path: Path, *, test_images: list[str]) -> LabelArm:
    """Read the label arm.

    Raises:
        StoreError: the file is missing, damaged, or of other test images.
    """
    with open_h5(path, "labels") as file:
        _check_images(path, file, test_images)
        return LabelArm(
            linear=_label_runs(file, "linear"),
            quadratic=_label_runs(file, "quadratic") if "quadratic" in file else None,
            rotations=Rotations(*(file[f"rotations/{name}"][:] for name in ROTATION_ARRAYS)),
            rules=json.loads(file.attrs["rules"]),
            interaction=InteractionTest(**json.loads(file.attrs["interaction"])),
        )


def _label_runs(file: h5py.File, kind: str) -> LabelRuns:
    return LabelRuns(**{name: file[kind][name][:] for name in LABEL_ARRAYS}, cluster=file["cluster"][:])


def _check_images(path: Path, file: h5py.File, test_images: list[str]) -> None:
    if read_strings(file, "image_id").tolist() != test_images:
        raise StoreError(f"{path}: made for other test images than the baseline; delete it and run the workflow again")
