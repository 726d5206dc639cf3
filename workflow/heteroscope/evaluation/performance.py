"""The pooled head on the whole test set, class by class: a backbone's metrics and confusions, whatever the clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import provenance_of
from heteroscope.evaluation.metrics import ratio
from heteroscope.evaluation.scores import score_table


def metrics_table(analysis: Analysis) -> pd.DataFrame:
    """Every metric of every class and average, a row each, with intervals over patients (see `scores.score_table`)."""
    test = analysis.test
    table = score_table(analysis.baseline, test["label"].to_numpy(), test["group"].to_numpy(), analysis.class_names)
    table.insert(0, "backbone", analysis.backbone)
    table.insert(1, "cluster", "all")
    return table.assign(**provenance_of(analysis))


def confusion_table(analysis: Analysis) -> pd.DataFrame:
    """How many test images of each class the pooled head calls what, a row a pair: class, predicted, images, share.

    Images are means over seeds, so that those of a class add up to its test images; share is of the class.
    """
    names = analysis.class_names
    label, classes = analysis.test["label"].to_numpy(), range(len(names))
    images = np.mean([confusion_matrix(label, one.argmax(axis=1), labels=classes) for one in analysis.baseline], axis=0)
    share = ratio(images, images.sum(axis=1, keepdims=True))
    pairs = {"class": np.repeat(names, len(names)), "predicted": np.tile(names, len(names))}
    table = pd.DataFrame(pairs | {"images": images.ravel(), "share": share.ravel()})
    table.insert(0, "backbone", analysis.backbone)
    return table.assign(**provenance_of(analysis))
