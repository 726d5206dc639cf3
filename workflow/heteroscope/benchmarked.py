"""What jobs cost: Snakemake's benchmark files below results/benchmarks, added up over studies."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

BENCHMARKS = Path("results/benchmarks")


def job_times(folder: Path = BENCHMARKS) -> pd.DataFrame:
    """One row a job that has run: rule, ids (the parts of its path), wall and cpu in seconds.

    A job that Snakemake measured no CPU time of, which happens to the shortest ones, has 0.
    """
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        rule, *ids = path.relative_to(folder).with_suffix("").parts
        measured = pd.read_csv(path, sep="\t").iloc[-1]
        cpu = pd.to_numeric(measured["cpu_time"], errors="coerce")
        rows.append({"rule": rule, "ids": frozenset(ids), "wall": float(measured["s"]), "cpu": float(cpu)})
    table = pd.DataFrame(rows, columns=["rule", "ids", "wall", "cpu"])
    return table.fillna({"cpu": 0.0})


def jobs_of(times: pd.DataFrame, *, named: Collection[str], own: Collection[str]) -> pd.DataFrame:
    """The jobs of a study: those whose path holds one of its own ids, and no id of the configuration but its own.

    Args:
        times: from `job_times`.
        named: every id of the configuration.
        own: the ids that the study names, its own and its dataset's among them.
    """
    foreign = set(named) - set(own)
    return times[[bool(ids & set(own)) and not ids & foreign for ids in times["ids"]]]
