"""A mark on an image is found in its pixels where its place says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heteroscope.config import Pixels
from heteroscope.data.areas import lesion_area
from heteroscope.data.decoding import read_image, read_pixels
from heteroscope.data.places import places_in_pixels, shown_area


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("area", [{}, {"area": "breast"}, {"area": "lesion", "margin": 0.5}])
@pytest.mark.parametrize("size", [(400, 300), (200, 330)])
def test_a_mark_is_found_where_its_place_says(
    tmp_path: Path, resize: str, area: dict[str, Any], size: tuple[int, int]
) -> None:
    width, height = size
    grey = np.zeros((height, width), dtype=np.uint8)
    grey[height // 5 : -height // 8, width // 6 : -width // 7] = 80
    x, y, radius = 0.55 * width, 0.6 * height, 0.1 * width
    grey[round(y) - 9 : round(y) + 9, round(x) - 9 : round(x) + 9] = 255
    Image.fromarray(grey).save(tmp_path / "x.png")
    spec = Pixels(size=96, channels=1, resize=resize, **area)
    lesions = ([x], [y], [radius])
    pixels = read_pixels(tmp_path / "x.png", spec, lesion=lesion_area(*lesions))[0].astype(float)
    shown = shown_area(read_image(tmp_path / "x.png"), spec, lesions)
    columns, rows, scale = places_in_pixels([x], [y], shown, spec)
    mark = np.argwhere(pixels > 170) + 0.5
    np.testing.assert_allclose([rows[0], columns[0]], mark.mean(axis=0), atol=0.8)
    np.testing.assert_allclose(len(mark), 18 * scale[0] * 18 * scale[1], rtol=0.25)
