"""Paired tests against published numbers, brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from heteroscope.evaluation.paired import delong, mcnemar_p, paired_table


def test_mcnemar_is_a_binomial_test_of_the_images_that_divide_the_models() -> None:
    right = np.array([True] * 30 + [True] * 9 + [False] * 2 + [False] * 7)
    other = np.array([True] * 30 + [False] * 9 + [True] * 2 + [False] * 7)
    assert mcnemar_p(right, other) == pytest.approx(binomtest(2, 11).pvalue)
    assert mcnemar_p(other, right) == mcnemar_p(right, other)
    assert mcnemar_p(right, right) == 1


def delong_by_pairs(score: np.ndarray, other: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Difference and z, from the kernel over all pairs as the paper writes it."""
    kernel = [
        (s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive]) for s in (score, other)
    ]
    m, n = kernel[0].shape
    v10, v01 = np.stack([k.mean(axis=1) for k in kernel]), np.stack([k.mean(axis=0) for k in kernel])
    covariance = np.cov(v10) / m + np.cov(v01) / n
    contrast = np.array([1, -1])
    difference = contrast @ [k.mean() for k in kernel]
    return difference, difference / np.sqrt(contrast @ covariance @ contrast)


def test_delong_is_that_of_all_pairs_also_with_equal_scores() -> None:
    generator = np.random.default_rng(0)
    positive = generator.random(80) < 0.4
    score = np.round(generator.normal(size=80) + positive, 1)
    other = np.round(0.5 * score + generator.normal(size=80), 1)
    difference, p = delong(score, other, positive)
    expected, z = delong_by_pairs(score, other, positive)
    assert difference == pytest.approx(expected)
    assert difference == pytest.approx(roc_auc_score(positive, score) - roc_auc_score(positive, other))
    from scipy.stats import norm

    assert p == pytest.approx(2 * norm.sf(abs(z)))


def test_delong_rejects_as_often_as_it_says() -> None:
    """Two models of one quality: p is uniform."""
    generator = np.random.default_rng(1)
    p = []
    for _ in range(400):
        positive = np.arange(120) < 50
        truth = generator.normal(size=120) + positive
        p.append(delong(truth + generator.normal(size=120), truth + generator.normal(size=120), positive)[1])
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.08)


def test_delong_of_one_ranking_and_of_too_few_images() -> None:
    positive = np.array([True, True, False, False])
    score = np.array([0.9, 0.2, 0.3, 0.1])
    assert delong(score, 2 * score, positive) == (0, 1)
    assert np.isnan(delong(score, score[::-1], np.array([True, False, False, False]))[1])


@pytest.fixture(scope="module")
def models() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Three models on 60 images of 30 patients; `best` is planted to be right more often than `worst`."""
    generator = np.random.default_rng(2)
    label = np.repeat([0, 1], 30)
    made = {}
    for name, skill in (("best", 3.0), ("middle", 1.0), ("worst", 0.2)):
        positive = 1 / (1 + np.exp(-(skill * (2 * label - 1) + generator.normal(size=60))))
        made[name] = np.column_stack([1 - positive, positive])
    return made, label, np.arange(60) // 2


def test_a_planted_difference_is_found(models: tuple) -> None:
    probability, label, group = models
    table = paired_table(probability, [("best", "worst"), ("best", "middle"), ("worst", "best")], label, group)
    first, _, turned = (row for _, row in table.iterrows())
    right = {name: (p.argmax(axis=1) == label) for name, p in probability.items()}
    assert first["accuracy_gain"] == pytest.approx(right["best"].mean() - right["worst"].mean())
    assert first["auc_gain"] == pytest.approx(
        roc_auc_score(label, probability["best"][:, 1]) - roc_auc_score(label, probability["worst"][:, 1])
    )
    assert first["accuracy_low"] > 0
    assert first["auc_low"] > 0
    assert max(first["mcnemar_p_holm"], first["delong_p_holm"]) < 0.01
    assert first["mcnemar_p_holm"] == pytest.approx(3 * first["mcnemar_p"])  # the smallest of three, and its twin
    assert (first["images"], first["patients"]) == (60, 30)
    for name in ("accuracy", "auc"):
        assert first[f"{name}_low"] == pytest.approx(-turned[f"{name}_high"])
    assert first["only_model_right"] == turned["only_other_right"] == (right["best"] & ~right["worst"]).sum()


def test_of_more_classes_the_areas_are_means_over_classes() -> None:
    generator = np.random.default_rng(3)
    label = np.tile([0, 1, 2], 20)
    made = {name: generator.dirichlet([1, 1, 1], 60) + skill * np.eye(3)[label] for name, skill in (("a", 1), ("b", 0))}
    made = {name: p / p.sum(axis=1, keepdims=True) for name, p in made.items()}
    [row] = paired_table(made, [("a", "b")], label, np.arange(60)).to_dict("records")
    areas = [roc_auc_score(label, p, multi_class="ovr") for p in made.values()]
    assert row["auc_gain"] == pytest.approx(areas[0] - areas[1])
    assert np.isnan(row["delong_p"])
    assert row["auc_low"] > 0


def test_no_pairs_make_an_empty_table(models: tuple) -> None:
    assert paired_table(models[0], [], models[1], models[2]).empty
