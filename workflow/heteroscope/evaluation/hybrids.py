"""Classical classifiers on embeddings beside the network's own last layer: metrics, tests, times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.baseline import EMBEDDING, INTERVALS
from heteroscope.evaluation.intervals import FEWEST_PATIENTS
from heteroscope.evaluation.models import (
    Model,
    Scores,
    model_table,
    of_average,
    origin_of,
    pair_table,
    score_columns,
    shown_scores,
)
from heteroscope.evaluation.networks import REPORTED, classification_report
from heteroscope.evaluation.scores import score_table, study_scores

if TYPE_CHECKING:
    from heteroscope.training.hybrid import Trained

HARD_LABELS = "auc_from_labels"  # the area of the called classes instead of probabilities, as some publications have it


def area_of_called(probability: np.ndarray, label: np.ndarray, group: np.ndarray, class_names: Sequence[str]) -> Scores:
    """The AUC of the called classes: mean, sd, low and high.

    It takes the called class for a probability of one, which leaves one point of the ROC curve: it is the mean of
    sensitivity and specificity, and tells nothing of the ranking. It is there to compare with publications.

    Args:
        probability: (seeds, n, C).
        label: (n,) int.
        group: (n,) patients.
        class_names: in the order of labels.
    """
    called = np.eye(len(class_names))[probability.argmax(axis=2)]
    return {HARD_LABELS: of_average(score_table(called, label, group, class_names), "macro", "auc")["auc"]}


def summary(samples: Samples, trained: Trained) -> dict[str, Any]:
    """What `metrics.json` of a hybrid holds: metrics, the chosen classifier, and what it stands on."""
    test = samples.rows("test")
    rows = (trained.probability, samples.label[test], samples.group[test], samples.class_names)
    scores = score_table(*rows)
    return {
        "metrics": study_scores(scores),
        "macro": shown_scores(scores) | area_of_called(*rows),
        "intervals": INTERVALS,
        "classifier": trained.spec.model_dump(mode="json", exclude={"tuning"}),
        "tuned": [asdict(candidate) for candidate in trained.candidates],
        "features": samples.features.shape[1],
        "rows": {part: int((samples.part == part).sum()) for part in ("train", "test")},
        "test_patients": len(np.unique(samples.group[test])),
        "seeds": len(trained.probability),
        **{name: str(samples.embedding.get(name, "")) for name in EMBEDDING},
    }


def hybrid_table(models: Sequence[Model]) -> pd.DataFrame:
    """A row a model: its scores with intervals over patients, and what it stands on."""
    return model_table(
        models,
        lambda model: score_columns(area_of_called(model.probability, model.label, model.group, model.class_names)),
    )


def class_table(models: Sequence[Model]) -> pd.DataFrame:
    """A row a model and class: precision, recall and F1 with intervals over patients, and the class's test images.

    Averages over classes stand in `hybrid_table`. A class that is never called has scores of 0 and no intervals, and
    one of fewer than `FEWEST_PATIENTS` patients is `few`.
    """
    tables = []
    for model in models:
        table = classification_report(model.scores, model.label, model.class_names).head(len(model.class_names))
        never_called = ~np.isin(np.arange(len(table)), model.probability.argmax(axis=2))
        table.loc[never_called, [f"{metric}_{end}" for metric in REPORTED for end in ("low", "high")]] = np.nan
        patients = [model.rows.loc[model.label == c, "group"].nunique() for c in range(len(table))]
        table.insert(2, "patients", patients)
        table.insert(3, "few", table["patients"] < FEWEST_PATIENTS)
        names = {"backbone": model.backbone, "classifier": model.classifier, "method": model.method}
        tables.append(table.assign(**names, **origin_of(model.summary)))
    table = pd.concat(tables, ignore_index=True)
    first = ["backbone", "classifier", "method"]
    return table[[*first, *table.columns.drop(first)]]


def hybrid_pairs(models: Sequence[Model]) -> pd.DataFrame:
    """Paired tests of all classifiers on one backbone, the network's own last layer first.

    Raises:
        StoreError: two models were tested on different images.
    """
    pairs = [(a, b) for a, b in combinations(models, 2) if a.backbone == b.backbone]
    table = pair_table(models, pairs)
    named = table.assign(model=[a.classifier for a, _ in pairs], other=[b.classifier for _, b in pairs])
    named.insert(0, "backbone", [a.backbone for a, _ in pairs])
    return named.assign(weights=[a.summary["weights"] for a, _ in pairs])


def time_table(models: Sequence[Model], scores: pd.DataFrame) -> pd.DataFrame:
    """What accuracy costs, a row a model: seconds to train and milliseconds an image, means over folds.

    They count from embeddings that are already there, alike for all classifiers of a backbone.
    """
    measured = ["training_s", "tuning_s", "ms_per_image"]
    times = [
        {"backbone": model.backbone, "classifier": model.classifier, "method": model.method}
        | {name: float(np.mean([fold[name] for fold in model.times])) for name in measured}
        for model in models
    ]
    shown = [
        name for name in scores.columns if name.startswith(("accuracy", "auc")) and not name.startswith(HARD_LABELS)
    ]
    return pd.concat([pd.DataFrame(times), scores[[*shown, "weights"]]], axis=1)
