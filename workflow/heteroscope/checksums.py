"""The SHA-256 of every result as it was written: `results/checksums/` mirrors `results/`, a small file a result.

It tells what was changed by hand or damaged since, which times do not (`heteroscope check`). The files
are in the format of `sha256sum`, for use without this package. No rule names them: they make nothing stale.
"""

from __future__ import annotations

import os
from pathlib import Path

from heteroscope.provenance import file_sha256

RESULTS = Path("results")
CHECKSUMS = RESULTS / "checksums"
DIGITS = 64  # of a SHA-256 in hex
UNRECORDED = (
    RESULTS / "cache",  # may be deleted at any time
    RESULTS / "benchmarks",  # of a run, not of its results
    RESULTS / "reliability",  # measurements of the workflow itself, not results of a study
)


def checksum_path(path: Path) -> Path | None:
    """Where the checksum of a file is recorded; None for what no study stands on, and all beyond `results/`."""
    inner = _below(path, RESULTS)
    if inner is None or inner.name.startswith(".") or any(_below(path, folder) for folder in UNRECORDED):
        return None
    return CHECKSUMS / inner.with_name(f"{inner.name}.sha256")


def record_checksum(path: Path, content: Path) -> None:
    """Record the checksum that `path` will have, from the file that is about to take its place."""
    record = checksum_path(path)
    if record is None:
        return
    record.parent.mkdir(parents=True, exist_ok=True)
    temporary = record.with_name(f".{record.name}.{os.getpid()}.part")
    try:
        temporary.write_text(f"{file_sha256(content)}  {_below(path, Path())}\n", encoding="utf-8")
        temporary.replace(record)
    finally:
        temporary.unlink(missing_ok=True)


def recorded_checksum(path: Path) -> str | None:
    """The SHA-256 of a file as it was written, in hex; None where nothing was recorded, or the record itself is cut."""
    record = checksum_path(path)
    found = record.read_text(encoding="utf-8").split(" ")[0] if record and record.is_file() else ""
    return found if len(found) == DIGITS else None


def recorded_below(folder: Path) -> list[Path]:
    """The files of a folder below `results/`, not of its folders, of which a checksum is recorded."""
    records = CHECKSUMS / folder.relative_to(RESULTS)
    return [folder / path.stem for path in sorted(records.glob("[!.]*.sha256"))]


def _below(path: Path, folder: Path) -> Path | None:
    """The path as seen from a folder that it is below, or None; both may be relative to the working directory."""
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder) if path.is_relative_to(folder) else None
