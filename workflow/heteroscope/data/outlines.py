"""Circles about lesions that collections outline: polygons in OsiriX's XML (INbreast), masks (CBIS-DDSM).

A circle is the smallest one that holds all of an outline: its centre's distances from the left and upper edge of the
image, and its radius, in pixels.
"""

from __future__ import annotations

import plistlib
from collections.abc import Collection
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import cv2
import numpy as np
from PIL import Image

from heteroscope.data.decoding import ImageError, read_image
from heteroscope.data.dicom import is_dicom
from heteroscope.errors import DataError

Circle = tuple[float, float, float]
HALF = 0.5  # of a pixel: a point marks a whole one


def circle_around(points: np.ndarray) -> Circle:
    """The smallest circle that holds all points, x and y (n, 2); at least a pixel wide."""
    (x, y), radius = cv2.minEnclosingCircle(points.astype(np.float32))
    return float(x), float(y), max(float(radius), HALF)


def outlined(path: Path, names: Collection[str]) -> tuple[list[Circle], set[str]]:
    """The circles about outlines of these names in a file that OsiriX has exported, capitals or not; all names there.

    Raises:
        DataError: the file cannot be read as such.
    """
    wanted = {name.lower() for name in names}
    try:
        with path.open("rb") as stream:
            images = plistlib.load(stream, fmt=plistlib.FMT_XML)["Images"]
        rois = [(str(roi["Name"]), roi) for image in images for roi in image["ROIs"]]
        found = [roi["Point_px"] for name, roi in rois if name.lower() in wanted]
        circles = [circle_around(np.array([_point(text) for text in points])) for points in found if points]
        return circles, {name for name, _ in rois}
    except (OSError, KeyError, TypeError, ValueError, ExpatError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path}: cannot be read as outlines of OsiriX ({reason}); repair or remove the file, or leave `outlines`"
            " out of the dataset"
        ) from None


def _point(text: Any) -> tuple[float, float]:
    """`(1234.5, 678.9)`, from the left and upper edge."""
    x, y = str(text).strip("() ").split(",")
    return float(x), float(y)


def masked(mask: Path, image: Path) -> Circle | None:
    """The circle about the bright pixels of a mask; None where it is empty, unreadable or of another size.

    CBIS-DDSM holds some masks of another size than their mammogram: where the lesion lies on it is not known.
    """
    if (size := image_size(mask)) is None or size != image_size(image):
        return None
    try:
        values = np.asarray(read_image(mask).convert("L"))
    except ImageError:
        return None
    if not values.any():
        return None
    bright = cv2.findNonZero((values > values.max() // 2).astype(np.uint8))
    x, y, radius = circle_around(cv2.convexHull(bright)[:, 0])
    return x + HALF, y + HALF, radius + HALF


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image in pixels, from its first bytes; None where it cannot be read."""
    try:
        if is_dicom(path):
            from pydicom import dcmread

            tags = dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
            return int(tags.Columns), int(tags.Rows)
        with Image.open(path) as image:
            return image.size
    except Exception:  # pydicom raises many kinds for a damaged file, which decoding will find out
        return None
