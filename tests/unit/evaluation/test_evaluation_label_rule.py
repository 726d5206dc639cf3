"""The shared rule: calibrated, with the clusters' own prevalences, and drawn from fairly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from heteroscope.errors import DataError
from heteroscope.evaluation import label_rule
from heteroscope.evaluation.controls import eligible_clusters
from heteroscope.evaluation.label_rule import SharedRule, fit_shared_rule, redraw_labels


def logistic_world(n: int = 3000, d: int = 5, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Coordinates, clusters, labels, patients (two images each) and the true probability of class 1."""
    generator = np.random.default_rng(seed)
    cluster = generator.integers(0, 3, n)
    coordinates = generator.normal(size=(n, d)) * [4, 2, 1, 1, 0.5]
    coordinates[:, 0] += 6 * cluster
    truth = expit(coordinates @ [0.1, 0.6, -0.8, 0, 0] + np.array([-1.5, 0.0, -1.0])[cluster])
    label = (generator.random(n) < truth).astype(int)
    return coordinates, cluster, label, np.arange(n) // 2, truth


def test_a_logistic_truth_is_recovered() -> None:
    coordinates, cluster, label, group, truth = logistic_world()
    rule = fit_shared_rule(coordinates, cluster, label, group, seed=0)
    error = rule.probability[:, 1] - truth
    assert np.abs(error).mean() < 0.03
    np.testing.assert_allclose(rule.probability.sum(axis=1), 1)
    assert 0.8 < rule.temperature < 1.25
    # calibrated: among images of like probability as many are of the class
    for low in np.arange(0, 1, 0.2):
        inside = (rule.probability[:, 1] >= low) & (rule.probability[:, 1] < low + 0.2)
        standard_error = np.sqrt(0.25 / inside.sum())
        assert abs(label[inside].mean() - rule.probability[inside, 1].mean()) < 3.5 * standard_error
    assert abs(rule.cross_fitted_auc - roc_auc_score(label, truth)) < 0.02


def test_prevalences_are_those_of_the_clusters_with_half_an_image_more() -> None:
    coordinates, cluster, label, group, _ = logistic_world(400)
    label[cluster == 2] = 0  # a cluster without disease
    rule = fit_shared_rule(coordinates, cluster, label, group, seed=0)
    for value in range(3):
        counts = np.bincount(label[cluster == value], minlength=2) + 0.5
        np.testing.assert_allclose(rule.probability[cluster == value].mean(axis=0), counts / counts.sum(), atol=1e-6)
    assert (rule.probability > 0).all()


def test_unpredictable_labels_give_flat_probabilities() -> None:
    coordinates, cluster, _, group, _ = logistic_world(600)
    label = np.random.default_rng(1).integers(0, 2, 300).repeat(2)
    rule = fit_shared_rule(coordinates, cluster, label, group, seed=0)
    assert rule.probability[:, 1].std() < 0.1
    assert abs(rule.cross_fitted_auc - 0.5) < 0.1
    assert rule.cross_fitted_log_loss < 0.72


def test_three_classes() -> None:
    generator = np.random.default_rng(2)
    coordinates = generator.normal(size=(2400, 3))
    cluster = generator.integers(0, 2, 2400)
    truth = softmax(coordinates @ generator.normal(size=(3, 3)) + 0.5 * cluster[:, None] * [1, 0, -1], axis=1)
    label = (truth.cumsum(axis=1) < generator.random((2400, 1))).sum(axis=1)
    rule = fit_shared_rule(coordinates, cluster, label, np.arange(2400), seed=0)
    assert rule.probability.shape == (2400, 3)
    assert np.abs(rule.probability - truth).mean() < 0.03
    drawn = np.stack([redraw_labels(rule, label, np.arange(2400), seed=0, draw=draw) for draw in range(300)])
    share = np.stack([(drawn == c).mean(axis=0) for c in range(3)], axis=1)
    assert np.abs(share - rule.probability).max() < 5 * np.sqrt(0.25 / 300)


def test_cross_fitting_keeps_patients_whole_and_leaves_each_image_out_once() -> None:
    _, _, label, _, _ = logistic_world(300)
    group = np.random.default_rng(3).integers(0, 40, 300)
    folds = label_rule._folds(label, group, seed=0)
    assert len(folds) == 5
    assert sorted(np.concatenate([left_out for _, left_out in folds])) == list(range(300))
    for fitted, left_out in folds:
        assert not set(group[fitted]) & set(group[left_out])


