"""Conditions on the attributes of images (`attr_*` columns)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heteroscope.config import Range, Where
from heteroscope.errors import DataError

PREFIX = "attr_"


def attribute(images: pd.DataFrame, name: str) -> pd.Series:
    """The column of an attribute.

    Raises:
        DataError: the images have no such attribute.
    """
    column = PREFIX + name
    if column not in images:
        known = [other.removeprefix(PREFIX) for other in images.columns if other.startswith(PREFIX)]
        raise DataError(f"no attribute {name!r}; the attributes of these images: {', '.join(known) or 'none'}")
    return images[column]


def is_number(values: pd.Series) -> bool:
    """Whether an attribute is a number; true and false are words."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def meets(images: pd.DataFrame, where: Where) -> np.ndarray:
    """(n,) bool: the images that meet all conditions; a missing value meets none.

    Raises:
        DataError: an attribute is unknown, or a range is asked of one that is not numeric.
    """
    met = np.ones(len(images), dtype=bool)
    for name, condition in where.items():
        values = attribute(images, name)
        if isinstance(condition, Range):
            if not pd.api.types.is_numeric_dtype(values):
                raise DataError(f"attribute {name!r} is not numeric, so it cannot lie in a range; list its values")
            low = -np.inf if condition.min is None else condition.min
            high = np.inf if condition.max is None else condition.max
            met &= values.between(low, high).to_numpy(dtype=bool)
        elif pd.api.types.is_numeric_dtype(values):
            met &= values.isin(pd.to_numeric(pd.Series(condition, dtype=object), errors="coerce").dropna()).to_numpy()
        else:
            met &= values.isin([str(value) for value in condition]).to_numpy()
    return met
