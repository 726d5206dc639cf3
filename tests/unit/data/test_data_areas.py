"""Cutting images to the breast or to lesions, and the keys of what is cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import Pixels
from heteroscope.data.areas import breast_area, lesion_area, widened
from heteroscope.data.decoding import read_pixels, verify_image
from heteroscope.data.pixels import build_pixels, pixel_keys
from heteroscope.errors import DataError
from heteroscope.provenance import file_sha256
from heteroscope.store import open_h5


def mammogram(*, right: bool, film: bool, scale: int = 2) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Half an ellipse of tissue at one side and a bright label at the other; film is grainy and never black."""
    rng = np.random.default_rng(0)
    height, width = 450 * scale, 350 * scale
    y, x = np.mgrid[:height, :width] / scale
    inside = ((y - 240) / 180) ** 2 + (x / 210) ** 2 < 1
    tissue = 90 + 60 * np.sin(x / 20) * np.cos(y / 25) + rng.normal(0, 30 if film else 8, (height, width))
    values = np.where(inside, tissue, rng.normal(30, 20, (height, width)) if film else 0)
    values[30 * scale : 55 * scale, 280 * scale : 330 * scale] = 255
    left, upper, after, below = (scale * edge for edge in (0, 60, 210, 420))
    if right:
        return np.clip(values[:, ::-1], 0, 255).astype(np.uint8), (width - after, upper, width, below)
    return np.clip(values, 0, 255).astype(np.uint8), (left, upper, after, below)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("film", [False, True])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_breast_is_found_and_a_label_is_not_a_part_of_it(right: bool, film: bool, scale: int) -> None:
    grey, box = mammogram(right=right, film=film, scale=scale)
    np.testing.assert_allclose(breast_area(grey), box, atol=4 * scale)


def test_where_nothing_is_dark_all_is_breast() -> None:
    assert breast_area(np.full((30, 20), 7, np.uint8)) == (0, 0, 20, 30)
    noise = np.random.default_rng(0).integers(0, 256, size=(600, 600), dtype=np.uint8)
    assert breast_area(noise) == (0, 0, 600, 600)


def test_all_circles_are_within_the_area_of_the_lesions() -> None:
    assert lesion_area([50], [40], [10]) == (40, 30, 60, 50)
    assert lesion_area([50, 90], [40, 20], [10, 5]) == (40, 15, 95, 50)


@pytest.mark.parametrize(
    ("area", "margin", "expected"),
    [
        ((40, 30, 60, 50), 0, (40, 30, 60, 50)),
        ((40, 30, 60, 50), 0.5, (30, 20, 70, 60)),
        ((-5.5, 30.2, 60, 500), 0, (0, 30, 60, 80)),
        ((200, 200, 210, 210), 0, (99, 79, 100, 80)),  # coordinates of another image: one pixel is left
        ((-20, -20, -10, -10), 0, (0, 0, 1, 1)),
    ],
)
def test_a_margin_stays_within_the_image(area: Any, margin: float, expected: tuple[int, ...]) -> None:
    assert widened(area, margin, width=100, height=80) == expected


def test_pixels_show_the_area_and_nothing_else(tmp_path: Path) -> None:
    grey = np.zeros((80, 100), np.uint8)
    grey[30:50, 40:60] = 200
    Image.fromarray(grey).save(tmp_path / "x.png")
    spec = Pixels(size=8, channels=1, area="lesion")
    assert (read_pixels(tmp_path / "x.png", spec, lesion=(40, 30, 60, 50)) == 200).all()
    wide = read_pixels(tmp_path / "x.png", spec.model_copy(update={"margin": 0.5}), lesion=(40, 30, 60, 50))[0]
    assert wide[0].max() < 200 == wide[3:5, 3:5].min()
    grey, box = mammogram(right=False, film=False)
    Image.fromarray(grey).save(tmp_path / "m.png")
    shown = read_pixels(tmp_path / "m.png", Pixels(size=64, channels=1, area="breast"))[0]
    expected = np.asarray(Image.fromarray(grey).crop(box).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(shown.astype(int) - expected).mean() < 8
    assert not (shown == 255).any()  # the label


def test_a_jpeg_is_cut_at_full_scale(tmp_path: Path) -> None:
    grey, _ = mammogram(right=False, film=False)
    Image.fromarray(grey).save(tmp_path / "m.jpg", quality=95)
    found = verify_image(tmp_path / "m.jpg")
    assert found.is_reducible(Pixels(size=64))
    assert not found.is_reducible(Pixels(size=64, area="breast"))


def test_a_margin_needs_an_area() -> None:
    with pytest.raises(ValueError, match="`margin` widens an area"):
        Pixels(margin=0.1)


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for name in "ab":
        path = tmp_path / f"{name}.png"
        Image.fromarray(rng.integers(0, 256, size=(40, 40), dtype=np.uint8)).save(path)
        rows.append({"image_id": name, "path": path.name, "sha256": file_sha256(path)})
    centre = [[10.0], [20.0, 30.0]]
    lesions = {"lesion_x": centre, "lesion_y": centre, "lesion_radius": [[5.0], [4.0, 4.0]]}
    return pd.DataFrame(rows).assign(width=40, height=40, mode="L", format="PNG", **lesions)


def test_rows_follow_the_area_and_the_place_of_the_lesions(images: pd.DataFrame, tmp_path: Path) -> None:
    spec = Pixels(size=8, channels=1, area="lesion")
    target = tmp_path / "pixels.h5"
    build_pixels(images, root=tmp_path, spec=spec, target=target)
    with open_h5(target, "pixels") as file:
        first = read_pixels(tmp_path / "a.png", spec, lesion=(5, 5, 15, 15))
        second = read_pixels(tmp_path / "b.png", spec, lesion=(16, 16, 34, 34))
        np.testing.assert_array_equal(file["pixels"][:], [first, second])
    keys = pixel_keys(images, spec, reduced=False)
    moved = images.assign(lesion_x=[[11.0], [20.0, 30.0]])
    assert [a == b for a, b in zip(keys, pixel_keys(moved, spec, reduced=False), strict=True)] == [False, True]
    build_pixels(moved, root=tmp_path, spec=spec, target=target)
    with open_h5(target, "pixels") as file:
        assert (file.attrs["computed"], file.attrs["reused"]) == (1, 1)
    whole = Pixels(size=8, channels=1)
    assert pixel_keys(images, whole, reduced=False) == pixel_keys(moved, whole, reduced=False)
    specs = [whole, spec, spec.model_copy(update={"margin": 0.1}), Pixels(size=8, channels=1, area="breast")]
    assert len({pixel_keys(images, each, reduced=False)[0] for each in specs}) == 4


def test_images_without_lesions_are_named_with_the_remedy(images: pd.DataFrame) -> None:
    spec = Pixels(area="lesion")
    empty = images.assign(**{name: [[1.0], []] for name in ("lesion_x", "lesion_y", "lesion_radius")})
    with pytest.raises(DataError, match=r"no place of a lesion is known in b\.png; .*`filter: \{lesions: "):
        pixel_keys(empty, spec, reduced=False)
    with pytest.raises(DataError, match="the images have no lesion_radius; their source gives no lesions"):
        pixel_keys(images.drop(columns="lesion_radius"), spec, reduced=False)
