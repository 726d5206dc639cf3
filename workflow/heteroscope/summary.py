"""Say in a terminal what studies found and where their reports are: `python -m heteroscope.summary [study …]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from heteroscope.stages.command import run
from heteroscope.store import read_json


def main(argv: Sequence[str] | None = None) -> None:
    """Print title, verdict, reason and report of every study named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="+", help="ids of finished studies")
    for study in arguments.parse_args(argv).studies:
        found = read_json(Path(f"results/compare/{study}/verdict.json"))
        print(f"\n{study}: {found['title']}\n  verdict  {found['verdict']} ({found['reason']})")
        print(f"  report   {Path(f'results/report/{study}/index.html').resolve()}")


if __name__ == "__main__":
    run(main)
