"""A disk that is full, read-only, or that somebody else writes to."""

from __future__ import annotations

import hashlib
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import heteroscope.stages
from heteroscope.store import open_h5
from tests.rules import stages

PIXELS = Path("results/dataset/toy/square-32/pixels.h5")
EMBEDDINGS = Path("results/embed/toy/small-cnn/embeddings.h5")


def contents(folder: Path) -> dict[str, str]:
    """Digest of every result but logs, and what is written by and by: photographs of phantoms, states of trainings."""
    found = [path for path in (folder / "results").rglob("*") if path.suffix not in (".png", ".ckpt")]
    files = [path for path in found if path.is_file() and folder / "results/logs" not in path.parents]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.name != "filler"}


@pytest.mark.parametrize("rule", stages())
def test_a_full_disk_is_named_and_leaves_what_was_there(
    rule: str, jobs: dict, folder: Path, disk: Callable, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    if rule in ("pixels", "embed"):  # not to copy rows that it holds already
        {"pixels": PIXELS, "embed": EMBEDDINGS}[rule].unlink()
    disk(folder, 0)
    before = contents(folder)
    message = jobs[rule].fails(monkeypatch, capsys)
    assert "cannot be written (No space left on device); make room and run the workflow again" in message
    assert "results/" in message
    if rule != "phantom":
        assert contents(folder) == before


def test_no_stage_is_left_out(jobs: dict) -> None:
    """Every stage is run by a rule, and every rule that runs one has a job in STUDIES (conftest.py)."""
    package = {module.name for module in pkgutil.iter_modules(heteroscope.stages.__path__)} - {"command"}
    assert set(stages().values()) == package
    assert {rule: job.stage for rule, job in jobs.items()} == stages()


@pytest.mark.parametrize(("stage", "path"), [("pixels", PIXELS), ("embed", EMBEDDINGS)])
@pytest.mark.parametrize("spare", [8192, 24576])
def test_a_disk_that_fills_on_the_way_is_named_and_the_next_run_ends_well(
    stage: str,
    path: Path,
    spare: int,
    jobs: dict,
    folder: Path,
    disk: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    undisturbed = path.read_bytes()
    path.unlink()
    disk(folder, spare)
    message = jobs[stage].fails(monkeypatch, capsys)
    assert path.name in message
    assert "No space left on device" in message
    assert not path.exists()
    assert list(path.parent.glob(".*.part")) == []
    Path("results/filler").unlink()
    jobs[stage].run(monkeypatch)
    with open_h5(path, "pixels" if stage == "pixels" else "embeddings") as file:
        made = {name: file[name][:].tobytes() for name in file}
    path.write_bytes(undisturbed)
    with open_h5(path, "pixels" if stage == "pixels" else "embeddings") as file:
        assert made == {name: file[name][:].tobytes() for name in file}
    assert list(path.parent.glob(".*.journal")) == []


WRITES = """
    import sys
    from pathlib import Path
    import numpy as np
    from heteroscope.errors import StoreError
    from heteroscope.store import create_h5

    def chunks(file, count, values):
        return file.create_dataset("x", (count, values), dtype="f4", chunks=(1, values), fletcher32=True)

    def write(file, how):
        if how == "large chunks":
            rows = chunks(file, 100, 100_000)
        elif how == "small chunks":
            rows = chunks(file, 20_000, 100)
        elif how == "on closing":  # all of it waits in HDF5's own memory
            rows = chunks(file, 100, 9)
        elif how == "one piece":
            file.create_dataset("x", data=np.ones(1_000_000))
            return
        elif how == "names":
            for number in range(20_000):
                file.create_dataset(f"x{number}", data=np.ones(10))
            return
        for row in range(len(rows)):
            rows[row] = row
            if how == "small chunks" and row % 100 == 0:
                file.flush()

    path, how = Path(sys.argv[1]), sys.argv[2]
    try:
        with create_h5(path, "embeddings", {"a": "b"}) as file:
            write(file, how)
    except StoreError as error:
        sys.exit(f"error: {error}")
"""


@pytest.mark.parametrize("how", ["large chunks", "small chunks", "on closing", "one piece", "names"])
def test_hdf5_does_not_crash_where_a_disk_is_full(how: str, folder: Path, disk: Callable) -> None:
    """By itself it ends the process with a segmentation fault when it fails to close a file."""
    disk(folder, 4096 if how == "on closing" else 2**20)
    path = folder / "results/new.h5"
    command = [sys.executable, "-c", textwrap.dedent(WRITES), str(path), how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.strip() == (
        f"error: {path}: cannot be written (No space left on device); make room and run the workflow again"
    )
    assert [found.name for found in path.parent.glob("*new*")] == []


@pytest.mark.parametrize("stage", ["dataset", "pixels", "train"])
def test_results_that_are_read_only_are_named(
    stage: str, jobs: dict, folder: Path, disk: Callable, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    disk(folder, 2**20)
    subprocess.run(["mount", "-o", "remount,ro", str(folder / "results")], check=True)
    message = jobs[stage].fails(monkeypatch, capsys)
    assert "results/" in message
    assert "cannot be written (Read-only file system); make the folder writable" in message


def test_a_folder_of_somebody_else_is_named(
    jobs: dict, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """What a user without rights meets; root may write everywhere."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("heteroscope.atomic.tempfile.mkstemp", refused)
    message = jobs["split"].fails(monkeypatch, capsys)
    assert "holdout.parquet: cannot be written (Permission denied); make the folder writable" in message


def test_a_finished_study_is_looked_at_on_a_read_only_disk(
    planned: Callable, folder: Path, disk: Callable, tiny: dict[str, Any]
) -> None:
    disk(folder, 2**20)
    subprocess.run(["mount", "-o", "remount,ro", str(folder / "results")], check=True)
    assert planned(folder, tiny) == {}


def test_a_stale_study_on_a_read_only_disk_ends_in_words(
    snakemake: Callable, folder: Path, disk: Callable, tiny: dict[str, Any]
) -> None:
    disk(folder, 2**20)
    subprocess.run(["mount", "-o", "remount,ro", str(folder / "results")], check=True)
    tiny["studies"]["tiny"]["title"] = "Another title"
    done = snakemake(folder, tiny, "--cores", "2")
    output = done.stdout + done.stderr
    assert done.returncode
    assert re.search("Write-protected output files for rule (compare|report)", output)
    assert "results/" in output
    assert "Traceback" not in output
    assert os.access(folder / "results/report/tiny/index.html", os.R_OK)
