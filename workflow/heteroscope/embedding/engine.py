"""What the embedding stage asks of an engine: to turn batches of pixels into embeddings, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from heteroscope.embedding.recipe import Precision


class Engine(Protocol):
    """From pixels to features.

    Attributes:
        name: which engine; part of a row's key.
        precision: of its arithmetic; part of a row's key.
        device: what it runs on, in words.
        batch_size: how many images it wants at a time.
    """

    name: str
    precision: Precision
    device: str
    batch_size: int

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Embed batches of at most `batch_size` images, several in flight, and give them back in their order.

        Args:
            batches: pixels (n, channels, size, size) uint8.

        Returns:
            Features (n, d) float32, one array a batch.
        """
        ...
