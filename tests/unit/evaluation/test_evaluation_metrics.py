"""Metrics against scikit-learn, one model at a time."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference

from heteroscope.evaluation import metrics


def scores(shape: tuple[int, ...], classes: int, seed: int, *, ties: bool) -> np.ndarray:
    value = np.random.default_rng(seed).dirichlet(np.full(classes, 0.7), shape)
    # coarse scores tie within and between classes
    return np.round(value * 4) / 4 if ties else value.astype(np.float32)


def specificity(label: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    values = []
    for c in [1] if classes == 2 else range(classes):
        others = predicted[label != c]
        values.append((others != c).mean())
    return float(np.mean(values))


def expected(name: str, probability: np.ndarray, label: np.ndarray) -> float:
    classes = probability.shape[-1]
    predicted = probability.argmax(axis=1)
    average = {"average": "binary"} if classes == 2 else {"average": "macro", "labels": range(classes)}
    if name == "accuracy":
        return reference.accuracy_score(label, predicted)
    if name == "auc" and classes == 2:
        return reference.roc_auc_score(label, probability[:, 1])
    if name == "auc":
        return float(np.mean([reference.roc_auc_score(label == c, probability[:, c]) for c in range(classes)]))
    if name in ("sensitivity", "recall"):
        return reference.recall_score(label, predicted, **average)
    if name == "specificity":
        return specificity(label, predicted, classes)
    score = {"precision": reference.precision_score, "f1": reference.f1_score}[name]
    return score(label, predicted, zero_division=0, **average)


@pytest.mark.parametrize("name", list(metrics.METRICS))
@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_each_metric_is_that_of_scikit_learn(name: str, classes: int, ties: bool) -> None:
    for seed in range(8):
        label = np.random.default_rng([seed, 1]).permutation(np.arange(40) % classes)
        label[:5] = 0  # unequal classes
        probability = scores((3, 2, 40), classes, seed, ties=ties)
        values = metrics.METRICS[name](probability, label)
        assert values.shape == (3, 2)
        for index in np.ndindex(3, 2):
            np.testing.assert_allclose(values[index], expected(name, probability[index], label), atol=1e-12)


def test_three_class_auc_is_scikit_learns_one_vs_rest() -> None:
    label = np.arange(60) % 3
    probability = scores((60,), 3, 4, ties=False).astype(float)
    probability /= probability.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        metrics.auc(probability, label), reference.roc_auc_score(label, probability, multi_class="ovr"), atol=1e-12
    )


@pytest.mark.parametrize("name", list(metrics.METRICS))
def test_labels_may_differ_between_models(name: str) -> None:
    generator = np.random.default_rng(2)
    label = np.stack([generator.permutation(np.arange(30) % 2) for _ in range(5)])
    probability = scores((4, 5, 30), 2, 3, ties=False)
    values = metrics.METRICS[name](probability, label)
    for index in np.ndindex(4, 5):
        np.testing.assert_allclose(values[index], expected(name, probability[index], label[index[1]]), atol=1e-12)


def test_an_absent_class_leaves_undefined_what_needs_it() -> None:
    probability = scores((20,), 2, 0, ties=False)
    for label, undefined in (
        (np.zeros(20, int), {"auc", "sensitivity", "recall"}),
        (np.ones(20, int), {"auc", "specificity"}),
    ):
        found = {name for name, metric in metrics.METRICS.items() if np.isnan(metric(probability, label))}
        assert found == undefined
    three = scores((20,), 3, 0, ties=False)
    label = np.arange(20) % 2
    assert {name for name, metric in metrics.METRICS.items() if np.isnan(metric(three, label))} == {
        "auc",
        "sensitivity",
        "recall",
    }


def test_nothing_called_positive_scores_zero() -> None:
    probability = np.tile([0.9, 0.1], (10, 1))
    label = np.arange(10) % 2
    assert metrics.METRICS["precision"](probability, label) == metrics.METRICS["f1"](probability, label) == 0
    assert metrics.METRICS["specificity"](probability, label) == 1


def test_log_losses_are_those_of_scikit_learn_and_clipped() -> None:
    label = np.arange(30) % 3
    probability = scores((30,), 3, 5, ties=False).astype(float)
    probability /= probability.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.log_losses(probability, label).mean(), reference.log_loss(label, probability))
    certain = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(metrics.log_losses(certain, np.array([1, 1])), [-np.log(1e-7), 0])
    many = metrics.log_losses(np.stack([certain, certain]), np.array([[0, 0], [1, 1]]))
    np.testing.assert_allclose(many, [[0, -np.log(1e-7)], [-np.log(1e-7), 0]])


def test_the_first_of_equal_classes_wins() -> None:
    assert metrics.correct(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])).tolist() == [True, False]


def test_every_configurable_metric_exists() -> None:
    from typing import get_args

    from heteroscope.config import Metric

    assert set(get_args(Metric)) == set(metrics.METRICS)
    assert set(metrics.PUBLISHED) <= set(metrics.METRICS)
