"""Seals: checksums by which a file is known to be as it was written.

HDF5 checks the chunks of a dataset by Fletcher's checksum as they are read. Everything else it believes:
a flipped bit in a name or an attribute goes unnoticed, and zeros in its heap can make it search for
ever. So a CRC-32 of all bytes that no chunk's own checksum covers stands behind the end of the file,
where HDF5 does not look. It is compared before HDF5 sees the file, and no chunk is read for it, however
many images the file holds. In a Parquet file the CRC-32 of the whole stands among its metadata. Other
programs read both kinds as ever, and a file without a seal is taken as it is.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from heteroscope.errors import StoreError

H5_MARK = b"heteroscope-seal"
H5_END = slice(40, 48)  # where an HDF5 file of the first format says how long it is
H5_SEAL = struct.Struct("<QII")  # number of extents, CRC-32 of their bytes, CRC-32 of their list and these two numbers
PARQUET_KEY = "heteroscope"
PARQUET_MARK = b"crc32:"
DIGITS = 8
BLOCK_BYTES = 2**20


# ------------------------------------------------------------------------------------------- HDF5


def seal_h5(path: Path) -> None:
    """Append the seal to a closed HDF5 file."""
    with h5py.File(path, "r") as file:
        extents = _unchecked(file, path.stat().st_size)
    with path.open("rb+") as stream:
        crc = _crc_of_extents(stream, extents)
        stream.seek(0, os.SEEK_END)
        stream.write(extents.tobytes() + H5_SEAL.pack(len(extents), crc, _crc_of_list(extents, crc)) + H5_MARK)


def check_h5(path: Path) -> None:
    """Compare an HDF5 file with its seal, once as long as it is not written; chunks are left to HDF5.

    Raises:
        StoreError: they do not agree.
    """
    state = path.stat()
    _check_h5(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _check_h5(path: Path, inode: int, size: int, changed: int) -> None:
    del inode, changed
    tail = H5_SEAL.size + len(H5_MARK)
    with path.open("rb") as stream:
        if size < tail or not _read(stream, size - tail, tail).endswith(H5_MARK):
            if size > int.from_bytes(_read(stream, 0, H5_END.stop)[H5_END], "little"):
                raise _damaged(path)  # something stands behind its end that was a seal
            return
        count, crc, crc_of_list = H5_SEAL.unpack(_read(stream, size - tail, H5_SEAL.size))
        if 16 * count <= size - tail:
            extents = np.frombuffer(_read(stream, size - tail - 16 * count, 16 * count), dtype="<u8").reshape(-1, 2)
            if _crc_of_list(extents, crc) == crc_of_list and _crc_of_extents(stream, extents) == crc:
                return
    raise _damaged(path)


def _unchecked(file: h5py.File, size: int) -> np.ndarray:
    """Offset and length of the stretches of a file that lie in no checksummed chunk, (m, 2) uint64."""
    chunks: list[tuple[int, int]] = []

    def collect(_: str, node: h5py.Dataset | h5py.Group) -> None:
        if isinstance(node, h5py.Dataset) and node.fletcher32:
            node.id.chunk_iter(lambda chunk: chunks.append((chunk.byte_offset, chunk.byte_offset + chunk.size)))

    file.visititems(collect)
    begin, end = np.array(sorted(chunks), dtype="<u8").reshape(-1, 2).T
    edges = np.stack([np.r_[np.zeros(1, "<u8"), end], np.r_[begin, np.full(1, size, "<u8")]], axis=1)
    gaps = edges[edges[:, 1] > edges[:, 0]]
    return np.stack([gaps[:, 0], gaps[:, 1] - gaps[:, 0]], axis=1)


def _crc_of_extents(stream: BinaryIO, extents: np.ndarray) -> int:
    crc = 0
    for offset, length in extents.tolist():
        for start in range(offset, offset + length, BLOCK_BYTES):
            crc = zlib.crc32(_read(stream, start, min(BLOCK_BYTES, offset + length - start)), crc)
    return crc


def _crc_of_list(extents: np.ndarray, crc: int) -> int:
    return zlib.crc32(struct.pack("<QI", len(extents), crc), zlib.crc32(extents.tobytes()))


def _read(stream: BinaryIO, offset: int, length: int) -> bytes:
    stream.seek(offset)
    return stream.read(length)


# ---------------------------------------------------------------------------------------- Parquet


def write_sealed_parquet(frame: pd.DataFrame, path: Path) -> None:
    """A table as Parquet, without its index, with a seal."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    mark = PARQUET_MARK + b"0" * DIGITS
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({PARQUET_KEY: mark.decode()})
    with path.open("rb+") as stream, mmap.mmap(stream.fileno(), 0) as content:
        place = content.rfind(mark) + len(PARQUET_MARK)
        content[place : place + DIGITS] = b"%08x" % _crc_without(content, place)


def check_parquet(path: Path) -> None:
    """Compare a Parquet file with its seal.

    Raises:
        StoreError: they do not agree.
    """
    if not path.stat().st_size:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.rfind(PARQUET_MARK)
        place = found + len(PARQUET_MARK)
        if found >= 0 and content[place : place + DIGITS] != b"%08x" % _crc_without(content, place):
            raise _damaged(path)


def _crc_without(content: mmap.mmap, place: int) -> int:
    """CRC-32 of a file as if its digits at a place were zeros."""
    with memoryview(content) as view:
        crc = zlib.crc32(b"0" * DIGITS, zlib.crc32(view[:place]))
        return zlib.crc32(view[place + DIGITS :], crc)


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path}: damaged or incomplete: it does not match its checksum; delete it and run the workflow again"
    )
