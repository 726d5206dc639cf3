"""Tests of single features against scipy feature by feature, formulas by hand, and planted redundancy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from heteroscope.errors import DataError
from heteroscope.evaluation.feature_tests import Units, correlate, feature_table, redundancy_table, units_of

NAMES = ["benign", "malignant", "normal"]


def world(classes: int) -> Units:
    """Forty units, six features: the first two tell the classes apart, the last never varies."""
    generator = np.random.default_rng(classes)
    label = generator.integers(0, classes, 40)
    features = generator.normal(size=(40, 6))
    features[:, 0] += 1.5 * label
    features[:, 1] -= 0.7 * label
    features[:, 5] = 3.0
    return Units(features, label)


def parts(units: Units, feature: int) -> list[np.ndarray]:
    return [units.features[units.label == c, feature] for c in np.unique(units.label)]


def test_welch_and_cohen_feature_by_feature() -> None:
    units = world(2)
    table = feature_table(units, NAMES[:2]).set_index("feature")
    for feature in range(5):
        first, second = parts(units, feature)
        expected = stats.ttest_ind(second, first, equal_var=False)
        assert table.loc[feature, "p"] == pytest.approx(expected.pvalue)
        assert table.loc[feature, "statistic"] == pytest.approx(expected.statistic)
        spread = np.concatenate([first - first.mean(), second - second.mean()])
        pooled = np.sqrt((spread**2).sum() / (len(spread) - 2))
        assert table.loc[feature, "effect"] == pytest.approx((second.mean() - first.mean()) / pooled)
        assert table.loc[feature, "mean_malignant"] == pytest.approx(second.mean())
    assert table.index[0] == 0
    assert table.loc[0, "effect"] > 0 > table.loc[1, "effect"]
    assert set(table["measure"]) == {"Cohen's d"}


def test_q_is_that_of_benjamini_and_hochberg_over_features_that_vary() -> None:
    table = feature_table(world(2), NAMES[:2])
    known = table["p"].notna()
    np.testing.assert_allclose(table.loc[known, "q"], multipletests(table.loc[known, "p"], method="fdr_bh")[1])
    constant = table.set_index("feature").loc[5]
    assert constant[["p", "q", "statistic", "effect"]].isna().all()
    assert table["feature"].iloc[-1] == 5


def test_ranks_by_counting_pairs() -> None:
    units = world(2)
    table = feature_table(units, NAMES[:2], "rank").set_index("feature")
    for feature in range(5):
        first, second = parts(units, feature)
        above = (second[:, None] > first).sum() - (second[:, None] < first).sum()
        assert table.loc[feature, "effect"] == pytest.approx(above / (len(first) * len(second)))
        assert table.loc[feature, "p"] == pytest.approx(stats.mannwhitneyu(second, first).pvalue)


def test_three_classes() -> None:
    units = world(3)
    means, ranks = (feature_table(units, NAMES, test).set_index("feature") for test in ("mean", "rank"))  # type: ignore[arg-type]
    for feature in range(5):
        groups, whole = parts(units, feature), units.features[:, feature]
        assert means.loc[feature, "p"] == pytest.approx(stats.f_oneway(*groups).pvalue)
        between = sum(len(group) * (group.mean() - whole.mean()) ** 2 for group in groups)
        assert means.loc[feature, "effect"] == pytest.approx(between / ((whole - whole.mean()) ** 2).sum())
        h = stats.kruskal(*groups)
        assert ranks.loc[feature, "p"] == pytest.approx(h.pvalue)
        assert ranks.loc[feature, "effect"] == pytest.approx(h.statistic / 39)


def test_patients_are_counted_once_a_class() -> None:
    features = np.array([[1.0], [3.0], [10.0], [5.0], [7.0]])
    label, group = np.array([0, 0, 1, 0, 1]), np.array(["a", "a", "a", "b", "c"])
    units = units_of(features, label, group, "patient")
    assert sorted(zip(units.label.tolist(), units.features[:, 0].tolist(), strict=True)) == [
        (0, 2),
        (0, 5),
        (1, 7),
        (1, 10),
    ]
    assert len(units_of(features, label, group, "image").features) == 5


def test_images_of_one_patient_as_observations_of_their_own_find_too_much() -> None:
    """No class effect; a patient's ten images are alike: 5 % of features are found by patient, far more by image."""
    generator = np.random.default_rng(0)
    patient = np.repeat(generator.normal(size=(40, 400)), 10, axis=0)
    features = patient + 0.1 * generator.normal(size=patient.shape)
    group, label = np.repeat(np.arange(40), 10), np.repeat(np.arange(40) % 2, 10)
    shares = {
        unit: float((feature_table(units_of(features, label, group, unit), NAMES[:2])["p"] <= 0.05).mean())  # type: ignore[arg-type]
        for unit in ("patient", "image")
    }
    assert 0.02 < shares["patient"] < 0.09
    assert shares["image"] > 0.4


def test_a_class_of_one_is_refused() -> None:
    units = Units(np.ones((3, 2)), np.array([0, 0, 1]))
    with pytest.raises(DataError, match="class malignant: 1 patients"):
        feature_table(units, NAMES[:2])


def test_redundant_groups_are_those_in_which_every_pair_correlates() -> None:
    generator = np.random.default_rng(1)
    source = generator.normal(size=(200, 3))
    noise = 0.1 * generator.normal(size=(200, 6))
    features = np.column_stack([source[:, 0], -source[:, 0], source[:, 1], source[:, 0], source[:, 1], source[:, 2]])
    order = np.array([3, 5, 1, 0, 2, 4])  # the most telling first
    found = correlate(features + noise, order, 0.9)
    expected = np.corrcoef((features + noise)[:, order], rowvar=False)
    np.testing.assert_allclose(found.r, expected)
    table = redundancy_table(found)
    groups = {tuple(sorted(rows["feature"])) for _, rows in table.groupby("group")}
    assert groups == {(0, 1, 3), (2, 4)}
    assert table.groupby("group")["representative"].first().tolist() == [3, 2]
    assert table["group"].tolist() == [1, 1, 1, 2, 2]
    assert table.set_index("feature").loc[1, "r"] == pytest.approx(np.corrcoef((features + noise)[:, [1, 3]].T)[0, 1])
    for _, rows in table.groupby("group"):
        for one, other in combinations(rows["feature"], 2):
            assert abs(np.corrcoef((features + noise)[:, [one, other]].T)[0, 1]) >= 0.9


def test_a_single_feature_is_redundant_with_none() -> None:
    found = correlate(np.random.default_rng(0).normal(size=(5, 3)), np.array([1]), 0.9)
    assert redundancy_table(found).empty
