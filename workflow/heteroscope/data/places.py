"""From places in a stored image to places in its decoded pixels, and what of it they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from heteroscope.config import Pixels
from heteroscope.data.areas import Area, breast_area, lesion_area, widened
from heteroscope.data.decoding import filled, read_image, used
from heteroscope.data.tables import LESIONS


@dataclass(frozen=True)
class Lesions:
    """Circles of an image, as ellipses in its decoded pixels.

    Attributes:
        x: (k,) of the centres.
        y: (k,).
        across: (k,) half of their width.
        down: (k,) half of their height.
    """

    x: np.ndarray
    y: np.ndarray
    across: np.ndarray
    down: np.ndarray

    def widened(self, tolerance: float) -> Lesions:
        """The same, so many pixels larger on every side."""
        return Lesions(self.x, self.y, self.across + tolerance, self.down + tolerance)

    def hold(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether points (n,) lie in any of them, (n,) bool."""
        outside = ((x[:, None] - self.x) / self.across) ** 2 + ((y[:, None] - self.y) / self.down) ** 2
        return np.asarray((outside <= 1).any(axis=1))

    def share(self, size: int) -> float:
        """The share of an image's pixels whose centres lie in them: what a random point hits."""
        y, x = (np.mgrid[:size, :size] + 0.5).reshape(2, -1)
        return float(self.hold(x, y).mean())


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


def lesions_in_pixels(image: Mapping[str, Any], spec: Pixels, roots: Mapping[str, str]) -> Lesions:
    """The circles of an image's lesions in its decoded pixels; none where its source gives none.

    Args:
        image: a row of images.parquet.
        spec: how it was decoded.
        roots: the folder that paths are relative to, under the empty name; of a union one for each member's id, which
            paths begin with. Read only where the shown area must be found in the image.

    Raises:
        ImageError: the image cannot be read.
    """
    x, y, radius = (np.array(_listed(image.get(name)), dtype=float) for name in LESIONS)
    if len(x) == 0:
        return Lesions(x, y, radius, radius)
    area = 0.0, 0.0, float(image["width"]), float(image["height"])
    if spec.area != "whole":
        area = shown_area(read_image(_stored(image["path"], roots)), spec, (x.tolist(), y.tolist(), radius.tolist()))
    columns, rows, (across, down) = places_in_pixels(x.tolist(), y.tolist(), area, spec)
    return Lesions(columns, rows, radius * across, radius * down)


def _listed(values: Any) -> Any:
    return [] if values is None or np.ndim(values) == 0 else values


def _stored(path: str, roots: Mapping[str, str]) -> Path:
    if "" in roots:
        return Path(roots[""]) / path
    member, _, rest = path.partition("/")
    return Path(roots[member]) / rest


def enlarged(maps: np.ndarray, width: int, height: int) -> np.ndarray:
    """Maps (n, h, w) on another grid (n, height, width), bilinear."""
    if maps.shape[1:] == (height, width):
        return maps
    return np.stack(
        [cv2.resize(one.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) for one in maps]
    )
