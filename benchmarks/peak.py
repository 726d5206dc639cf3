"""Run a command and print its peak memory: `python -m benchmarks.peak COMMAND …`.

A process inherits the peak of the one that started it, so a large process cannot measure its own
children: this small one stands between.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Run the command; print its peak resident memory in KiB as the last line; return its exit status."""
    pid = os.posix_spawnp(words[0], list(words), os.environ)
    _, status, usage = os.wait4(pid, 0)
    print(usage.ru_maxrss)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
