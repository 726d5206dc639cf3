"""Reading and writing of HDF5 files and tables: atomic, versioned, checked.

Every HDF5 file carries `encoding` (what it is) and `encoding_version`. Files are written under a
temporary name beside the target and renamed, so that a target is whole or absent, and carry a seal by
which damage is noticed. Readers raise `StoreError`, which names the file and the remedy.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from heteroscope.atomic import NO_ROOM, atomic_path
from heteroscope.errors import StoreError
from heteroscope.provenance import rows_digest
from heteroscope.seals import check_h5, check_parquet, seal_h5, write_sealed_parquet

ENCODING_VERSION = 1
SIGNIFICANT_DIGITS = 6
ROOM_TO_CLOSE = 2**16  # bytes, for what HDF5 adds on closing
KEEP_SIZE = 1  # of fallocate: reserve, and leave the file as long as it is


# ------------------------------------------------------------------------------------------- HDF5


@contextmanager
def create_h5(path: Path, encoding: str, attributes: dict[str, Any] | None = None) -> Iterator[h5py.File]:
    """A new HDF5 file of the given encoding, written atomically.

    Attribute values that HDF5 does not know (mappings, lists) are stored as JSON text.

    Raises:
        StoreError: the disk is full, read-only or failing.
    """
    with atomic_path(path) as temporary:
        with _new_h5(temporary) as file:
            file.attrs["encoding"] = encoding
            file.attrs["encoding_version"] = ENCODING_VERSION
            for name, value in (attributes or {}).items():
                simple = isinstance(value, str | int | float | bool | np.generic)
                file.attrs[name] = value if simple else json.dumps(value, sort_keys=True)
            yield file
        os.truncate(temporary, temporary.stat().st_size)  # what was reserved beyond its end is given back
        seal_h5(temporary)


@contextmanager
def _new_h5(path: Path) -> Iterator[h5py.File]:
    """A file that is closed whatever becomes of the disk.

    HDF5 kills the process where it cannot write what it still holds when a file or dataset is closed. So it
    holds no values, and of its own tables it is asked to write only what there is room for.

    Raises:
        OSError: with the system's number, which HDF5 hides in its text.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_LATEST)
    access.set_sieve_buf_size(0)
    access.set_cache(0, 0, 0, 0.0)
    file = h5py.File(h5py.h5f.create(os.fsencode(path), fapl=access))
    try:
        try:
            yield file
        except Exception as error:  # h5py takes what happens for this or that
            failure = re.search(r"file write failed.*errno = (\d+)", str(error), re.DOTALL)
            if failure is None:
                raise
            raise OSError(int(failure[1]), os.strerror(int(failure[1]))) from error
        flush_h5(file)
    except BaseException:
        _let_close(file)
        raise
    finally:
        with suppress(RuntimeError):  # HDF5 remembers what it could not write before
            file.close()


def flush_h5(file: h5py.File) -> None:
    """Give the system all that HDF5 holds in memory, if there is room for it: HDF5 does not bear that there is none.

    Raises:
        OSError: the disk is full.
    """
    handle, size = file.id.get_vfd_handle(), file.id.get_filesize() + ROOM_TO_CLOSE
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.fallocate(handle, KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size))
    if failed and ctypes.get_errno() in NO_ROOM:  # other failures: some disks cannot tell beforehand
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    file.flush()


def _let_close(file: h5py.File) -> None:
    """Flush what an interrupted block has written; where there is no room, let HDF5 write to memory and close."""
    try:
        flush_h5(file)
    except (OSError, RuntimeError):
        elsewhere = os.memfd_create("what the disk does not take")
        os.dup2(elsewhere, file.id.get_vfd_handle())
        os.close(elsewhere)


@contextmanager
def open_h5(path: Path, encoding: str, *, unfinished: bool = False) -> Iterator[h5py.File]:
    """An existing HDF5 file, checked for its seal and encoding; read errors inside the block name the file.

    Args:
        path: where it stands.
        encoding: what it must be.
        unfinished: a killed run has left it, before it was sealed.

    Raises:
        StoreError: the file is missing, damaged, or of another encoding or version.
    """
    remedy = "delete it and run the workflow again"
    if not path.is_file():
        raise StoreError(f"{path}: no such file; run the workflow again to make it")
    try:
        if not unfinished:
            check_h5(path)
        with h5py.File(path, "r") as file:
            found = (file.attrs.get("encoding"), file.attrs.get("encoding_version"))
            if found != (encoding, ENCODING_VERSION):
                raise StoreError(
                    f"{path}: encoding {found[0]!r} version {found[1]}, expected {encoding!r} version"
                    f" {ENCODING_VERSION}; {remedy}"
                )
            yield file
    except (OSError, KeyError, RuntimeError, UnicodeDecodeError) as error:
        if not (isinstance(error, UnicodeDecodeError) or _is_of_hdf5(error)):
            raise  # what the block does besides reading, such as training, has troubles of its own
        raise StoreError(f"{path}: damaged or incomplete HDF5 file ({error}); {remedy}") from error


