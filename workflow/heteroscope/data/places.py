"""From places in a stored image to places in its decoded pixels, and what of it they show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from heteroscope.config import Pixels
from heteroscope.data.areas import Area, breast_area, lesion_area, widened
from heteroscope.data.decoding import filled, used


def shown_area(image: Image.Image, spec: Pixels, lesions: Sequence[Sequence[float]] = ()) -> Area:
    """The part of an image that its pixels show.

    Args:
        image: as `decoding.read_image` gives it.
        spec: how it was decoded.
        lesions: its x, y and radius, where lesions are shown.
    """
    if spec.area == "whole":
        return 0.0, 0.0, float(image.width), float(image.height)
    area = lesion_area(*lesions) if spec.area == "lesion" else breast_area(np.asarray(image.convert("L")))
    return widened(area, spec.margin, width=image.width, height=image.height)


def places_in_pixels(
    x: Sequence[float], y: Sequence[float], area: Area, spec: Pixels
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Where points of a stored image lie in its decoded pixels.

    Args:
        x: (n,) distances from the left edge of the image, in its pixels.
        y: (n,) distances from the upper edge.
        area: the part that is shown, as `shown_area` gives it.
        spec: how the image was decoded.

    Returns:
        (n,) distances from the left and the upper edge of the pixels, and how many of them one of the image's
        pixels is wide and high. What lies beyond 0 or `spec.size` is not shown.
    """
    width, height = area[2] - area[0], area[3] - area[1]
    (wide, high), (left, upper, right, lower) = filled(width, height, spec), used(width, height, spec)
    across, down = wide / (right - left), high / (lower - upper)
    columns = (np.asarray(x, dtype=float) - area[0] - left) * across + (spec.size - wide) // 2
    rows = (np.asarray(y, dtype=float) - area[1] - upper) * down + (spec.size - high) // 2
    return columns, rows, (across, down)
