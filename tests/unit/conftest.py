"""A whole analysis with known numbers, made without any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heteroscope.config import Controls
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.gaussian import GaussianRuns, write_gaussian
from heteroscope.evaluation.label_sets import LabelSets, write_label_sets
from heteroscope.evaluation.metrics import METRICS
from heteroscope.evaluation.runs import (
    LABEL_ARRAYS,
    ArmRuns,
    InteractionTest,
    LabelArm,
    LabelRuns,
    Rotations,
    write_arm,
    write_labels,
)
from heteroscope.store import write_json, write_table

K, TRAIN, TEST, SEEDS, REPEATS, DRAWS = 3, 90, 60, 2, 20, 39


@pytest.fixture(scope="session")
def controls() -> Controls:
    return Controls(repeats=REPEATS, draws=DRAWS, min_class=5, min_test=5)


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    """Clusters 0 and 1 can be compared; cluster 2 has three training images of disease and two test images."""
    generator = np.random.default_rng(7)
    train = _rows(
        "train", [0] * 45 + [1] * 35 + [2] * 10, [0] * 25 + [1] * 20 + [0] * 15 + [1] * 20 + [0] * 7 + [1] * 3
    )
    test = _rows("test", [0] * 33 + [1] * 25 + [2] * 2, [0, 1] * 30)
    label = test["label"].to_numpy()
    sizes = np.bincount(train["cluster"])
    counts = np.array([np.bincount(train.loc[train["cluster"] == c, "label"], minlength=2) for c in range(K)])

    def runs(cluster: int, repeats: int, skill: float) -> ArmRuns:
        probability = _probabilities(generator, (repeats, SEEDS), label, skill)
        return ArmRuns(
            probability=probability,
            size=np.full(repeats, sizes[cluster]),
            class_counts=np.tile(counts[cluster], (repeats, 1)),
            best_epoch=np.ones((repeats, SEEDS), dtype=int),
        )

    pairs = [(i, j, 2.0 + i if i == j else 5.5 + abs(i - j)) for i in range(K) for j in range(K)]
    return Analysis(
        backbone="small-cnn",
        clustering="kmeans-3",
        k=K,
        assignments=pd.concat([train, test], ignore_index=True),
        distances=pd.DataFrame(pairs, columns=["cluster", "other", "distance"]),
        test=test,
        baseline=_probabilities(generator, (SEEDS,), label, 1.5),
        curve=_curve(),
        arms={
            "cluster": [runs(c, 1, 0.6 + 0.3 * c) for c in range(K)],
            "size": [runs(c, REPEATS, 1.2) for c in range(K)],
            "balanced": [runs(c, REPEATS, 1.0) for c in range(K)],
        },
        labels=_labels(generator, test["cluster"].to_numpy()),
        gaussian=[_gaussian()],
        class_names=["normal", "disease"],
        summary={
            "weights": "trained (sha256 0123abcd)",
            "engine": "openvino",
            "precision": "bfloat16",
            "agreement": "0.99991",
            "selection": "validation",
            "optimistic": False,
        },
        silhouette=0.314159,
        stability={
            "bootstraps": {"number": 50, "failed": 1, "mean": 0.8765, "sd": 0.11, "quartiles": [0.8, 0.9, 0.95]},
            "seeds": {"number": 10, "failed": 0, "mean": 0.9432, "sd": 0.02, "quartiles": [0.92, 0.94, 0.96]},
            "clusters": [{"cluster": c, "rows": 10, "jaccard": 0.9 - 0.15 * c} for c in range(K)],
        },
        approximate=[],
    )


@pytest.fixture(scope="session")
def write_analysis() -> Callable[[Path, Analysis], dict[str, Any]]:
    return _write_analysis


def _write_analysis(folder: Path, analysis: Analysis) -> dict[str, Any]:
    """The files of an analysis, under the names that a plan gives them."""
    test = analysis.test["image_id"].tolist()
    predictions = pd.DataFrame(
        {
            "seed": np.repeat([0, 1], 60),
            "image_id": test * 2,
            "label": np.tile(analysis.test["label"], 2),
            **{f"probability_{name}": analysis.baseline[..., c].ravel() for c, name in enumerate(analysis.class_names)},
        }
    )
    write_table(predictions, folder / "predictions.parquet")
    write_table(analysis.assignments, folder / "assignments.parquet")
    write_table(analysis.distances, folder / "distances.csv")
    write_table(analysis.curve, folder / "curve.parquet")
    write_json(analysis.summary, folder / "metrics.json")
    approximate = {"approximate": analysis.approximate} if analysis.approximate else {}
    write_json({"silhouette": {"clusters": analysis.silhouette}} | approximate, folder / "quality.json")
    write_json(analysis.stability, folder / "stability.json")
    for arm, runs in analysis.arms.items():
        for c, run in enumerate(runs):
            write_arm(folder / f"cluster-{c}/{arm}.h5", run, cluster=c, arm=arm, test_images=test)
    assert analysis.labels is not None
    _write_label_arm(folder, analysis.labels, test)
    for fold in analysis.gaussian:
        write_gaussian(folder / "gaussian.h5", fold)
    return {
        "backbone": analysis.backbone,
        "clustering": analysis.clustering,
        "k": analysis.k,
        "assignments": str(folder / "assignments.parquet"),
        "distances": str(folder / "distances.csv"),
        "quality": str(folder / "quality.json"),
        "stability": str(folder / "stability.json"),
        "label_sets": str(folder / "label-sets.h5"),
        "folds": [
            {
                "predictions": str(folder / "predictions.parquet"),
                "metrics": str(folder / "metrics.json"),
                "curve": str(folder / "curve.parquet"),
                "labels": str(folder / "labels.h5"),
                "gaussian": str(folder / "gaussian.h5"),
                "runs": [
                    {arm: str(folder / f"cluster-{c}/{arm}.h5") for arm in analysis.arms} for c in range(analysis.k)
                ],
            }
        ],
    }


def _write_label_arm(folder: Path, arm: LabelArm, test: list[str]) -> None:
    """The files that an arm is read from: rotated sets have the arm's gain on every image that is compared."""
    turned = arm.linear.take([0] * len(arm.rotations.gain))
    turned = replace(turned, own_loss=turned.pooled_loss - arm.rotations.gain[:, None])
    parts = [arm.linear, *([arm.quadratic.take(slice(1, None))] if arm.quadratic else []), turned]
    rows = {name: np.concatenate([getattr(part, name) for part in parts]) for name in LABEL_ARRAYS}
    write_labels(folder / "labels.h5", LabelRuns(**rows, cluster=arm.linear.cluster), test_images=test)
    sets = LabelSets(
        image_id=np.array(test, dtype=object),
        label=np.zeros((len(rows["compared"]), len(test)), dtype=int),
        draws=len(arm.linear.compared) - 1,
        degrees=arm.rotations.degrees,
        gap=arm.rotations.gap,
        rules=arm.rules,
        interaction=arm.interaction,
    )
    write_label_sets(folder / "label-sets.h5", sets)


