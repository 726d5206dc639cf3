"""pixels.h5: every image of a dataset at one size, decoded once.

A row's key is a digest of the image's bytes, its view (0, the original), the pixel specification, and
the code that decodes. Rows whose key stands in an older file are copied.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from heteroscope.config import Pixels
from heteroscope.data.decoding import ImageError, read_image, to_pixels
from heteroscope.errors import DataError, StoreError
from heteroscope.provenance import code_digest, digest
from heteroscope.store import create_h5, open_h5, read_strings, write_digest, write_strings

log = logging.getLogger(__name__)

ENCODING = "pixels"
DECODING = "heteroscope.data.decoding"
ROWS_AT_ONCE = 64


def pixel_keys(sha256: Sequence[str], spec: Pixels) -> list[str]:
    """The key of every image's row: the same bytes, specification and code give the same key."""
    code, settings = code_digest(DECODING), spec.model_dump(mode="json")
    return [digest(value, 0, settings, code) for value in sha256]


def build_pixels(
    images: pd.DataFrame,
    *,
    root: Path | None,
    spec: Pixels,
    target: Path,
    reuse: Sequence[Path] = (),
    threads: int = 2,
) -> None:
    """Write `target` and its digest; copy the rows that stand in the old `target` or in `reuse`.

    Memory holds `ROWS_AT_ONCE` images at a time.

    Args:
        images: columns image_id, path and sha256; rows of the file in their order.
        root: the folder that paths are relative to; None for a union, whose rows all stand in `reuse`.
        spec: size and form of the pixels.
        target: the HDF5 file; an older one is the first place where rows are looked for.
        reuse: further files of the same encoding.
        threads: that decode; no part of the result.

    Raises:
        DataError: an image that must be decoded has changed since the listing, or cannot be decoded.
        StoreError: without a root, a row stands whole in no file.
    """
    keys = pixel_keys(images["sha256"].tolist(), spec)
    shape = (spec.channels, spec.size, spec.size)
    attributes = {"spec": spec.model_dump(mode="json"), "code": code_digest(DECODING)}
    with ExitStack() as stack:
        old = _KnownRows([path for path in (target, *reuse) if path.exists()], shape, stack)
        file = stack.enter_context(create_h5(target, ENCODING, attributes))
        rows = file.create_dataset(
            "pixels", shape=(len(images), *shape), dtype=np.uint8, chunks=(1, *shape), fletcher32=True
        )
        waiting = np.array([not old.copy_to(rows, row, key) for row, key in enumerate(keys)], dtype=bool)
        jobs = _jobs(images[waiting], np.flatnonzero(waiting).tolist(), root, reuse)
        for row, pixels in _decoded(jobs, spec, threads):
            rows[row] = pixels
        write_strings(file, "image_id", images["image_id"].tolist())
        write_strings(file, "key", keys)
        file.attrs["computed"], file.attrs["reused"] = len(jobs), len(images) - len(jobs)
    log.info("%s: %d images decoded, %d copied from older files", target, len(jobs), len(images) - len(jobs))
    write_digest(target, keys)


class _KnownRows:
    """Rows of older files by key; a damaged file or row is told of in the log and counts as absent."""

    def __init__(self, paths: Sequence[Path], shape: tuple[int, ...], stack: ExitStack) -> None:
        self.found: dict[str, list[tuple[h5py.Dataset, int]]] = {}
        for path in paths:
            try:
                with open_h5(path, ENCODING) as file:
                    keys = read_strings(file, "key")
                    usable = file["pixels"].shape == (len(keys), *shape)
            except StoreError as error:
                log.warning("not reused: %s", error)
                continue
            if usable:
                pixels = stack.enter_context(h5py.File(path, "r"))["pixels"]
                for row, key in enumerate(keys):
                    self.found.setdefault(key, []).append((pixels, row))

    def copy_to(self, rows: h5py.Dataset, row: int, key: str) -> bool:
        """Copy the row of a key, checked by its checksum; False where there is none that is whole."""
        for source, index in self.found.get(key, []):
            try:
                rows[row] = source[index]
                return True
            except OSError as error:
                log.warning("%s: row %d is damaged and not reused (%s)", source.file.filename, index, error)
        return False


@dataclass(frozen=True)
class _Job:
    """An image to decode for a row."""

    row: int
    path: Path
    sha256: str


def _jobs(images: pd.DataFrame, rows: Sequence[int], root: Path | None, reuse: Sequence[Path]) -> list[_Job]:
    """What is to be decoded for these rows of the file.

    Raises:
        StoreError: there is no folder to decode from.
    """
    if root is None and rows:
        member = images["path"].iloc[0].split("/")[0]  # a union's paths begin with the member's id
        origin = [str(path) for path in reuse if member in path.parts] or [str(path) for path in reuse]
        raise StoreError(
            f"{', '.join(origin)}: image {images['path'].iloc[0]} is missing or damaged there; delete the file and run"
            " the workflow again"
        )
    return [
        _Job(row, (root or Path()) / path, sha256)
        for row, path, sha256 in zip(rows, images["path"], images["sha256"], strict=True)
    ]


def _decoded(jobs: Sequence[_Job], spec: Pixels, threads: int) -> Iterator[tuple[int, np.ndarray]]:
    """Rows and their pixels, decoded by threads a block at a time."""
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(jobs), desc="decode", unit="image", mininterval=1) as bar:
        for start in range(0, len(jobs), ROWS_AT_ONCE):
            block = jobs[start : start + ROWS_AT_ONCE]
            for job, pixels in zip(block, pool.map(lambda job: _decode(job, spec), block), strict=True):
                yield job.row, pixels
                bar.update()


def _decode(job: _Job, spec: Pixels) -> np.ndarray:
    remedy = "run the workflow again, so that the files are listed anew"
    try:
        data = job.path.read_bytes()
    except OSError as error:
        raise DataError(f"{job.path}: cannot be read ({error.strerror}); {remedy}") from None
    if hashlib.sha256(data).hexdigest() != job.sha256:
        raise DataError(f"{job.path}: changed since it was listed; {remedy}")
    try:
        return to_pixels(read_image(io.BytesIO(data))[0], spec)
    except ImageError as error:
        raise DataError(f"{job.path}: {error}; {remedy}") from None
