"""The stages of a finished study as command lines, to be run again on files and disks that have faults."""

from __future__ import annotations

import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heteroscope.stages import command


@dataclass(frozen=True)
class Job:
    """A job as the workflow would run it: the stage, its arguments, and its standard input."""

    stage: str
    arguments: list[str]
    given: str

    def run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        main = importlib.import_module(f"heteroscope.stages.{self.stage}").main
        monkeypatch.setattr("sys.stdin", io.StringIO(self.given))
        command.run(main, self.arguments)

    def fails(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
        """Run a job that must end with one message; returns it."""
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            self.run(monkeypatch)
        assert ended.value.code == 1
        text = capsys.readouterr().err
        assert "Traceback" not in text
        assert text.count("error:") == 1
        return text[text.index("error:") :].strip()


@pytest.fixture(scope="session")
def jobs(snakemake: Callable, finished: Path, unchanged_tiny: dict[str, Any]) -> dict[str, Job]:
    """A job of every stage of the tiny study; paths are relative to its folder."""
    planned = snakemake(finished, unchanged_tiny, "--cores", "2", "--dry-run", "--printshellcmds", "--forceall")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    found = {}
    for line in re.findall(r"python -m heteroscope\.stages\.(.*?) 2>&1", planned.stdout + planned.stderr):
        stage, *arguments = shlex.split(line)
        given = ""
        if "<<<" in arguments:
            given, arguments = arguments[-1], arguments[:-2]
        found[stage] = Job(stage, arguments, given)
    return found


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished study that a test may damage; it is the working directory."""
    copy = shutil.copytree(finished, tmp_path / "study")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path, int], None]]:
    """Move the results of a study to a disk of their own, with so many bytes to spare."""
    mounted: list[Path] = []

    def move(study: Path, spare: int) -> None:
        results, aside = study / "results", study / "aside"
        results.rename(aside)
        results.mkdir()
        size = 2 * sum(path.stat().st_size + 4096 for path in aside.rglob("*"))
        options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(results)]
        if os.getuid() or not shutil.which("mount") or subprocess.run(options, check=False).returncode:
            pytest.skip("a small disk can be mounted by root only")
        mounted.append(results)
        shutil.copytree(aside, results, dirs_exist_ok=True)
        shutil.rmtree(aside)
        state = os.statvfs(results)
        with (study / "results/filler").open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, state.f_bavail * state.f_frsize - spare)

    yield move
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
