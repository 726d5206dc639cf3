"""What SLURM costs: one configuration run on this machine and through a private SLURM, side by side.

`make overhead` runs the demo and writes docs/reliability/overhead.md.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.machine import ROOT, commit, cores
from heteroscope.atomic import atomic_path
from heteroscope.errors import UserError
from heteroscope.summary import markdown
from reliability.cluster import Cluster, Job, missing, overlapping, private_cluster
from reliability.workflow import tables

CORES = cores()
PAGE = ROOT / "docs/reliability/overhead.md"
ANALYSIS = ["train", "curve", "cluster", "stability", "redraw", "retrain", "labels", "gaussian", "compare", "report"]


@dataclass(frozen=True)
class Way:
    """A way to run a configuration.

    Attributes:
        name, about: of a row of the page.
        options: of Snakemake.
        allocated: Snakemake runs inside one SLURM job instead of submitting jobs.
    """

    name: str
    about: str
    options: tuple[str, ...]
    allocated: bool = False


LOCAL = ("--profile", str(ROOT / "config/profiles/local"))
# a node of this machine has this machine's cores, and the cluster no accounting database
SLURM = (
    "--profile",
    str(ROOT / "config/profiles/slurm"),
    "--max-threads",
    str(CORES),
    "--slurm-status-command",
    "squeue",
)
WAYS = (
    Way("local", "`config/profiles/local`", LOCAL),
    Way("SLURM, a job each", "`config/profiles/slurm`", SLURM),
    Way(
        "SLURM, chains grouped",
        "the same, with compare and report, and redraw and labels, as a group each (`--groups`)",
        (*SLURM, "--groups", "compare=page", "report=page", "redraw=label-arm", "labels=label-arm"),
    ),
    Way(
        "SLURM, analyses grouped",
        "the same, with all that stands behind the embeddings of a study as one group",
        (*SLURM, "--cores", str(CORES), "--groups", *(f"{rule}=analysis" for rule in ANALYSIS)),
    ),
    Way("SLURM, one job", "`sbatch` of one Snakemake with `config/profiles/local`", LOCAL, allocated=True),
)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        began: seconds since 1970.
        seconds: wall time, from Snakemake's start, or the submission, to the end.
        jobs: of SLURM.
        working: seconds that the stages took, by Snakemake's benchmarks: what remains of a job's time is its start.
        tables: path below `results` → digest of its bytes.
    """

    way: Way
    began: float
    seconds: float
    jobs: list[Job]
    working: float
    tables: Mapping[str, str]


def measure(config: Path, ways: Sequence[Way] = WAYS) -> list[Run]:
    """Run a configuration from scratch in every way.

    Raises:
        UserError: SLURM is not here, a run fails, makes other tables than the first one, or shares a GPU.
    """
    if reason := missing():
        raise UserError(reason)
    runs: list[Run] = []
    with private_cluster() as cluster, tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        for number, way in enumerate(ways):
            print(f"{way.name} …", flush=True)
            runs.append(_run(way, config, Path(folder) / str(number), cluster))
            print(f"{way.name}: {runs[-1].seconds:.0f} s", flush=True)
            _check(runs[0], runs[-1])
    return runs


def _run(way: Way, config: Path, folder: Path, cluster: Cluster) -> Run:
    folder.mkdir()
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command = [*snakemake, *way.options, "--configfile", str(config.resolve())]
    if way.allocated:
        asked = ["--partition=gpu", "--gpus=1", f"--cpus-per-task={CORES}", "--mem=12000", "--time=60"]
        named = ["--output", str(folder / "head.log"), "--comment=group_study"]
        command = ["sbatch", "--wait", *asked, *named, "--wrap", shlex.join(command)]
    earlier = len(cluster.jobs())
    began, clock = time.time(), time.monotonic()
    done = subprocess.run(command, env=dict(cluster.environment), capture_output=True, text=True, check=False)
    seconds = time.monotonic() - clock
    log = folder / "head.log"
    if done.returncode:
        said = done.stdout + done.stderr + (log.read_text() if log.is_file() else "")
        raise UserError(f"{way.name}: {config} failed.\n{said[-4000:]}")
    jobs = cluster.jobs()[earlier:]
    if way.allocated:  # sbatch notices an end some seconds late
        seconds = jobs[0].end - began
    working = sum(pd.read_csv(path, sep="\t")["s"].sum() for path in (folder / "results/benchmarks").rglob("*.tsv"))
    return Run(way, began, seconds, jobs, working, tables(folder / "results"))


def _check(first: Run, run: Run) -> None:
    if differing := sorted({path for path, _ in first.tables.items() ^ run.tables.items()}):
        raise UserError(f"{run.way.name}: other tables than in {first.way.name}: {', '.join(differing)}")
    if shared := overlapping([job for job in run.jobs if job.gpus]):
        raise UserError(f"{run.way.name}: jobs shared the GPU: {shared}")


# --------------------------------------------------------------------------------------------------- the page


def page(runs: Sequence[Run], config: str) -> str:
    """The page: wall times, and every job as SLURM remembers it."""
    slurm = [run for run in runs if run.jobs]
    return "\n\n".join(
        [
            "# What SLURM costs",
            f"Made by `make overhead` at commit {commit()}: `{config}` from scratch in every way, one after another in"
            f" one run, on {CORES} cores. The cluster is one machine with a node for each of its two partitions, and"
            " its queue is empty: what a real one adds is waiting. Trust the ratios.",
            markdown(_summary(runs)),
            "“In its jobs” adds up how long SLURM's jobs ran, “in its stages” how long the commands of the rules did,"
            " wherever they ran: what lies between are the starts of Snakemake, two for every job.",
            f"All {len(runs[0].tables)} tables are the same in all ways, byte for byte; no two jobs held the GPU at"
            " the same time.",
            "\n".join(f"- {run.way.name}: {run.way.about}." for run in runs),
            "## Every job, as SLURM remembers it",
            "From `scontrol --details show jobs`: what each was given (cores, memory in MiB, GPUs, minutes), and when"
            " it was submitted, began and ended, in seconds from the start of its run.",
            *(f"### {run.way.name}\n\n{markdown(_evidence(run))}" for run in slurm),
        ]
    )


def _summary(runs: Sequence[Run]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "way": run.way.name,
            "wall time (s)": round(run.seconds),
            "× local": f"{run.seconds / runs[0].seconds:.2f}",
            "SLURM jobs": len(run.jobs),
            "in its jobs (s)": str(round(sum(job.end - job.start for job in run.jobs))) if run.jobs else None,
            "in its stages (s)": round(run.working),
        }
        for run in runs
    )


def _evidence(run: Run) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "job": f"{job.rule} {job.wildcards}".strip(),
            "partition": job.partition,
            "cores": job.cores,
            "memory": job.memory,
            "GPUs": job.gpus,
            "minutes": job.minutes,
            "state": job.state,
            "submitted": round(job.submitted - run.began),
            "began": round(job.start - run.began),
            "ended": round(job.end - run.began),
        }
        for job in run.jobs
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m reliability.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "config/config.yaml", help="what is run (the demo)")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args(argv)
    try:
        runs = measure(arguments.config)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    arguments.page.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(arguments.page) as temporary:
        temporary.write_text(page(runs, arguments.config.name) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
