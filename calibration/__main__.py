"""`python -m calibration`: simulate studies whose truth is known, and write docs/calibration.md from what was found."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import ROOT, commit, cores, facts
from calibration.settings import Setting, settings
from heteroscope.stages.command import fix_threads

RESULTS = ROOT / "results" / "calibration"
PAGE = ROOT / "docs" / "calibration.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the studies that are missing, then write the page; `--page` only writes."""
    args = _arguments().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does, end the processes that were started
    fix_threads(1)  # of this process and those it starts: studies run beside each other
    chosen = _chosen(args.only, args.studies)
    if not args.page:
        from calibration.running import run

        machine = facts()
        run(
            args.results,
            chosen,
            processes=args.processes,
            facts={"commit": args.commit or commit(), "processor": machine["processor"], "cores": machine["cores"]},
        )
    if args.page or not args.only:
        from calibration.page import write_page

        write_page(args.results, settings(), args.output)


def _chosen(only: str | None, studies: int | None) -> list[Setting]:
    """The settings of the blocks asked for, each with at most so many studies."""
    found = settings()
    blocks = list(dict.fromkeys(setting.block for setting in found))
    names = only.split(",") if only else blocks
    if unknown := sorted(set(names) - set(blocks)):
        raise SystemExit(f"error: --only: no such block: {', '.join(unknown)}; there are {', '.join(blocks)}")
    return [
        replace(setting, studies=min(setting.studies, studies or setting.studies))
        for name in names
        for setting in found
        if setting.block == name
    ]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m calibration", description=__doc__)
    parser.add_argument("--only", help="blocks, separated by commas: null, random, published, curved, power, size")
    parser.add_argument("--studies", type=int, help="at most so many studies of every setting")
    parser.add_argument("--processes", type=int, default=cores(), help="at a time (default: the cores)")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from the results there are")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the results (default: results/calibration)"
    )
    parser.add_argument("--output", type=Path, default=PAGE, help="the page (default: docs/calibration.md)")
    parser.add_argument("--commit", help="what to call the code where there is no git")
    return parser


if __name__ == "__main__":
    main()