def _is_of_hdf5(error: BaseException) -> bool:
    """Whether h5py raised an error, not the code that uses it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("h5py")


def write_strings(file: h5py.File, name: str, values: Sequence[str]) -> None:
    """A dataset of fixed-length ASCII strings."""
    width = max((len(value) for value in values), default=1)
    file.create_dataset(name, data=np.array(list(values), dtype=f"S{max(width, 1)}"))


def read_strings(file: h5py.File, name: str) -> np.ndarray:
    """A dataset of strings as an object array of str."""
    return np.array([value.decode() for value in file[name][:]], dtype=object)


def runs(*numbers: np.ndarray, most: int | None = None) -> Iterator[slice]:
    """Slices of at most `most` places within which each array of row numbers, (n,) int, goes up by ones."""
    count = len(numbers[0])
    breaks = np.any([np.diff(array) != 1 for array in numbers], axis=0)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), count]
    for start, stop in pairwise(edges):
        for first in range(start, stop, most or max(count, 1)):
            yield slice(first, min(first + (most or count), stop))


def write_digest(path: Path, keys: Sequence[str]) -> None:
    """The small file `<path>.digest` that stands for the rows of a large file in the DAG."""
    with atomic_path(digest_path(path)) as temporary:
        temporary.write_text(rows_digest(keys) + "\n", encoding="ascii")


def digest_path(path: Path) -> Path:
    """Where the digest of a large file stands."""
    return path.with_name(path.name + ".digest")


# ------------------------------------------------------------------------------------- embeddings


@dataclass(frozen=True)
class Embeddings:
    """Rows of an embedding, one an image and view; features stay in their files until they are read.

    Attributes:
        image_id: (n,) str.
        view: (n,) int, 0 for originals.
        attributes: of the file, or of every part of a fusion joined by " + ".
        parts: the file, or those of a fusion in order.
    """

    image_id: np.ndarray
    view: np.ndarray
    attributes: dict[str, Any]
    parts: tuple[EmbeddingFile, ...]

    @property
    def width(self) -> int:
        """Number of values of a row."""
        return sum(part.width for part in self.parts)

    @property
    def features(self) -> np.ndarray:
        """(n, width) float32, all rows, read anew."""
        return self.read(np.arange(len(self.image_id)))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Features (m, width) float32 of (m,) row numbers in any order.

        Raises:
            StoreError: a file is damaged, or an embedding is not finite; it names the image.
        """
        columns = [part.read(rows) for part in self.parts]
        for part, values in zip(self.parts, columns, strict=True):
            if not np.isfinite(values).all():
                bad = self.image_id[rows[~np.isfinite(values).all(axis=1)][0]]
                raise StoreError(
                    f"{part.path}: the embedding of image {bad} is not finite; check the backbone's weights and run"
                    " the workflow again"
                )
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)

    def rows(self, image_id: Sequence[str], view: Sequence[int] | int = 0) -> np.ndarray:
        """Row numbers of (image_id, view) pairs.

        Raises:
            StoreError: a pair is not there; it names the first one.
        """
        views = [view] * len(image_id) if isinstance(view, int) else list(view)
        known = {pair: row for row, pair in enumerate(zip(self.image_id, self.view, strict=True))}
        try:
            return np.array([known[pair] for pair in zip(image_id, views, strict=True)], dtype=np.int64)
        except KeyError as error:
            raise StoreError(
                f"{self.parts[0].path}: no embedding of image and view {error}; run the workflow again"
            ) from None


