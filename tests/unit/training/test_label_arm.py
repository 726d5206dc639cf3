"""The label arm: what its heads are trained on and scored, which rules it draws from, and what it finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from heteroscope.config import Controls, Head
from heteroscope.evaluation import redraw
from heteroscope.evaluation.runs import LabelRuns, gains
from heteroscope.evaluation.statistics import permutation_p
from heteroscope.evaluation.verdict import power_table
from heteroscope.training import arms
from heteroscope.training.heads import Group, train_heads
from tests.unit.training.worlds import make_samples, run_labels, with_views

HEAD = Head(learning_rate=0.05, batch_size=16, epochs=6, patience=3, monitor="loss", seeds=2)
CONTROLS = Controls(repeats=4, draws=3, power=0, min_class=3, min_test=5, seed=11)


def test_the_first_row_is_the_observation() -> None:
    samples, cluster = with_views(*make_samples("shared"))
    runs = run_labels(samples, cluster, HEAD, CONTROLS).linear
    test = samples.rows("test")
    assert runs.pooled_loss.shape == runs.own_correct.shape == (1 + CONTROLS.draws, len(test))
    baseline = arms.train_baseline(samples, HEAD, threads=1).probabilities(samples.features[test])[:, 0]
    label = samples.label[test]
    expected = np.mean([log_loss(label, seed[:, 1]) for seed in baseline])
    np.testing.assert_allclose(runs.pooled_loss[0].mean(), expected, atol=1e-5)
    np.testing.assert_allclose(runs.pooled_correct[0], ((baseline[..., 1] > 0.5) == label).mean(axis=0))
    # the own head of a cluster: trained on its members, its epoch chosen by its validation images
    mine = samples.rows("validation")
    members = np.flatnonzero((samples.part == "train") & (cluster == 1))
    own = train_heads(
        samples.features,
        samples.label[None],
        [Group(members, seed, 1) for seed in range(HEAD.seeds)],
        selection=mine[cluster[mine] == 1],
        spec=HEAD,
        classes=2,
        threads=1,
    )
    inside = cluster[test] == 1
    probability = own.probabilities(samples.features[test[inside]])[:, 0]
    expected = np.mean([-np.log(seed[np.arange(inside.sum()), label[inside]]) for seed in probability], axis=0)
    np.testing.assert_allclose(runs.own_loss[0, inside], expected, atol=1e-5)
    everywhere = own.probabilities(samples.features[test])[:, 0, :, 1] > 0.5
    np.testing.assert_allclose(runs.own_accuracy[0, 1], (everywhere == label).mean())
    assert runs.own_accuracy[0, 1] != runs.own_correct[0, inside].mean()
    np.testing.assert_array_equal(runs.cluster, cluster[test])
    assert runs.compared.all()


def test_the_rule_is_sought_where_the_heads_look() -> None:
    """The class is written in features of little variance, which a clustering's few components would not hold."""
    samples, cluster = make_samples("shared", n=600)
    generator = np.random.default_rng(5)
    loud = generator.normal(size=(len(samples), 4)) * 50
    samples = replace(samples, features=np.hstack([loud, samples.features]).astype(np.float32)).standardized()
    arm = run_labels(samples, cluster, HEAD, CONTROLS)
    test = samples.rows("test")
    baseline = arms.train_baseline(samples, HEAD, threads=1).probabilities(samples.features[test])[:, 0]
    pooled = np.mean([roc_auc_score(samples.label[test], seed[:, 1]) for seed in baseline])
    assert pooled > 0.7
    assert arm.rules["linear"]["cross_fitted_auc"] > pooled - 0.1


def test_few_validation_images_leave_the_epoch_to_all_of_them() -> None:
    samples, cluster = make_samples("shared")
    controls = CONTROLS.model_copy(update={"min_test": 2})  # the number for test images is another one
    part = samples.part.copy()
    part[np.flatnonzero((part == "validation") & (cluster == 1))[9:]] = "backbone"
    samples = replace(samples, part=part)
    runs = run_labels(samples, cluster, HEAD, controls).linear
    validation, test = samples.rows("validation"), samples.rows("test")
    members = np.flatnonzero((samples.part == "train") & (cluster == 1))
    own = train_heads(
        samples.features,
        samples.label[None],
        [Group(members, seed, 1) for seed in range(HEAD.seeds)],
        selection=validation,
        spec=HEAD,
        classes=2,
        threads=1,
    )
    inside = test[cluster[test] == 1]
    probability = own.probabilities(samples.features[inside])[:, 0]
    expected = np.mean([-np.log(seed[np.arange(len(inside)), samples.label[inside]]) for seed in probability], axis=0)
    np.testing.assert_allclose(runs.own_loss[0, cluster[test] == 1], expected, atol=1e-5)


