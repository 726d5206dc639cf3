"""`python -m reliability.kills`: SIGKILL jobs and whole runs at random points, run again, and compare.

A finished study is copied, the outputs of one job are removed, the run that makes them again is killed,
and the same command is given once more. What it leaves must be what the undisturbed run left, and no
other file may have been written. Every kill is recorded as it is made: a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.machine import ROOT, commit
from heteroscope.atomic import atomic_path
from reliability.workflow import copy_workflow

RESULTS = ROOT / "results/reliability/kills"
PAGE = ROOT / "docs/reliability/faults.md"
CONFIG = Path(__file__).with_suffix(".yaml")
NOT_COMPARED = {"logs", "benchmarks", "checksums", "cache"}  # of a run, not of its results
COUNTS = {"computed", "reused", "computed_by"}  # attributes that tell how rows came, not what they are
OF_A_SCAN = ".listing-cache.tsv"
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Study:
    """A study that was run to its end.

    Attributes:
        folder: where it was run.
        config: its configuration file.
        workflow: the folder of the Snakefile and the package that it was run with.
    """

    folder: Path
    config: Path
    workflow: Path = ROOT

    def start(self, folder: Path, *arguments: str) -> subprocess.Popen[str]:
        """Begin a run in a folder, as the leader of a group of processes; its output is kept in `run.log` there."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.workflow / "Snakefile"), "--cores", "2"]
        command += ["--directory", str(folder), *arguments, "--configfile", str(self.config)]
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.workflow / "workflow"),
        }
        with (folder / "run.log").open("w") as log:
            return subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )

    def run(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """Run to the end; status and output."""
        status = self.start(folder, *arguments).wait()
        return status, (folder / "run.log").read_text()

    def jobs(self) -> list[Job]:
        """The jobs that made the files of the study."""
        status, output = self.run(self.folder, "--summary", "--quiet")
        if status:
            raise SystemExit(f"error: {self.folder}: {output}")
        rows = [line.split("\t") for line in output.splitlines() if line.startswith("results/")]
        table = pd.DataFrame([row[:4] for row in rows], columns=["output", "date", "rule", "log"])
        return [
            Job(str(rule), tuple(outputs), Path(str(log).replace("/logs/", "/benchmarks/")).with_suffix(".tsv"))
            for (rule, log), outputs in table.groupby(["rule", "log"])["output"]
        ]


@dataclass(frozen=True)
class Job:
    """A job of a finished study: its rule, its outputs, and where its processor time stands."""

    rule: str
    outputs: tuple[str, ...]
    benchmark: Path

    def writes(self, name: str) -> bool:
        """Whether it is the job that writes a file: an output, a photograph of a phantom, or a leftover."""
        photographs = f"{Path(self.outputs[0]).parent}/" if self.rule == "phantom" else None
        return name in self.outputs or Path(name).name.startswith(".") or bool(photographs and photographs in name)

    def processor_seconds(self, folder: Path) -> float:
        """What it took in a folder where it was run; without a measurement, some time."""
        path = folder / self.benchmark
        found = pd.read_csv(path, sep="\t") if path.is_file() else pd.DataFrame()
        values = pd.to_numeric(found.get("cpu_time", pd.Series(dtype=float)), errors="coerce").dropna()
        return max(1.0, float(values.max())) if len(values) else 1.0


@dataclass(frozen=True)
class Kill:
    """One kill and what came after.

    Attributes:
        number: of the kill; it decides all else.
        killed: `a job` or `the run`.
        rule: whose job was to be hit.
        share: of the processor time of that job in the undisturbed run, after which the signal was sent.
        hit: whether the job was running then.
        made_again: number of jobs of the rerun.
        kept: number of files that the rerun had to leave alone, and did.
        problems: whatever was not as it should be.
    """

    number: int
    killed: str
    rule: str
    share: float
    hit: bool
    made_again: int
    kept: int
    problems: list[str]


def kill_once(study: Study, job: Job, number: int, folder: Path, *, whole: bool, seed: int = 0) -> Kill:
    """Make the outputs of a job again, with a kill on the way, in a fresh copy of the study.

    Args:
        study: the finished study; it is not changed.
        job: which of its jobs.
        number: of the kill; with the seed it decides the point in time.
        folder: where the copy is made; what stands there is removed.
        whole: kill the run with all its jobs, else the job alone.
        seed: of all kills.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(study.folder, folder)
    for name in job.outputs:
        (folder / name).unlink()
    share = float(np.random.default_rng([seed, number]).uniform(0, 1))
    run = study.start(folder, *job.outputs)
    hit = _kill_at(run, job.rule, share * job.processor_seconds(study.folder), whole=whole)
    status = run.wait()
    problems = [f"the killed run ended with status {status}"] if hit and not status else []
    left = _changed(folder)
    if whole and hit:
        status, output = study.run(folder, *job.outputs)
        problems += [] if status and "--unlock" in output else ["the lock of the killed run is not explained"]
        study.run(folder, "--unlock")
    status, output = study.run(folder, *job.outputs)
    problems += [f"the rerun ended with status {status}: {output[-2000:]}"] if status else []
    found = _changed(folder)
    finished = [name for name in left if not job.writes(name)]
    problems += [f"written again without need: {name}" for name in finished if found.get(name) != left[name]]
    jobs = _job_count(output)
    problems += [f"{jobs} jobs were run again"] if jobs > 1 else []
    problems += differences(study.folder, folder)
    _, output = study.run(folder, "--dry-run")
    problems += [] if "Nothing to be done" in output else ["something is left to be done"]
    killed = "the run" if whole else "a job"
    return Kill(number, killed, job.rule, round(share, 2), hit, jobs, len(finished), problems)


def _kill_at(run: subprocess.Popen[str], rule: str, seconds: float, *, whole: bool) -> bool:
    """Wait until a job has had so many seconds of processor time, and kill; False where it ended before."""
    while run.poll() is None:
        process = _process_of(run.pid, rule)
        if process is not None and process[1] >= seconds:
            if whole:
                os.killpg(run.pid, signal.SIGKILL)
            else:
                os.kill(process[0], signal.SIGKILL)
            return True
        time.sleep(POLL_SECONDS)
    return False


def _process_of(group: int, rule: str) -> tuple[int, float] | None:
    """Process id and processor seconds of the stage that a group of processes runs for a rule."""
    stage = {"views": "embed", "embed_shard": "embed", "views_shard": "embed"}.get(rule, rule)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[1:3] != [b"-m", f"heteroscope.stages.{stage}".encode()]:
                continue
            state = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(state[2]) == group:
            return int(folder.name), (int(state[11]) + int(state[12])) / os.sysconf("SC_CLK_TCK")
    return None


def _changed(folder: Path) -> dict[str, int]:
    """Time of change of every result, in ns."""
    return {name: (folder / name).stat().st_mtime_ns for name in _results(folder)}


def _results(folder: Path) -> list[str]:
    """Files of a run, without those about the run; files that a killed job has left are there too."""
    paths = [path.relative_to(folder) for path in (folder / "results").rglob("*") if path.is_file()]
    return sorted(str(path) for path in paths if path.parts[1] not in NOT_COMPARED and path.name != OF_A_SCAN)


def _job_count(output: str) -> int:
    """Number of jobs that a run says it has."""
    found = re.search(r"^total +(\d+)$", output, re.M)
    return int(found[1]) if found else 0


def differences(undisturbed: Path, folder: Path) -> list[str]:
    """What differs between the results of two runs: files that only one has, and files of other content."""
    first, second = _results(undisturbed), _results(folder)
    problems = [f"missing: {name}" for name in sorted({*first} - {*second})]
    problems += [f"left behind: {name}" for name in sorted({*second} - {*first})]
    both = [name for name in first if name in second]
    return problems + [f"other content: {name}" for name in both if not _equal(undisturbed / name, folder / name)]


def _equal(path: Path, other: Path) -> bool:
    if path.read_bytes() == other.read_bytes():
        return True
    return path.suffix == ".h5" and _h5_content(path) == _h5_content(other)


def _h5_content(path: Path) -> dict[str, object]:
    """All datasets and attributes of a file, but for those that tell how rows came."""
    with h5py.File(path) as file:
        found: dict[str, object] = {f"@{name}": str(file.attrs[name]) for name in file.attrs if name not in COUNTS}
        file.visititems(
            lambda name, node: found.update({name: node[()].tobytes()} if isinstance(node, h5py.Dataset) else {})
        )
        return found


# ---------------------------------------------------------------------------------------- many kills


def kill_many(folder: Path, kills: int, *, seed: int) -> list[Kill]:
    """Kill so many times, in turn every rule, and whole runs in turn with jobs; recorded kills are not made again."""
    study = _finished_study(folder)
    jobs = study.jobs()
    rules = sorted({job.rule for job in jobs} - {"shard"})  # a line of shell, over before it could be hit
    record = folder / "kills.jsonl"
    made = [Kill(**json.loads(line)) for line in record.read_text().splitlines()] if record.is_file() else []
    for number in tqdm(range(len(made), kills), initial=len(made), total=kills, unit="kill", mininterval=1):
        turn, place = divmod(number, len(rules))
        of_rule = [job for job in jobs if job.rule == rules[place]]
        job = of_rule[turn % len(of_rule)]
        made.append(kill_once(study, job, number, folder / "copy", whole=(turn + place) % 2 == 0, seed=seed))
        with record.open("a") as stream:
            stream.write(json.dumps(asdict(made[-1])) + "\n")
        if made[-1].problems:
            shutil.copytree(folder / "copy", folder / f"problem-{number}", dirs_exist_ok=True)
    return made[:kills]


def _finished_study(folder: Path) -> Study:
    """The study, run with a copy of the workflow, so that no edit disturbs the kills."""
    study = Study(folder / "undisturbed", folder / CONFIG.name, folder / "workflow")
    if not study.config.is_file():  # the last to be written
        copy_workflow(study.workflow)
        shutil.copy(CONFIG, study.config)
    study.folder.mkdir(exist_ok=True)
    status, output = study.run(study.folder)
    if status:
        raise SystemExit(f"error: the undisturbed run failed:\n{output[-4000:]}")
    return study


def write_page(kills: Sequence[Kill], code: str, path: Path) -> None:
    """The kills as a table."""
    by_rule = pd.DataFrame([asdict(kill) for kill in kills])
    table = pd.DataFrame(
        {
            "kill": by_rule["number"] + 1,
            "killed": by_rule["killed"],
            "in rule": by_rule["rule"],
            "at": [f"{share:.0%}" if hit else "after its end" for share, hit in by_rule[["share", "hit"]].to_numpy()],
            "jobs run again": by_rule["made_again"],
            "files left alone": by_rule["kept"],
            "then": ["as undisturbed" if not found else "; ".join(found) for found in by_rule["problems"]],
        }
    )
    good, hits = int((by_rule["problems"].map(len) == 0).sum()), int(by_rule["hit"].sum())
    text = PAGE_TEXT.format(
        code=code,
        kills=len(kills),
        hits=hits,
        whole=int((by_rule["hit"] & (by_rule["killed"] == "the run")).sum()),
        rules=by_rule.loc[by_rule["hit"], "rule"].nunique(),
        good=good,
        table=table.to_markdown(index=False, disable_numparse=True),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


PAGE_TEXT = """# Killed jobs and killed runs

Written by `make faults`, at commit {code}. A study of seconds (`reliability/kills.yaml`) was run to its end once. Then,
{kills} times: in a copy, the outputs of one job were removed, a run was started that makes them again, and SIGKILL was
sent at a random point: to the job alone, or to the whole run with all its processes. The same command was given once
more (after the kill of a run it is refused at first, since the lock of the killed run still stands; Snakemake says so,
and `snakemake --unlock` removes it).

- {hits} kills hit a running job, of {rules} rules; {whole} of them killed the whole run. The others came after its end.
- After {good} of {kills}, the results were those of the undisturbed run, nothing was left to be done, no file that was
  whole had been written again, and nothing half-made stood beside the results.

“At” is the share of the job's processor time, in the undisturbed run, that it had had when the signal was sent.

{table}
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Make the kills that are missing, then write the page."""
    parser = argparse.ArgumentParser(prog="python -m reliability.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=70, help="how many in all (default 70)")
    parser.add_argument("--seed", type=int, default=0, help="of the points in time (default 0)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the runs are made, a folder a commit")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page")
    args = parser.parse_args(argv)
    code = commit()
    folder = (args.results / code.replace(" ", "-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    kills = kill_many(folder, args.kills, seed=args.seed)
    write_page(kills, code, args.output)
    if failed := [kill.number + 1 for kill in kills if kill.problems]:
        raise SystemExit(f"error: kills {failed}: see {args.output}")


if __name__ == "__main__":
    main()
