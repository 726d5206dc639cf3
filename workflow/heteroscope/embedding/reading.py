"""Reading pixels ahead of the engine: a few batches, by threads, in order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from heteroscope.embedding.keys import Target
from heteroscope.embedding.known import positions, read_rows
from heteroscope.errors import StoreError
from heteroscope.store import open_h5

PIECE = 8  # images that a thread prepares at a time


class PixelRows:
    """The pixels of what is embedded.

    Attributes:
        target: which images and views.
        keys: (n,) bytes, the key of each row's pixels.
        preprocessing: how the pixels were made, JSON; JPEGs as they were decoded, whatever was asked for.
    """

    def __init__(self, path: Path, target: Target) -> None:
        """Find the rows of a pixels file.

        Raises:
            StoreError: the file is damaged or misses an image.
        """
        self._path = path
        self.target = target
        with open_h5(path, "pixels") as file:
            self._rows = positions(target.image_id.astype("S"), file["image_id"][:])
            if (self._rows < 0).any():
                missing = target.image_id[self._rows < 0][0]
                raise StoreError(f"{path}: has no image {missing!r}; run the workflow again to make it anew")
            self.keys: np.ndarray = file["key"][:][self._rows]
            used = {"decoding": str(file.attrs.get("decoding", "full"))}
            self.preprocessing = json.dumps(json.loads(file.attrs["spec"]) | used, sort_keys=True)

    def batches(self, rows: Iterable[np.ndarray], *, batch_size: int, workers: int) -> Generator[np.ndarray]:
        """The pixels of batches of row numbers, read and augmented by threads ahead of their use.

        Args:
            rows: batches of at most `batch_size` row numbers.
            batch_size: of the engine; with `workers` it bounds how many images are in memory.
            workers: threads.

        Returns:
            Pixels (m, channels, size, size) uint8 of every batch, in their order.

        Raises:
            StoreError: the pixels of an image are damaged.
        """
        ahead = 1 + -(-workers * PIECE // batch_size)
        waiting: deque[tuple[np.ndarray, list[Future[None]]]] = deque()
        with h5py.File(self._path, "r") as file, ThreadPoolExecutor(workers) as pool:
            pixels = file["pixels"]
            try:
                for batch in rows:
                    block = np.empty((len(batch), *pixels.shape[1:]), dtype=np.uint8)
                    pieces = [slice(start, start + PIECE) for start in range(0, len(batch), PIECE)]
                    waiting.append((block, [pool.submit(self._fill, block[p], pixels, batch[p]) for p in pieces]))
                    if len(waiting) > ahead:
                        yield _finished(*waiting.popleft())
                while waiting:
                    yield _finished(*waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _fill(self, block: np.ndarray, pixels: h5py.Dataset, rows: np.ndarray) -> None:
        """Put the images of row numbers into a block, (m, channels, size, size) uint8."""
        try:
            read_rows(pixels, self._rows[rows], block)
        except OSError as error:
            raise self._damaged(pixels, rows, error) from error
        target = self.target
        if target.augmentation:
            from heteroscope.data.augmentation import augment  # scipy, which originals do without

            for image, row in zip(block, rows, strict=True):
                image[:] = augment(image, target.augmentation, target.image_id[row], int(target.view[row]))

    def _damaged(self, pixels: h5py.Dataset, rows: np.ndarray, error: OSError) -> StoreError:
        """Name the first image among rows that cannot be read."""
        for row in rows:
            try:
                pixels[self._rows[row]]
            except OSError:
                break
        image = self.target.image_id[row]
        return StoreError(
            f"{self._path}: the pixels of image {image} are damaged ({error}); delete it and run the workflow again"
        )


def _finished(block: np.ndarray, pieces: list[Future[None]]) -> np.ndarray:
    for piece in pieces:
        piece.result()
    return block
