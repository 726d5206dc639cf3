"""The SLURM profile, where no SLURM is needed to see what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from snakemake.cli import get_argument_parser

from tests.rules import rules

ROOT = Path(__file__).parents[2]
PROFILE = yaml.safe_load((ROOT / "config/profiles/slurm/config.yaml").read_text())


def test_snakemake_knows_every_key() -> None:
    """Snakemake passes over a misspelt one without a word."""
    known = {
        option.removeprefix("--")
        for action in get_argument_parser(profiles=[])._actions
        for option in action.option_strings
    }
    assert PROFILE.keys() - known == set()


def test_exactly_the_rules_that_ask_for_a_gpu_go_to_its_partition() -> None:
    asking = {rule for rule, text in rules().items() if "gpu=1" in text}
    assert {"engine", "finetune", "embed", "views_shard"} <= asking
    assert PROFILE["set-resources"] == {rule: {"slurm_partition": "gpu"} for rule in asking}


def test_memory_and_time_of_every_job_grow_with_every_attempt(
    snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    first, second = (asked(snakemake, tmp_path, tiny, attempt) for attempt in (1, 2))
    assert len(first) >= 17
    assert second == {rule: (2 * memory, 2 * minutes) for rule, (memory, minutes) in first.items()}


def asked(snakemake: Callable, folder: Path, config: dict[str, Any], attempt: int) -> dict[str, tuple[int, int]]:
    """Rule → the memory in MB and the minutes that its jobs ask for."""
    done = snakemake(folder, config, "--cores", "8", "--dry-run", "--attempt", str(attempt))
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)", done.stdout, re.M)
    return {
        rule: (int(re.search(r"mem_mb=(\d+)", resources)[1]), int(re.search(r"runtime=(\d+)", resources)[1]))
        for rule, resources in found
        if "runtime=" in resources
    }
