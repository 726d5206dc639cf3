"""The files below a dataset's root, with their SHA-256: what the DAG watches instead of a folder.

It runs in the head process of the workflow before the DAG is built, so it imports nothing heavy. A
file is hashed again only where its size or time of change differs from the cache beside the listing.
"""

from __future__ import annotations

import csv
import errno
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from heteroscope.atomic import atomic_path
from heteroscope.errors import DataError
from heteroscope.provenance import file_sha256

log = logging.getLogger(__name__)

IMAGE_ENDINGS = (
    ".bmp",
    ".dcm",
    ".dicom",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
CACHE_NAME = ".listing-cache.tsv"
HASHING_THREADS = 8
HASHED_AT_ONCE = 10_000  # files whose hashing is waited for together: a thread pool remembers each of them

EVERY = "*"  # before an ending: all files of that ending belong to the dataset

REMEDY = "set the dataset's `root` (it is relative to `data_root`) to the folder that holds its files"

State = tuple[int, int]
"""Size and time of change of a file."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file below a dataset's root; `sha256` is empty where it could not be read."""

    path: str
    size: int
    sha256: str


def update_listing(root: Path, listing: Path, extra: Sequence[str] = ()) -> bool:
    """Scan `root` and rewrite `listing` where its content differs.

    Args:
        root: the dataset's folder. Hidden files and folders are skipped; links are followed.
        listing: the TSV to write, with columns path (posix, below `root`), size and sha256, sorted by path.
        extra: paths below `root` of tables that belong to the dataset; `*.xml` are all files of that ending.

    Returns:
        Whether the listing was written.

    Raises:
        DataError: `root` is missing or holds no image, or a table is missing.
    """
    states = scan(root, extra)
    cache_path = listing.with_name(CACHE_NAME)
    known = _read_cache(cache_path)
    cached = len(known)
    known = {path: entry for path, entry in known.items() if states.get(path) == entry[0]}
    stale = [path for path in states if path not in known]
    known |= _hashed(root, stale, states)
    paths = sorted(states)
    if stale or cached != len(states):
        readable = (path for path in paths if known[path][1])
        _write(cache_path, ([path, *map(str, states[path]), known[path][1]] for path in readable))

    def rows() -> Iterator[list[str]]:
        yield ["path", "size", "sha256"]
        yield from ([path, str(states[path][0]), known[path][1]] for path in paths)

    if listing.is_file() and _same(_rows_of(listing), rows()):
        return False
    _write(listing, rows())
    return True


def _hashed(root: Path, paths: Sequence[str], states: Mapping[str, State]) -> dict[str, tuple[State, str]]:
    """State and SHA-256 of files."""
    found = {}
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        for start in range(0, len(paths), HASHED_AT_ONCE):
            some = paths[start : start + HASHED_AT_ONCE]
            hashes = pool.map(lambda path: _sha256(root / path), some)
            found.update({path: (states[path], sha256) for path, sha256 in zip(some, hashes, strict=True)})
    return found


def _same(rows: Iterator[list[str]], others: Iterator[list[str]]) -> bool:
    return all(row == other for row, other in zip_longest(rows, others))


def read_listing(path: Path) -> list[ListedFile]:
    """The files of a listing, sorted by path.

    Raises:
        DataError: the listing is missing or damaged.
    """
    try:
        return [ListedFile(name, int(size), sha256) for name, size, sha256 in islice(_rows_of(path), 1, None)]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a listing of files ({error}); delete it and run the workflow again") from None


def remove_broken_listing(root: Path, listing: Path) -> None:
    """Remove a listing where a file of it is gone or has another size, so that what generates the files runs again.

    Raises:
        DataError: the listing is damaged.
    """
    if listing.is_file() and not all(_is_whole(root / file.path, file.size) for file in read_listing(listing)):
        log.warning("%s: a generated file is gone or damaged; the dataset is generated again", root)
        listing.unlink()


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def scan(root: Path, extra: Sequence[str] = (), *, remedy: str = REMEDY) -> dict[str, State]:
    """Path below the root → its size and time of change, for every image and named table.

    Args:
        root: a dataset's folder.
        extra: paths below `root` of tables that belong to the dataset; `*.xml` are all files of that ending.
        remedy: what a user can do where `root` is not the folder of images that was meant.

    Raises:
        DataError: `root` is missing or holds no image, or a table is missing.
    """
    if not root.is_dir():
        raise DataError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}; {remedy}")
    tables = [name for name in extra if not name.startswith(EVERY)]
    endings = IMAGE_ENDINGS + tuple(name.removeprefix(EVERY).lower() for name in extra if name.startswith(EVERY))
    files = dict(_files_below(root, "", frozenset(), endings))
    if not any(map(is_image, files)):
        raise DataError(f"{root}: no image below it (endings: {' '.join(IMAGE_ENDINGS)}); {remedy}")
    for table in tables:
        if not (root / table).is_file():
            raise DataError(f"{root / table}: no such table; put it there or name another one in the dataset's `table`")
        files[table] = _state((root / table).stat())
    return files


def is_image(path: str) -> bool:
    """Whether a path below a dataset's root ends as those of images do."""
    return path.lower().endswith(IMAGE_ENDINGS)


def _files_below(
    folder: Path, prefix: str, above: frozenset[tuple[int, int]], endings: tuple[str, ...]
) -> Iterator[tuple[str, State]]:
    """Files of these endings in a folder and its sub-folders; a link back to a folder above is not followed."""
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in above:
        log.warning("%s: a link to a folder above it is not followed", folder)
        return
    try:
        with os.scandir(folder) as entries:
            visible = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except PermissionError as error:
        remedy = "make it readable, or move it out of the dataset's root"
        raise DataError(f"{folder}: cannot be looked into ({error.strerror}); {remedy}") from None
    for entry in visible:
        name = prefix + entry.name
        if entry.is_symlink() and _leads_in_a_circle(entry):
            log.warning("%s: a link to itself is not followed", entry.path)
        elif entry.is_dir():
            yield from _files_below(Path(entry.path), f"{name}/", above | {here}, endings)
        elif entry.name.lower().endswith(endings) and entry.is_file():
            try:
                name.encode()
            except UnicodeEncodeError:
                raise DataError(f"{folder}: the file name {entry.name!r} is not UTF-8; rename it") from None
            yield name, _state(entry.stat())


def _state(stat: os.stat_result) -> State:
    return stat.st_size, stat.st_mtime_ns


def _leads_in_a_circle(entry: os.DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        log.warning("%s: cannot be read: %s", path, error.strerror)
        return ""


def _read_cache(path: Path) -> dict[str, tuple[State, str]]:
    """Path → (state, SHA-256); empty where there is no usable cache."""
    try:
        return {name: ((int(size), int(changed)), sha256) for name, size, changed, sha256 in _rows_of(path)}
    except (OSError, ValueError, csv.Error):
        return {}


def _rows_of(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv.reader(stream, dialect="excel-tab")


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, dialect="excel-tab").writerows(rows)
