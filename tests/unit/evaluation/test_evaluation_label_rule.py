"""The shared rule: calibrated, with the clusters' own prevalences, and drawn from fairly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import multivariate_t
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from heteroscope.errors import DataError
from heteroscope.evaluation import label_rule
from heteroscope.evaluation.controls import eligible_clusters
from heteroscope.evaluation.label_rule import (
    SharedRule,
    calibration_error,
    calibration_noise,
    fit_shared_rule,
    redraw_labels,
    rotated_probability,
    rule_gap,
)


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
    drawn = draws_of(rule.probability, label, np.arange(2400), 300)
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


def draws_of(probability: np.ndarray, label: np.ndarray, group: np.ndarray, number: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack([redraw_labels(probability, label, group, generator) for _ in range(number)])


def binary(probability: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - probability, probability])


def test_draws_depend_on_the_generator_alone() -> None:
    probability = binary(np.random.default_rng(0).random(50))
    label, group = np.arange(50) % 2, np.arange(50)

    def draw(seed: int) -> bytes:
        return redraw_labels(probability, label, group, np.random.default_rng(seed)).tobytes()

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(9)}) == 9


def test_frequencies_are_the_rules_probabilities() -> None:
    probability = np.linspace(0.02, 0.98, 30)
    drawn = draws_of(binary(probability), np.arange(30) % 2, np.arange(30), 4000)
    error = drawn.mean(axis=0) - probability
    assert np.abs(error / np.sqrt(probability * (1 - probability) / 4000)).max() < 4
    # images are drawn apart from each other
    assert np.abs(np.corrcoef(drawn.T) - np.eye(30)).max() < 0.1


def test_patients_that_agree_get_one_label_from_their_mean_logit() -> None:
    # image 6 is a copy of image 1, whose patient has both labels
    probability = np.array([0.2, 0.6, 0.7, 0.9, 0.5, 0.3, 0.6])
    group, label = np.array([*"ababcab"]), np.array([1, 0, 1, 1, 0, 1, 0])  # a and c agree, b does not
    drawn = draws_of(binary(probability), label, group, 4000)
    assert (drawn[:, [0, 2, 5]] == drawn[:, [0]]).all()
    expected = expit(np.mean(np.log(probability / (1 - probability))[[0, 2, 5]]))
    assert abs(drawn[:, 0].mean() - expected) < 4 * np.sqrt(0.25 / 4000)
    # a patient whose eyes differ keeps eyes of their own, and copies of one eye stay together
    assert (drawn[:, 1] == drawn[:, 6]).all()
    assert (drawn[:, 1] != drawn[:, 3]).any()
    np.testing.assert_allclose(drawn[:, [1, 3, 4]].mean(axis=0), [0.6, 0.9, 0.5], atol=4 * np.sqrt(0.25 / 4000))


# --------------------------------------------------------------------------------- curved rules


def curved_world(curvature: float, n: int = 2500, seed: int = 5) -> tuple[np.ndarray, ...]:
    """Coordinates, the thirds of the first one as clusters, labels, patients, and the true probability of class 1."""
    generator = np.random.default_rng(seed)
    coordinates = generator.normal(size=(n, 6)) * [3, 2, 2, 1, 1, 1]
    cluster = np.digitize(coordinates[:, 0], [-1.3, 1.3])
    truth = expit(coordinates @ [0, 0.6, 0, -0.8, 0, 0] + curvature * (coordinates[:, 0] ** 2 / 9 - 1))
    label = (generator.random(n) < truth).astype(int)
    return coordinates, cluster, label, np.arange(n), truth


def test_a_curved_truth_is_recovered_by_the_quadratic_rule_alone() -> None:
    *world, truth = curved_world(1.5)
    linear, quadratic = (fit_shared_rule(*world, seed=0, kind=kind) for kind in ("linear", "quadratic"))
    missed = [np.abs(rule.probability[:, 1] - truth).mean() for rule in (linear, quadratic)]
    assert missed[1] < 0.03 < 0.08 < missed[0]
    assert linear.curvature == 0 < quadratic.curvature
    assert quadratic.cross_fitted_log_loss < linear.cross_fitted_log_loss - 0.02


def test_where_the_truth_is_linear_the_quadratic_rule_is_the_linear_one() -> None:
    *world, _ = curved_world(0.0)
    linear, quadratic = (fit_shared_rule(*world, seed=0, kind=kind) for kind in ("linear", "quadratic"))
    assert quadratic.curvature == 0
    np.testing.assert_array_equal(quadratic.probability, linear.probability)
    assert quadratic.summary == linear.summary


def test_slopes_that_change_between_far_clusters_are_no_curvature() -> None:
    """A product of the components that tell clusters apart with others would be an interaction by another name."""
    generator = np.random.default_rng(6)
    cluster = generator.integers(0, 2, 2000)
    coordinates = generator.normal(size=(2000, 4))
    truth = expit(2.5 * coordinates[np.arange(2000), 1 + cluster])
    label = (generator.random(2000) < truth).astype(int)
    coordinates[:, 0] += 12 * cluster
    rule = fit_shared_rule(coordinates, cluster, label, np.arange(2000), seed=0, kind="quadratic")
    assert np.abs(rule.probability[:, 1] - truth).mean() > 0.15


def heavy_world(n: int = 2500, d: int = 12, seed: int = 8) -> tuple[np.ndarray, ...]:
    """Two classes under a multivariate t of four degrees of freedom; near and far images are the clusters."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 2, n)
    radius = np.sqrt(4 / generator.chisquare(4, size=(n, 1)))
    shift = np.zeros(d)
    shift[:3] = 0.6
    coordinates = radius * generator.normal(size=(n, d)) + np.outer(2 * label - 1, shift)
    truth = expit(sum(
        side * multivariate_t(loc=side * shift, shape=np.eye(d), df=4).logpdf(coordinates) for side in (1, -1)
    ))  # fmt: skip
    return coordinates, (radius[:, 0] > 1.1).astype(int), label, np.arange(n), truth


