"""Simulated populations are what they say: moments, angles, and the best rule's accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kurtosis, norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from calibration import worlds
from calibration.worlds import POPULATIONS, World, accuracy_at_stake, angle_of, draw

MANY = (9000, 500, 500)


def of(population: str, **changes: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and strata of a large draw with ten features."""
    world = replace(World(population, 1.0, rows=MANY, features=10), **changes)
    samples, stratum = draw(world, 1)
    return np.asarray(samples.features, dtype=np.float64), samples.label, stratum


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("positive", [0.5, 0.2])
def test_every_population_has_the_size_and_prevalence_asked_for(population: str, positive: float) -> None:
    world = World(population, 1.0, positive, rows=(1200, 300, 500), features=8)
    samples, stratum = draw(world, 0)
    assert samples.features.shape == (2000, 8)
    assert samples.features.dtype == np.float32
    assert [len(samples.rows(part)) for part in ("train", "validation", "test")] == [1200, 300, 500]
    assert len(stratum) == 2000
    expected = np.mean(worlds.PREVALENCES) if population == "prevalence" else positive
    assert abs(samples.label.mean() - expected) < 4 * np.sqrt(0.25 / 1000)
    again, other = draw(world, 0)[0], draw(world, 1)[0]
    np.testing.assert_array_equal(samples.features, again.features)
    assert not np.array_equal(samples.features, other.features)


@pytest.mark.parametrize("signal", [0.7, 1.5])
def test_the_best_rule_of_two_gaussian_clouds_is_right_as_often_as_the_closed_form_says(signal: float) -> None:
    features, label, _ = of("gaussian", signal=signal)
    found = LinearDiscriminantAnalysis().fit(features[:5000], label[:5000]).score(features[5000:], label[5000:])
    assert found == pytest.approx(norm.cdf(signal), abs=0.02)


def test_spreads_fall_from_the_first_feature_to_the_last() -> None:
    features, label, _ = of("gaussian", signal=0.0)
    np.testing.assert_allclose(features.std(axis=0), np.geomspace(*worlds.SPREADS, 10), rtol=0.03)
    assert abs(np.corrcoef(features[:, 0], label)[0, 1]) < 0.05


def test_heavy_tails_are_heavy_and_gaussian_ones_are_not() -> None:
    heavy, gaussian = (kurtosis(of(name, signal=0.0)[0]) for name in ("heavy tails", "gaussian"))
    assert np.median(heavy) > 2
    assert np.abs(gaussian).max() < 0.3


def test_rectified_units_are_never_negative_and_often_silent() -> None:
    features, _, _ = of("ReLU features")
    assert features.min() == 0
    assert 0.2 < (features == 0).mean() < 0.8


@pytest.mark.parametrize("population", ["equal clumps", "unequal clumps", "prevalence"])
def test_clumps_have_their_shares_and_one_direction_tells_the_classes_in_all(population: str) -> None:
    features, label, stratum = of(population, signal=1.5)
    shares = worlds.UNEQUAL if population == "unequal clumps" else (0.25,) * 4
    np.testing.assert_allclose(np.bincount(stratum) / len(stratum), shares, atol=0.02)
    slopes = np.stack(
        [LogisticRegression().fit(features[stratum == c], label[stratum == c]).coef_[0] for c in range(4)]
    )
    assert np.corrcoef(slopes).min() > 0.85
    if population == "prevalence":
        means = [label[stratum == c].mean() for c in range(4)]
        np.testing.assert_allclose(means, worlds.PREVALENCES, atol=0.04)


def test_two_images_of_a_patient_share_label_part_and_likeness() -> None:
    samples, _ = draw(World("two images a patient", 0.0, rows=MANY, features=10), 0)
    first, second = samples.features[0::2], samples.features[1::2]
    np.testing.assert_array_equal(samples.group[0::2], samples.group[1::2])
    np.testing.assert_array_equal(samples.label[0::2], samples.label[1::2])
    np.testing.assert_array_equal(samples.part[0::2], samples.part[1::2])
    alike = [np.corrcoef(first[:, j], second[:, j])[0, 1] for j in range(10)]
    np.testing.assert_allclose(alike, worlds.RESEMBLANCE, atol=0.05)


def test_a_square_is_met_by_a_square_alone_and_a_product_by_a_product() -> None:
    for population, extra in (("square", lambda x: x[:, :1] ** 2), ("product", lambda x: x * x[:, :1])):
        features, label, _ = of(population, signal=1.0)
        more = np.hstack([features, extra(features)])
        straight, curved = (LogisticRegression(max_iter=1000).fit(x[:5000], label[:5000]).score(x[5000:], label[5000:])
                            for x in (features, more))  # fmt: skip
        assert curved > straight + 0.05


# -------------------------------------------------------------------------------------- planted


@pytest.mark.parametrize("degrees", [0, 30, 90, 130])
def test_the_rules_of_the_two_strata_are_the_angle_apart(degrees: float) -> None:
    features, label, stratum = of("planted", degrees=degrees, signal=1.2)
    # equal spreads in all directions: the difference of the class means is the rule's direction
    rules = [features[(stratum == c) & (label == 1)].mean(axis=0) - features[(stratum == c) & (label == 0)].mean(axis=0)
             for c in (0, 1)]  # fmt: skip
    cosine = rules[0] @ rules[1] / np.linalg.norm(rules[0]) / np.linalg.norm(rules[1])
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) == pytest.approx(degrees, abs=6)
    apart = features[stratum == 1].mean(axis=0) - features[stratum == 0].mean(axis=0)
    assert np.linalg.norm(apart) == pytest.approx(worlds.SEPARATION, rel=0.03)
    assert np.bincount(stratum)[1] / len(stratum) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("degrees", "small"), [(60, 0.5), (90, 1 / 11), (130, 0.3)])
def test_accuracy_at_stake_is_what_rules_fitted_to_many_images_lose(degrees: float, small: float) -> None:
    world = World("planted", 1.2, rows=(40_000, 10, 40_000), features=4, degrees=degrees, small=small)
    samples, stratum = draw(world, 3)
    features, label = np.asarray(samples.features), samples.label
    train, test = samples.rows("train"), samples.rows("test")
    # the strata's intercepts differ in the shared rule: their place is no part of the question
    with_stratum = np.column_stack([features, 10 * stratum])
    shared = LogisticRegression(C=100).fit(with_stratum[train], label[train]).predict(with_stratum[test]) == label[test]
    own = np.empty(len(test), dtype=bool)
    for c in (0, 1):
        mine, asked = train[stratum[train] == c], stratum[test] == c
        own[asked] = (
            LogisticRegression(C=100).fit(features[mine], label[mine]).predict(features[test][asked])
            == label[test][asked]
        )
    assert own.mean() == pytest.approx(norm.cdf(1.2), abs=0.006)
    assert own.mean() - shared.mean() == pytest.approx(accuracy_at_stake(world), abs=0.012)


def test_the_angle_of_a_gap_is_its_inverse() -> None:
    for gap in (0.05, 0.1, 0.2):
        angle = angle_of(gap, 1.2)
        assert accuracy_at_stake(World("planted", 1.2, degrees=angle)) == pytest.approx(gap, abs=1e-6)
    assert accuracy_at_stake(World("planted", 1.2)) == pytest.approx(0, abs=1e-9)
    # a small stratum has less of the whole's accuracy at stake
    assert accuracy_at_stake(World("planted", 1.2, degrees=60, small=1 / 11)) < accuracy_at_stake(
        World("planted", 1.2, degrees=60)
    )
