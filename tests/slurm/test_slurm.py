"""The workflow under its SLURM profile, on a real SLURM."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reliability.cluster import Cluster, overlapping
from reliability.workflow import tables

ROOT = Path(__file__).parents[2]
GPU_RULES = {"engine", "embed"}


@pytest.fixture(scope="session")
def beside(stubs: Any, head_in_a_job: Any) -> None:
    """What mostly waits goes on beside the rest."""


@pytest.fixture(scope="session")
def study(
    beside: None, submit: Callable, unchanged_tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The tiny study, run by SLURM from the first job to the report, beside all that waits."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(yaml.safe_dump(dict(unchanged_tiny), sort_keys=False))
    head = submit(folder, ROOT / "Snakefile", "--configfile", str(folder / "study.yaml"))
    head.finish()
    return head


def test_a_study_gives_the_tables_of_the_local_run_byte_for_byte(study: Any, finished: Path) -> None:
    local = tables(finished / "results")
    assert len(local) >= 15
    assert tables(study.folder / "results") == local


def test_one_machine_has_nothing_to_do_after_it(study: Any, planned: Callable, tiny: dict[str, Any]) -> None:
    assert planned(study.folder, tiny) == {}


def test_every_job_but_the_download_of_weights_is_slurms(study: Any) -> None:
    """A profile that Snakemake did not find, or a key that it did not read, would show here."""
    jobs = study.jobs()
    rules = (
        "phantom dataset split pixels engine embed train curve cluster stability redraw labels gaussian"
        " compare overview report"
    )
    assert Counter(job.rule for job in jobs) == Counter([*rules.split(), "retrain", "retrain"])
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert {job.rule: (job.memory, job.minutes) for job in jobs}["labels"] == (6000, 120)


def test_jobs_that_embed_are_given_one_gpu_and_no_others_ask_for_it(study: Any) -> None:
    jobs = study.jobs()
    assert {(job.rule, job.gpus, job.partition) for job in jobs if job.gpus} == {(rule, 1, "gpu") for rule in GPU_RULES}
    assert {job.partition for job in jobs if not job.gpus} == {"cpu"}


def test_jobs_never_share_the_gpu(stubs: Any) -> None:
    """Three that could begin at once do so one after another, and each sees the GPU."""
    stubs.finish()
    jobs = [job for job in stubs.jobs() if job.rule in {"embed", "finetune"}]
    assert [job.gpus for job in jobs] == [1, 1, 1]
    assert max(job.submitted for job in jobs) < max(job.start for job in jobs)
    assert overlapping(jobs) == []
    assert [(stubs.folder / name).read_text() for name in ("gpu-0", "gpu-1", "network")] == ["0\n"] * 3


def test_a_job_that_is_killed_for_its_memory_comes_back_with_more(stubs: Any) -> None:
    stubs.finish()
    first, second = (job for job in stubs.jobs() if job.rule == "hungry")
    assert (first.state, first.memory) == ("FAILED", 800)
    (log,) = (stubs.folder / "results/logs/slurm/rule_hungry").glob(f"**/{first.number}.log")
    assert "exceeded memory limit" in log.read_text()
    assert (second.state, second.memory) == ("COMPLETED", 1600)
    assert (stubs.folder / "hungry").read_text() == "1600\n"


def test_a_job_that_is_killed_for_its_time_comes_back_with_more(stubs: Any) -> None:
    stubs.finish()
    first, second = (job for job in stubs.jobs() if job.rule == "slow")
    assert (first.state, first.minutes) == ("TIMEOUT", 1)
    assert (second.state, second.minutes) == ("COMPLETED", 2)
    assert (stubs.folder / "slow").read_text() == "2\n"


def test_an_interrupted_head_leaves_no_job_behind_and_the_next_run_goes_on(
    cluster: Cluster, submit: Callable, tmp_path: Path
) -> None:
    stub = ROOT / "tests/slurm/stub.smk"
    head = submit(tmp_path, stub, "long_study")
    until(lambda: head.log.read_text().count("Finished jobid") == 2 and states(head, "long") == ["RUNNING"] * 2)
    head.process.send_signal(signal.SIGINT)
    assert head.process.wait(timeout=400) != 0  # seconds where the machine is idle
    until(lambda: not {str(job.number) for job in head.jobs()} & set(cluster.queue()))
    assert states(head, "long") == ["CANCELLED"] * 2
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("short-*")}

    (tmp_path / "go").touch()
    again = submit(tmp_path, stub, "long_study")
    again.finish()
    assert [job.rule for job in again.jobs()] == ["long", "long"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("short-*")} == kept


def test_a_head_in_a_job_cancels_its_jobs_before_its_time_ends(head_in_a_job: Any, cluster: Cluster) -> None:
    """SIGINT comes from SLURM, by `--signal`."""
    assert head_in_a_job.process.wait(timeout=400) == 1  # Snakemake's own end: SLURM's would be a signal
    assert states(head_in_a_job, "long") == ["CANCELLED"]
    (job,) = (job for job in cluster.jobs() if job.rule == "head")
    assert (job.state, job.minutes) == ("FAILED", 5)
    assert job.end - job.start < 295


def states(head: Any, rule: str) -> list[str]:
    return [job.state for job in head.jobs() if job.rule == rule]


def until(true: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for something that must become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)
