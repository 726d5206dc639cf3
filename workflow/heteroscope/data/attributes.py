"""What the attributes of images are: columns `attr_…` of images.parquet."""

from __future__ import annotations

import pandas as pd

from heteroscope.data.conditions import PREFIX


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
