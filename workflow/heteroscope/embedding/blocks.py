"""Features that are too large for memory: left in their files, and read a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from heteroscope.store import Embeddings

IN_MEMORY_VALUES = 2**28  # of a matrix of float32: 1 GiB, of which the fits need a few times as much
BLOCK_VALUES = 2**22  # of a block: 16 MiB


class FeatureBlocks:
    """The features of samples as a matrix on disk, indexed by row numbers as an array is.

    Every look reads the files: take rows by `row_blocks`, not one by one.
    """

    def __init__(self, strips: Sequence[tuple[Embeddings, np.ndarray]]) -> None:
        """Rows (m,) of embeddings of one width, one embedding below the other."""
        self._strips = list(strips)
        self._starts = np.cumsum([0, *(len(rows) for _, rows in self._strips)])
        # where a row stands in the files, so that blocks can follow them
        self._strip = np.repeat(np.arange(len(self._strips)), np.diff(self._starts))
        self._place = np.concatenate([embeddings.parts[0].place[rows] for embeddings, rows in self._strips])

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self), self._strips[0][0].width

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Features (m, d) float32 of (m,) row numbers in any order.

        Raises:
            StoreError: a file is damaged, or an embedding is not finite.
        """
        values = np.empty((len(rows), self.shape[1]), dtype=np.float32)
        strip = self._strip[rows]
        for number, (embeddings, places) in enumerate(self._strips):
            here = np.flatnonzero(strip == number)
            if len(here):
                values[here] = embeddings.read(places[rows[here] - self._starts[number]])
        return values

    def in_file_order(self, rows: np.ndarray) -> np.ndarray:
        """The same row numbers, in the order in which the files hold them."""
        return rows[np.lexsort((self._place[rows], self._strip[rows]))]

    def in_memory(self) -> np.ndarray:
        """All features, (n, d) float32."""
        values = np.empty(self.shape, dtype=np.float32)
        for rows in row_blocks(self, np.arange(len(self))):
            values[rows] = self[rows]
        return values


Matrix: TypeAlias = np.ndarray | FeatureBlocks


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a matrix of this shape is worked on in blocks, by approximate methods where exact ones need it whole."""
    return shape[0] * shape[1] > IN_MEMORY_VALUES


def block_rows(columns: int) -> int:
    """How many rows of this width make up a block."""
    return max(1, BLOCK_VALUES // columns)


def row_blocks(matrix: Matrix, rows: np.ndarray, size: int | None = None) -> Iterator[np.ndarray]:
    """Row numbers in consecutive pieces: in the given order for an array, in that of the files for features on disk.

    Args:
        matrix: (n, d).
        rows: (m,) row numbers.
        size: rows a piece; `block_rows` where it is not given.
    """
    if isinstance(matrix, FeatureBlocks):
        rows = matrix.in_file_order(rows)
    size = size or block_rows(matrix.shape[1])
    return (rows[start : start + size] for start in range(0, len(rows), size))


def drawn_rows(rows: int, most: int, seed: int) -> np.ndarray:
    """Increasing row numbers: all of them, or `most` drawn without replacement."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
