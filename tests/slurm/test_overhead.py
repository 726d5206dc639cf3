"""What is read from SLURM's own words, and what the page makes of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from reliability.cluster import ClusterError, missing, overlapping, parse_job
from reliability.overhead import WAYS, Run, page

LINE = (
    "JobId=6 JobName=668d706a-66e2 UserId=root(0) JobState=COMPLETED Reason=None RunTime=00:00:09 TimeLimit=1-04:30:00"
    " SubmitTime=2026-11-21T14:07:52 StartTime=2026-11-21T14:07:55 EndTime=2026-11-21T14:08:04 Partition=gpu NumNodes=1"
    " NumCPUs=2 NumTasks=1 ReqB:S:C:T=0:0:*:* TRES=cpu=2,mem=5.5G,node=1,billing=2 JOB_GRES=gpu:1   Nodes=gpu1 Mem=5632"
    " Comment=rule_embed_wildcards_toy_small-cnn  StdIn=/dev/null Power= TresPerJob=gres:gpu:1 "
)


def test_where_slurm_is_not_installed_the_reason_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == "slurmctld" else f"/usr/bin/{name}")
    assert "slurmctld not found" in str(missing())
    monkeypatch.setattr(shutil, "which", lambda name, path: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in str(missing())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert missing() is None


def test_a_job_is_read_from_the_line_of_scontrol() -> None:
    job = parse_job(LINE)
    assert (job.number, job.rule, job.wildcards, job.run) == (6, "embed", "toy_small-cnn", "668d706a-66e2")
    assert (job.partition, job.state, job.cores, job.memory, job.gpus, job.minutes) == (
        "gpu",
        "COMPLETED",
        2,
        5632,
        1,
        1710,
    )
    assert (job.start - job.submitted, job.end - job.start) == (3, 9)
    assert parse_job(LINE.replace(" JOB_GRES=gpu:1", "")).gpus == 0
    assert parse_job(LINE.replace("_wildcards_toy_small-cnn", "")).wildcards == ""
    with pytest.raises(ClusterError, match="job 6"):
        parse_job(LINE.replace("rule_embed_wildcards_toy_small-cnn", "(null)"))


def test_jobs_overlap_where_one_begins_before_another_has_ended() -> None:
    first = parse_job(LINE)
    after = replace(first, number=7, start=first.end, end=first.end + 5)
    assert overlapping([after, first]) == []
    early = replace(after, start=first.end - 1)
    assert overlapping([early, first]) == [(first, early)]


def test_the_page_holds_ratios_and_every_job() -> None:
    job = parse_job(LINE)
    tables = {"compare/tiny/clusters.csv": "digest"}
    local = Run(WAYS[0], began=job.submitted, seconds=10.0, jobs=[], working=8.0, tables=tables)
    slurm = Run(WAYS[1], began=job.submitted - 1, seconds=25.0, jobs=[job], working=6.0, tables=tables)
    text = page([local, slurm], "tiny.yaml")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert ["SLURM, a job each", "25", "2.50", "1", "9", "6"] in rows
    assert ["embed toy_small-cnn", "gpu", "2", "5632", "1", "1710", "COMPLETED", "1", "4", "13"] in rows
