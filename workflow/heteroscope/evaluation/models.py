"""Models that were tested on the same images: their files, their scores side by side, and paired tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from heteroscope.errors import StoreError
from heteroscope.evaluation.baseline import probabilities_of
from heteroscope.evaluation.paired import paired_table
from heteroscope.evaluation.scores import ESTIMATES, score_table
from heteroscope.store import read_json, read_table

OVERALL = ("accuracy", "patient_accuracy", "recognition_rate")
MACRO = ("precision", "recall", "f1", "auc")
ROC_GRID = np.concatenate([[0.0], np.linspace(0, 1, 201)])  # false positive rates; curves leave the corner upwards
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Model:
    """A classifier on the images or embeddings of a backbone, on all test images, of all folds together.

    Attributes:
        backbone: its id.
        classifier: id of a hybrid, or of the head.
        method: what it is, in words.
        rows: image_id, label and group of the test images.
        probability: (seeds, n, C).
        class_names: in the order of labels.
        summary: metrics.json of the first fold.
        times: times.json of all folds.
        quality: quality.json of a clustering of the embeddings; empty where none is named.
    """

    backbone: str
    classifier: str
    method: str
    rows: pd.DataFrame
    probability: np.ndarray
    class_names: list[str]
    summary: dict[str, Any]
    times: list[dict[str, float]]
    quality: dict[str, Any]

    @property
    def name(self) -> str:
        """Backbone and classifier."""
        return f"{self.backbone} {self.classifier}"

    @property
    def label(self) -> np.ndarray:
        """(n,) int of the test images."""
        return self.rows["label"].to_numpy()

    @property
    def group(self) -> np.ndarray:
        """(n,) patients of the test images."""
        return self.rows["group"].to_numpy()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Every metric with its interval over patients: a `scores.score_table`."""
        return score_table(self.probability, self.label, self.group, self.class_names)


def load_model(files: Mapping[str, Any]) -> Model:
    """Read the files that `Layout.hybrid_models` or `Layout.models` names for one classifier.

    Raises:
        StoreError: a file is missing or damaged.
    """
    predictions = [read_table(Path(path)) for path in files["predictions"]]
    first = pd.concat([table[table["seed"] == 0] for table in predictions], ignore_index=True)
    return Model(
        backbone=files["backbone"],
        classifier=files["classifier"],
        method=files["method"],
        rows=first[["image_id", "label", "group"]],
        probability=np.concatenate([probabilities_of(table) for table in predictions], axis=1),
        class_names=[name.removeprefix("probability_") for name in first.columns if name.startswith("probability_")],
        summary=read_json(Path(files["metrics"][0])),
        times=[read_json(Path(path)) for path in files.get("times", [])],
        quality=read_json(Path(files["quality"])) if "quality" in files else {},
    )


def weights_of(models: Sequence[Model]) -> str:
    """What the weights of each backbone are, in words."""
    return "weights: " + "; ".join(dict.fromkeys(f"{model.backbone}: {model.summary['weights']}" for model in models))


def shown_scores(scores: pd.DataFrame) -> Scores:
    """Of a `score_table`, what stands side by side: metric → mean, sd, low and high.

    Accuracy, the share of patients whose mean probability is right, the recognition rate, and the means over classes of
    precision, recall, F1 and AUC.
    """
    return of_average(scores, "overall", *OVERALL) | of_average(scores, "macro", *MACRO)


def of_average(scores: pd.DataFrame, average: str, *metrics: str) -> Scores:
    """Mean, sd, low and high of some metrics, from rows of `score_table`."""
    chosen = scores[(scores["average"] == average) & scores["metric"].isin(metrics)]
    found = {row["metric"]: {key: row[key] for key in ESTIMATES} for row in chosen.to_dict("records")}
    return {metric: found[metric] for metric in metrics}


def score_columns(scores: Scores) -> dict[str, float]:
    """Metric, `<metric>_low`, `<metric>_high`, as columns of a table."""
    return {
        f"{name}{ending}": score[key]
        for name, score in scores.items()
        for ending, key in (("", "mean"), ("_low", "low"), ("_high", "high"))
    }


def model_table(models: Sequence[Model], more: Callable[[Model], Mapping[str, Any]]) -> pd.DataFrame:
    """A row a model: its scores with intervals over patients, more columns, and what a reader must know of the row."""
    rows = []
    for model in models:
        names = {"backbone": model.backbone, "classifier": model.classifier, "method": model.method}
        counts = {
            "seeds": len(model.probability),
            "images": len(model.rows),
            "patients": model.rows["group"].nunique(),
        }
        rows.append(
            names | counts | score_columns(shown_scores(model.scores)) | dict(more(model)) | origin_of(model.summary)
        )
    return pd.DataFrame(rows)


def origin_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Columns that mark a row, of metrics.json: whether the test images chose the epoch, and what the weights are."""
    return {"optimistic": bool(summary.get("optimistic", False)), "weights": summary["weights"]}


def separability(model: Model) -> dict[str, Any]:
    """How wide the embedding is, and the silhouettes of labels and clusters in the space that was clustered."""
    silhouettes = model.quality.get("silhouette", {})
    return {
        "dimension": model.summary.get("features"),
        **{f"silhouette_{name}": silhouettes.get(name) for name in ("labels", "clusters")},
    }


def pair_table(models: Sequence[Model], pairs: Sequence[tuple[Model, Model]]) -> pd.DataFrame:
    """Paired tests of models, named by `Model.name`; probabilities are means over seeds.

    Raises:
        StoreError: two models were tested on different images.
    """
    first = models[0]
    for model in models[1:]:
        if not model.rows["image_id"].equals(first.rows["image_id"]):
            raise StoreError(
                f"the predictions of {first.name} and of {model.name} are of different test images; delete"
                " results/hybrid and results/train and run the workflow again"
            )
    mean = {model.name: model.probability.mean(axis=0) for model in models}
    return paired_table(mean, [(a.name, b.name) for a, b in pairs], first.label, first.group)


def ranked_classes(model: Model) -> list[tuple[int, str]]:
    """The classes that have ROC curves, of two classes the positive one alone: those that some test images have and
    others do not."""
    names = list(enumerate(model.class_names))
    asked = names if len(names) > 2 else names[1:]
    return [(number, name) for number, name in asked if 0 < (model.label == number).mean() < 1]


def mean_roc(model: Model, class_number: int) -> np.ndarray:
    """True positive rates at `ROC_GRID`, one class against the rest: means over seeds."""
    curves = []
    for score in model.probability[:, :, class_number]:
        false, true, _ = roc_curve(model.label == class_number, score, drop_intermediate=False)
        curves.append(np.interp(ROC_GRID[1:], false, true))
    return np.concatenate([[0.0], np.mean(curves, axis=0)])
