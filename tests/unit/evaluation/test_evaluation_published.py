"""What stands beside the published comparison: Gaussian data sets, and the distances of clusters."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, spearmanr

from heteroscope.config import Controls
from heteroscope.evaluation.account import _published_sentence
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import _distance_test, published_comparison
from heteroscope.evaluation.runs import LabelRuns


def test_gaussian_data_sets_by_brute_force(analysis: Analysis, controls: Controls) -> None:
    """Clusters 0 and 1 of 45 and 35 rows are compared; data set 5 could not be clustered."""
    found = published_comparison(analysis, controls, "auc")
    [runs] = analysis.gaussian
    first, second = runs.metric["auc"][:, 0], runs.metric["auc"][:, 1]
    spread = 45 * 35 / 80**2 * (first - second) ** 2
    draws = np.delete(spread[1:], 4)
    assert found["draws_gaussian"] == len(draws) == 19
    assert found["p_gaussian"] == pytest.approx((1 + (draws >= spread[0]).sum()) / 20)
    assert 1 / 20 < found["p_gaussian"] < 1
    above = int((draws >= spread[0]).sum())
    expected = beta.ppf(0.025, above, 20 - above), beta.ppf(0.975, above + 1, 19 - above)
    np.testing.assert_allclose(found["p_gaussian_interval_95"], expected)
    sentence = _published_sentence(found, classes=2)
    assert f"one Gaussian cloud, clustered and trained alike, p = {found['p_gaussian']:.3g} (19 draws)." in sentence


def test_a_study_without_gaussian_data_sets_says_nothing_of_them(analysis: Analysis, controls: Controls) -> None:
    found = published_comparison(replace(analysis, gaussian=[]), controls, "auc")
    assert found["draws_gaussian"] == 0
    assert np.isnan(found["p_gaussian"])
    assert "Gaussian" not in _published_sentence(found, classes=3)


def label_runs(accuracy: np.ndarray, eligible: np.ndarray) -> LabelRuns:
    """One test image a cluster."""
    nothing = np.zeros_like(accuracy)
    return LabelRuns(nothing, nothing, nothing, nothing, accuracy, eligible, np.arange(accuracy.shape[1]))


@pytest.fixture
def six(analysis: Analysis) -> Analysis:
    """Six clusters, of which the fourth is never compared and the first not in one draw."""
    generator = np.random.default_rng(3)
    place, k = generator.normal(size=(6, 2)), 6
    pairs = [(i, j, float(np.linalg.norm(place[i] - place[j]))) for i in range(k) for j in range(k)]
    accuracy = generator.uniform(0.6, 0.9, size=(2, 40, k))
    accuracy[:, 0] += 0.02 * place[:, 0]  # the same observation in both
    accuracy[1, 0] = accuracy[0, 0]
    accuracy[..., 3] = np.nan
    eligible = np.isfinite(accuracy)
    eligible[:, 7, 0] = False
    assert analysis.labels is not None
    linear, quadratic = (label_runs(*one) for one in zip(accuracy, eligible, strict=True))
    return replace(
        analysis,
        distances=pd.DataFrame(pairs, columns=["cluster", "other", "distance"]),
        labels=replace(analysis.labels, linear=linear, quadratic=quadratic),
    )


def rho_by_hand(analysis: Analysis, runs: LabelRuns, draw: int) -> float:
    distance = analysis.distances.set_index(["cluster", "other"])["distance"]
    kept = [c for c in range(6) if runs.eligible[draw, c]]
    pairs = list(combinations(kept, 2))
    gaps = [abs(runs.own_accuracy[draw, i] - runs.own_accuracy[draw, j]) for i, j in pairs]
    return float(spearmanr([distance[pair] for pair in pairs], gaps).statistic)


def test_the_rank_correlation_of_distances_and_its_p_by_brute_force(six: Analysis) -> None:
    found = _distance_test(six)
    assert six.labels is not None
    assert six.labels.quadratic is not None
    values = []
    for runs in (six.labels.linear, six.labels.quadratic):
        rhos = np.array([rho_by_hand(six, runs, draw) for draw in range(40)])
        values.append((1 + (rhos[1:] >= rhos[0] - 1e-12).sum()) / 40)
    assert found["distance_rho_accuracy"] == pytest.approx(rhos[0])
    assert values[0] != values[1]
    assert found["distance_p"] == pytest.approx(max(values))
    above = round(40 * max(values)) - 1
    np.testing.assert_allclose(
        found["distance_p_interval_95"], (beta.ppf(0.025, above, 40 - above), beta.ppf(0.975, above + 1, 39 - above))
    )


def test_few_compared_clusters_have_no_p_of_their_distances(six: Analysis) -> None:
    assert six.labels is not None
    compared = six.labels.linear.compared.copy()
    compared[:, 1] = False  # four are left
    labels = replace(six.labels, linear=replace(six.labels.linear, compared=compared))
    for changed in (labels, None):
        found = _distance_test(replace(six, labels=changed))
        assert np.isnan(found["distance_p"])
        assert np.isnan(found["distance_rho_accuracy"])


def test_the_sentence_names_a_mean_over_classes() -> None:
    found = {"metric": "f1", "T": 0.1, "p_size": 0.2, "p_balanced": 0.3, "draws_size": 9, "draws_balanced": 9,
             "draws_gaussian": 0}  # fmt: skip
    assert "f1 (mean over classes) against" in _published_sentence(found, classes=3)
    assert "f1 against" in _published_sentence(found, classes=2)
    assert "accuracy against" in _published_sentence(found | {"metric": "accuracy"}, classes=3)
