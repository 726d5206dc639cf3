"""Classical classifiers on embeddings beside the network's own last layer: metrics, tests, times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from heteroscope.embedding.samples import Samples
from heteroscope.errors import StoreError
from heteroscope.evaluation.baseline import EMBEDDING, INTERVALS, probabilities_of
from heteroscope.evaluation.paired import paired_table
from heteroscope.evaluation.scores import ESTIMATES, score_table, study_scores
from heteroscope.store import read_json, read_table

if TYPE_CHECKING:
    from heteroscope.training.hybrid import Trained

MACRO = ("precision", "recall", "f1", "auc")
HARD_LABELS = "auc_from_labels"  # the area of the called classes instead of probabilities, as some publications have it


def macro_scores(
    probability: np.ndarray, label: np.ndarray, group: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Accuracy, macro precision, recall, F1 and AUC, and the AUC of the called classes: mean, sd, low, high of each.

    The last one takes the called class for a probability of one, which leaves one point of the ROC curve: it is the
    mean of sensitivity and specificity, and tells nothing of the ranking. It is there to compare with publications.

    Args:
        probability: (seeds, n, C).
        label: (n,) int.
        group: (n,) patients.
        class_names: in the order of labels.
    """
    return _macro(score_table(probability, label, group, class_names), probability, label, group, class_names)


def _macro(
    scores: pd.DataFrame, probability: np.ndarray, label: np.ndarray, group: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """`macro_scores`, of which all but the last are in the table of scores."""
    called = np.eye(len(class_names))[probability.argmax(axis=2)]
    rows = _of_average(scores, "overall", "accuracy") | _of_average(scores, "macro", *MACRO)
    return rows | {HARD_LABELS: _of_average(score_table(called, label, group, class_names), "macro", "auc")["auc"]}


def _of_average(scores: pd.DataFrame, average: str, *metrics: str) -> dict[str, dict[str, float]]:
    """Mean, sd, low and high of some metrics, from rows of `score_table`."""
    chosen = scores[(scores["average"] == average) & scores["metric"].isin(metrics)]
    found = {row["metric"]: {key: row[key] for key in ESTIMATES} for row in chosen.to_dict("records")}
    return {metric: found[metric] for metric in metrics}


def summary(samples: Samples, trained: Trained) -> dict[str, Any]:
    """What `metrics.json` of a hybrid holds: metrics, the chosen classifier, and what it stands on."""
    test = samples.rows("test")
    rows = (trained.probability, samples.label[test], samples.group[test], samples.class_names)
    scores = score_table(*rows)
    return {
        "metrics": study_scores(scores),
        "macro": _macro(scores, *rows),
        "intervals": INTERVALS,
        "classifier": trained.spec.model_dump(mode="json", exclude={"tuning"}),
        "tuned": [asdict(candidate) for candidate in trained.candidates],
        "features": samples.features.shape[1],
        "rows": {part: int((samples.part == part).sum()) for part in ("train", "test")},
        "test_patients": len(np.unique(samples.group[test])),
        "seeds": len(trained.probability),
        **{name: str(samples.embedding.get(name, "")) for name in EMBEDDING},
    }


@dataclass(frozen=True)
class Model:
    """A classifier on the embeddings of a backbone, on all test images, of all folds together.

    Attributes:
        backbone: its id.
        classifier: id of a hybrid, or of the head.
        method: what it is, in words.
        rows: image_id, label and group of the test images.
        probability: (seeds, n, C).
        class_names: in the order of labels.
        summary: metrics.json of the first fold.
        times: times.json of all folds.
    """

    backbone: str
    classifier: str
    method: str
    rows: pd.DataFrame
    probability: np.ndarray
    class_names: list[str]
    summary: dict[str, Any]
    times: list[dict[str, float]]

    @property
    def name(self) -> str:
        """Backbone and classifier."""
        return f"{self.backbone} {self.classifier}"


def load_model(files: dict[str, Any]) -> Model:
    """Read the files that `Layout.hybrid_models` names for one classifier.

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
        times=[read_json(Path(path)) for path in files["times"]],
    )


def model_table(models: Sequence[Model]) -> pd.DataFrame:
    """A row a model: its scores with intervals over patients, and what it stands on."""
    rows = []
    for model in models:
        scores = macro_scores(
            model.probability, model.rows["label"].to_numpy(), model.rows["group"].to_numpy(), model.class_names
        )
        values = {
            f"{name}{ending}": score[key]
            for name, score in scores.items()
            for ending, key in (("", "mean"), ("_low", "low"), ("_high", "high"))
        }
        counts = {
            "seeds": len(model.probability),
            "images": len(model.rows),
            "patients": model.rows["group"].nunique(),
        }
        rows.append(_names(model) | counts | values | _provenance(model))
    return pd.DataFrame(rows)


def pair_table(models: Sequence[Model]) -> pd.DataFrame:
    """Paired tests of all classifiers on one backbone, the network's own last layer first; probabilities over seeds.

    Raises:
        StoreError: two models were tested on different images.
    """
    first = models[0].rows
    for model in models[1:]:
        if not model.rows["image_id"].equals(first["image_id"]):
            raise StoreError(
                f"the predictions of {models[0].name} and of {model.name} are of different test images; delete"
                " results/hybrid and results/train and run the workflow again"
            )
    pairs = [(a.name, b.name) for a, b in combinations(models, 2) if a.backbone == b.backbone]
    mean = {model.name: model.probability.mean(axis=0) for model in models}
    table = paired_table(mean, pairs, first["label"].to_numpy(), first["group"].to_numpy())
    weights = {model.backbone: model.summary["weights"] for model in models}
    names = table["model"].str.split(" ", expand=True)  # backbone, classifier: ids have no spaces
    table = table.assign(model=names[1], other=table["other"].str.split(" ").str[1], weights=names[0].map(weights))
    table.insert(0, "backbone", names[0])
    return table


def time_table(models: Sequence[Model], scores: pd.DataFrame) -> pd.DataFrame:
    """What accuracy costs, a row a model: seconds to train and milliseconds an image, means over folds.

    They count from embeddings that are already there, alike for all classifiers of a backbone.
    """
    measured = ["training_s", "tuning_s", "ms_per_image"]
    times = [
        _names(model) | {name: float(np.mean([fold[name] for fold in model.times])) for name in measured}
        for model in models
    ]
    shown = [
        name for name in scores.columns if name.startswith(("accuracy", "auc")) and not name.startswith(HARD_LABELS)
    ]
    return pd.concat([pd.DataFrame(times), scores[[*shown, "weights"]]], axis=1)


def _names(model: Model) -> dict[str, str]:
    return {"backbone": model.backbone, "classifier": model.classifier, "method": model.method}


def _provenance(model: Model) -> dict[str, Any]:
    """What a reader must know of a row: the weights, and whether the test images chose the epoch."""
    return {"optimistic": bool(model.summary.get("optimistic", False)), "weights": model.summary["weights"]}