def test_cross_fitted_predictions_have_not_seen_their_patient() -> None:
    """Images of a patient are copies and labels are coin flips: who saw the copy would know the label."""
    generator = np.random.default_rng(4)
    patients, copies = 60, 4
    group = np.repeat(np.arange(patients), copies)
    coordinates = np.repeat(generator.normal(size=(patients, 50)), copies, axis=0)
    label = np.repeat(generator.integers(0, 2, patients), copies)
    rule = fit_shared_rule(coordinates, np.zeros(240, dtype=int), label, group, seed=0)
    assert rule.cross_fitted_auc < 0.65
    seen = LogisticRegression(C=100).fit(coordinates, label).decision_function(coordinates)
    assert roc_auc_score(label, seen) > 0.95, "the copies do not tell: nothing is tested"


def test_too_few_patients_of_a_class_is_said() -> None:
    coordinates, cluster, _, group, _ = logistic_world(40)
    label = np.zeros(40, dtype=int)
    label[:2] = 1  # two images of one patient
    with pytest.raises(DataError, match="two patients of each class"):
        fit_shared_rule(coordinates, cluster, label, group, seed=0)


def test_identical_coordinates_are_no_error() -> None:
    _, cluster, label, group, _ = logistic_world(60)
    rule = fit_shared_rule(np.ones((60, 3)), cluster, label, group, seed=0)
    assert np.isfinite(rule.probability).all()


# ----------------------------------------------------------------------------------------- draws


def rule_of(probability: np.ndarray) -> SharedRule:
    return SharedRule(np.column_stack([1 - probability, probability]), 1.0, 1.0, 0.5, 0.7)


def test_draws_depend_on_seed_and_number_alone() -> None:
    rule = rule_of(np.random.default_rng(0).random(50))
    label, group = np.arange(50) % 2, np.arange(50)

    def draw(seed: int, number: int) -> bytes:
        return redraw_labels(rule, label, group, seed=seed, draw=number).tobytes()

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(seed, number) for seed in range(3) for number in range(1, 4)}) == 9


def test_frequencies_are_the_rules_probabilities() -> None:
    probability = np.linspace(0.02, 0.98, 30)
    rule = rule_of(probability)
    drawn = np.stack([redraw_labels(rule, np.arange(30) % 2, np.arange(30), seed=0, draw=r) for r in range(4000)])
    error = drawn.mean(axis=0) - probability
    assert np.abs(error / np.sqrt(probability * (1 - probability) / 4000)).max() < 4
    # images are drawn apart from each other
    assert np.abs(np.corrcoef(drawn.T) - np.eye(30)).max() < 0.1


def redrawn_copies(rule: SharedRule) -> np.ndarray:
    """Draws of the six images of the test below, and of a copy of image 1, whose patient has both labels."""
    more = SharedRule(np.vstack([rule.probability, rule.probability[1]]), 1.0, 1.0, 0.5, 0.7)
    group, label = np.array([*"ababca", "b"]), np.array([1, 0, 1, 1, 0, 1, 0])
    return np.stack([redraw_labels(more, label, group, seed=0, draw=r) for r in range(200)])


def test_patients_that_agree_get_one_label_from_their_mean_logit() -> None:
    probability = np.array([0.2, 0.6, 0.7, 0.9, 0.5, 0.3])
    group = np.array(["a", "b", "a", "b", "c", "a"])
    label = np.array([1, 0, 1, 1, 0, 1])  # a and c agree, b does not
    rule = rule_of(probability)
    drawn = np.stack([redraw_labels(rule, label, group, seed=0, draw=r) for r in range(4000)])
    assert (drawn[:, [0, 2, 5]] == drawn[:, [0]]).all()
    expected = expit(np.mean(np.log(probability / (1 - probability))[[0, 2, 5]]))
    assert abs(drawn[:, 0].mean() - expected) < 4 * np.sqrt(0.25 / 4000)
    # a patient whose eyes differ keeps eyes of their own, and copies of one eye stay together
    copies = redrawn_copies(rule)
    assert (copies[:, 1] == copies[:, 6]).all()
    assert (copies[:, 1] != copies[:, 3]).any()
    assert (drawn[:, 1] != drawn[:, 3]).any()
    np.testing.assert_allclose(drawn[:, [1, 3, 4]].mean(axis=0), [0.6, 0.9, 0.5], atol=4 * np.sqrt(0.25 / 4000))


def test_eligible_clusters_by_hand() -> None:
    train_cluster = np.array([0] * 6 + [1] * 7 + [2] * 6)
    train_label = np.array([0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1])
    test_cluster = np.array([0] * 4 + [1] * 9 + [2] * 3)
    found = eligible_clusters(train_cluster, train_label, test_cluster, k=4, classes=2, min_class=3, min_test=4)
    assert found.tolist() == [True, False, False, False]  # too few of class 0; too few to test; empty
    found = eligible_clusters(train_cluster, train_label, test_cluster, k=4, classes=2, min_class=2, min_test=3)
    assert found.tolist() == [True, True, True, False]
    # a class that no cluster holds
    found = eligible_clusters(train_cluster, train_label, test_cluster, k=4, classes=3, min_class=1, min_test=1)
    assert not found.any()
