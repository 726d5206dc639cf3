"""How well the pooled head does in each level of each attribute of the test images: description, no test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heteroscope.data.attributes import levels_of
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.attributes import telling_columns
from heteroscope.evaluation.comparison import provenance_of
from heteroscope.evaluation.intervals import FEWEST_PATIENTS
from heteroscope.evaluation.scores import ESTIMATES, score_table, study_scores

ALL = "all"
ENDS = {"": "mean", "_low": "low", "_high": "high"}


def attribute_scores(analysis: Analysis, images: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The pooled head on the test images of each level of each attribute and image property.

    Numbers of many values are divided into quartiles of all images, as a split's counts are; words of many values, and
    what restates the patient or is the same for all test images, are left out.

    Args:
        analysis: the clusters are not looked at.
        images: images.parquet.
        metric: the study's.

    Returns:
        Columns backbone, attribute, level, images, patients, test_{class} (images), few; accuracy, the study's metric
        and sensitivity_{class}, each with `_low` and `_high`, the ends of its 95 % interval over patients; and what
        marks the analysis. The first row, of level `all`, is the whole test set. A level of fewer than
        `FEWEST_PATIENTS` patients is `few` and has no scores; sensitivities ask so many patients of the class, and
        metrics other than accuracy so many of every class.
    """
    everyone = np.ones(len(analysis.test), dtype=bool)
    rows = [_row(analysis, everyone, (ALL, ALL), metric)]
    table = images.set_index("image_id")
    for column in telling_columns(images):
        levels = levels_of(table[column])
        if levels is None:
            continue
        of_test = pd.Series(levels, index=table.index).loc[analysis.test["image_id"]]
        present = [level for level in levels.categories if (of_test == level).any()]
        if len(present) > 1:
            name = column.removeprefix("attr_")
            rows += [_row(analysis, (of_test == level).to_numpy(), (name, level), metric) for level in present]
    return pd.DataFrame(rows).assign(**provenance_of(analysis))


def _row(analysis: Analysis, members: np.ndarray, names: tuple[str, str], metric: str) -> dict[str, Any]:
    """The scores on some test images (n,) bool."""
    label, group = (analysis.test[name].to_numpy()[members] for name in ("label", "group"))
    patients = len(np.unique(group))
    of_class = {name: len(np.unique(group[label == c])) for c, name in enumerate(analysis.class_names)}
    row: dict[str, Any] = dict(zip(("attribute", "level"), names, strict=True)) | {
        "images": int(members.sum()),
        "patients": patients,
        **{f"test_{name}": int((label == c).sum()) for c, name in enumerate(analysis.class_names)},
        "few": patients < FEWEST_PATIENTS,
    }
    asked = {f"sensitivity_{name}": count for name, count in of_class.items()}
    asked = {"accuracy": patients, metric: patients if metric == "accuracy" else min(of_class.values())} | asked
    found: dict[str, dict[str, float]] = {}
    if max(asked.values()) >= FEWEST_PATIENTS:
        found = _scores(score_table(analysis.baseline[:, members], label, group, analysis.class_names))
    for name, count in asked.items():
        score = found[name] if count >= FEWEST_PATIENTS else {}
        row |= {f"{name}{end}": score.get(key, np.nan) for end, key in ENDS.items()}
    return {"backbone": analysis.backbone} | row


def _scores(scores: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Metric → mean, low and high: the study's metrics, and each class's sensitivity as `sensitivity_{class}`."""
    sensitivity = scores[(scores["average"] == "class") & (scores["metric"] == "sensitivity")]
    return study_scores(scores) | {
        f"sensitivity_{row['class']}": {key: float(row[key]) for key in ESTIMATES}
        for row in sensitivity.to_dict("records")
    }
