"""Attributes that are numbers, as regressions predict them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heteroscope.data.conditions import PREFIX, attribute, is_number
from heteroscope.errors import DataError

NAMED_AT_MOST = 3


def target_values(images: pd.DataFrame, name: str, dataset: str) -> pd.Series:
    """The attribute of every image, float64 by image_id; NaN where it is not known.

    Args:
        images: images.parquet.
        name: the attribute, without its prefix.
        dataset: its id, for messages.

    Raises:
        DataError: the attribute does not exist, or is not a number.
    """
    numbers = [
        column.removeprefix(PREFIX)
        for column in images.columns
        if column.startswith(PREFIX) and is_number(images[column])
    ]
    hint = f"attributes that are numbers: {', '.join(numbers) or 'none'}; name one as the `target`"
    try:
        values = attribute(images, name)
    except DataError as error:
        raise DataError(f"dataset {dataset!r}: {error}; {hint}") from None
    if not is_number(values):
        raise DataError(f"dataset {dataset!r}: attribute {name!r} {_what_it_is(values)}; {hint}")
    known = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(np.where(np.isfinite(known), known, np.nan), index=images["image_id"])


def _what_it_is(values: pd.Series) -> str:
    """Why an attribute is no number, and what to do where only some of its values are none."""
    words = values.dropna().astype(str)
    if words.empty:
        return "is empty: no image has a value"
    others = words[pd.to_numeric(words, errors="coerce").isna()]
    distinct = others.unique()
    some = ", ".join(map(repr, distinct[:NAMED_AT_MOST])) + (" …" if len(distinct) > NAMED_AT_MOST else "")
    if len(others) < len(words) / 2:
        return (
            f"is not numeric: it is {some} in {len(others)} of {len(values)} rows; leave the cell empty where the"
            " number is not known"
        )
    return f"is not numeric (it is {some}), so that it is no target of a regression"
