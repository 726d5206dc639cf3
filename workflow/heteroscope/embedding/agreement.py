"""Whether an engine's embeddings agree with those of another, on a sample of a study's own images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from heteroscope.embedding.engine import Engine
from heteroscope.errors import StoreError
from heteroscope.store import open_h5, read_strings

SAMPLE = 32  # images compared


def sample(pixels: Path, size: int = SAMPLE) -> tuple[np.ndarray, np.ndarray]:
    """Images spread over a pixels file: image_id (n,) and pixels (n, channels, size, size).

    They are drawn by a digest of their ids, so that neither the file's order nor its length matters.
    """
    with open_h5(pixels, "pixels") as file:
        image_id = read_strings(file, "image_id")
        digests = [hashlib.sha256(str(name).encode()).digest() for name in image_id]
        rows = sorted(sorted(range(len(digests)), key=digests.__getitem__)[:size])
        return image_id[rows], np.stack([file["pixels"][row] for row in rows])


def features(engine: Engine, images: np.ndarray) -> np.ndarray:
    """Embeddings (n, d) of images (n, channels, size, size)."""
    size = engine.batch_size
    batches = (images[start : start + size] for start in range(0, len(images), size))
    return np.concatenate(list(engine.stream(batches)))


def require_finite(values: np.ndarray, image_id: np.ndarray) -> None:
    """Refuse embeddings (n, d) that hold anything but numbers.

    Raises:
        StoreError: names the first image.
    """
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise StoreError(f"the embedding of image {image_id[~finite][0]} is not finite; check the backbone's weights")


def lowest_cosine(values: np.ndarray, expected: np.ndarray) -> float:
    """Lowest cosine similarity of corresponding rows, (n, d) each; -1 where a value is not finite.

    Two rows of zeros agree; a row of zeros agrees with no other.
    """
    if not np.isfinite(values).all():
        return -1.0
    values, expected = values.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(expected, axis=1)
    products = np.einsum("ij,ij->i", values, expected)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    cosines[~values.any(axis=1) & ~expected.any(axis=1)] = 1.0
    return float(min(cosines.min(), 1.0))
