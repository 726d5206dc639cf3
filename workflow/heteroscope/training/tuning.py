"""The choice of hyper-parameters by cross-validation: what is tried, and what it was worth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from heteroscope.config.branches import Search

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A combination of hyper-parameters, with mean and spread of the tuning's metric over folds."""

    parameters: dict[str, Any]
    mean: float
    sd: float


def tried(tuning: Search[Any], values: Callable[[dict[str, Any]], list[float]]) -> list[Candidate]:
    """Every combination that a tuning looks at, in the grid's order.

    Args:
        tuning: the grid, and whether all of it is tried.
        values: of a combination, the metric in every fold.
    """
    candidates = []
    for parameters in _searched(tuning):
        found = values(parameters)
        candidates.append(Candidate(parameters, float(np.mean(found)), float(np.std(found, ddof=1))))
        logger.info("%s: %.4f", parameters, candidates[-1].mean)
    return candidates


def _searched(tuning: Search[Any]) -> list[dict[str, Any]]:
    """The combinations of hyper-parameters that are tried, in the grid's order."""
    combinations = tuning.combinations()
    if tuning.search == "grid" or tuning.draws >= len(combinations):
        return combinations
    drawn = np.random.default_rng(tuning.seed).choice(len(combinations), tuning.draws, replace=False)
    return [combinations[number] for number in sorted(drawn)]
