"""What all stages share: the parser, the log, threads, and errors without a traceback."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from heteroscope.atomic import REMEDIES
from heteroscope.errors import UserError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A stage's parser; `--threads` is there in every stage, since results may depend on it."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--threads", type=int, default=2, help="threads of numerical work; part of the result (default 2)"
    )
    return made


def add_sample_arguments(arguments: argparse.ArgumentParser) -> None:
    """The flags of every stage that works on embeddings and a split."""
    arguments.add_argument("--embeddings", type=Path, nargs="+", required=True, help="embeddings.h5; several are fused")
    arguments.add_argument("--views", type=Path, nargs="*", default=[], help="views.h5 of the same backbones, if any")
    arguments.add_argument("--split", type=Path, required=True, help="split.parquet")


def add_arm_arguments(arguments: argparse.ArgumentParser) -> None:
    """The flags of every stage that retrains heads in clusters."""
    add_sample_arguments(arguments)
    arguments.add_argument("--assignments", type=Path, required=True, help="assignments.parquet")
    arguments.add_argument("--head", required=True, help="JSON of a `heads` entry")
    arguments.add_argument("--controls", required=True, help="JSON of a `controls` entry")


def add_classifier_outputs(arguments: argparse.ArgumentParser) -> None:
    """The flags of what every classifier on embeddings leaves behind (`layout.CLASSIFIER_FILES`)."""
    arguments.add_argument("--predictions", type=Path, required=True, help="output: a row a seed and test image")
    arguments.add_argument("--metrics", type=Path, required=True, help="output: metrics, and what they stand on")
    arguments.add_argument("--times", type=Path, required=True, help="output: seconds, which no run repeats")


def json_argument(text: str) -> Any:
    """What a JSON argument holds; `-` stands for standard input, since Linux takes no argument above 128 KiB."""
    return json.loads(sys.stdin.read() if text == "-" else text)


def fix_threads(threads: int) -> None:
    """Give numerical libraries this many threads, before they are imported: a stage imports them in `main`."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    # threads that wait by spinning slow a shared machine down tenfold; no value depends on how they wait
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a stage: log to stderr, and end with status 1 and one message for an error that the user can mend."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    try:
        main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno in REMEDIES:
            where, remedy = error.filename or "output", REMEDIES[error.errno]
            print(f"error: {where}: {error.strerror}; {remedy} and run the workflow again", file=sys.stderr)
            raise SystemExit(1) from None
        raise