@dataclass(frozen=True)
class EmbeddingFile:
    """One file of an embedding.

    Attributes:
        path: where it stands.
        encoding: `embeddings` or `views`.
        width: number of values of a row.
        place: (n,) int, the row of the file that holds each row of the embedding.
    """

    path: Path
    encoding: str
    width: int
    place: np.ndarray

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Features (m, width) float32 of (m,) rows of the embedding.

        The file is read in slices of at most m rows: h5py picks single rows a hundred times slower.
        """
        values = np.empty((len(rows), self.width), dtype=np.float32)
        order = np.argsort(self.place[rows], kind="stable")
        place = self.place[rows][order]
        with open_h5(self.path, self.encoding) as file:
            begin = 0
            while begin < len(place):
                first = place[begin]
                end = int(np.searchsorted(place, first + len(place)))
                part = file["features"][first : place[end - 1] + 1]
                values[order[begin:end]] = part[place[begin:end] - first]
                begin = end
        return values


def read_embeddings(paths: Sequence[Path], encoding: str = "embeddings") -> Embeddings:
    """The rows of one embedding, or of the fusion of several: features side by side, matched by image and view.

    Args:
        paths: files of the same images; the first gives the order of rows.
        encoding: `embeddings` (originals) or `views` (augmented copies).

    Raises:
        StoreError: a file is damaged, or misses a row of the first one.
    """
    parts = [_read_rows(path, encoding) for path in paths]
    first = parts[0]
    if len(parts) == 1:
        return first
    files = [replace(part.parts[0], place=part.rows(list(first.image_id), list(first.view))) for part in parts]
    names = {name for part in parts for name in part.attributes}
    attributes = {name: " + ".join(str(part.attributes.get(name, "–")) for part in parts) for name in sorted(names)}
    return Embeddings(first.image_id, first.view, attributes, tuple(files))


def _read_rows(path: Path, encoding: str) -> Embeddings:
    with open_h5(path, encoding) as file:
        image_id = read_strings(file, "image_id")
        view = file["view"][:].astype(np.int64) if "view" in file else np.zeros(len(image_id), dtype=np.int64)
        count, width = file["features"].shape
        attributes = dict(file.attrs)
    if count != len(image_id):
        raise StoreError(f"{path}: {count} rows of features, {len(image_id)} of image_id; delete it and run again")
    return Embeddings(image_id, view, attributes, (EmbeddingFile(path, encoding, width, np.arange(count)),))


# ----------------------------------------------------------------------------------------- tables


def read_table(path: Path) -> pd.DataFrame:
    """A table by its ending: .parquet, .csv or .tsv.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        if path.suffix == ".parquet":
            check_parquet(path)
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", keep_default_na=False, na_values=[""])
    except StoreError:
        raise
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the workflow again to make it") from None
    except Exception as error:  # pyarrow and pandas raise many kinds for a damaged file
        raise StoreError(
            f"{path}: cannot be read as a table ({error}); delete it and run the workflow again"
        ) from error


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """A table by its ending: .parquet (exact), .csv, .tsv, .md or .tex (six significant digits)."""
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            write_sealed_parquet(frame, temporary)
            return
        text = {
            ".csv": lambda: frame.to_csv(index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g"),
            ".tsv": lambda: frame.to_csv(index=False, sep="\t", float_format=f"%.{SIGNIFICANT_DIGITS}g"),
            ".md": lambda: markdown(frame) + "\n",
            ".tex": lambda: frame.to_latex(index=False, escape=True, float_format="%.4g"),
        }[path.suffix]()
        temporary.write_text(text, encoding="utf-8")


def markdown(frame: pd.DataFrame, *, floatfmt: str = ".4g", missing: str = "") -> str:
    """A table as Markdown, a line a row, whatever its words hold.

    Args:
        frame: the table; names that look like numbers (a patient "007") stay as they are.
        floatfmt: format of numbers.
        missing: what stands where there is no value.
    """
    words = [place for place, kind in enumerate(frame.dtypes) if not pd.api.types.is_numeric_dtype(kind)]
    shown = frame.map(_in_one_cell).rename(columns=_in_one_cell).astype(object)
    shown = shown.where(shown.notna(), None)
    return str(shown.to_markdown(index=False, floatfmt=floatfmt, missingval=missing, disable_numparse=words))


def _in_one_cell(value: Any) -> Any:
    """Words without what would end a Markdown cell or its row."""
    return " ".join(value.splitlines()).replace("|", r"\|") if isinstance(value, str) else value


def write_table_in_all_formats(frame: pd.DataFrame, csv: Path) -> None:
    """The table as CSV, and beside it as Markdown and LaTeX."""
    for ending in (".csv", ".md", ".tex"):
        write_table(frame, csv.with_suffix(ending))


def write_json(value: Any, path: Path) -> None:
    """JSON with sorted keys and numbers of six significant digits."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(_rounded(value), indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); delete it and run the workflow again") from None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if np.isfinite(value) else None
    return value
