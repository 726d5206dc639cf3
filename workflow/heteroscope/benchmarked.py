"""What jobs cost: Snakemake's benchmark files below results/benchmarks, added up over studies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

BENCHMARKS = Path("results/benchmarks")
VIEW_IDS = 4  # dataset, backbone, split, augmentation: the path of views below `embed`


def job_times(folder: Path = BENCHMARKS) -> pd.DataFrame:
    """One row a job that has run: rule, ids (the parts of its path), wall and cpu in seconds.

    A job that Snakemake measured no CPU time of, which happens to the shortest ones, has 0.
    """
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        parts = path.relative_to(folder).with_suffix("").parts
        if len(path.read_text(encoding="utf-8").splitlines()) < 2:
            continue  # of a job that ends just now, or was killed there
        measured = pd.read_csv(path, sep="\t").iloc[-1]
        cpu = pd.to_numeric(measured["cpu_time"], errors="coerce")
        rows.append(
            {"rule": rule_of(parts), "ids": frozenset(parts[1:]), "wall": float(measured["s"]), "cpu": float(cpu)}
        )
    table = pd.DataFrame(rows, columns=["rule", "ids", "wall", "cpu"])
    return table.fillna({"cpu": 0.0})


def rule_of(parts: Sequence[str]) -> str:
    """The rule whose benchmark stands at a path below `results/benchmarks`."""
    folder, *ids = parts
    if folder == "retrain" and not ids[-1].startswith("cluster-"):
        return ids[-1]
    if folder == "embed":
        whole = ids[: ids.index("shards")] if "shards" in ids else ids
        return ("views" if len(whole) == VIEW_IDS else "embed") + ("_shard" if "shards" in ids else "")
    return folder


def jobs_of(times: pd.DataFrame, subjects: Collection[str], *, foreign: Collection[str] = ()) -> pd.DataFrame:
    """The jobs whose path holds one of the subjects (studies, datasets) and no foreign id.

    Args:
        times: from `job_times`.
        subjects: ids of studies and of their datasets.
        foreign: ids that other studies of the same datasets name.
    """
    wanted = [bool(ids & set(subjects)) and not ids & set(foreign) for ids in times["ids"]]
    return times[np.array(wanted, dtype=bool)]
