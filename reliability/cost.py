"""What a command costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.machine import ROOT


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        name: of what was measured.
        size: jobs or rows that it worked on.
        seconds: by the clock.
        processor: seconds of processor time, of the command and of all that it started.
        mebibytes: peak resident memory of the command itself.
    """

    name: str
    size: int
    seconds: float
    processor: float
    mebibytes: float


def cost_of(
    name: str, size: int, words: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[Cost, str]:
    """Run a command.

    Returns:
        Its cost, and what it wrote to either stream.

    Raises:
        RuntimeError: it failed; with the end of what it wrote.
    """
    environment = dict(environment or os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), str(ROOT)]))
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)[:400]} failed:\n{done.stdout[-3000:]}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(name, size, seconds, processor, int(done.stdout.split()[-1]) / 1024), done.stdout
