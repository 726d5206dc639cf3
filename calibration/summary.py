"""Rates with their intervals, and the size of study that finds a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heteroscope.evaluation.statistics import first_reached
from heteroscope.evaluation.verdict import POWER

LEVEL = 0.05
BOUND = 0.07  # what the upper bound of the verdict's error rate may be at most
EXACT = (0.03, 0.07)  # where an exact test's rate is expected
TESTS = {"p_size": "T against `size`", "p_balanced": "T against `balanced`", "p_gaussian": "T against `gaussian`"}


@dataclass(frozen=True)
class Rate:
    """How often something was found.

    Attributes:
        found, studies: counts; studies in which it could not be found or not are left out.
        low, high: the 95 % interval of Clopper and Pearson (1934).
        upper: the one-sided 95 % upper bound.
    """

    found: int
    studies: int
    low: float
    high: float
    upper: float

    @property
    def value(self) -> float:
        """The share; NaN without studies."""
        return self.found / self.studies if self.studies else float("nan")

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})" if self.studies else "–"


def rate(found: pd.Series) -> Rate:
    """Of a column of truths; missing ones do not count."""
    known = found.dropna().astype(bool)
    hits, studies = int(known.sum()), len(known)
    if not studies:
        return Rate(0, 0, float("nan"), float("nan"), float("nan"))
    low, high = proportion_confint(hits, studies, alpha=0.05, method="beta")
    _, upper = proportion_confint(hits, studies, alpha=0.10, method="beta")
    return Rate(hits, studies, float(low), float(high), float(upper))


def rejected(p: pd.Series) -> pd.Series:
    """Whether each p is at most the level; missing where there is no p."""
    return (p <= LEVEL + 1e-12).where(p.notna())


def called_different(rows: pd.DataFrame) -> Rate:
    """How often the verdict is `different`; a study that could not be assessed was not called different."""
    return rate(rows["verdict"] == "different")


def size_that_finds(sizes: Sequence[int], power: Sequence[float]) -> float | None:
    """The size at which power reaches 80 % (see `first_reached`), interpolated on a logarithmic scale."""
    found = first_reached(np.log(sizes), np.asarray(power, dtype=float), POWER)
    return None if found is None else float(np.exp(found))


def wall_seconds(rows: pd.DataFrame) -> float:
    """Time that all runs took together: each lasted until its last study."""
    return float(rows.groupby("run")["elapsed"].max().sum())
