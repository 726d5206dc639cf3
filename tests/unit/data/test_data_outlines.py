"""Circles about outlines: planted circles come back from polygons in XML and from masks."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heteroscope.data.outlines import circle_around, image_size, masked, outlined
from heteroscope.errors import DataError
from tests.unit.data.dicoms import save


def round_outline(x: float, y: float, radius: float, count: int = 40) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


def osirix(path: Path, outlines: list[tuple[str, np.ndarray]]) -> Path:
    """An XML file as OsiriX exports it, of one image."""
    rois: list[dict[str, Any]] = [
        {
            "Name": name,
            "NumberOfPoints": len(points),
            "Point_px": [f"({x:.6f}, {y:.6f})" for x, y in points],
            "Point_mm": [f"[{x / 14}, {y / 14}, 0]" for x, y in points],
        }
        for name, points in outlines
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    image = {"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": rois}
    path.write_bytes(plistlib.dumps({"Images": [image]}))
    return path


@pytest.mark.parametrize("seed", range(5))
def test_the_circle_holds_all_points_and_none_that_holds_them_is_smaller(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 900, (30, 2))
    x, y, radius = circle_around(points)
    distance = np.hypot(*(points - [x, y]).T)
    assert distance.max() == pytest.approx(radius, rel=1e-4)
    # the smallest circle through every pair and triple of points that holds the others
    smallest = min(candidate[2] for candidate in through(points) if holds(candidate, points))
    assert radius == pytest.approx(smallest, rel=1e-4)


def through(points: np.ndarray) -> list[tuple[float, float, float]]:
    found = []
    for i, a in enumerate(points):
        for j, b in enumerate(points[:i]):
            found.append((*(a + b) / 2, np.hypot(*(a - b)) / 2))
            for c in points[:j]:
                matrix = 2 * np.array([b - a, c - a])
                centre = np.linalg.solve(matrix, [b @ b - a @ a, c @ c - a @ a])
                found.append((*centre, np.hypot(*(a - centre))))
    return found


def holds(circle: tuple[float, float, float], points: np.ndarray) -> bool:
    return bool((np.hypot(*(points - circle[:2]).T) <= circle[2] * (1 + 1e-9)).all())


def test_outlines_of_the_named_kinds_are_read_capitals_or_not(tmp_path: Path) -> None:
    mass, region, speck = round_outline(1200, 2010.5, 150), round_outline(300, 400, 33), np.array([[10.0, 20.0]])
    path = osirix(
        tmp_path / "1.xml",
        [("Mass", mass), ("Calcification", speck), ("Spiculated region", region), ("Mass", np.empty((0, 2)))],
    )
    circles, names = outlined(path, ["mass", "Spiculated Region"])
    assert np.array(circles) == pytest.approx(np.array([[1200, 2010.5, 150], [300, 400, 33]]), rel=1e-4)
    assert names == {"Mass", "Calcification", "Spiculated region"}
    assert outlined(path, ["Calcification"])[0] == [(10, 20, 0.5)]
    assert outlined(path, ["Distortion"])[0] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"<plist><dict><key>Images</key>", "no element found"),
        (b"<html/>", ""),
        (plistlib.dumps({"Pictures": []}), "no 'Images'"),
        (plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass", "Point_px": ["(1; 2)"]}]}]}), "not enough values"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><plist><string>&b;</string></plist>', "entity"),
    ],
)
def test_a_file_that_holds_no_outlines_is_named(tmp_path: Path, text: bytes, reason: str) -> None:
    path = tmp_path / "22678622.xml"
    path.write_bytes(text)
    with pytest.raises(DataError, match=rf"(?is)22678622\.xml: cannot be read as outlines of OsiriX .*{reason}.*leave"):
        outlined(path, ["Mass"])


def test_a_mask_gives_the_circle_about_its_bright_pixels(tmp_path: Path) -> None:
    y, x = np.mgrid[:120, :90] + 0.5  # centres of pixels
    ellipse = ((x - 40) / 9) ** 2 + ((y - 70) / 21) ** 2 <= 1
    image = save(tmp_path / "image.dcm", np.full((120, 90), 700, dtype=np.uint16))
    mask = save(tmp_path / "mask.dcm", np.where(ellipse, 255, 0).astype(np.uint8), bits=8)
    assert masked(mask, image) == pytest.approx((40, 70, 21), abs=0.6)
    Image.fromarray(np.where(ellipse, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    assert masked(tmp_path / "mask.png", image) == masked(mask, image)


def test_a_mask_that_tells_no_place(tmp_path: Path) -> None:
    image = save(tmp_path / "image.dcm", np.full((120, 90), 700, dtype=np.uint16))
    other = save(tmp_path / "other.dcm", np.full((60, 45), 255, dtype=np.uint8), bits=8)
    empty = save(tmp_path / "empty.dcm", np.zeros((120, 90), dtype=np.uint8), bits=8)
    cut = save(tmp_path / "cut.dcm", np.full((120, 90), 255, dtype=np.uint8), bits=8)
    cut.write_bytes(cut.read_bytes()[:-2000])
    assert image_size(cut) == (90, 120)
    assert [masked(mask, image) for mask in (other, empty, cut, tmp_path / "none.dcm")] == [None] * 4
    assert masked(empty, tmp_path / "none.dcm") is None
