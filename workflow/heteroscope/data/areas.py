"""Which part of an image is shown: the breast of a mammogram, or the lesions that its source gives.

This module's code is part of every row's key, as that of `decoding` is.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Area = tuple[float, float, float, float]
"""Left, upper, right and lower edge in pixels."""

SIDE = 512
"""The breast is looked for in a copy of at most so many pixels a side."""
SMALLEST = 0.05
"""Share of the image that the region must fill: where nothing is dark around it, there is no breast to find."""
BLUR = 1.0
"""Standard deviation in that copy's pixels, enough to level out the grain of film."""


def lesion_area(x: Sequence[float], y: Sequence[float], radius: Sequence[float]) -> Area:
    """The smallest rectangle about the circles of an image's lesions, of one or more."""
    left, upper = (min(np.subtract(centre, radius)) for centre in (x, y))
    right, lower = (max(np.add(centre, radius)) for centre in (x, y))
    return float(left), float(upper), float(right), float(lower)


def breast_area(grey: np.ndarray) -> Area:
    """The rectangle about the largest bright region of a mammogram; labels and dust are smaller. Else all of it.

    The threshold is where the histogram leaves the peak of the dark background (Zack's triangle).

    Args:
        grey: (height, width) uint8.
    """
    height, width = grey.shape
    scale = max(1.0, max(height, width) / SIDE)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small = cv2.GaussianBlur(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), (0, 0), BLUR)
    _, bright = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_TRIANGLE)
    _, _, regions, _ = cv2.connectedComponentsWithStats(bright)
    largest = max(regions[1:].tolist(), key=lambda region: region[cv2.CC_STAT_AREA], default=[0] * 5)  # [0] is dark
    if largest[cv2.CC_STAT_AREA] < SMALLEST * small.size:
        return 0.0, 0.0, float(width), float(height)
    left, upper, wide, high = largest[: cv2.CC_STAT_AREA]
    across, down = width / size[0], height / size[1]
    return left * across, upper * down, (left + wide) * across, (upper + high) * down


def widened(area: Area, margin: float, *, width: int, height: int) -> tuple[int, int, int, int]:
    """An area with a margin, in whole pixels and within the image; at least one pixel.

    Args:
        area: of the image.
        margin: share of the area's width and height that is added on every side.
        width: of the image.
        height: of the image.
    """
    left, upper, right, lower = area
    across, down = margin * (right - left), margin * (lower - upper)
    first = (
        min(max(0, int(np.floor(left - across))), width - 1),
        min(max(0, int(np.floor(upper - down))), height - 1),
    )
    last = (
        max(first[0] + 1, min(width, int(np.ceil(right + across)))),
        max(first[1] + 1, min(height, int(np.ceil(lower + down)))),
    )
    return (*first, *last)
