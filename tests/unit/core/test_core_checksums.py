"""Every result has its checksum beside it, as `sha256sum` would have written it, and nothing else has one."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from heteroscope.atomic import atomic_path
from heteroscope.checksums import checksum_path, recorded_below, recorded_checksum

RESULT = Path("results/compare/tiny/a table.csv")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def all_files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def test_a_result_has_the_checksum_of_what_was_written_last() -> None:
    for text in ("first", "second"):
        write(RESULT, text)
        assert recorded_checksum(RESULT) == hashlib.sha256(text.encode()).hexdigest()
    assert all_files() == {str(RESULT), "results/checksums/compare/tiny/a table.csv.sha256"}


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs sha256sum")
def test_the_records_are_for_sha256sum_as_well() -> None:
    write(RESULT, "first")
    check = ["sha256sum", "--check", "--quiet", str(checksum_path(RESULT))]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    RESULT.write_text("First")
    assert subprocess.run(check, capture_output=True, check=False).returncode == 1


def test_an_absolute_path_is_the_same_result(folder: Path) -> None:
    write(folder / RESULT, "first")
    assert recorded_checksum(RESULT) == hashlib.sha256(b"first").hexdigest()
    assert recorded_below(RESULT.parent) == [RESULT]


@pytest.mark.parametrize(
    "path",
    [
        "docs/page.md",
        "results/cache/networks/a.zip",
        "results/dataset/toy/.listing-cache.tsv",
        "results/reliability/scale/plan.json",
        "../outside.csv",
    ],
)
def test_what_is_no_result_has_no_record(path: str) -> None:
    write(Path(path), "text")
    assert recorded_checksum(Path(path)) is None
    assert not Path("results/checksums").exists()


def test_a_job_that_fails_records_nothing() -> None:
    write(RESULT, "first")
    with pytest.raises(UnicodeEncodeError), atomic_path(RESULT) as temporary:
        temporary.write_text("half \N{WHITE SMILING FACE}", encoding="ascii")
    assert recorded_checksum(RESULT) == hashlib.sha256(RESULT.read_bytes()).hexdigest()
