"""Models side by side, against scikit-learn and statsmodels."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, f1_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from heteroscope.errors import StoreError
from heteroscope.evaluation.models import (
    ROC_GRID,
    Model,
    mean_roc,
    model_table,
    pair_table,
    ranked_classes,
    separability,
)

CLASSES = ["round", "square", "striped"]


def models(classes: int) -> list[Model]:
    """Three backbones of rising skill on 90 images of 45 patients, two seeds."""
    generator = np.random.default_rng(classes)
    label = np.arange(90) // 2 % (classes + 1) % classes  # the first class is twice as frequent
    rows = pd.DataFrame({"image_id": [f"i{i}" for i in range(90)], "label": label, "group": np.arange(90) // 2})
    found = []
    for number, name in enumerate(["a", "b", "a+b"]):
        score = generator.normal(size=(2, 90, classes)) + (0.4 + 0.6 * number) * np.eye(classes)[label]
        probability = np.exp(score) / np.exp(score).sum(axis=2, keepdims=True)
        summary = {"weights": f"weights of {name}", "features": 10 * number}
        quality = {"silhouette": {"labels": 0.1 * number, "clusters": None}}
        found.append(
            Model(name, "linear", "head", rows, probability, CLASSES[:classes], summary, times=[], quality=quality)
        )
    return found


def test_a_row_a_model_holds_scores_and_separability() -> None:
    three = models(3)
    table = model_table(three, separability)
    for model, row in zip(three, table.to_dict("records"), strict=True):
        f1 = [f1_score(model.label, seed.argmax(axis=1), average="macro") for seed in model.probability]
        area = [roc_auc_score(model.label, seed, multi_class="ovr") for seed in model.probability]
        assert row["f1"] == pytest.approx(np.mean(f1))
        assert row["auc"] == pytest.approx(np.mean(area))
        by_patient = [
            pd.DataFrame(seed).groupby(model.group).mean().to_numpy().argmax(axis=1) for seed in model.probability
        ]
        assert row["patient_accuracy"] == pytest.approx(np.mean([called == model.label[::2] for called in by_patient]))
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        assert row["weights"] == f"weights of {model.backbone}"
        assert not row["optimistic"]
    assert table["patients"].tolist() == [45] * 3
    assert table["dimension"].tolist() == [0, 10, 20]
    assert table["silhouette_labels"].tolist() == pytest.approx([0, 0.1, 0.2])
    assert table["silhouette_clusters"].isna().all()


@pytest.mark.parametrize("classes", [2, 3])
def test_all_pairs_are_adjusted_together(classes: int) -> None:
    three = models(classes)
    table = pair_table(three, list(combinations(three, 2)))
    assert list(zip(table["model"], table["other"], strict=True)) == [
        ("a linear", "b linear"),
        ("a linear", "a+b linear"),
        ("b linear", "a+b linear"),
    ]
    right = [model.probability.mean(axis=0).argmax(axis=1) == model.label for model in three]
    gains = [right[i].mean() - right[j].mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert table["accuracy_gain"].tolist() == pytest.approx(gains)
    tests = ["mcnemar_p", "delong_p"] if classes == 2 else ["mcnemar_p"]
    for test in tests:
        assert table[f"{test}_holm"].tolist() == pytest.approx(multipletests(table[test], method="holm")[1])


def test_only_classes_that_tell_test_images_apart_have_curves() -> None:
    two, three = models(2)[0], models(3)[0]
    assert ranked_classes(two) == [(1, "square")]
    assert ranked_classes(three) == list(enumerate(CLASSES))
    assert ranked_classes(replace(three, rows=three.rows.replace({"label": {2: 1}}))) == [(0, "round"), (1, "square")]
    assert ranked_classes(replace(two, rows=two.rows.assign(label=1))) == []


def test_models_of_other_test_images_are_refused() -> None:
    first, second, _ = models(2)
    other = replace(second, rows=second.rows.iloc[::-1].reset_index(drop=True))
    with pytest.raises(StoreError, match="a linear and of b linear are of different test images"):
        pair_table([first, other], [(first, other)])


def test_the_area_of_the_drawn_curve_is_the_mean_over_seeds() -> None:
    for model in models(3):
        for number in range(3):
            curve = mean_roc(model, number)
            areas = [roc_auc_score(model.label == number, seed[:, number]) for seed in model.probability]
            assert auc(ROC_GRID, curve) == pytest.approx(np.mean(areas), abs=0.005)
            assert (np.diff(curve) >= 0).all()
            assert (curve[0], curve[-1]) == (0, 1)
