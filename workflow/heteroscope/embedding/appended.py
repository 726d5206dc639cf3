"""Handcrafted features beside an embedding, row by row the same images and views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from heteroscope.config import Augmentation, Handcrafted
from heteroscope.data.handcrafted import handcrafted
from heteroscope.embedding.keys import Target
from heteroscope.embedding.reading import PixelRows
from heteroscope.embedding.samples import Samples

BATCH = 64


def append_handcrafted(
    samples: Samples, kinds: Sequence[Handcrafted], pixels: Path, augmentation: Augmentation | None
) -> Samples:
    """The samples with handcrafted features of their images after the embedding.

    Args:
        samples: originals, and views that `augmentation` made.
        kinds: which features.
        pixels: pixels.h5.
        augmentation: of the views; None where there are none.

    Raises:
        StoreError: the pixels file is damaged or misses an image.
    """
    added = [
        _features(pixels, Target(samples.image_id[rows], samples.view[rows], how), kinds)
        for rows, how in (
            (np.flatnonzero(samples.view == 0), None),
            (np.flatnonzero(samples.view > 0), augmentation),
        )
        if len(rows)
    ]
    return replace(samples, features=np.hstack([samples.in_memory(), np.concatenate(added)]))


def _features(pixels: Path, target: Target, kinds: Sequence[Handcrafted]) -> np.ndarray:
    batches = np.split(np.arange(len(target.view)), range(BATCH, len(target.view), BATCH))
    read = PixelRows(pixels, target).batches(batches, batch_size=BATCH, workers=1)
    return np.stack([handcrafted(image, kinds) for batch in read for image in batch])
