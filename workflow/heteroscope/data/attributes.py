"""What the attributes of images are: columns `attr_…` of images.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.data.conditions import PREFIX

MOST_VALUES = 12
"""A numeric attribute of more values is divided into quartiles, another one (patients) has no levels."""


def telling_attributes(images: pd.DataFrame) -> pd.DataFrame:
    """The attributes of images without those that restate the patient, under their own names.

    Args:
        images: columns group and `attr_…`.
    """
    named = [name for name in images.columns if name.startswith(PREFIX)]
    telling = [name for name in named if not restates_group(images[name], images["group"])]
    return images[telling].rename(columns=lambda name: name.removeprefix(PREFIX))


def restates_group(attribute: pd.Series, group: pd.Series) -> bool:
    """Whether words (or numbers that are the group's own) name the groups again: one level a group and no other."""
    known = attribute[attribute.notna()]
    if pd.api.types.is_numeric_dtype(known):
        return len(known) > 0 and bool((pd.to_numeric(group[known.index], errors="coerce") == known).all())
    levels = known.nunique()
    pairs = pd.DataFrame({"level": known, "group": group[known.index]}).drop_duplicates()
    return levels > 1 and levels == len(pairs) == pairs["group"].nunique()


def levels_of(values: pd.Series) -> pd.Categorical[Any] | None:
    """The level of every image, in ascending order with the missing ones last; None where there are too many.

    Infinite numbers count as missing. The level of the missing ones has a name that no other level has.
    """
    if pd.api.types.is_float_dtype(values):
        values = values.where(np.isfinite(values))
    present = values.dropna()
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST_VALUES:
        edges = np.unique(present.quantile([0, 0.25, 0.5, 0.75, 1])).tolist()
        levels = pd.Categorical(pd.cut(values, edges, labels=_told_apart(list(pairwise(edges))), include_lowest=True))
    elif values.nunique() > MOST_VALUES:
        return None
    else:
        ordered = sorted(present.unique())
        names = _told_apart([(value,) for value in ordered])
        levels = pd.Categorical(values.map(dict(zip(ordered, names, strict=True))), categories=names)
    if values.isna().any():
        missing = "missing"
        while missing in levels.categories:
            missing = f"({missing})"
        levels = levels.add_categories([missing]).fillna(missing)
    return levels


def _told_apart(levels: Sequence[tuple[Any, ...]]) -> list[str]:
    """A name for each value, or each from one to another, in as few digits as tell them apart.

    Dates as 20231121 need more than six.
    """
    names: list[str] = []
    for digits in (6, 15, 17):
        names = [" to ".join(_text(value, digits) for value in level) for level in levels]
        if len(set(names)) == len(names):
            break
    return names


def _text(value: object, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
