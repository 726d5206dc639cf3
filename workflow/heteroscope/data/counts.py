"""Counts of a split: how many images and patients of each class and attribute level stand in each part."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.data.conditions import PREFIX
from heteroscope.data.splits import PARTS

MOST_VALUES = 12
"""A numeric attribute of more values is counted in quartiles, another one (patients) not at all."""


def part_counts(split: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Count a split by class and by every attribute.

    Args:
        split: columns image_id, class, label, group, part; of a split's folds together also `fold`, which are
            counted instead of parts.
        images: as images.parquet has them.

    Returns:
        Columns variable (`class` or the attribute's name), level, part (or `fold 1` …), images and groups (patients);
        levels in the classes' order, or ascending; only pairs of level and part that occur.
    """
    attributes = [column for column in images.columns if column.startswith(PREFIX)]
    joined = split.merge(images[["image_id", *attributes]], on="image_id", how="left", validate="1:1")
    classes = split.drop_duplicates("label").sort_values("label")["class"].tolist()
    variables = {"class": pd.Categorical(joined["class"], categories=classes)}
    for column in attributes:
        levels = _levels(joined[column])
        if levels is not None:
            variables[column.removeprefix(PREFIX)] = levels
    part = _parts(joined)
    frames = []
    for name, values in variables.items():
        table = pd.DataFrame({"level": values, "part": part, "group": joined["group"]})
        counts = table.groupby(["level", "part"], observed=True)["group"].agg(images="size", groups="nunique")
        frames.append(counts.reset_index().astype({"level": str, "part": str}).assign(variable=name))
    return pd.concat(frames, ignore_index=True)[["variable", "level", "part", "images", "groups"]]


def _parts(split: pd.DataFrame) -> pd.Categorical[Any]:
    """The part of every image, in the parts' order; the fold that tests it where the split has folds."""
    if "fold" not in split:
        return pd.Categorical(split["part"], categories=PARTS)
    names = ["backbone", *(f"fold {number}" for number in range(1, split["fold"].max() + 1))]
    return pd.Categorical(split["fold"].map(dict(enumerate(names))), categories=names)


def _levels(values: pd.Series) -> pd.Categorical[Any] | None:
    """The level of every image, in ascending order with the missing ones last; None where there are too many."""
    present = values.dropna()
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST_VALUES:
        edges = np.unique(present.quantile([0, 0.25, 0.5, 0.75, 1])).tolist()
        names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
        levels = pd.Categorical(pd.cut(values, edges, labels=names, include_lowest=True))
    elif values.nunique() > MOST_VALUES:
        return None
    else:
        ordered = [_text(value) for value in sorted(present.unique())]
        levels = pd.Categorical(values.map(_text, na_action="ignore"), categories=ordered)
    if values.isna().any():
        levels = levels.add_categories(["missing"]).fillna("missing")
    return levels


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
