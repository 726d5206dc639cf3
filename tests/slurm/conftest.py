"""A real SLURM cluster for the tests of this folder, which are skipped where SLURM is not installed."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from reliability.cluster import Cluster, Job, missing, private_cluster

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "config/profiles/slurm"


@dataclass(frozen=True)
class Head:
    """A Snakemake that submits jobs: the process, where it works, what it said."""

    process: subprocess.Popen
    folder: Path
    log: Path
    cluster: Cluster

    def finish(self, seconds: float = 1800) -> str:
        """Wait for its end, which must be a good one, and return what it said."""
        code = self.process.wait(timeout=seconds)
        said = self.log.read_text()
        assert code == 0, said
        return said

    def jobs(self) -> list[Job]:
        """Its jobs, as SLURM remembers them."""
        run = re.search(r"SLURM run ID: (\S+)", self.log.read_text())
        return [job for job in self.cluster.jobs() if run and job.run == run[1]]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes of sixteen cores by SLURM's books, so that jobs which only wait keep no others off."""
    if reason := missing():
        pytest.skip(reason)
    with private_cluster(cores=16) as running:
        yield running


@pytest.fixture(scope="session")
def submit(cluster: Cluster) -> Iterator[Callable[..., Head]]:
    """Start a run under the profile, or a job with a run `within`; it is interrupted if it outlives the tests."""
    with ExitStack() as stack:

        def start(folder: Path, snakefile: Path, *arguments: str, within: Sequence[str] = ()) -> Head:
            folder.mkdir(parents=True, exist_ok=True)
            log = folder / f"head-{len(list(folder.glob('head-*.log')))}.log"
            head = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
            # this cluster has no accounting database; users wait longer for the first look at the queue
            options = [
                "--profile",
                str(PROFILE),
                "--slurm-status-command",
                "squeue",
                "--slurm-init-seconds-before-status-checks",
                "1",
                "--latency-wait",
                "10",
            ]
            command = [*head, *options, *arguments]
            if within:
                command = [*within, f"--output={log}", "--wrap", f"exec {shlex.join(command)}"]
            out = stack.enter_context(log.open("wb"))
            process = subprocess.Popen(
                command,
                env=cluster.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
                # what runs in the background of a shell, as these tests may, begins with it ignored
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
            stack.callback(_end, process)
            return Head(process, folder, log, cluster)

        yield start


@pytest.fixture(scope="session")
def stubs(submit: Callable[..., Head], tmp_path_factory: pytest.TempPathFactory) -> Head:
    """Jobs that ask for the GPU and jobs that SLURM kills; they mostly wait, beside whatever else runs."""
    return submit(tmp_path_factory.mktemp("stubs"), ROOT / "tests/slurm/stub.smk")


@pytest.fixture(scope="session")
def head_in_a_job(submit: Callable[..., Head], tmp_path_factory: pytest.TempPathFactory) -> Head:
    """A head process as docs/slurm.md submits it, but for five minutes; its job waits for longer, beside the others."""
    page = (ROOT / "docs/slurm.md").read_text(encoding="utf-8").replace("\\\n", "")
    options = re.search(r"^sbatch (.* --signal=B:INT@)300 --output=head-%j.log +--wrap 'exec ", page, re.M)[1]
    # SLURM may send the signal a minute early
    within = ["sbatch", "--wait", "--comment=rule_head", *shlex.split(f"{options}120 --time=5")]
    return submit(tmp_path_factory.mktemp("head"), ROOT / "tests/slurm/stub.smk", "long-0", within=within)


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
