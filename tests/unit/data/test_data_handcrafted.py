"""Handcrafted features against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from heteroscope.data.handcrafted import FEATURES, GREY_LEVELS, HARALICK, handcrafted


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8)


def grey_levels(pixels: np.ndarray) -> np.ndarray:
    """ITU-R BT.709 luminance, as scikit-image has it, cut into levels."""
    luminance = np.tensordot([0.2125, 0.7154, 0.0721], pixels / 255, 1)
    return (luminance * (GREY_LEVELS - 1) + 0.5).astype(int)


def test_moments_of_colour(pixels: np.ndarray) -> None:
    found = FEATURES["colour-moments"](pixels).reshape(3, 3)
    for channel, (mean, spread, skewness) in zip(pixels / 255, found, strict=True):
        assert mean == pytest.approx(channel.mean())
        assert spread == pytest.approx(np.sqrt(((channel - channel.mean()) ** 2).mean()))
        assert skewness == pytest.approx(((channel - channel.mean()) ** 3).mean() / spread**3)


def test_haralick_by_counting_pairs(pixels: np.ndarray) -> None:
    levels = grey_levels(pixels)
    contrast, asm = [], []
    for right, down in ((1, 0), (1, -1), (0, 1), (1, 1)):
        pairs = np.zeros((GREY_LEVELS, GREY_LEVELS))
        for y in range(40):
            for x in range(40):
                if 0 <= y + down < 40 and x + right < 40:
                    pairs[levels[y, x], levels[y + down, x + right]] += 1
        pairs = (pairs + pairs.T) / (2 * pairs.sum())
        i, j = np.indices(pairs.shape)
        contrast.append((pairs * (i - j) ** 2).sum())
        asm.append((pairs**2).sum())
    found = FEATURES["haralick"](pixels)
    assert len(found) == 2 * len(HARALICK)
    for name, values in (("contrast", contrast), ("ASM", asm)):
        place = HARALICK.index(name)
        assert found[place] == pytest.approx(np.mean(values))
        assert found[len(HARALICK) + place] == pytest.approx(np.ptp(values))


def test_local_binary_patterns_of_an_edge() -> None:
    """Every dark pixel has no darker neighbour; a bright one has at the edge and at the border, where none is."""
    edge = np.zeros((1, 16, 16), dtype=np.uint8)
    edge[:, :, 8:] = 200
    expected = np.zeros(10)
    expected[5] = 2 * 14 + 2 * 6  # two columns, two rows: three neighbours in a run are darker
    expected[3] = 4  # corners
    expected[8] = 256 - expected.sum()
    np.testing.assert_allclose(FEATURES["lbp"](edge), expected / 256)


def test_oriented_gradients_point_across_an_edge() -> None:
    """A vertical edge has horizontal gradients: the first of nine directions."""
    edge = np.zeros((3, 64, 64), dtype=np.uint8)
    edge[:, :, 36:] = 200
    found = FEATURES["hog"](edge).reshape(-1, 9)
    assert found.shape == (7 * 7 * 4, 9)
    assert found[:, 0].max() > 0
    assert found[:, 1:].max() == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 45])
def test_kinds_stand_side_by_side_for_any_size(channels: int, size: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (channels, size, size), dtype=np.uint8)
    together = handcrafted(pixels, ["lbp", "colour-moments"])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[:10], FEATURES["lbp"](pixels), rtol=1e-6)
    np.testing.assert_allclose(together[10:], FEATURES["colour-moments"](pixels), rtol=1e-6)
    assert [len(handcrafted(pixels, [kind])) for kind in FEATURES] == [3 * channels, 16, 10, 1764]


def test_a_black_image_has_finite_features() -> None:
    assert np.isfinite(handcrafted(np.zeros((3, 32, 32), dtype=np.uint8), list(FEATURES))).all()
