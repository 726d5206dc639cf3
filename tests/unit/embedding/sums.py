"""An engine whose values are known, and what a test says of it; without torch, so that processes start fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from heteroscope.embedding.recipe import Recipe

SIZE = 32
RECIPE = Recipe(
    model="small-cnn",
    pooling="avg",
    layer=None,
    weights="random (seed 0)",
    weights_sha256="0" * 64,
    weights_file_sha256="1" * 64,
    channels=3,
    size=SIZE,
    width=5,
    batch_size=None,
    engine="torch",
    precision="float32",
    agreement=0.9995,
    compared=64,
    note="the reference",
    device="a CPU",
    versions={"torch": "2.0"},
)


def planted(pixels: np.ndarray) -> np.ndarray:
    """Five sums over parts of each image, (n, 5) float32; exact, so the same in any batch."""
    return np.stack([pixels[:, :, place::5].sum(axis=(1, 2, 3), dtype=np.int64) for place in range(5)], 1).astype("f4")


class Sums:
    """An engine that notes the batches that it is given."""

    name = "torch"
    precision = "float32"
    device = "a CPU"
    batch_size = 4

    def __init__(self) -> None:
        self.batches: list[int] = []

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for pixels in batches:
            self.batches.append(len(pixels))
            yield planted(pixels)
