"""Augmented copies (views) of training images: one affine transform each, drawn from image and view alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy.ndimage import affine_transform

if TYPE_CHECKING:
    from heteroscope.config import Augmentation

SCIPY_MODES: dict[str, Literal["nearest", "reflect", "constant"]] = {
    "nearest": "nearest",
    "reflect": "reflect",
    "black": "constant",
}


def augment(pixels: np.ndarray, spec: Augmentation, image_id: str, view: int) -> np.ndarray:
    """One view of an image, bilinearly interpolated.

    The image is mirrored, zoomed (width and height by factors of their own), sheared, rotated, all
    about its centre, and then shifted.

    Args:
        pixels: (channels, h, w) uint8.
        spec: the ranges, the fill and the seed.
        image_id: of the image.
        view: the number of the copy, from 1.

    Returns:
        (channels, h, w) uint8; the same arguments give the same values anywhere.
    """
    height, width = pixels.shape[1:]
    matrix, shift = draw_transform(spec, image_id, view)
    centre = np.array([height - 1, width - 1]) / 2
    # scipy asks where each output pixel comes from, so the transform is inverted.
    inverse = np.linalg.inv(matrix)
    offset = centre - inverse @ (centre + shift * [height, width])
    view_pixels = np.empty(pixels.shape, dtype=np.float32)
    for plane, made in zip(pixels, view_pixels, strict=True):
        affine_transform(
            plane, inverse, offset=offset, order=1, mode=SCIPY_MODES[spec.fill], prefilter=False, output=made
        )
    return np.rint(view_pixels, out=view_pixels).astype(np.uint8)  # bilinear values stay within 0 to 255


def draw_transform(spec: Augmentation, image_id: str, view: int) -> tuple[np.ndarray, np.ndarray]:
    """The transform of a view, in (row, column) coordinates about the image's centre.

    Returns:
        (2, 2) matrix, and (2,) shift as shares of height and width.
    """
    text = f"{spec.seed}:{image_id}:{view}".encode()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()[:16], "big"))
    # Every value is drawn whether or not it is used: switching one range on leaves the others as they were.
    angle, shear = np.deg2rad(rng.uniform(-1, 1, 2) * [spec.rotation, spec.shear])
    shift = rng.uniform(-1, 1, 2) * spec.shift
    zoom = 1 + rng.uniform(-1, 1, 2) * spec.zoom
    mirrored = spec.flip and bool(rng.random() < 0.5)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shearing = np.array([[1.0, 0.0], [np.tan(shear), 1.0]])
    return rotation @ shearing @ np.diag([zoom[0], zoom[1] * (-1 if mirrored else 1)]), shift


def viewed_rows(split: pd.DataFrame, spec: Augmentation) -> pd.DataFrame:
    """Which views are made: of training images only.

    Args:
        split: columns image_id, label and part.
        spec: `copies` of each image; with `first`, only of the first so many training rows, higher
            labels first and otherwise in the split's order.

    Returns:
        Columns image_id and view (from 1), a row a view.
    """
    training = split[split["part"] == "train"]
    if spec.first is not None:
        training = training.sort_values("label", ascending=False, kind="stable").head(spec.first)
    image_id = training["image_id"].to_numpy(dtype=object)
    return pd.DataFrame(
        {
            "image_id": np.repeat(image_id, spec.copies),
            "view": np.tile(np.arange(1, spec.copies + 1), len(image_id)),
        }
    )
