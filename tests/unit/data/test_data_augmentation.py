import numpy as np
import pandas as pd
import pytest

from heteroscope.config import Augmentation
from heteroscope.data import augmentation
from heteroscope.data.augmentation import augment, draw_transform, viewed_rows

IMAGE = np.random.default_rng(0).integers(0, 256, size=(3, 8, 8), dtype=np.uint8)


def transformed(monkeypatch: pytest.MonkeyPatch, matrix: object, shift: object, fill: str = "nearest") -> np.ndarray:
    monkeypatch.setattr(augmentation, "draw_transform", lambda *_: (np.array(matrix, float), np.array(shift, float)))
    return augment(IMAGE, Augmentation(fill=fill), "x", 1)


def test_no_range_changes_nothing() -> None:
    np.testing.assert_array_equal(augment(IMAGE, Augmentation(), "x", 1), IMAGE)


@pytest.mark.parametrize(("fill", "edge"), [("nearest", [0, 0]), ("reflect", [1, 0]), ("black", None)])
def test_shift_by_whole_pixels_and_fill(monkeypatch: pytest.MonkeyPatch, fill: str, edge: list[int] | None) -> None:
    shifted = transformed(monkeypatch, np.eye(2), [0, 2 / 8], fill)  # two pixels to the right
    np.testing.assert_array_equal(shifted[:, :, 2:], IMAGE[:, :, :-2])
    expected = np.zeros((3, 8, 2)) if edge is None else IMAGE[:, :, edge]
    np.testing.assert_array_equal(shifted[:, :, :2], expected)
    np.testing.assert_array_equal(transformed(monkeypatch, np.eye(2), [1 / 8, 0])[:, 1:], IMAGE[:, :-1])


def test_flip_and_quarter_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(transformed(monkeypatch, np.diag([1, -1]), [0, 0]), IMAGE[:, :, ::-1])
    turned = transformed(monkeypatch, [[0, -1], [1, 0]], [0, 0])
    assert any(np.array_equal(turned, np.rot90(IMAGE, turns, axes=(1, 2))) for turns in (1, 3))


def test_zoom_about_the_centre() -> None:
    # a ramp is linear, so bilinear interpolation is exact: twice as large means half the slope
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (1, 16, 1))
    spec = Augmentation(zoom=0.5, fill="nearest", seed=1)
    matrix, _ = draw_transform(spec, "x", 1)
    columns = (np.arange(16) - 7.5) / matrix[1, 1] + 7.5
    expected = np.clip(columns * 10, 0, 150)
    np.testing.assert_allclose(augment(ramp, spec, "x", 1)[0], np.tile(expected, (16, 1)), atol=0.51)


def test_drawn_by_seed_image_and_view_alone() -> None:
    spec = Augmentation(rotation=30, shift=0.2, shear=5, zoom=0.2, flip=True, seed=3)
    same = augment(IMAGE, spec, "abc", 1)
    np.testing.assert_array_equal(same, augment(IMAGE, spec, "abc", 1))
    others = [
        augment(IMAGE, spec, "abc", 2),
        augment(IMAGE, spec, "abd", 1),
        augment(IMAGE, spec.model_copy(update={"seed": 4}), "abc", 1),
    ]
    assert all((other != same).any() for other in others)


def test_draws_fill_their_ranges() -> None:
    spec = Augmentation(rotation=15, shift=0.1, flip=True)
    angles, shifts, mirrored = [], [], []
    for index in range(400):
        matrix, shift = draw_transform(spec, f"image-{index}", 1)
        mirrored.append(np.linalg.det(matrix) < 0)
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
        shifts.append(shift)
    assert np.abs(angles).max() <= 15
    assert min(angles) < -14
    assert max(angles) > 14
    assert np.abs(shifts).max() <= 0.1
    assert np.abs(shifts).max() > 0.095
    assert 0.4 < np.mean(mirrored) < 0.6
    zooms = [np.diag(draw_transform(Augmentation(zoom=0.2), str(index), 1)[0]) for index in range(400)]
    assert 0.8 <= np.min(zooms) < 0.81
    assert 1.19 < np.max(zooms) <= 1.2


def test_one_range_leaves_the_others_as_they_were() -> None:
    turned, _ = draw_transform(Augmentation(rotation=20), "x", 1)
    both, _ = draw_transform(Augmentation(rotation=20, zoom=0.3), "x", 1)
    np.testing.assert_allclose(both / np.linalg.norm(both, axis=0), turned / np.linalg.norm(turned, axis=0))


def test_views_are_of_training_rows_only_and_first_takes_the_positive_class() -> None:
    split = pd.DataFrame(
        {
            "image_id": list("abcdefg"),
            "label": [0, 1, 0, 1, 1, 0, 1],
            "part": ["train", "train", "test", "train", "validation", "train", "backbone"],
        }
    )
    views = viewed_rows(split, Augmentation(copies=2))
    assert views.to_dict("list") == {"image_id": list("aabbddff"), "view": [1, 2] * 4}
    assert viewed_rows(split, Augmentation(first=3))["image_id"].tolist() == ["b", "d", "a"]