def test_clusters_that_can_never_be_compared_have_no_own_head() -> None:
    samples, cluster = make_samples("shared", n=300)
    cluster = cluster.copy()
    few = samples.rows("test")[:4]
    many = samples.rows("train")[:30]
    cluster[few] = cluster[many] = 2  # enough to train, four test images
    runs = run_labels(samples, cluster, HEAD, CONTROLS).linear
    lost = runs.cluster == 2
    assert lost.sum() == 4
    assert np.isnan(runs.own_loss[:, lost]).all()
    assert np.isnan(runs.own_correct[:, lost]).all()
    assert np.isnan(runs.own_accuracy[:, 2]).all()
    assert np.isfinite(runs.own_loss[:, ~lost]).all()
    assert np.isfinite(runs.own_accuracy[:, :2]).all()
    assert np.isfinite(runs.pooled_loss).all()
    assert (runs.compared == ~lost).all()
    assert runs.clusters == [0, 1]
    assert np.isfinite(gains(runs)).all()


SEARCH = Controls(draws=19, power=0, min_class=5, min_test=10, seed=3)
SINGLE = Head(learning_rate=0.02, batch_size=16, epochs=15, patience=4, monitor="loss", seeds=1)


def p_of(runs: LabelRuns) -> float:
    gain = gains(runs)
    return permutation_p(gain[0], gain[1:])


@pytest.mark.parametrize(("truth", "rejected"), [("planted", True), ("shared", False)])
def test_a_planted_rotation_is_found_and_a_shared_rule_is_not(truth: str, rejected: bool) -> None:
    samples, cluster = make_samples(truth, n=700, seed=2)
    arm = run_labels(samples, cluster, SINGLE, SEARCH)
    assert (p_of(arm.linear) <= 0.05) == rejected
    if rejected:
        assert gains(arm.linear)[0] > 0.05
        assert arm.interaction.p < 1e-6
        # a rule may be curved, but not so that it explains slopes of the clusters' own
        assert arm.quadratic is None or p_of(arm.quadratic) <= 0.05


def test_one_curved_rule_is_taken_for_a_difference_by_the_linear_repetition_alone() -> None:
    """The clusters are the halves of one cloud; the label depends on the square of what divides them."""
    samples, _ = make_samples("shared", n=700, slope=0, seed=4)
    generator = np.random.default_rng(4)
    features = generator.normal(size=(700, 4)) * [2, 1, 1, 1]
    logit = 2 * (features[:, 0] ** 2 / 4 - 1) + features[:, 1]
    label = (generator.random(700) < 1 / (1 + np.exp(-logit))).astype(int)
    samples = replace(samples, features=features.astype(np.float32), label=label)
    arm = run_labels(samples, (features[:, 0] > 0).astype(int), SINGLE, SEARCH)
    assert arm.quadratic is not None
    assert (p_of(arm.linear), p_of(arm.quadratic) > 0.05) == (0.05, True)
    assert arm.rules["quadratic"]["curvature"] > 0 == arm.rules["linear"]["curvature"]
    np.testing.assert_array_equal(arm.quadratic.own_loss[0], arm.linear.own_loss[0])
    assert not np.array_equal(arm.quadratic.own_loss[1:], arm.linear.own_loss[1:])


# ----------------------------------------------------------------------------------------- power


def test_wider_angles_put_more_at_stake_and_are_found_more_often() -> None:
    samples, cluster = make_samples("shared", n=700, seed=2)
    arm = run_labels(samples, cluster, SINGLE, SEARCH.model_copy(update={"power": 6}))
    assert arm.rotations.degrees.tolist() == np.repeat(redraw.ANGLES, 6).tolist()
    table = power_table(arm.rotations, [gains(arm.linear)[1:]], level=0.05)
    assert (np.diff(table["gap"]) > 0).all()
    assert table["gap"].iloc[-1] > 0.1
    assert table["power"].iloc[0] <= 0.5 < table["power"].iloc[-1] == 1
    # the draws are the same with and without
    plain = run_labels(samples, cluster, SINGLE, SEARCH)
    assert len(plain.rotations.gain) == len(plain.rotations.gap) == 0
    np.testing.assert_allclose(plain.linear.own_loss, arm.linear.own_loss, atol=1e-5)
    np.testing.assert_array_equal(plain.linear.compared, arm.linear.compared)


def test_clusters_with_enough_images_stand_on_two_sides() -> None:
    def sides(fewest: list[int]) -> list[int]:
        return redraw._sides(np.array(fewest) >= 5).tolist()

    assert sides([5, 6, 7, 8]) == [1, -1, 1, -1]
    assert sides([5, 4, 5]) == [1, 1, -1]
    assert sides([0, 9, 9, 3, 9]) == [-1, 1, -1, 1, 1]
