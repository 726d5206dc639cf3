"""The published reading, recomputed cluster by cluster."""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.by_eye import RANDOM_SETS, beyond_spread, called_by_eye


@pytest.mark.parametrize(
    ("observed", "draws", "called"),
    [
        # mean 3, standard deviation of the sample √2.5 = 1.58
        (6.1, [1, 2, 3, 4, 5], False),
        (6.2, [1, 2, 3, 4, 5], True),
        (-0.1, [1, 2, 3, 4, 5], False),
        (-0.2, [1, 2, 3, 4, 5], True),
        (1.0, [1, 1, 1, 1, 1], False),
        (1.1, [1, 1, 1, 1, 1], True),
    ],
)
def test_two_standard_deviations_on_either_side(observed: float, draws: list[float], called: bool) -> None:
    assert bool(beyond_spread(np.array(observed), np.array(draws, dtype=float))) is called


def test_one_training_of_a_cluster_against_five_random_sets(analysis: Analysis) -> None:
    rng = np.random.default_rng(3)
    label = analysis.test["label"].to_numpy()
    sets = [rng.dirichlet([1, 1], size=(7, 2, len(label))) for _ in range(analysis.k)]
    arms = {
        "cluster": [
            # the second cluster's first model is always right, its second one never
            replace(runs, probability=np.eye(2)[np.stack([label, 1 - label])][None] if c == 1 else sets[c][:1])
            for c, runs in enumerate(analysis.arms["cluster"])
        ],
        "size": [
            replace(runs, probability=probability)
            for runs, probability in zip(analysis.arms["size"], sets, strict=True)
        ],
    }
    expected = []
    for c, (cluster, size) in enumerate(zip(arms["cluster"], arms["size"], strict=True)):
        observed = accuracy_score(label, cluster.probability[0, 0].argmax(axis=1))
        five = [accuracy_score(label, size.probability[draw, 0].argmax(axis=1)) for draw in range(5)]
        if abs(observed - statistics.mean(five)) > 2 * statistics.stdev(five):
            expected.append(c)
    assert called_by_eye(replace(analysis, arms=analysis.arms | arms), "accuracy") == expected
    assert 1 in expected
    assert len(expected) < analysis.k


def test_fewer_random_sets_than_the_published_reading_had(analysis: Analysis) -> None:
    few = [replace(runs, probability=runs.probability[: RANDOM_SETS - 1]) for runs in analysis.arms["size"]]
    assert called_by_eye(replace(analysis, arms=analysis.arms | {"size": few}), "accuracy") is None
