"""The published reading, on models whose numbers of right answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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


def answers(label: np.ndarray, right: list[list[int]]) -> np.ndarray:
    """Probabilities (draws, seeds, n, 2) of models that are right about so many of the first images and no other."""
    known = np.arange(len(label)) < np.array(right)[:, :, None]
    return np.eye(2)[np.where(known, label, 1 - label)]


def test_one_training_of_a_cluster_against_five_random_sets(analysis: Analysis) -> None:
    label = analysis.test["label"].to_numpy()
    # the random sets' first trainings: mean 30, standard deviation of the first five √2.5; the sixth is far off
    random = answers(label, [[28, 0], [29, 60], [30, 0], [31, 60], [32, 0], [60, 60]])
    # the clusters' first trainings: beyond two deviations, within them, and below them
    own = [answers(label, [[34, 30]]), answers(label, [[33, 60]]), answers(label, [[26, 30]])]
    arms = {
        "cluster": [replace(runs, probability=own[c]) for c, runs in enumerate(analysis.arms["cluster"])],
        "size": [replace(runs, probability=random) for runs in analysis.arms["size"]],
    }
    assert called_by_eye(replace(analysis, arms=analysis.arms | arms), "accuracy") == [0, 2]


def test_fewer_random_sets_than_the_published_reading_had(analysis: Analysis) -> None:
    few = [replace(runs, probability=runs.probability[: RANDOM_SETS - 1]) for runs in analysis.arms["size"]]
    assert called_by_eye(replace(analysis, arms=analysis.arms | {"size": few}), "accuracy") is None
