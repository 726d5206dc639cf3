"""Run what is missing, over several processes; a finished study is never run again."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from calibration.settings import Setting
from heteroscope.errors import UserError

Row = dict[str, Any]


def results_file(folder: Path, block: str) -> Path:
    """Where a block's studies stand, a line each."""
    return folder / f"{block}.jsonl"


def read_rows(path: Path) -> Iterator[Row]:
    """The whole lines of a file; one that a killed run left unfinished is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def read_results(folder: Path, settings: Sequence[Setting]) -> pd.DataFrame:
    """All finished studies of these settings, a row each; what another version of a setting gave is left out."""
    digests = {setting.digest: setting for setting in settings}
    rows = [
        row
        for block in dict.fromkeys(setting.block for setting in settings)
        for row in read_rows(results_file(folder, block))
        if row["digest"] in digests and row["seed"] < digests[row["digest"]].studies
    ]
    # two runs at a time would do some studies twice
    once = {(row["digest"], row["seed"]): row for row in reversed(rows)}
    return pd.DataFrame(list(once.values())[::-1])


def missing(folder: Path, settings: Sequence[Setting]) -> list[tuple[Setting, int]]:
    """Settings and seeds without a result, every setting's first studies first."""
    found = read_results(folder, settings)
    known = set() if found.empty else set(zip(found["digest"], found["seed"], strict=True))
    pairs = [(setting, seed) for setting in settings for seed in range(setting.studies)]
    return sorted((pair for pair in pairs if (pair[0].digest, pair[1]) not in known), key=lambda pair: pair[1])


def run_one(setting: Setting, seed: int) -> Row:
    """One study, in a process of its own kind; what the product refuses is a result too."""
    from calibration.study import simulate

    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    started = time.process_time()
    try:
        found = simulate(setting, seed)
    except UserError as error:
        found = {"verdict": "refused", "reason": str(error)}
    return {
        "block": setting.block,
        "setting": setting.name,
        "digest": setting.digest,
        "seed": seed,
        "seconds": time.process_time() - started,
        **found,
    }


def run(folder: Path, settings: Sequence[Setting], *, processes: int, facts: Row) -> None:
    """Run all missing studies and append each as it ends.

    Args:
        folder: of the results.
        settings: what to run.
        processes: at a time, one thread each.
        facts: of this run, written into every row: commit and machine.
    """
    todo = missing(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.time()
    # processes of a fresh interpreter: torch's threads do not outlive a fork
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:  # ends its processes however the block ends
        for found in tqdm(pool.imap_unordered(_run_pair, todo), total=len(todo), unit="study"):
            row = found | facts | {"run": round(started), "elapsed": round(time.time() - started, 1)}
            _append(results_file(folder, row["block"]), row)


def _run_pair(pair: tuple[Setting, int]) -> Row:
    return run_one(*pair)


def _append(path: Path, row: Row) -> None:
    """A line at the end of a file; after a line that was cut off, on a line of its own."""
    with path.open("a+b") as file:
        if file.tell() and not _ends_a_line(path):
            file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