def test_heavy_tails_are_met_by_the_saturating_rule() -> None:
    *world, truth = heavy_world()
    linear, quadratic = (fit_shared_rule(*world, seed=0, kind=kind) for kind in ("linear", "quadratic"))
    assert quadratic.saturating
    assert not quadratic.is_linear
    assert linear.is_linear
    missed = [np.abs(rule.probability[:, 1] - truth).mean() for rule in (linear, quadratic)]
    assert missed[1] < 0.6 * missed[0]
    # how much a step in the rule's direction tells in far images beside near ones, as the truth has it
    spread = [[np.ptp(np.quantile(p[world[1] == c], [0.1, 0.9])) for c in (0, 1)]
              for p in (truth, linear.probability[:, 1], quadratic.probability[:, 1])]  # fmt: skip
    far_to_near = [far / near for near, far in spread]
    assert abs(far_to_near[2] - far_to_near[0]) < 0.5 * abs(far_to_near[1] - far_to_near[0])


def test_directions_do_not_depend_on_distances() -> None:
    generator = np.random.default_rng(9)
    coordinates = generator.normal(size=(50, 4))
    coordinates = np.vstack([coordinates, -coordinates])  # centred, whatever the lengths
    lengths = np.tile(generator.uniform(0.2, 5, 50), 2)[:, None]
    found = [
        label_rule._slope_columns(points, label_rule.Shape(saturating=True))
        for points in (coordinates, lengths * coordinates)
    ]
    unit = coordinates / np.linalg.norm(coordinates, axis=1, keepdims=True)
    for columns in found:
        size = np.linalg.norm(columns, axis=1)
        np.testing.assert_allclose(size, size[0])
        np.testing.assert_allclose(columns / size[:, None], unit, atol=1e-9)


def test_rules_turned_between_clusters_are_no_saturation() -> None:
    generator = np.random.default_rng(10)
    cluster = generator.integers(0, 2, 2000)
    coordinates = generator.normal(size=(2000, 8))
    truth = expit(2.5 * coordinates[np.arange(2000), 1 + cluster])
    label = (generator.random(2000) < truth).astype(int)
    coordinates[:, 0] += 6 * cluster
    rule = fit_shared_rule(coordinates, cluster, label, np.arange(2000), seed=0, kind="quadratic")
    own = [np.corrcoef(rule.slope_logit[cluster == c, 1], coordinates[cluster == c, 1 + c])[0, 1] for c in (0, 1)]
    other = [np.corrcoef(rule.slope_logit[cluster == c, 1], coordinates[cluster == c, 2 - c])[0, 1] for c in (0, 1)]
    assert max(abs(np.subtract(own, other))) < 0.25, "the shared rule tells the clusters' own rules apart"


# ------------------------------------------------------------------------------------- rotation

SIDE = np.array([1, -1, 1])


def turned_logits(rule: SharedRule, world: tuple[np.ndarray, ...], side: np.ndarray, degrees: float) -> np.ndarray:
    """(n,) log odds under rotated rules; a side for all clusters."""
    coordinates, cluster, label = world[:3]
    probability = rotated_probability(
        rule, coordinates, cluster, label, side, degrees=degrees, generator=np.random.default_rng(1)
    )
    return np.log(probability[:, 1] / probability[:, 0])


