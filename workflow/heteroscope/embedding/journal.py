"""The journal of a run: computed rows, appended as they come, so that a run that is killed loses none.

A journal stands beside the file that is to be written, as `.<name>.<random>.journal`. It is a sequence
of records: a key, its features, a checksum of both. A record that was cut short, or that is of another
width, disagrees with its checksum and counts as absent; so a run may be killed at any moment. Every run
writes a journal of its own and reads those that were left: none is shared, and none needs a lock.
"""

from __future__ import annotations

import glob
import logging
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path

import numpy as np

from heteroscope.atomic import writing
from heteroscope.embedding.keys import KEY_BYTES
from heteroscope.store import runs

ENDING = ".journal"
BLOCK_BYTES = 2**20  # of records, checked at a time

log = logging.getLogger(__name__)


class Journal:
    """The journal that a run writes.

    Attributes:
        path: where it stands.
        file: open for reading too: another run of the same target that ends first deletes the path.
    """

    def __init__(self, path: Path, file: FileIO, width: int) -> None:
        self.path = path
        self.file = file
        self._record = _record(width)

    def append(self, keys: np.ndarray, features: np.ndarray) -> None:
        """Keep rows whatever becomes of this process: keys (n,) bytes, features (n, width) float32.

        Raises:
            StoreError: the disk is full or failing.
        """
        records = np.empty(len(keys), dtype=self._record)
        records["key"], records["features"] = keys, features
        records["checksum"] = _checksums(records)
        with writing(self.path):
            rest = memoryview(records.tobytes())
            while rest:
                rest = rest[self.file.write(rest) :]  # what the kernel has outlives the process


class JournalRows:
    """The rows of a journal that are whole."""

    def __init__(self, path: Path, file: FileIO, width: int, computed_by: str = "an interrupted run") -> None:
        """Check every record of an open file, a block at a time."""
        self.path = path
        self.computed_by = [computed_by]
        self._file = file
        self._record = _record(width)
        count = os.fstat(file.fileno()).st_size // self._record.itemsize
        self.keys = np.empty(count, dtype=self._record["key"])
        block = max(1, BLOCK_BYTES // self._record.itemsize)
        for start in range(0, count, block):
            records = self._records(start, min(block, count - start))
            agrees = records["checksum"] == _checksums(records)
            self.keys[start : start + len(records)] = np.where(agrees, records["key"], b"")  # no row has this key

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Features (n, width) float32 of n row numbers."""
        return np.concatenate([self._records(int(rows[run][0]), len(rows[run]))["features"] for run in runs(rows)])

    def whole(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of n row numbers can be read, (n,) bool: those that cannot have no key."""
        return np.ones(len(rows), dtype=bool)

    def _records(self, start: int, count: int) -> np.ndarray:
        self._file.seek(start * self._record.itemsize)
        return np.fromfile(self._file, dtype=self._record, count=count)


@contextmanager
def new_journal(target: Path, width: int) -> Iterator[Journal]:
    """A journal beside the file that is to be written; it stays, unless nothing was appended."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=ENDING)
    path = Path(name)
    with os.fdopen(handle, "w+b", buffering=0) as file:
        try:
            yield Journal(path, file, width)
        finally:
            if not os.fstat(handle).st_size:
                path.unlink(missing_ok=True)


def left_behind(target: Path, width: int, stack: ExitStack) -> list[JournalRows]:
    """Journals of runs that did not get to write the file, open until the stack is left; without those not readable."""
    found = []
    for path in sorted(target.parent.glob(f".{glob.escape(target.name)}.*{ENDING}")):
        try:
            found.append(JournalRows(path, stack.enter_context(path.open("rb", buffering=0)), width))
        except OSError as error:
            log.warning("%s: not reused (%s)", path, error.strerror)
    return found


def _record(width: int) -> np.dtype:
    return np.dtype([("key", f"S{KEY_BYTES}"), ("features", "<f4", (width,)), ("checksum", "<u4")])


def _checksums(records: np.ndarray) -> np.ndarray:
    """CRC-32 of each record's key and features, (n,) uint32."""
    content = records.view(np.uint8).reshape(len(records), -1)[:, :-4]
    return np.array([zlib.crc32(row) for row in content], dtype=np.uint32)
