"""A finished study of a folder of images, which tests copy before they change it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.raw_folder import on_the_folder, write_source


@pytest.fixture(scope="session")
def run_once(snakemake: Callable, unchanged_tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the study was run; tests may only look at it, or copy it."""
    folder = tmp_path_factory.mktemp("table")
    write_source(folder / "raw")
    done = snakemake(folder, on_the_folder(unchanged_tiny), "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def folder(run_once: Path, tmp_path: Path) -> Path:
    """A copy, for one test, of a folder in which the study was run."""
    return shutil.copytree(run_once, tmp_path / "copy")


@pytest.fixture
def config(tiny: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the study, for one test to change."""
    return on_the_folder(tiny)
