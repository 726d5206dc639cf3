"""The pooled head on the whole test set, class by class: a backbone's metrics and confusions, whatever the clusters."""

from __future__ import annotations

import pandas as pd

from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import provenance_of
from heteroscope.evaluation.confusions import confusions
from heteroscope.evaluation.scores import score_table


def metrics_table(analysis: Analysis) -> pd.DataFrame:
    """Every metric of every class and average, a row each, with intervals over patients (see `scores.score_table`)."""
    test = analysis.test
    table = score_table(analysis.baseline, test["label"].to_numpy(), test["group"].to_numpy(), analysis.class_names)
    table.insert(0, "backbone", analysis.backbone)
    table.insert(1, "cluster", "all")
    return table.assign(**provenance_of(analysis))


def confusion_table(analysis: Analysis) -> pd.DataFrame:
    """How many test images of each class the pooled head calls what (see `confusions`)."""
    table = confusions(analysis.baseline, analysis.test["label"].to_numpy(), analysis.class_names)
    table.insert(0, "backbone", analysis.backbone)
    return table.assign(**provenance_of(analysis))