def _rows(part: str, cluster: list[int], label: list[int]) -> pd.DataFrame:
    n = len(cluster)
    return pd.DataFrame(
        {
            "image_id": [f"{part}-{i:03d}" for i in range(n)],
            "view": 0,
            "part": part,
            "label": label,
            "group": [f"{part}-patient-{i // 2}" for i in range(n)],
            "cluster": cluster,
            "distance": 1.0,
        }
    )


def _curve() -> pd.DataFrame:
    """Ten random subsets of a quarter and of half of the training images, and all of them."""
    generator = np.random.default_rng(8)
    sets = [(share, repeat) for share in (0.25, 0.5) for repeat in range(1, 11)] + [(1.0, 0)]
    rows = [(share, repeat, seed, round(share * TRAIN)) for share, repeat in sets for seed in range(SEEDS)]
    frame = pd.DataFrame(rows, columns=["share", "repeat", "seed", "training_images"])
    level = 0.8 + 0.1 * frame["share"]
    return frame.assign(
        training_rows=frame["training_images"],
        **{name: level + generator.normal(0, 0.02, len(frame)) for name in METRICS},
    )


def _probabilities(
    generator: np.random.Generator, shape: tuple[int, ...], label: np.ndarray, skill: float
) -> np.ndarray:
    score = generator.normal(size=(*shape, len(label))) + skill * (2 * label - 1)
    positive = 1 / (1 + np.exp(-score))
    return np.stack([1 - positive, positive], axis=-1).astype(np.float32)


def _gaussian() -> GaussianRuns:
    """Row 0 and the draws; the observed spread is the largest but three, and one data set could not be clustered."""
    generator = np.random.default_rng(11)
    metric = {name: generator.uniform(0.6, 0.9, size=(1 + REPEATS, K)) for name in METRICS}
    for values in metric.values():
        values[5] = np.nan
    size = np.tile([45, 35, 10], (1 + REPEATS, 1))
    eligible = np.tile([True, True, False], (1 + REPEATS, 1))
    return GaussianRuns(metric, size, np.stack([size // 2, size - size // 2], axis=2), eligible)


def _labels(generator: np.random.Generator, cluster: np.ndarray) -> LabelArm:
    rows = (1 + DRAWS, len(cluster))
    pooled = generator.uniform(0.4, 0.8, size=rows)
    own = pooled + generator.normal(0.02, 0.15, size=rows)
    own[0] = pooled[0] - 0.1
    own[:, cluster == 2] = np.nan
    runs = LabelRuns(
        pooled_loss=pooled,
        own_loss=own,
        pooled_correct=generator.uniform(0.6, 0.9, size=rows),
        own_correct=generator.uniform(0.6, 0.9, size=rows),
        own_accuracy=np.where(np.arange(K) < 2, np.linspace(0.6, 0.9, K * (1 + DRAWS)).reshape(-1, K), np.nan),
        compared=np.tile(cluster < 2, (1 + DRAWS, 1)),
        cluster=cluster,
    )
    fit = {"penalty": 1.0, "curvature": 0.3, "temperature": 1.1, "cross_fitted_auc": 0.97, "cross_fitted_log_loss": 0.5}
    fit |= {"calibration_error": 0.03, "calibration_noise": 0.02}
    angles = np.repeat([30, 90], 10)
    rotations = Rotations(angles, generator.normal(angles / 400, 0.05), angles / 900)
    return LabelArm(
        linear=runs,
        quadratic=runs.take([0, *range(DRAWS, 0, -1)]),
        rotations=rotations,
        rules={"linear": fit, "quadratic": fit},
        interaction=InteractionTest(0.02, 10),
    )
