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


# What the tiny study has no jobs for: what such jobs would make, and what these read that it has not made either.
MORE = [
    "results/finetune/toy/tuned/holdout/predictions.parquet",
    "results/embed/toy/small-cnn/holdout/turned/views.h5",
    "results/features/toy/small-cnn/holdout/welch/summary.json",
    "results/compare/pair/models.csv",
    "results/compare/tiny/hybrids.csv",
    "results/compare/tiny/regressions.csv",
    "results/compare/tiny/explanations.csv",
]
READ = [
    "results/finetune/toy/tuned/holdout/model.pt",
    "results/hybrid/toy/small-cnn/holdout/none/logistic/predictions.parquet",
    "results/regress/toy/small-cnn/holdout/none/ridge/predictions.parquet",
    "results/explain/toy/small-cnn/holdout/none/linear/cam/summary.json",
]


def with_more(config: dict[str, Any], scatter: int) -> dict[str, Any]:
    """The tiny study beside all that has rules of its own; scattered, also those that join parts."""
    network, study = config["backbones"]["small-cnn"], config["studies"]["tiny"]
    finetune = {"share": "train", "initial": "random", "epochs": 1}
    return config | {
        "datasets": {"toy": config["datasets"]["toy"] | {"scatter": scatter}},
        "augmentations": {"turned": {"rotation": 10}},
        "backbones": {
            "small-cnn": network,
            "twin": network,
            "tuned": network | {"weights": "trained", "finetune": finetune},
        },
        "features": {"welch": {}},
        "hybrids": {"logistic": {"classifier": {"method": "logistic"}}},
        "regressions": {"ridge": {"target": "exudates", "regressor": {"method": "linear"}}},
        "explanations": {"cam": {"method": "grad-cam"}},
        "studies": {
            "tiny": study | {"hybrids": ["logistic"], "regressions": ["ridge"], "explanations": ["cam"]},
            "pair": study | {"backbones": ["small-cnn", "twin"]},
        },
    }


@pytest.fixture(scope="session")
def made(ran: Callable, finished: Path, unchanged_tiny: dict[str, Any], tmp_path_factory: Any) -> Path:
    """The finished study, with all that jobs of any rule read; what a twin would make is copied."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("faults") / "study")
    ran(folder, with_more(unchanged_tiny, scatter=1), *READ)
    for kind in ("embed/toy", "train/toy", "cluster/toy"):
        shutil.copytree(folder / "results" / kind / "small-cnn", folder / "results" / kind / "twin")
    shutil.copy(folder / "results/weights/small-cnn.pt", folder / "results/weights/twin.pt")
    return folder


@pytest.fixture(scope="session")
def jobs(snakemake: Callable, made: Path, unchanged_tiny: dict[str, Any]) -> dict[str, Job]:
    """A job of every rule that runs a stage; paths are relative to the folder of the study."""
    found: dict[str, Job] = {}
    for config, targets in ((unchanged_tiny, []), (with_more(unchanged_tiny, scatter=2), MORE)):
        planned = snakemake(made, config, "--cores", "2", "--dry-run", "--printshellcmds", "--forceall", *targets)
        assert planned.returncode == 0, planned.stdout + planned.stderr
        shown = r"^rule (\w+):\n(?:    .*\n)*\n?Shell command: python -m heteroscope\.stages\.(.*?) 2>&1"
        for rule, line in re.findall(shown, planned.stdout + planned.stderr, re.M):
            stage, *arguments = shlex.split(line)
            given = ""
            if "<<<" in arguments:
                given, arguments = arguments[-1], arguments[:-2]
            found.setdefault(rule, Job(stage, arguments, given))
    return found


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished study that a test may damage; it is the working directory."""
    copy = shutil.copytree(made, tmp_path / "study")
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
