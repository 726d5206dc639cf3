"""A trained network as a classifier of its own: report, mistakes, and what test and training share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from heteroscope.errors import StoreError
from heteroscope.evaluation.networks import (
    called_table,
    classification_report,
    misclassified,
    network_predictions,
    seen_in_training,
)
from heteroscope.evaluation.scores import score_table

NAMES = ["benign", "ductal", "lobular"]


def predicted(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and patients of test images, of classes that are not alike."""
    generator = np.random.default_rng(1)
    label = generator.choice(3, count, p=[0.2, 0.5, 0.3])
    probability = generator.dirichlet(np.ones(3), count) + 0.5 * np.eye(3)[label]
    return probability / probability.sum(axis=1, keepdims=True), label, np.arange(count) // 2


def test_the_report_is_scikit_learns() -> None:
    probability, label, group = predicted(60)
    report = classification_report(score_table(probability[None], label, group, NAMES), label, NAMES)
    expected = metrics.classification_report(
        label, probability.argmax(axis=1), target_names=NAMES, output_dict=True, labels=range(3)
    )
    for row in report.to_dict("records"):
        name = row["class"].replace("average", "avg")
        if name == "micro avg":
            values = [expected["accuracy"]] * 3
        else:
            values = [expected[name][metric] for metric in ("precision", "recall", "f1-score")]
            assert row["images"] == expected[name]["support"]
        assert [row[metric] for metric in ("precision", "recall", "f1")] == pytest.approx(values)
        assert all(row[f"{metric}_low"] <= row[metric] <= row[f"{metric}_high"] for metric in ("recall", "f1"))
    assert report["class"].tolist() == [*NAMES, "macro average", "micro average", "weighted average"]


def test_mistakes_are_named_the_surest_first() -> None:
    predictions = pd.DataFrame(
        {"image_id": list("abcd"), "group": ["p", "p", "q", "r"], "label": [0, 1, 1, 2]}
        | dict(zip([f"probability_{name}" for name in NAMES], np.array(
            [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.1, 0.1, 0.8]]).T, strict=True))
    )  # fmt: skip
    images = pd.DataFrame({"image_id": list("dcba"), "path": [f"{name}.png" for name in "dcba"]})
    wrong = misclassified(called_table(predictions, images, NAMES))
    assert wrong.to_dict("list") == {
        "image_id": ["c", "b"],
        "path": ["c.png", "b.png"],
        "group": ["q", "p"],
        "class": ["ductal", "ductal"],
        "called": ["lobular", "benign"],
        "probability": [0.7, 0.6],
        "probability_of_class": [0.2, 0.3],
    }


def split_of(parts: dict[str, tuple[str, str, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Image id → (part, patient, content), as a split and the table of images."""
    rows = [(name, part, group, content) for name, (part, group, content) in parts.items()]
    table = pd.DataFrame(rows, columns=["image_id", "part", "group", "content"]).assign(label=0)
    return table.drop(columns="content"), table[["image_id", "content"]]


def test_what_stands_on_both_sides_is_counted() -> None:
    split, images = split_of(
        {
            "a": ("train", "p", "1"),
            "b": ("validation", "q", "2"),
            "c": ("backbone", "r", "3"),
            "d": ("test", "p", "1"),  # the same bytes
            "e": ("test", "q", "9"),  # a patient that selected the epoch
            "f": ("test", "r", "3"),
            "g": ("test", "s", "8"),
        }
    )
    expected = {"train": (1, 2), "backbone": (1, 1)}
    for share, counts in expected.items():
        assert tuple(seen_in_training(split, images, share).values()) == counts


def test_predictions_are_of_the_test_rows_in_their_order() -> None:
    split, _ = split_of({"a": ("test", "p", "1"), "b": ("train", "q", "2"), "c": ("test", "r", "3")})
    said = pd.DataFrame({"image_id": list("cba"), "probability_x": [0.3, 0.2, 0.1], "probability_y": [0.7, 0.8, 0.9]})
    found = network_predictions(split, said)
    assert found["image_id"].tolist() == ["a", "c"]
    assert found["probability_x"].tolist() == [0.1, 0.3]
    with pytest.raises(StoreError, match="miss test images of the split"):
        network_predictions(split, said[1:])