@pytest.mark.parametrize("degrees", [15, 60, 90, 130])
def test_the_two_sides_rules_are_an_angle_apart(degrees: float) -> None:
    world = logistic_world(1500)
    cluster, label = world[1:3]
    rule = fit_shared_rule(*world[:4], seed=0)
    straight = turned_logits(rule, world, SIDE, 0)
    one, other = turned_logits(rule, world, SIDE, degrees), turned_logits(rule, world, -SIDE, degrees)
    for value in range(3):
        rows = cluster == value
        correlation = np.corrcoef([straight[rows], one[rows], other[rows]])
        assert np.degrees(np.arccos(correlation[1, 2])) == pytest.approx(degrees, abs=1e-3)
        np.testing.assert_allclose(np.degrees(np.arccos(correlation[0, 1:])), degrees / 2, atol=1e-3)
        np.testing.assert_allclose([one[rows].std(), other[rows].std()], straight[rows].std(), rtol=1e-6)
        prevalence = (label[rows].sum() + 0.5) / (rows.sum() + 1)
        np.testing.assert_allclose([expit(one[rows]).mean(), expit(other[rows]).mean()], prevalence, atol=1e-6)
    # clusters 0 and 2 are on one side: the direction is one, of the embedding
    slopes = [np.linalg.lstsq(np.c_[np.ones(rows.sum()), world[0][rows]], one[rows], rcond=None)[0][1:]
              for rows in (cluster == 0, cluster == 1, cluster == 2)]  # fmt: skip
    spread = world[0][cluster == 0].std(axis=0)
    same, apart = (np.corrcoef(slopes[0] * spread, slopes[c] * spread)[0, 1] for c in (2, 1))
    assert same > apart
    assert same > 0.9


def test_without_an_angle_the_rule_is_the_shared_one() -> None:
    world = logistic_world(800)
    rule = fit_shared_rule(*world[:4], seed=0)
    np.testing.assert_allclose(expit(turned_logits(rule, world, SIDE, 0)), rule.probability[:, 1], atol=1e-6)


def test_three_classes_turn_together() -> None:
    generator = np.random.default_rng(2)
    coordinates, cluster = generator.normal(size=(900, 4)), generator.integers(0, 2, 900)
    label = (2 * coordinates[:, :3] + generator.gumbel(size=(900, 3))).argmax(axis=1)
    rule = fit_shared_rule(coordinates, cluster, label, np.arange(900), seed=0)

    def logits(order: list[int], degrees: float) -> np.ndarray:
        """Of the turned rule, centred over classes and over a cluster's images."""
        found = np.log(rotated_probability(
            rule, coordinates, cluster, label, np.array(order), degrees=degrees, generator=np.random.default_rng(3)
        ))  # fmt: skip
        found -= found.mean(axis=1, keepdims=True)
        return np.concatenate([found[cluster == c] - found[cluster == c].mean(axis=0) for c in (0, 1)])

    one, other = logits([1, 1], 70).ravel(), logits([-1, -1], 70).ravel()
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(70, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(one), np.linalg.norm(logits([1, 1], 0)))


def test_the_gap_of_a_rule_is_what_a_simulation_says() -> None:
    generator = np.random.default_rng(4)
    true, shared = (softmax(generator.normal(size=(500, 3)) * 1.5, axis=1) for _ in range(2))
    gaps = []
    for _ in range(400):
        label = (true.cumsum(axis=1) < generator.random((500, 1))).sum(axis=1)
        gaps.append((true.argmax(axis=1) == label).mean() - (shared.argmax(axis=1) == label).mean())
    assert abs(rule_gap(true, shared) - np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(400)
    assert rule_gap(true, true) == 0


# ---------------------------------------------------------------------------------- calibration


def test_calibration_error_by_hand() -> None:
    # ten images are ten bins of one: the mean of |p − y|
    probability, label = np.arange(10) / 10, np.array([0, 0, 1, 0, 0, 1, 1, 0, 1, 1])
    assert calibration_error(binary(probability), label) == pytest.approx(np.abs(probability - label).mean())
    # twenty images in bins of two; the order of the images does not matter
    pairs = np.repeat(np.linspace(0.1, 0.9, 10), 2)
    half = np.tile([0, 1], 10)
    order = np.random.default_rng(0).permutation(20)
    assert calibration_error(binary(pairs[order]), half[order]) == pytest.approx(np.abs(pairs - 0.5).mean())
    # of three classes the most probable one counts
    top = np.tile([[0.1, 0.7, 0.2]], (30, 1))
    assert calibration_error(top, np.repeat([1, 0, 1], 10)) == pytest.approx(
        np.mean([abs(0.7 - hit) for hit in [1, 1, 1, 1 / 3, 0, 0, 1 / 3, 1, 1, 1]])
    )


@pytest.mark.parametrize("copies", [1, 3])
def test_calibration_noise_is_the_error_of_calibrated_predictions(copies: int) -> None:
    generator = np.random.default_rng(7)
    patient = generator.beta(0.7, 0.9, 600)
    probability, group = np.repeat(patient, copies), np.repeat(np.arange(600), copies)
    errors = [
        calibration_error(binary(probability), np.repeat(generator.random(600) < patient, copies).astype(int))
        for _ in range(300)
    ]
    assert calibration_noise(binary(probability), group) == pytest.approx(np.mean(errors), rel=0.06)


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
