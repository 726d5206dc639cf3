"""Intervals, counts and sizes of the calibration page, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, binomtest

from calibration.summary import called_different, rate, rejected, size_that_finds, wall_seconds


@pytest.mark.parametrize(("found", "studies"), [(0, 45), (3, 200), (60, 60), (1, 2)])
def test_intervals_are_those_of_scipy(found: int, studies: int) -> None:
    result = rate(pd.Series([True] * found + [False] * (studies - found)))
    exact = binomtest(found, studies).proportion_ci(0.95, "exact")
    assert (result.low, result.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    upper = beta.ppf(0.95, found + 1, studies - found) if found < studies else 1.0
    assert result.upper == pytest.approx(upper, abs=1e-9)
    one_sided = binomtest(found, studies, alternative="less").proportion_ci(0.95, "exact")
    assert result.upper == pytest.approx(one_sided.high, abs=1e-9)
    assert result.value == found / studies


def test_studies_without_an_answer_do_not_count() -> None:
    p = pd.Series([0.05, 0.025, 0.075, np.nan, 1.0])
    result = rate(rejected(p))
    assert (result.found, result.studies) == (2, 4)
    assert rate(rejected(pd.Series([np.nan]))).studies == 0
    assert str(rate(pd.Series([], dtype=bool))) == "–"


def test_what_is_not_different_is_no_error() -> None:
    rows = pd.DataFrame({"verdict": ["different", "nonlinear rule", "not assessable", "refused", "equivalent"]})
    assert (called_different(rows).found, called_different(rows).studies) == (1, 5)


def test_the_size_that_finds_a_gap_by_hand() -> None:
    assert size_that_finds([100, 200, 400], [0.4, 0.6, 1.0]) == pytest.approx(np.sqrt(200 * 400))
    assert size_that_finds([100, 200], [0.9, 1.0]) == pytest.approx(100)
    assert size_that_finds([100, 200], [0.3, 0.7]) is None
    # 0.9 before 0.7 is chance: both are taken for 0.8
    assert size_that_finds([100, 200, 400], [0.2, 0.9, 0.7]) == pytest.approx(200)


def test_wall_time_is_that_of_every_runs_last_study() -> None:
    rows = pd.DataFrame({"run": [1, 1, 2], "elapsed": [10.0, 30.0, 5.0]})
    assert wall_seconds(rows) == 35
