"""A study of three classes through the whole workflow: all tables know them, and the numbers are scikit-learn's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from PIL import Image

CLASSES = ["round", "square", "striped"]
PATIENTS = 20


def write_images(root: Path) -> None:
    """Two images a patient, a folder a class: a dim disc, a bright square or stripes, on two kinds of ground."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 16
    shapes = [x**2 + y**2 < 64, (abs(x) < 7) & (abs(y) < 7), x % 8 < 4]
    for name, shape in zip(CLASSES, shapes, strict=True):
        (root / name).mkdir(parents=True)
        for number in range(2 * PATIENTS):
            ground = 40 if number // 2 % 2 else 150
            pixels = generator.integers(0, 60, (32, 32, 3)) + ground
            pixels[shape] += generator.integers(0, 60)
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(root / name / f"{name[:2]}{number // 2:02d}-{number % 2}.png")


@pytest.fixture(scope="module")
def compared(ran: Callable, unchanged_tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study's results."""
    folder = tmp_path_factory.mktemp("three-classes")
    write_images(folder / "shapes")
    pattern = r"^(?P<label>\w+)/(?P<group>\w+)-"
    classes = {name: [name] for name in CLASSES}
    shapes = {"adapter": "folder", "root": "shapes", "classes": classes, "pattern": pattern}
    study = unchanged_tiny["studies"]["tiny"] | {"dataset": "shapes", "metric": "f1"}
    few = unchanged_tiny["controls"]["few"] | {"power": 5}
    config = unchanged_tiny | {"datasets": {"shapes": shapes}, "controls": {"few": few}, "studies": {"three": study}}
    ran(folder, config)
    return folder / "results"


@pytest.fixture(scope="module")
def predictions(compared: Path) -> pd.DataFrame:
    folder = compared / "train/shapes/small-cnn/holdout/none/linear"
    clusters = pd.read_parquet(
        compared / "cluster/shapes/small-cnn/holdout/none/kmeans-2/assignments.parquet",
        columns=["image_id", "cluster"],
    )
    return pd.read_parquet(folder / "predictions.parquet").merge(clusters, on="image_id")


def macro_scores(predictions: pd.DataFrame) -> dict[str, float]:
    """Means over seeds, by scikit-learn."""
    values: dict[str, list[float]] = {name: [] for name in ("accuracy", "auc", "sensitivity", "f1", "specificity")}
    for _, seed in predictions.groupby("seed"):
        probability = seed[[f"probability_{name}" for name in CLASSES]].to_numpy()
        label, said = seed["label"].to_numpy(), probability.argmax(axis=1)
        values["accuracy"].append(reference.accuracy_score(label, said))
        values["auc"].append(
            np.mean([reference.roc_auc_score(label == c, probability[:, c]) for c in range(len(CLASSES))])
        )
        values["sensitivity"].append(reference.recall_score(label, said, average="macro"))
        values["f1"].append(reference.f1_score(label, said, average="macro", labels=range(len(CLASSES))))
        of_class = [reference.recall_score(label != c, said != c) for c in range(len(CLASSES))]
        values["specificity"].append(float(np.mean(of_class)))
    return {name: float(np.mean(seeds)) for name, seeds in values.items()}


def test_the_baseline_holds_macro_values_on_all_images_and_in_each_cluster(
    compared: Path, predictions: pd.DataFrame
) -> None:
    table = pd.read_csv(compared / "compare/three/baseline.csv").set_index("cluster")
    assert table.index.tolist() == ["all", "0", "1"]
    for name, row in table.iterrows():
        members = predictions if name == "all" else predictions[predictions["cluster"] == int(name)]
        one = members[members["seed"] == 0]
        assert row[[f"test_{c}" for c in CLASSES]].tolist() == np.bincount(one["label"], minlength=3).tolist()
        assert row["patients"] == one["group"].nunique()
        for metric, value in macro_scores(members).items():
            np.testing.assert_allclose(row[metric], value, rtol=1e-5, err_msg=f"{name} {metric}")
            if name == "all":  # a class has two patients in a cluster, too few for an interval
                assert row[f"{metric}_low"] < row[metric] < row[f"{metric}_high"]


def test_patients_are_scored(compared: Path, predictions: pd.DataFrame) -> None:
    document = json.loads((compared / "train/shapes/small-cnn/holdout/none/linear/metrics.json").read_text())
    columns = [f"probability_{name}" for name in CLASSES]
    by_patient = predictions.groupby(["seed", "group"])
    called = by_patient[columns].mean().to_numpy().argmax(axis=1)
    accuracy = (called == by_patient["label"].first().to_numpy()).mean()
    right = predictions[columns].to_numpy().argmax(axis=1) == predictions["label"]
    rate = right.groupby([predictions["seed"], predictions["group"]]).mean().mean()
    found = document["metrics"]
    np.testing.assert_allclose(found["patient_accuracy"]["mean"], accuracy, rtol=1e-5)
    np.testing.assert_allclose(found["recognition_rate"]["mean"], rate, rtol=1e-5)
    assert document["test_patients"] == predictions["group"].nunique()


def test_every_class_has_its_metrics_and_confusions(compared: Path, predictions: pd.DataFrame) -> None:
    metrics = pd.read_csv(compared / "compare/three/metrics.csv")
    assert metrics.loc[metrics["average"] == "class", "class"].unique().tolist() == CLASSES
    assert set(metrics["average"]) == {"overall", "macro", "micro", "weighted", "class"}
    macro = metrics[metrics["average"] == "macro"].set_index("metric")["mean"]
    for metric, value in macro_scores(predictions).items():
        if metric != "accuracy":
            np.testing.assert_allclose(macro[metric], value, rtol=1e-5)
    confusion = pd.read_csv(compared / "compare/three/confusion.csv")
    said = predictions[[f"probability_{name}" for name in CLASSES]].to_numpy().argmax(axis=1)
    seeds = predictions["seed"].nunique()
    matrix = reference.confusion_matrix(predictions["label"], said) / seeds
    np.testing.assert_allclose(confusion["images"].to_numpy().reshape(3, 3), matrix)
    assert confusion["class"].tolist() == [name for name in CLASSES for _ in CLASSES]


def test_clusters_transfer_and_verdict_know_all_classes(compared: Path) -> None:
    clusters = pd.read_csv(compared / "compare/three/clusters.csv")
    assert (clusters[[f"n_{name}" for name in CLASSES]].sum(axis=1) == clusters["size"]).all()
    compared_ones = clusters[clusters["compared"]]
    for column in ("accuracy", "auc", "sensitivity", "specificity", "f1", "f1_size_p", "f1_balanced_gap", "gain_p"):
        assert compared_ones[column].notna().all(), column
    transfer = pd.read_csv(compared / "compare/three/transfer.csv")
    assert transfer["f1"].between(0, 1).all()
    verdict = json.loads((compared / "compare/three/verdict.json").read_text())
    assert verdict["verdict"] != "not assessable", verdict["reason"]
    assert set(verdict["counts"]["training_rows_by_class"]) == set(CLASSES)
    assert verdict["published_comparison"]["metric"] == "f1"
    assert 0 < verdict["test"]["p"] <= 1
    assert 0 < verdict["test"]["p_nonlinear"] <= 1
    assert [row["degrees"] for row in verdict["test"]["power"]] == [15, 30, 45, 60, 90]
    assert 0.5 < verdict["rules"]["linear"]["cross_fitted_auc"] <= 1


def test_the_report_shows_every_class(compared: Path) -> None:
    page = (compared / "report/three/index.html").read_text(encoding="utf-8")
    assert "mean over the classes (macro)" in page
    for name in CLASSES:
        assert f"called {name}" in page
