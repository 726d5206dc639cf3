"""The results of retraining, and their files: `runs` (one cluster, one arm) and `labels`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from heteroscope.errors import StoreError
from heteroscope.store import create_h5, open_h5, read_strings, write_strings


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
    """What the label arm yields; row 0 is the observed labels, row r the r-th draw.

    Losses and hits are means over seeds, for every test image.

    Attributes:
        pooled_loss, own_loss: (1 + draws, n) log loss of the pooled head and of the image's own
            cluster's head; NaN where that cluster can never be compared.
        pooled_correct, own_correct: (1 + draws, n) share of the seeds whose prediction is right.
        eligible: (1 + draws, k) bool.
        cluster: (n,) the test image's cluster.
        rule: what the labels were drawn from: penalty, temperature, cross-fitted AUC and log loss.
    """

    pooled_loss: np.ndarray
    own_loss: np.ndarray
    pooled_correct: np.ndarray
    own_correct: np.ndarray
    eligible: np.ndarray
    cluster: np.ndarray
    rule: dict[str, float]


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


LABEL_ARRAYS = ("pooled_loss", "own_loss", "pooled_correct", "own_correct", "eligible", "cluster")


def write_labels(path: Path, runs: LabelRuns, *, test_images: list[str]) -> None:
    """Write the label arm; columns in the order of `test_images`."""
    with create_h5(path, "labels", {"rule": runs.rule}) as file:
        for name in LABEL_ARRAYS:
            file.create_dataset(name, data=getattr(runs, name), fletcher32=True)
        write_strings(file, "image_id", test_images)


def read_labels(path: Path, *, test_images: list[str]) -> LabelRuns:
    """Read the label arm.

    Raises:
        StoreError: the file is missing, damaged, or of other test images.
    """
    with open_h5(path, "labels") as file:
        _check_images(path, file, test_images)
        return LabelRuns(**{name: file[name][:] for name in LABEL_ARRAYS}, rule=json.loads(file.attrs["rule"]))


def _check_images(path: Path, file: h5py.File, test_images: list[str]) -> None:
    if read_strings(file, "image_id").tolist() != test_images:
        raise StoreError(f"{path}: made for other test images than the baseline; delete it and run the workflow again")
