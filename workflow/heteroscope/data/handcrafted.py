"""Handcrafted features of decoded images: colour, texture and shape, as they were used before networks learned theirs.

All are of scikit-image but the moments of colour. An image's features depend on its pixels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import skew
from skimage.color import rgb2gray
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern

from heteroscope.config import Handcrafted

GREY_LEVELS = 32  # of co-occurrence: 256 would leave most pairs unseen
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
HARALICK = (
    "contrast",
    "dissimilarity",
    "homogeneity",
    "ASM",
    "correlation",
    "entropy",
    "mean",
    "variance",
)
NEIGHBOURS, RADIUS = 8, 1  # of local binary patterns
CELLS, ORIENTATIONS = 8, 9  # of oriented gradients: cells a side, directions a cell


def handcrafted(pixels: np.ndarray, kinds: Sequence[Handcrafted]) -> np.ndarray:
    """The features of one image, those of each kind side by side: (d,) float32.

    Args:
        pixels: (1 or 3, size, size) uint8.
        kinds: which ones, in this order.
    """
    return np.concatenate([FEATURES[kind](pixels) for kind in kinds]).astype(np.float32)


def colour_moments(pixels: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and skewness of every channel: (3 a channel,) (Stricker and Orengo, 1995)."""
    values = pixels.reshape(len(pixels), -1) / 255
    return np.stack([values.mean(axis=1), values.std(axis=1), np.nan_to_num(skew(values, axis=1))], axis=1).ravel()


def haralick(pixels: np.ndarray) -> np.ndarray:
    """Eight measures of grey-level co-occurrence, their mean and range over four directions: (16,) (Haralick, 1973)."""
    levels = (_grey(pixels) * (GREY_LEVELS - 1) + 0.5).astype(np.uint8)
    pairs = graycomatrix(levels, [1], ANGLES, levels=GREY_LEVELS, symmetric=True, normed=True)
    values = np.stack([graycoprops(pairs, measure)[0] for measure in HARALICK])
    return np.concatenate([values.mean(axis=1), np.ptp(values, axis=1)])


def lbp(pixels: np.ndarray) -> np.ndarray:
    """Shares of the uniform local binary patterns of eight neighbours: (10,) (Ojala et al., 2002)."""
    grey = (_grey(pixels) * 255 + 0.5).astype(np.uint8)
    pattern = local_binary_pattern(grey, NEIGHBOURS, RADIUS, "uniform").astype(int)
    return np.asarray(np.bincount(pattern.ravel(), minlength=NEIGHBOURS + 2) / pattern.size)


def oriented_gradients(pixels: np.ndarray) -> np.ndarray:
    """Histogram of oriented gradients, eight cells a side in blocks of two: (1764,) (Dalal and Triggs, 2005)."""
    side = pixels.shape[1] // CELLS
    inside = _grey(pixels)[: side * CELLS, : side * CELLS]  # pixels beyond the last whole cell
    return np.asarray(hog(inside, ORIENTATIONS, pixels_per_cell=(side, side), cells_per_block=(2, 2)))


FEATURES: dict[Handcrafted, Callable[[np.ndarray], np.ndarray]] = {
    "colour-moments": colour_moments,
    "haralick": haralick,
    "lbp": lbp,
    "hog": oriented_gradients,
}


def _grey(pixels: np.ndarray) -> np.ndarray:
    """(size, size) in 0 to 1."""
    return pixels[0] / 255 if len(pixels) == 1 else np.asarray(rgb2gray(pixels, channel_axis=0))
