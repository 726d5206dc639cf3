"""The conventional test: against a likelihood ratio, under the null with copied patients, and with planted slopes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from scipy.special import expit

from heteroscope.evaluation.interaction import interaction_test

World = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def world(n: int, *, turn: float = 0.0, k: int = 2, copies: int = 1, seed: int = 0) -> World:
    """Coordinates, clusters, labels and patients of `copies` equal images; slopes `turn` radians apart."""
    generator = np.random.default_rng(seed)
    coordinates = generator.normal(size=(n, 3))
    cluster = generator.integers(0, k, n)
    angle = turn * cluster
    logit = coordinates[:, 0] * np.cos(angle) + coordinates[:, 1] * np.sin(angle) + 0.4 * cluster
    label = (generator.random(n) < expit(logit)).astype(int)
    found = (coordinates, cluster, label, np.arange(n))
    return tuple(np.repeat(values, copies, axis=0) for values in found)  # type: ignore[return-value]


def likelihood_ratio_p(coordinates: np.ndarray, cluster: np.ndarray, label: np.ndarray) -> float:
    """By formulas: the interactions of all slopes with the cluster, against none."""
    frame = pd.DataFrame(coordinates, columns=["a", "b", "c"]).assign(cluster=cluster, label=label)
    without = smf.logit("label ~ C(cluster) + a + b + c", frame).fit(disp=0)
    both = smf.logit("label ~ C(cluster) * (a + b + c)", frame).fit(disp=0)
    return float(stats.chi2.sf(2 * (both.llf - without.llf), both.df_model - without.df_model))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("turn", [0.0, 0.12, 0.2])
def test_p_is_near_that_of_the_likelihood_ratio(k: int, turn: float) -> None:
    coordinates, cluster, label, group = world(4000, turn=turn, k=k, seed=k)
    found = interaction_test(coordinates, cluster, label, group)
    expected = likelihood_ratio_p(coordinates, cluster, label)
    assert found.components == 3
    assert found.note == ""
    # on the scale of normal deviates: the statistics agree on large samples
    assert stats.norm.isf(found.p) == pytest.approx(stats.norm.isf(expected), abs=0.15)


def test_numbers_of_clusters_and_scales_of_components_do_not_matter() -> None:
    coordinates, cluster, label, group = world(900, turn=0.3)
    plain = interaction_test(coordinates, cluster, label, group).p
    assert interaction_test(coordinates * [100, 0.01, 5] + 7, cluster, label, group).p == pytest.approx(plain, rel=1e-6)
    assert interaction_test(coordinates, 5 - 3 * cluster, label, group).p == pytest.approx(plain, rel=1e-6)
    assert interaction_test(coordinates, cluster, 1 - label, group).p == pytest.approx(plain, rel=1e-6)


def test_its_size_under_the_null_with_two_equal_images_a_patient() -> None:
    robust, naive = [], []
    for seed in range(200):
        coordinates, cluster, label, group = world(300, copies=2, seed=seed)
        robust.append(interaction_test(coordinates, cluster, label, group).p)
        naive.append(interaction_test(coordinates, cluster, label, np.arange(len(group))).p)
    rate, wrong = np.mean(np.array([robust, naive]) <= 0.05, axis=1)
    assert abs(rate - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 200)
    assert wrong > 0.2, "the copies do no harm: nothing is tested"


def test_planted_slopes_are_found() -> None:
    p = [interaction_test(*world(600, turn=1.2, seed=seed)).p for seed in range(10)]
    assert np.mean(np.array(p) <= 0.05) == 1


def test_of_three_classes_the_smallest_adjusted_p_counts() -> None:
    generator = np.random.default_rng(8)
    coordinates, cluster = generator.normal(size=(3000, 3)), generator.integers(0, 2, 3000)
    slopes = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    label = (coordinates @ slopes.T + 0.15 * cluster[:, None] * coordinates[:, [2]] * [0, 0, 1]
             + generator.gumbel(size=(3000, 3))).argmax(axis=1)  # fmt: skip
    found = interaction_test(coordinates, cluster, label, np.arange(3000))
    single = [likelihood_ratio_p(coordinates, cluster, (label == value).astype(int)) for value in range(3)]
    assert found.p == pytest.approx(min(1, 3 * min(single)), rel=0.15)


def test_components_are_limited_by_the_patients_of_the_rarest_class_in_a_cluster() -> None:
    generator = np.random.default_rng(9)
    coordinates = generator.normal(size=(400, 30))
    cluster = np.repeat([0, 1], 200)
    label = np.tile([0, 1], 200)
    label[200:] = (np.arange(200) < 45).astype(int)
    assert interaction_test(coordinates, cluster, label, np.arange(400)).components == 3  # 45 patients: 4 parameters
    assert interaction_test(coordinates, cluster, label, np.arange(400) // 2).components == 1  # 23 patients: 2
    whole = np.tile([0, 1], 200)
    assert interaction_test(coordinates, cluster, whole, np.arange(400)).components == 9
    more = [np.concatenate([values] * 2) for values in (coordinates, cluster, whole)]
    assert interaction_test(more[0], more[1], more[2], np.arange(800)).components == 10


def test_clusters_of_few_patients_are_left_out() -> None:
    coordinates, cluster, label, group = world(900, turn=0.3)
    cluster = cluster.copy()
    few = np.flatnonzero(cluster == 1)[:30]
    cluster[few] = 2
    rest = cluster < 2
    found = interaction_test(coordinates, cluster, label, group)
    assert found == interaction_test(coordinates[rest], cluster[rest], label[rest], group[rest])
    alone = interaction_test(coordinates, np.where(rest, 0, 2), label, group)
    assert np.isnan(alone.p)
    assert alone.note == "fewer than two clusters have 20 patients of every class"


def test_separable_classes_have_no_p_and_say_so() -> None:
    coordinates, cluster, _, group = world(400)
    found = interaction_test(coordinates, cluster, (coordinates[:, 0] > 0).astype(int), group)
    assert np.isnan(found.p)
    assert "separable" in found.note
