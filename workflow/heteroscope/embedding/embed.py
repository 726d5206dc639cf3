"""Writing embeddings: rows that stand in a file already are copied, only the rest is computed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from heteroscope.config import dump
from heteroscope.embedding.agreement import require_finite
from heteroscope.embedding.engine import Engine
from heteroscope.embedding.journal import Journal, JournalRows, left_behind, new_journal
from heteroscope.embedding.keys import Target, row_keys
from heteroscope.embedding.known import KnownRows, OlderFile
from heteroscope.embedding.reading import PixelRows
from heteroscope.embedding.recipe import Recipe
from heteroscope.errors import StoreError
from heteroscope.provenance import versions
from heteroscope.store import create_h5, write_digest, write_strings

CHUNK_BYTES = 2**16  # of features: small, so that rows in another order cost little to find
CHUNKS_AT_ONCE = 16  # that are copied

log = logging.getLogger(__name__)


def embed(
    target: Target,
    recipe: Recipe,
    engine_factory: Callable[[], Engine],
    *,
    pixels: Path,
    output: Path,
    reuse: Sequence[Path] = (),
    workers: int = 2,
) -> None:
    """Write an embeddings or views file and its digest file.

    Rows whose key stands in the old file at `output`, in one of the `reuse` files, or in the journal
    of a run that was killed, are copied; damaged rows are logged and computed anew. Memory holds ids,
    keys and a few batches of pixels, however many rows there are.

    Args:
        target: which images and views.
        recipe: how they are embedded.
        engine_factory: makes the engine of the recipe; called only if a row must be computed.
        pixels: the pixels file.
        output: the file to write; it may exist.
        reuse: further embeddings or views files whose rows may be copied; those that do not exist are ignored.
        workers: threads that read and augment; no part of the result.

    Raises:
        StoreError: the pixels file is damaged or misses an image, or an embedding is not finite.
    """
    images = PixelRows(pixels, target)
    keys = row_keys(images.keys, target, recipe)
    with ExitStack() as stack:
        known = KnownRows(keys)
        for path in dict.fromkeys([output, *reuse]):
            older = OlderFile.open(path, target.encoding, recipe.width, stack)
            if older:
                known.add(older)
        journals = left_behind(output, recipe.width, stack)
        for rows in journals:
            known.add(rows)
        compute = _distinct(keys, known.missing())
        if len(compute):
            journal = stack.enter_context(new_journal(output, recipe.width))
            engine = engine_factory()
            _compute(compute, keys, images, engine, journal, workers)
            computed_by = " ".join([engine.name, versions(engine.name).get(engine.name, ""), "on", engine.device])
            journals.append(JournalRows(journal.path, journal.file, recipe.width, computed_by))
            known.add(journals[-1])
            if len(known.missing()):
                raise StoreError(
                    f"{journal.path}: not what was written to it; check the disk and run the workflow again"
                )
        counts = {"computed": len(compute), "reused": len(keys) - len(compute)}
        log.info("%d embeddings computed, %d reused", *counts.values())
        origin = _origin(recipe, target, images.preprocessing) | {"computed_by": sorted(known.computed_by())}
        with create_h5(output, target.encoding, origin | counts) as file:
            _write(file, target, keys, known, recipe.width)
    write_digest(output, [key.decode() for key in keys])
    for rows in journals:
        rows.path.unlink(missing_ok=True)


def _origin(recipe: Recipe, target: Target, preprocessing: str) -> dict[str, Any]:
    """Attributes of the file: what its values stand on."""
    kept = ("model", "weights", "weights_sha256", "engine", "precision", "agreement", "compared")
    return recipe.model_dump(include=set(kept)) | {
        "pooling": f"{recipe.layer or 'last'} ({recipe.pooling})",
        "preprocessing": preprocessing,
        "augmentation": dump(target.augmentation),
    }


def _distinct(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The first of the given rows with each key, in their order: copies of an image are embedded once."""
    return rows[np.sort(np.unique(keys[rows], return_index=True)[1])]


def _compute(
    rows: np.ndarray,
    keys: np.ndarray,
    images: PixelRows,
    engine: Engine,
    journal: Journal,
    workers: int,
) -> None:
    """Embed the given rows in batches, with progress, and keep each in the journal at once."""
    start = time.perf_counter()
    pixels = images.batches(_blocks(rows, engine.batch_size), batch_size=engine.batch_size, workers=workers)
    with closing(pixels), tqdm(total=len(rows), unit="image", desc="embedding", mininterval=2) as progress:
        for batch, features in zip(_blocks(rows, engine.batch_size), engine.stream(pixels), strict=True):
            require_finite(features, images.target.image_id[batch])
            journal.append(keys[batch], features)
            progress.update(len(batch))
    log.info("%.1f images/s", len(rows) / (time.perf_counter() - start))


def _blocks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive pieces of row numbers."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _write(file: h5py.File, target: Target, keys: np.ndarray, known: KnownRows, width: int) -> None:
    """Write the datasets, features a block of whole chunks at a time."""
    count = len(keys)
    write_strings(file, "image_id", target.image_id.tolist())
    file.create_dataset("key", data=keys)
    if target.augmentation:
        file.create_dataset("view", data=target.view)
    chunk = max(1, min(count, CHUNK_BYTES // (4 * width)))
    features = file.create_dataset(
        "features",
        (count, width),
        dtype="float32",
        chunks=(chunk, width),
        maxshape=(None, width),  # a shard may have no row, and a chunk never has none
        fletcher32=True,
    )
    block = chunk * CHUNKS_AT_ONCE
    for start in range(0, count, block):
        stop = min(start + block, count)
        features[start:stop] = known.read(start, stop, width)
