"""The pointing game: does the strongest place of a map lie in a lesion (Zhang et al., 2016)?

Places are counted in pixels of the decoded image from its left and upper edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.data.places import Lesions
from heteroscope.evaluation.intervals import mean_interval

SEED = 0  # of the bootstrap


def peak(cam: np.ndarray, size: int) -> tuple[float, float]:
    """The centre of a map's strongest cell, x and y in pixels of an image of `size`; NaN where nothing is positive.

    A bilinear enlargement has its maximum there too, but along an edge of the image not there alone.

    Args:
        cam: (h, w).
        size: of the image.
    """
    if not cam.max() > 0:
        return float("nan"), float("nan")
    row, column = np.unravel_index(int(cam.argmax()), cam.shape)
    return (float(column) + 0.5) * size / cam.shape[1], (float(row) + 0.5) * size / cam.shape[0]


def play(x: float, y: float, lesions: Lesions, size: int, tolerance: float) -> dict[str, Any]:
    """One image's game: whether the peak (NaN: there is none, a miss) hits, and whom else it would have paid.

    Returns:
        `lesions`, `hit`, `lesion_area` (the share of the image that hits, which is chance) and `centre_hit` (whether
        the image's middle does); all but the first are NaN where no lesion is shown.
    """
    target = lesions.widened(tolerance)
    area = target.share(size)
    if area == 0:
        return {"lesions": 0, "hit": np.nan, "lesion_area": np.nan, "centre_hit": np.nan}
    middle = np.array([size / 2])
    return {
        "lesions": len(lesions.x),
        "hit": float(target.hold(np.array([x]), np.array([y]))[0]),
        "lesion_area": area,
        "centre_hit": float(target.hold(middle, middle)[0]),
    }


def pointing_table(cams: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Scores over the images with lesions: all of them, those called right, those called wrong, and each class's.

    Args:
        cams: a row an image, with group, label, right and what `play` gives.
        class_names: in order.

    Returns:
        Columns images (which), n, patients, hits, share with its 95 % interval over patients (low, high), chance and
        centre: the shares that random points and the image's middle hit.
    """
    known = cams[cams["hit"].notna()]
    parts = {"all": known, "called right": known[known["right"]], "called wrong": known[~known["right"]]}
    parts |= {f"of {name}": known[known["label"] == name] for name in class_names}
    return pd.DataFrame(
        [{"images": name, **_score(rows)} for name, rows in parts.items() if len(rows) or name == "all"]
    )


def _score(rows: pd.DataFrame) -> dict[str, Any]:
    hit = rows["hit"].to_numpy(dtype=float)
    interval = mean_interval(hit, rows["group"].to_numpy(), seed=SEED) if len(rows) else (np.nan, np.nan)
    return {
        "n": len(rows),
        "patients": rows["group"].nunique(),
        "hits": int(hit.sum()),
        "share": hit.mean() if len(rows) else np.nan,
        "low": interval[0],
        "high": interval[1],
        "chance": rows["lesion_area"].mean(),
        "centre": rows["centre_hit"].mean(),
    }
