"""A private SLURM cluster on one machine: plain processes over a temporary folder, without systemd or a database.

Two nodes stand for this machine: `cpu1` in the partition `cpu`, and `gpu1` with one GPU in the partition `gpu`. The GPU
is an entry of SLURM's books backed by /dev/null, so that what asks for it, and who waits for it, is real without one.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])  # daemons are rarely on PATH
PATIENCE = 60.0  # seconds for a daemon to answer on a busy machine
CONFIGURATION = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MailProg=/bin/true
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# without control groups, memory is watched: every two seconds
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0
GresTypes=gpu
# what can never run is refused at once instead of waiting for ever
EnforcePartLimits=ALL
ReturnToService=2
KillWait=5
MessageTimeout=60
# finished jobs can be asked about for an hour: there is no database
MinJobAge=3600
AccountingStorageType=accounting_storage/none
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cores} RealMemory={memory}
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cores} RealMemory={memory} Gres=gpu:1
PartitionName=cpu Nodes=cpu1 Default=YES
PartitionName=gpu Nodes=gpu1
"""


class ClusterError(RuntimeError):
    """The cluster did not start, or did not do as it was told."""


@dataclass(frozen=True)
class Job:
    """What SLURM says of a job.

    Attributes:
        number: SLURM's id.
        rule: of the workflow; of a group its name.
        wildcards: their values, joined by `_`.
        run: the Snakemake run that submitted it.
        state: `COMPLETED`, `RUNNING`, `PENDING`, `TIMEOUT`, `FAILED`, `OUT_OF_MEMORY` or `CANCELLED`.
        cores, memory, gpus: what it was given, or asks for; memory in MiB. SLURM counts GPUs only once they are given.
        minutes: its time limit.
        submitted, start, end: seconds since 1970, whole ones; nan where not known yet.
    """

    number: int
    rule: str
    wildcards: str
    run: str
    partition: str
    state: str
    cores: int
    memory: int
    gpus: int
    minutes: int
    submitted: float
    start: float
    end: float


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `environment` is what programs need to find it."""

    folder: Path
    environment: Mapping[str, str]

    def ask(self, *words: str) -> str:
        """What one of SLURM's commands prints.

        Raises:
            ClusterError: it failed.
        """
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def jobs(self) -> list[Job]:
        """All jobs since the cluster started, in the order of their submission."""
        lines = self.ask("scontrol", "--details", "--oneliner", "show", "jobs").splitlines()
        return sorted((parse_job(line) for line in lines if "JobId=" in line), key=lambda job: job.number)

    def queue(self) -> list[str]:
        """The ids of jobs that wait, run or are being ended, as `squeue` sees them."""
        return self.ask("squeue", "--noheader", "--format=%i").split()


def missing() -> str | None:
    """Why no cluster can be started here; None where one can."""
    absent = [name for name in (*DAEMONS, *CLIENTS, "setpriv") if shutil.which(name, path=SEARCHED) is None]
    if absent:
        packages = "on Debian: slurmctld slurmd slurm-client munge"
        return f"SLURM is not installed here ({', '.join(absent)} not found); {packages}"
    return None if os.geteuid() == 0 else "a private SLURM cluster is started by root only"


@contextmanager
def private_cluster(cores: int | None = None) -> Iterator[Cluster]:
    """Start a cluster, and stop it, with all its jobs, however the block is left.

    Args:
        cores: that each of the two nodes says it has; None for those that this process may use.

    Raises:
        ClusterError: a daemon does not start; the message holds the end of its log.
    """
    with ExitStack() as stack:
        # not below pytest's folders: munge wants a way that everyone may walk, and a socket's name is short
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        cluster = Cluster(folder, _write(folder, cores or len(os.sched_getaffinity(0))))
        daemons = {
            "munged": [
                "--foreground",
                *(
                    f"--{name}={folder}/munge.{name.removesuffix('-file')}"
                    for name in ("key-file", "pid-file", "seed-file")
                ),
                f"--socket={folder}/munge.socket",
                f"--log-file={folder}/munged.log",
            ],
            "slurmctld": ["-D"],
            "slurmd": ["-D", "-N", "cpu1"],
            "slurmd-gpu1": ["-D", "-N", "gpu1"],
        }
        for name, arguments in daemons.items():
            stack.enter_context(_daemon(cluster, name, arguments))
            if name == "munged":
                _wait(cluster, "munged", (folder / "munge.socket").exists)
            elif name == "slurmctld":
                _wait(cluster, "slurmctld", lambda: "UP" in cluster.ask("scontrol", "ping"))
        _wait(
            cluster,
            "slurmd",
            lambda: cluster.ask("sinfo", "--Node", "--noheader", "--format=%T").split() == ["idle", "idle"],
        )
        stack.callback(_cancel_all, cluster)
        yield cluster


def overlapping(jobs: Sequence[Job]) -> list[tuple[Job, Job]]:
    """Pairs of jobs, one after another in time, of which the second begins before the first has ended."""
    return [(one, two) for one, two in pairwise(sorted(jobs, key=lambda job: job.start)) if two.start < one.end]


def parse_job(line: str) -> Job:
    """A job from a line of `scontrol --details --oneliner show jobs`.

    Raises:
        ClusterError: Snakemake did not submit it.
    """
    fields = dict(re.findall(r"(\S+?)=(\S*)", line))
    comment = re.fullmatch(r"(?:rule|group)_(.+?)(?:_wildcards_(.*))?", fields["Comment"])
    if comment is None:
        raise ClusterError(f"job {fields['JobId']} was not submitted by Snakemake: {line}")
    limit = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):\d+", fields["TimeLimit"])
    days, hours, minutes = map(int, limit.groups("0")) if limit else (0, 0, 0)
    given = re.search(r"gpu:(?:\w+:)?(\d+)", fields.get("JOB_GRES", ""))
    return Job(
        number=int(fields["JobId"]),
        rule=comment[1],
        wildcards=comment[2] or "",
        run=fields["JobName"],
        partition=fields["Partition"],
        state=fields["JobState"],
        cores=int(fields["NumCPUs"]),
        memory=_mebibytes(fields["TRES"]),
        gpus=int(given[1]) if given else 0,
        minutes=days * 1440 + hours * 60 + minutes,
        submitted=_seconds(fields["SubmitTime"]),
        start=_seconds(fields["StartTime"]),
        end=_seconds(fields["EndTime"]),
    )


def _mebibytes(resources: str) -> int:
    found = re.search(r"mem=([\d.]+)([MGT])", resources)
    return round(float(found[1]) * {"M": 1, "G": 1024, "T": 1024**2}[found[2]]) if found else 0


def _seconds(when: str) -> float:
    try:
        return datetime.fromisoformat(when).timestamp()
    except ValueError:
        return float("nan")


# ------------------------------------------------------------------------------------- its files and processes


def _write(folder: Path, cores: int) -> dict[str, str]:
    """Write the configuration, and return the environment that leads to it."""
    for name in ("state", "spool-cpu1", "spool-gpu1", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 4 // 5
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(3), cores=cores, memory=memory)
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("NodeName=gpu1 Name=gpu File=/dev/null\n")
    # Snakemake takes all of SLURM's variables away before it calls these inside a job
    for name in CLIENTS:
        wrapper = folder / "bin" / name
        program = shutil.which(name, path=SEARCHED)
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {program} "$@"\n')
        wrapper.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
    # jobs call `python`: it must be the one that runs this
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), SEARCHED])
    return kept | {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": path}


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _daemon(cluster: Cluster, name: str, arguments: list[str]) -> Iterator[None]:
    """A process that ends with the block, and with this process should that be killed."""
    program = shutil.which(name.split("-")[0], path=SEARCHED)
    assert program is not None, f"{name}: see missing()"
    with (cluster.folder / f"{name}.out").open("wb") as out:
        command = ["setpriv", "--pdeathsig", "TERM", program, *arguments]
        process = subprocess.Popen(command, env=cluster.environment, stdout=out, stderr=out, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(cluster: Cluster, name: str, ready: Callable[[], bool]) -> None:
    """Wait until a daemon answers.

    Raises:
        ClusterError: it does not; the message holds what it said.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if ready():
                return
            problem = "no answer"
        except ClusterError as error:
            problem = str(error)
        if time.monotonic() > end:
            logs = sorted([*cluster.folder.glob(f"{name}*.out"), *cluster.folder.glob(f"{name}*.log")])
            said = "\n".join(log.read_text(errors="replace")[-2000:] for log in logs)
            raise ClusterError(f"{name} did not start within {PATIENCE:.0f} s ({problem}).\n{said}")
        time.sleep(0.1)


def _cancel_all(cluster: Cluster) -> None:
    """End all jobs, so that nothing outlives the daemons."""
    if numbers := cluster.queue():
        cluster.ask("scancel", *numbers)
    end = time.monotonic() + PATIENCE
    while cluster.queue() and time.monotonic() < end:
        time.sleep(0.2)
