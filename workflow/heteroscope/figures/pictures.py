"""Images of pixels.h5 as pictures to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from heteroscope.errors import StoreError
from heteroscope.store import open_h5, read_strings


def read_pictures(pixels: Path, image_id: Sequence[str]) -> dict[str, np.ndarray]:
    """Image id → (size, size, 3) uint8 RGB, or (size, size) grey.

    Raises:
        StoreError: the file is damaged or misses an image.
    """
    return dict(each_picture(pixels, image_id))


def each_picture(pixels: Path, image_id: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """The same one after another, for more images than memory holds."""
    with open_h5(pixels, "pixels") as file:
        row_of = {name: row for row, name in enumerate(read_strings(file, "image_id"))}
        if missing := next((name for name in image_id if name not in row_of), None):
            raise StoreError(f"{pixels}: image {missing} is missing; delete the file and run the workflow again")
        reverse = json.loads(file.attrs.get("spec", "{}")).get("channel_order") == "bgr"
        for name in image_id:
            array = file["pixels"][row_of[name]]
            yield name, _picture(array[::-1] if reverse else array)


def _picture(array: np.ndarray) -> np.ndarray:
    """(channels, size, size) with the channels last, or none where there is one."""
    return array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
