"""Files that are whole or absent: written under a temporary name beside the target and renamed."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from heteroscope.checksums import record_checksum
from heteroscope.errors import StoreError

PLACE_LETTERS = 8
RANDOM_LETTERS = 8  # of a name that mkstemp makes
ABANDONED = 3600  # seconds without a write, after which a writer on another machine is taken for dead
UMASK = os.umask(0)  # it can only be read by setting it
os.umask(UMASK)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REMEDIES = {
    **dict.fromkeys(NO_ROOM, "make room"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make the folder writable"),
    errno.EIO: "check the disk",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and vanishes when not.

    Raises:
        StoreError: the disk is full, read-only or failing; the file that stood there is as it was.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}.{_processes()}-{os.getpid()}."
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~UMASK)
            record_checksum(path, temporary)
            temporary.replace(path)
            _sweep(path)
        finally:
            with suppress(OSError):  # what went wrong before is what the user must know
                temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever keeps the block from writing becomes an error that names `path`, the reason and the remedy.

    Raises:
        StoreError: the disk is full, read-only or failing.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        remedy = REMEDIES[error.errno]
        raise StoreError(
            f"{path}: cannot be written ({os.strerror(error.errno)}); {remedy} and run the workflow again"
        ) from error


def _sweep(path: Path) -> None:
    """Delete what jobs that were killed while they wrote `path` have left, but not what another may be writing."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * PLACE_LETTERS}-*.{'?' * RANDOM_LETTERS}.part"):
        processes, number = left.name.split(".")[-3].split("-")
        with suppress(OSError):
            dead = processes == _processes() and not _lives(int(number))
            if dead or time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()


@cache
def _processes() -> str:
    """Tells apart machines, their starts, and containers: in each, a process number means another process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        place = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: of no other process it is known whether it lives
        place = str(os.getpid())
    return hashlib.sha256(place.encode()).hexdigest()[:PLACE_LETTERS]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def _sync(path: Path) -> None:
    """Wait until the disk has the file: some tell only now that they are full."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
