"""Counts of a split: how many images and patients of each class and attribute level stand in each part."""

from __future__ import annotations

from typing import Any

import pandas as pd

from heteroscope.data.attributes import levels_of
from heteroscope.data.conditions import PREFIX
from heteroscope.data.splits import PARTS


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
        levels = levels_of(joined[column])
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
