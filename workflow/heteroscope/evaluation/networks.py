"""A trained network as a classifier of its own: predictions, classification report, mistakes, and what leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.errors import StoreError
from heteroscope.evaluation.baseline import INTERVALS
from heteroscope.evaluation.leaks import seen_counts, seen_rows
from heteroscope.evaluation.scores import study_scores

REPORTED = ("precision", "recall", "f1")
AVERAGES = ("macro", "micro", "weighted")


def network_predictions(split: pd.DataFrame, probabilities: pd.DataFrame) -> pd.DataFrame:
    """The test rows of a split as `baseline.prediction_table` has them, of one training.

    Args:
        split: columns image_id, group, label, part.
        probabilities: columns image_id and probability_{class}, of these images at least.

    Raises:
        StoreError: a test image has no probabilities.
    """
    test = split.loc[split["part"] == "test", ["image_id", "group", "label"]]
    joined = test.merge(probabilities, on="image_id", how="left", validate="one_to_one")
    if joined.isna().to_numpy().any():
        raise StoreError(
            "the network's predictions miss test images of the split; delete results/finetune and run the workflow"
            " again"
        )
    joined.insert(0, "seed", 0)
    return joined


def classification_report(scores: pd.DataFrame, label: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of every class, and their averages, with intervals over patients.

    The micro average is of all decisions of all classes together, which makes all three the accuracy.

    Args:
        scores: `scores.score_table`.
        label: (n,) int of the test images.
        class_names: in the order of labels.

    Returns:
        Columns class, images, and each of the three with `_low` and `_high`; a row a class, then the averages.
    """
    counts = np.bincount(label, minlength=len(class_names)).tolist()
    rows = [("class", name, name, count) for name, count in zip(class_names, counts, strict=True)]
    rows += [(average, "", f"{average} average", len(label)) for average in AVERAGES]
    value = {(row["average"], row["class"], row["metric"]): row for row in scores.to_dict("records")}
    table = []
    for average, of_class, name, count in rows:
        cells = {metric: value[average, of_class, metric] for metric in REPORTED}
        columns = {
            f"{metric}{ending}": cell[key]
            for metric, cell in cells.items()
            for ending, key in (("", "mean"), ("_low", "low"), ("_high", "high"))
        }
        table.append({"class": name, "images": count} | columns)
    return pd.DataFrame(table)


def called_table(predictions: pd.DataFrame, images: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """What every test image is called.

    Args:
        predictions: `network_predictions`.
        images: columns image_id and path.
        class_names: in the order of labels.

    Returns:
        Columns image_id, path, group, class, called, probability (of what it is called), probability_of_class.
    """
    probability = predictions[[f"probability_{name}" for name in class_names]].to_numpy()
    called, label, rows = probability.argmax(axis=1), predictions["label"].to_numpy(), np.arange(len(probability))
    names = np.array(class_names, dtype=object)
    path = predictions["image_id"].map(images.set_index("image_id")["path"])
    return pd.DataFrame(
        {
            "image_id": predictions["image_id"],
            "path": path,
            "group": predictions["group"],
            "class": names[label],
            "called": names[called],
            "probability": probability[rows, called],
            "probability_of_class": probability[rows, label],
        }
    )


def misclassified(called: pd.DataFrame) -> pd.DataFrame:
    """The wrong rows of `called_table`, the surest first."""
    wrong = called[called["called"] != called["class"]]
    return wrong.sort_values(["probability", "image_id"], ascending=[False, True], ignore_index=True)


def seen_in_training(split: pd.DataFrame, images: pd.DataFrame, share: str) -> dict[str, int]:
    """How many test images and their patients stand on the training side of a network too.

    Args:
        split: columns image_id, group, part.
        images: columns image_id and content, which is the same of images with the same bytes.
        share: the part that the network is trained on; what selects its epoch is on the same side.
    """
    return seen_counts(seen_rows(split, images, [share, "validation"] if share == "train" else [share]))


def summary(
    predictions: pd.DataFrame,
    split: pd.DataFrame,
    scores: pd.DataFrame,
    trained: Mapping[str, Any],
    seen: Mapping[str, int],
) -> dict[str, Any]:
    """What metrics.json holds: metrics of the study on the test set, and what they stand on."""
    return {
        "metrics": study_scores(scores),
        "intervals": INTERVALS,
        "rows": {part: int((split["part"] == part).sum()) for part in ("train", "validation", "test")},
        "test_patients": predictions["group"].nunique(),
        "seeds": 1,
        "selection": "validation",
        "optimistic": False,
        **trained,
        **seen,
    }
