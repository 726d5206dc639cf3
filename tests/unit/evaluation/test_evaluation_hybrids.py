"""Classical classifiers class by class, against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from heteroscope.evaluation.hybrids import class_table
from tests.unit.evaluation.test_evaluation_models import CLASSES, models


@pytest.mark.parametrize("classes", [2, 3])
def test_every_class_has_its_precision_recall_and_f1(classes: int) -> None:
    """As scikit-learn's `average=None`: a row a model and class, with what it rests on."""
    several = models(classes)
    table = class_table(several)
    assert table["class"].tolist() == CLASSES[:classes] * len(several)
    for model, (_, rows) in zip(several, table.groupby("backbone", sort=False), strict=True):
        of_seeds = [precision_recall_fscore_support(model.label, seed.argmax(axis=1)) for seed in model.probability]
        expected = np.mean([scores[:3] for scores in of_seeds], axis=0)
        np.testing.assert_allclose(rows[["precision", "recall", "f1"]].to_numpy().T, expected)
        assert rows["images"].tolist() == of_seeds[0][3].tolist() == np.bincount(model.label).tolist()
        patients = pd.Series(model.group).groupby(model.label).nunique()
        assert rows["patients"].tolist() == patients.tolist()
        for name in ("precision", "recall", "f1"):
            assert ((rows[f"{name}_low"] < rows[name]) & (rows[name] < rows[f"{name}_high"])).all()
    assert table.columns[:6].tolist() == ["backbone", "classifier", "method", "class", "images", "patients"]
    assert table["weights"].tolist() == [f"weights of {name}" for name in ("a", "b", "a+b") for _ in range(classes)]
    assert not table["optimistic"].any()


def test_a_class_that_is_never_called_has_scores_of_0_without_intervals() -> None:
    model = models(3)[0]
    never = model.probability * [1, 1, 0]
    table = class_table([replace(model, probability=never)]).set_index("class")
    for name in ("precision", "recall", "f1"):
        assert table.loc["striped", name] == 0
        ends = table[[f"{name}_low", f"{name}_high"]]
        assert ends.loc["striped"].isna().all()
        assert ends.drop(index="striped").notna().all(axis=None)


def test_a_class_of_few_patients_is_marked() -> None:
    model = models(2)[0]
    label = np.where(model.group < 9, 1, 0)
    few = class_table([replace(model, rows=model.rows.assign(label=label))]).set_index("class")
    assert few[["patients", "few"]].apply(tuple, axis=1).to_dict() == {"round": (36, False), "square": (9, True)}
