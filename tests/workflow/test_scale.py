"""Studies far larger than the demo: they are planned, and their commands can be run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONGEST_ARGUMENT = 2**17  # bytes, with its end: Linux starts no program with a longer one


def test_no_argument_is_too_long_for_a_program(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    """A study of 8 backbones and 5 clusterings of 8 clusters: its comparison reads 1,264 files."""
    network = tiny["backbones"].pop("small-cnn")
    tiny["backbones"] = {f"small-cnn-{number}": network | {"seed": number} for number in range(8)}
    tiny["clusterings"] = {f"kmeans-8-{seed}": {"k": 8, "seed": seed} for seed in range(5)}
    axes = {name: list(tiny[name]) for name in ("backbones", "clusterings")}
    primary = {"backbone": axes["backbones"][0], "clustering": axes["clusterings"][0]}
    tiny["studies"]["tiny"] |= axes | {"primary": primary}
    done = snakemake(tmp_path, tiny, "--cores", "1", "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout + done.stderr
    for stage in ("compare", "report"):
        line = next(line for line in done.stdout.splitlines() if f"heteroscope.stages.{stage} " in line)
        words = shlex.split(line.split(" <<< ")[0])
        assert max(len(word.encode()) for word in words) < LONGEST_ARGUMENT
        assert len(line) > LONGEST_ARGUMENT  # or the test is of nothing
