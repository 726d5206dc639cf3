"""Levels of attributes: names that keep them apart, and images of which nothing is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from heteroscope.data.attributes import levels_of

DATES = [20231121.0, 20231122.0, 20240101.0]


def counted(values: list[object]) -> dict[str, int]:
    levels = levels_of(pd.Series(values))
    assert levels is not None
    assert not levels.isna().any()
    return {str(name): int(count) for name, count in levels.value_counts().items()}


def test_the_word_missing_stands_beside_images_without_a_word() -> None:
    assert counted(["missing", "known", None, None]) == {"known": 1, "missing": 1, "(missing)": 2}
    assert counted(["known", "missing", "(missing)", None])["((missing))"] == 1


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (DATES, ["20231121", "20231122", "20240101"]),
        ([0.1, 0.1000000001], ["0.1", "0.1000000001"]),
        ([0.1, np.nextafter(0.1, 1)], ["0.10000000000000001", "0.10000000000000002"]),
        ([0.5, 40.0], ["0.5", "40"]),
    ],
)
def test_few_numbers_have_as_many_digits_as_tell_them_apart(values: list[float], names: list[str]) -> None:
    """An empty cell makes whole numbers of a column fractions."""
    assert list(counted([*values, None])) == [*names, "missing"]


def test_infinite_numbers_are_missing() -> None:
    many = counted([*np.arange(40.0), np.inf, -np.inf, np.nan])
    assert list(many.values()) == [10, 10, 10, 10, 3]
    assert list(many)[-1] == "missing"
    assert counted([1.0, 2.0, np.inf]) == {"1": 1, "2": 1, "missing": 1}
