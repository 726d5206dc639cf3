"""Every metric of one backbone's heads on one set of test images, with intervals over patients.

The heads differ by seed alone: a value is the mean over seeds, and so is that of every resample. Images of several
folds, each tested once, may be scored together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from heteroscope.evaluation.intervals import (
    percentile_interval,
    resample_weights,
    sums_by_patient,
    weighted_auc,
    weighted_counts,
)
from heteroscope.evaluation.metrics import FORMULAS, Counts, correct, ratio

Name = tuple[str, str, str]  # average, class, metric
PATIENT_METRICS = ("patient_accuracy", "recognition_rate")
ESTIMATES = ("mean", "sd", "low", "high")


def score_table(
    probability: np.ndarray, label: np.ndarray, group: np.ndarray, class_names: Sequence[str]
) -> pd.DataFrame:
    """Every metric, of every class and average.

    Args:
        probability: (seeds, n, C).
        label: (n,) int.
        group: (n,) patients.
        class_names: in the order of labels.

    Returns:
        Columns average, class, metric, mean and sd over seeds, and low and high, the ends of the 95 % interval.
        Averages: `overall` needs none; `class` is one class against the rest; `macro` is the mean over classes,
        `weighted` the same by their shares, `micro` of all decisions of all classes together; `binary`, of two
        classes only, is that of the positive one.
    """
    _, patient = np.unique(group, return_inverse=True)
    patients = int(patient.max()) + 1
    # the first row is the images as they are
    weight = np.vstack([np.ones((1, patients), dtype=np.int64), resample_weights(patients)])
    rows = [
        dict(zip(("average", "class", "metric"), name, strict=True)) | estimate(values)
        for name, values in _values(probability, label, patient, weight, class_names)
    ]
    return pd.DataFrame(rows)


def study_scores(scores: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Metric → mean, sd, low and high of the values that a study speaks of.

    Of two classes they are the positive one's, of more the macro means; accuracy and patients need no average.
    """
    average = "binary" if (scores["average"] == "binary").any() else "macro"
    chosen = scores[scores["average"].isin(["overall", average])].set_index("metric")
    return {str(name): {key: float(row[key]) for key in ESTIMATES} for name, row in chosen.iterrows()}


def patient_hits(probability: np.ndarray, label: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Whether the class of the largest mean probability over a patient's images is right: (seeds, patients).

    NaN for a patient whose images differ in their label.

    Args:
        probability: (seeds, n, C).
        label: (n,) int.
        patient: (n,) int from 0.
    """
    patients = int(patient.max()) + 1
    # sums have the same largest class as means
    predicted = sums_by_patient(np.moveaxis(probability, 1, 0), patient, patients).argmax(axis=2).T
    by_class = sums_by_patient(np.eye(probability.shape[2])[label], patient, patients)
    agrees = (by_class > 0).sum(axis=1) == 1
    return np.where(agrees, predicted == by_class.argmax(axis=1), np.nan)


def recognition_rates(probability: np.ndarray, label: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """The share of each patient's images that is right: (seeds, patients) (Spanhol et al., 2016)."""
    patients = int(patient.max()) + 1
    right = sums_by_patient(correct(probability, label).T, patient, patients).T
    return np.asarray(right / np.bincount(patient, minlength=patients))


def estimate(values: np.ndarray) -> dict[str, float]:
    """Mean and sd over seeds, low and high, of values (1 + resamples, seeds); the observed ones are the first row."""
    observed = values[0]
    low, high = percentile_interval(values[1:].mean(axis=1))
    sd = observed.std(ddof=1) if len(observed) > 1 else np.nan
    return {"mean": float(observed.mean()), "sd": float(sd), "low": low, "high": high}


def _values(
    probability: np.ndarray, label: np.ndarray, patient: np.ndarray, weight: np.ndarray, class_names: Sequence[str]
) -> Iterator[tuple[Name, np.ndarray]]:
    """Every metric in every resample: (resamples, seeds)."""
    counts = weighted_counts(probability, label, patient, weight)
    positives = counts.tp + counts.fn
    yield ("overall", "", "accuracy"), counts.tp.sum(axis=2) / positives.sum(axis=2)
    for metric, of_patients in zip(PATIENT_METRICS, (patient_hits, recognition_rates), strict=True):
        yield ("overall", "", metric), _patient_means(of_patients(probability, label, patient), weight)
    auc = auc_of_classes(probability, label, patient, weight)
    by_class = {"auc": auc} | {metric: formula(counts) for metric, formula in FORMULAS.items()}
    all_decisions = {"auc": _micro_auc(probability, label, patient, weight)} | {
        metric: formula(Counts(*(cells.sum(axis=2) for cells in counts))) for metric, formula in FORMULAS.items()
    }
    for metric, values in by_class.items():
        if len(class_names) == 2:
            yield ("binary", class_names[1], metric), values[:, :, 1]
        yield ("macro", "", metric), values.mean(axis=2)
        yield ("micro", "", metric), all_decisions[metric]
        # a class without images has no weight, whatever its value
        shared = np.where(positives > 0, values, 0.0) * positives
        yield ("weighted", "", metric), shared.sum(axis=2) / positives.sum(axis=2)
        for number, name in enumerate(class_names):
            yield ("class", name, metric), values[:, :, number]


def _patient_means(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Means over patients (seeds, patients) that have a value, in every resample: (resamples, seeds)."""
    return ratio(weight @ np.nan_to_num(values).T, weight @ np.isfinite(values).T.astype(float))


def auc_of_classes(probability: np.ndarray, label: np.ndarray, patient: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(resamples, seeds, C), one class against the rest."""
    classes = probability.shape[2]
    areas = [
        [weighted_auc(one[:, c], label == c, patient, weight) for one in probability]
        for c in ([1] if classes == 2 else range(classes))
    ]
    # the second of two classes is ranked as the first one backwards
    return np.stack(areas * 2 if classes == 2 else areas, axis=-1).swapaxes(0, 1)


def _micro_auc(probability: np.ndarray, label: np.ndarray, patient: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(resamples, seeds) over all pairs of an image and a class, right pairs against wrong ones."""
    classes = probability.shape[2]
    right = np.eye(classes, dtype=bool)[label].ravel()
    owner = np.repeat(patient, classes)
    return np.stack([weighted_auc(one.ravel(), right, owner, weight) for one in probability], axis=1)
