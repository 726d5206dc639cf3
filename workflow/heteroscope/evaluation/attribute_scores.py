"""How well the pooled head does in each level of each attribute of the test images: description, no test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heteroscope.data.attributes import levels_of
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.attributes import attribute_name, telling_columns
from heteroscope.evaluation.comparison import provenance_of
from heteroscope.evaluation.intervals import FEWEST_PATIENTS
from heteroscope.evaluation.scores import ESTIMATES, score_table, study_scores

ALL = "all"
COLUMNS = {"value": "mean", "low": "low", "high": "high"}


def attribute_scores(analysis: Analysis, images: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The pooled head on the test images of each level of each attribute and image property.

    Numbers of many values are divided into quartiles of all images, as a split's counts are; words of many values, and
    what restates the patient or is the same for all test images, are left out.

    Args:
        analysis: the clusters are not looked at.
        images: images.parquet.
        metric: the study's.

    Returns:
        A row a level and score: columns backbone, attribute, level, metric (accuracy, the study's metric, and the
        sensitivity of each class), class (None but of sensitivities), images and patients (of the class, where there
        is one), few; value, a mean over seeds, low and high, the ends of its 95 % interval over patients; and what
        marks the analysis. The first rows, of level `all`, are the whole test set. A score of fewer than
        `FEWEST_PATIENTS` patients, or for metrics other than accuracy of fewer in any class, is `few` and has no
        value.
    """
    everyone = np.ones(len(analysis.test), dtype=bool)
    rows = _rows(analysis, everyone, (ALL, ALL), metric)
    table = images.set_index("image_id")
    for column in telling_columns(images):
        levels = levels_of(table[column])
        if levels is None:
            continue
        of_test = pd.Series(levels, index=table.index).loc[analysis.test["image_id"]]
        present = [level for level in levels.categories if (of_test == level).any()]
        if len(present) > 1:
            name = attribute_name(column)
            for level in present:
                rows += _rows(analysis, (of_test == level).to_numpy(), (name, level), metric)
    return pd.DataFrame(rows).assign(**provenance_of(analysis))


def _rows(analysis: Analysis, members: np.ndarray, names: tuple[str, str], metric: str) -> list[dict[str, Any]]:
    """The scores on some test images (n,) bool."""
    label, group = (analysis.test[name].to_numpy()[members] for name in ("label", "group"))
    everyone = (len(label), len(np.unique(group)))
    of_class = [(int((label == c).sum()), len(np.unique(group[label == c]))) for c in range(len(analysis.class_names))]
    fewest = min(patients for _, patients in of_class)
    # (metric, class) → images and patients it is of, and whether they are too few
    asked: dict[tuple[str, str | None], tuple[int, int, bool]] = {
        (name, None): (*everyone, count < FEWEST_PATIENTS)
        for name, count in ((metric, fewest), ("accuracy", everyone[1]))
    }
    for name, (images, patients) in zip(analysis.class_names, of_class, strict=True):
        asked["sensitivity", name] = images, patients, patients < FEWEST_PATIENTS
    found: dict[tuple[str, str | None], dict[str, float]] = {}
    if not all(few for _, _, few in asked.values()):
        found = _scores(score_table(analysis.baseline[:, members], label, group, analysis.class_names))
    rows = []
    for (name, class_name), (images, patients, few) in asked.items():
        score = {} if few else found[name, class_name]
        row: dict[str, Any] = {"backbone": analysis.backbone, "attribute": names[0], "level": names[1], "metric": name}
        row |= {"class": class_name, "images": images, "patients": patients, "few": few}
        rows.append(row | {column: score.get(key, np.nan) for column, key in COLUMNS.items()})
    return rows


def _scores(scores: pd.DataFrame) -> dict[tuple[str, str | None], dict[str, float]]:
    """(metric, class) → mean, low and high: the study's metrics, and each class's sensitivity."""
    of_class = scores[(scores["average"] == "class") & (scores["metric"] == "sensitivity")]
    found: dict[tuple[str, str | None], dict[str, float]] = {
        (name, None): score for name, score in study_scores(scores).items()
    }
    for row in of_class.to_dict("records"):
        found["sensitivity", row["class"]] = {key: float(row[key]) for key in ESTIMATES}
    return found
