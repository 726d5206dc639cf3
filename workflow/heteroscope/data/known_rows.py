"""Rows of pixels that need not be decoded, because they stand in an older file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from heteroscope.errors import StoreError
from heteroscope.store import open_h5, read_strings, runs

log = logging.getLogger(__name__)

ENCODING = "pixels"
RUN_BYTES = 2**23  # of rows that are read or written at once


class KnownRows:
    """Rows of older files by key; a damaged file or row is told of in the log and counts as absent.

    Attributes:
        attributes: path → attributes of each file that can be read.
    """

    def __init__(
        self, paths: Sequence[Path], shape: tuple[int, ...], stack: ExitStack, *, unfinished: Sequence[Path] = ()
    ) -> None:
        """Find the rows of this shape in the files that exist; they stay open until the stack is left.

        Args:
            paths: the files, those first whose rows are preferred.
            shape: of a row.
            stack: keeps the files open.
            unfinished: which of them a killed run has left.
        """
        self.attributes: dict[Path, dict[str, Any]] = {}
        self._sources: list[tuple[h5py.Dataset, dict[str, int], bool]] = []
        for path in dict.fromkeys(paths):
            if not path.exists():
                continue
            try:
                with open_h5(path, ENCODING, unfinished=path in unfinished) as file:
                    keys = read_strings(file, "key")
                    usable = file["pixels"].shape == (len(keys), *shape)
                    row_of = {keys[row]: row for row in reversed(_written(file["pixels"]))} if usable else {}
                    attributes = dict(file.attrs)
            except StoreError as error:
                log.warning("not reused: %s", error)
                continue
            if usable:
                self.attributes[path] = attributes
                pixels = stack.enter_context(h5py.File(path, "r"))["pixels"]
                self._sources.append((pixels, row_of, path in unfinished))

    def __contains__(self, key: str) -> bool:
        return any(key in row_of for _, row_of, _ in self._sources)

    def copy_to(self, rows: h5py.Dataset, keys: Sequence[str]) -> np.ndarray:
        """Copy every row whose key is known, checked by its checksum.

        Args:
            rows: the dataset to fill, (n, channels, size, size).
            keys: of its n rows.

        Returns:
            Which rows were copied, (n,) bool.
        """
        copied = np.zeros(len(keys), dtype=bool)
        for source, row_of, unfinished in self._sources:
            wanted = np.array([row for row in np.flatnonzero(~copied).tolist() if keys[row] in row_of], dtype=np.int64)
            places = np.array([row_of[keys[row]] for row in wanted.tolist()], dtype=np.int64)
            for run in runs(wanted, places, most=rows_at_once(rows.shape[1:])):
                copied[wanted[run]] = _copy(source, places[run], rows, wanted[run], unfinished)
        return copied


def _written(pixels: h5py.Dataset) -> list[int]:
    """Rows that were written: all of them, unless the job was killed on its way."""
    count = len(pixels)
    if pixels.id.get_num_chunks() == count:
        return list(range(count))
    corner = (0,) * (pixels.ndim - 1)
    return [row for row in range(count) if pixels.id.get_chunk_info_by_coord((row, *corner)).byte_offset is not None]


def _copy(
    source: h5py.Dataset, places: np.ndarray, rows: h5py.Dataset, wanted: np.ndarray, unfinished: bool
) -> np.ndarray:
    """Copy consecutive rows of a file to consecutive rows; (n,) bool says which of them are whole."""
    try:
        block = source[places[0] : places[-1] + 1]
    except OSError as error:
        if len(wanted) > 1:
            each = [_copy(source, places[[row]], rows, wanted[[row]], unfinished) for row in range(len(wanted))]
            return np.concatenate(each)
        log.warning("%s: row %d is damaged and not reused (%s)", source.file.filename, places[0], error)
        return np.zeros(1, dtype=bool)
    rows[wanted[0] : wanted[-1] + 1] = block
    if not unfinished:
        return np.ones(len(wanted), dtype=bool)
    # a machine that fails may leave zeros where rows were to be written, and the checksum of zeros is zero
    return np.array(block.any(axis=(1, 2, 3)), dtype=bool)


def rows_at_once(shape: Sequence[int]) -> int:
    """How many rows of this shape are read or written at once: HDF5's overhead is shared, memory stays small."""
    return max(1, RUN_BYTES // int(np.prod(shape)))
