"""Rows that need not be computed, because they stand in a file already."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from heteroscope.errors import StoreError
from heteroscope.store import open_h5, runs

log = logging.getLogger(__name__)


class Source(Protocol):
    """Rows that stand in a file.

    Attributes:
        path: of the file.
        keys: (m,) bytes, the key of each row.
        computed_by: engines, their versions and devices.
    """

    path: Path
    keys: np.ndarray
    computed_by: list[str]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Features (n, d) float32 of n row numbers."""
        ...

    def whole(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of n row numbers can be read, (n,) bool."""
        ...


class KnownRows:
    """Where each row of a file to be written stands already; memory holds keys and row numbers, no features."""

    def __init__(self, keys: np.ndarray) -> None:
        """Nothing is known yet of the rows with these keys, (n,) bytes."""
        self._keys = keys
        self._sources: list[Source] = []
        self._source = np.full(len(keys), -1, dtype=np.int32)
        self._row = np.zeros(len(keys), dtype=np.int64)

    def add(self, source: Source) -> None:
        """Look in one more place for the rows not found so far; damaged ones are told of in the log."""
        wanted = self.missing()
        place = positions(self._keys[wanted], source.keys)
        wanted, place = wanted[place >= 0], place[place >= 0]
        whole = source.whole(place)
        if not whole.all():
            log.warning("%s: damaged; %d of its rows are computed anew", source.path, (~whole).sum())
        self._source[wanted[whole]] = len(self._sources)
        self._row[wanted[whole]] = place[whole]
        self._sources.append(source)

    def missing(self) -> np.ndarray:
        """Numbers of the rows that stand nowhere, increasing."""
        return np.flatnonzero(self._source < 0)

    def computed_by(self) -> set[str]:
        """What computed the rows that are known."""
        used = np.unique(self._source[self._source >= 0])
        return {origin for number in used for origin in self._sources[number].computed_by}

    def read(self, start: int, stop: int, width: int) -> np.ndarray:
        """Features (stop - start, width) float32 of consecutive rows, none of which may be missing."""
        block = np.empty((stop - start, width), dtype=np.float32)
        source = self._source[start:stop]
        for number in np.unique(source):
            here = np.flatnonzero(source == number)
            block[here] = self._sources[number].read(self._row[start + here])
        return block


class OlderFile:
    """Rows of an embeddings or views file."""

    def __init__(self, path: Path, keys: np.ndarray, computed_by: list[str], features: h5py.Dataset) -> None:
        self.path = path
        self.keys = keys
        self.computed_by = computed_by
        self._features = features

    @classmethod
    def open(cls, path: Path, encoding: str, width: int, stack: ExitStack) -> OlderFile | None:
        """The rows of a file, read until the stack is left.

        Returns:
            None where no file is, its rows are of another width, or it is damaged; the last is told of in the log.
        """
        if not path.is_file():
            return None
        try:
            with open_h5(path, encoding) as file:
                keys = file["key"][:]
                computed_by = json.loads(file.attrs["computed_by"])
                usable = file["features"].shape == (len(keys), width)
        except StoreError as error:
            log.warning("%s; its rows are computed anew", error)
            return None
        return cls(path, keys, computed_by, stack.enter_context(h5py.File(path, "r"))["features"]) if usable else None

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Features (n, d) float32 of n row numbers."""
        block = np.empty((len(rows), self._features.shape[1]), dtype=np.float32)
        read_rows(self._features, rows, block)
        return block

    def whole(self, rows: np.ndarray) -> np.ndarray:
        """Whether the chunk of each of n row numbers agrees with its checksum, (n,) bool."""
        size = (self._features.chunks or (1,))[0]
        damaged = [chunk for chunk in np.unique(rows // size) if not self._agrees(int(chunk) * size, size)]
        return ~np.isin(rows // size, damaged)

    def _agrees(self, start: int, count: int) -> bool:
        try:
            self._features[start : start + count]
        except OSError:
            return False
        return True


def positions(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where each of n wanted values first stands among m known ones, (n,) int; -1 where it does not."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known, wanted, sorter=order)
    place = order[np.minimum(place, len(known) - 1)]
    return np.where(known[place] == wanted, place, -1)


def read_rows(dataset: h5py.Dataset, rows: np.ndarray, block: np.ndarray) -> None:
    """Read n rows, in any order, into a block of n; h5py's own indexing by an array is a hundred times slower.

    Raises:
        OSError: a row is damaged.
    """
    for run in runs(rows):
        here = rows[run]
        dataset.read_direct(block, np.s_[here[0] : here[-1] + 1], run)
