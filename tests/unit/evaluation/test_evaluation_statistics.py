"""Statistics against scipy, statsmodels, closed forms and loops."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from heteroscope.evaluation.statistics import (
    cramers_v,
    eta_squared,
    holm,
    omnibus,
    p_interval,
    permutation_p,
    spearman,
    two_sided_permutation_p,
)


def test_permutation_p_by_hand() -> None:
    draws = np.array([0.1, 0.4, 0.4, 0.9, np.nan])
    assert permutation_p(0.4, draws) == (1 + 3) / 5
    assert permutation_p(1.0, draws) == 1 / 5
    assert permutation_p(0.0, draws) == 1
    assert permutation_p(0.3 + 0.1, np.array([0.1 + 0.3])) == 1, "equal but for rounding is as large"
    assert np.isnan(permutation_p(np.nan, draws))
    assert np.isnan(permutation_p(0.5, np.array([np.nan])))
    assert np.isnan(permutation_p(0.5, np.array([])))


@pytest.mark.parametrize(("larger", "draws"), [(0, 39), (1, 399), (19, 399), (20, 40), (99, 99)])
def test_the_interval_of_a_p_is_the_exact_one_of_its_draws(larger: int, draws: int) -> None:
    values = np.append(np.ones(larger), np.zeros(draws - larger))
    p = permutation_p(0.5, values)
    for share in (0.95, 0.5):
        exact = stats.binomtest(larger, draws).proportion_ci(share, "exact")
        np.testing.assert_allclose(p_interval(p, draws, share=share), (exact.low, exact.high))
    low, high = p_interval(p, draws)
    assert low <= p <= high
    assert np.isnan(p_interval(np.nan, draws)).all()
    assert np.isnan(p_interval(p, 0)).all()


def test_two_sided_p_centres_on_all_values_with_the_observed_one() -> None:
    draws = np.array([1.0, 2.0, 3.0])
    centre = (1 + 2 + 3 + 6) / 4
    expected = (1 + sum(abs(draw - centre) >= 6 - centre for draw in draws)) / 4
    assert two_sided_permutation_p(6.0, draws) == expected == 0.25
    # 2 is one from the centre of (1, 2, 3, 2) = 2 … and every draw is as far
    assert two_sided_permutation_p(2.0, draws) == 1
    low = two_sided_permutation_p(-2.0, np.array([1.0, 2.0, 3.0]))
    assert low == two_sided_permutation_p(2.0, np.array([-1.0, -2.0, -3.0])), "not symmetric"
    assert two_sided_permutation_p(6.0, np.append(draws, np.nan)) == expected


def test_permutation_p_is_uniform_under_exchangeability() -> None:
    generator = np.random.default_rng(0)
    for test in (permutation_p, two_sided_permutation_p):
        p = [test(values[0], values[1:]) for values in generator.normal(size=(2000, 20))]
        for level in (0.05, 0.25, 0.5):
            assert abs(np.mean(np.array(p) <= level + 1e-9) - level) < 4 * np.sqrt(level * (1 - level) / 2000)


def test_holm_by_hand_and_without_undefined_ones() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    # sorted 0.005·4, 0.01·3, 0.03·2, 0.04·1, made monotone
    np.testing.assert_allclose(holm(p), [0.03, np.nan, 0.06, 0.06, 0.02])
    assert holm(np.array([])).shape == (0,)
    assert np.isnan(holm(np.array([np.nan, np.nan]))).all()
    assert holm(np.array([0.7, 0.8])).tolist() == [1.0, 1.0]


def test_holm_is_that_of_statsmodels() -> None:
    generator = np.random.default_rng(6)
    for size in (1, 2, 5, 30):
        p = generator.random(size) ** 3
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    tied = np.array([0.02, 0.02, 0.01, 0.9, 0.02])
    np.testing.assert_allclose(holm(tied), multipletests(tied, method="holm")[1])


def test_omnibus_by_a_loop() -> None:
    generator = np.random.default_rng(1)
    metric, size = generator.normal(size=(6, 4)), generator.integers(1, 50, (6, 4))
    metric[2, 1] = metric[3, 0] = metric[3, 2] = np.nan
    for row in range(6):
        known = [c for c in range(4) if np.isfinite(metric[row, c])]
        n = sum(size[row, c] for c in known)
        mean = sum(size[row, c] / n * metric[row, c] for c in known)
        expected = sum(size[row, c] / n * (metric[row, c] - mean) ** 2 for c in known)
        np.testing.assert_allclose(omnibus(metric, size)[row], expected)
    np.testing.assert_allclose(omnibus(metric[0], size[0]), omnibus(metric, size)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(omnibus(np.full((2, 3), np.nan), np.ones((2, 3)))).all()


def test_spearman() -> None:
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(2, 12))
    x[:4] = x[4]  # ties
    expected = stats.spearmanr(x, y).statistic
    np.testing.assert_allclose(spearman(x, y), expected)
    np.testing.assert_allclose(spearman(np.append(x, np.nan), np.append(y, 3.0)), expected)
    assert np.isnan(spearman(x[:2], y[:2]))
    assert np.isnan(spearman(np.ones(5), y[:5]))


@pytest.mark.parametrize("levels", [(2, 2), (2, 5), (6, 3)])
def test_cramers_v_is_scipys(levels: tuple[int, int]) -> None:
    generator = np.random.default_rng(4)
    a, b = generator.integers(0, levels[0], 80), generator.integers(0, levels[1], 80)
    table = np.array([[((a == i) & (b == j)).sum() for j in range(levels[1])] for i in range(levels[0])])
    expected = stats.contingency.association(table, method="cramer")
    np.testing.assert_allclose(cramers_v(a, b), expected)
    np.testing.assert_allclose(cramers_v(b, a), expected)
    np.testing.assert_allclose(cramers_v(a * 10 + 3, b), expected, err_msg="numbers of levels matter")
    np.testing.assert_allclose(cramers_v(a, a), 1)
    assert np.isnan(cramers_v(a, np.zeros(80)))


def test_eta_squared_is_that_of_the_f_test() -> None:
    generator = np.random.default_rng(5)
    label = np.array([0] * 12 + [3] * 20 + [7] * 8)
    value = generator.normal(50, 3, 40) + label
    f = stats.f_oneway(*(value[label == level] for level in (0, 3, 7))).statistic
    np.testing.assert_allclose(eta_squared(value, label), f * 2 / (f * 2 + 37))
    np.testing.assert_allclose(eta_squared(label.astype(float), label), 1)
    assert np.isnan(eta_squared(np.full(40, 2.5), label))
    for n in range(3, 40):
        assert np.isnan(eta_squared(np.full(n, 0.1), label[:n])), "a constant whose mean is rounded"
