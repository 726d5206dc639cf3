"""What a study's jobs took, from Snakemake's benchmarks."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from heteroscope.benchmarked import BENCHMARKS, job_times, jobs_of


def cost_table(subjects: Collection[str], folder: Path = BENCHMARKS) -> pd.DataFrame | None:
    """A row a stage: its jobs, and in seconds their wall and CPU time and the longest one; the last row is all of them.

    The report itself is not among them. A job that ran more than once counts as it ran last. None where no job was
    measured.

    Args:
        subjects: ids of the study, of its dataset, and of a union's members.
        folder: with a benchmark of every job.
    """
    jobs = jobs_of(job_times(folder), subjects)
    jobs = jobs[jobs["rule"] != "report"]  # which makes this table: it knows no time but that of an earlier page
    if jobs.empty:
        return None
    table = jobs.groupby("rule").agg(
        jobs=("wall", "size"), wall_s=("wall", "sum"), cpu_s=("cpu", "sum"), longest_s=("wall", "max")
    )
    table = table.sort_values("wall_s", ascending=False)
    table.loc["all"] = [table["jobs"].sum(), table["wall_s"].sum(), table["cpu_s"].sum(), table["longest_s"].max()]
    return table.astype({"jobs": int}).rename_axis("stage").reset_index()
