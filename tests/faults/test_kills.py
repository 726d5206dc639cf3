"""Killed jobs, killed runs, and two runs at once: nothing is lost, and nothing that was whole is made again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from heteroscope.store import write_table
from reliability.kills import CONFIG, PAGE, Kill, Study, differences, kill_once, write_page
from tests.rules import rules

KILLS = [("pixels", True), ("embed", False), ("split", True), ("train", False), ("retrain", True)]


@pytest.fixture(scope="module")
def study(finished: Path) -> Study:
    return Study(finished, finished / "tiny.yaml")


@pytest.mark.parametrize(("number", "rule", "whole"), [(number, *kill) for number, kill in enumerate(KILLS)])
def test_the_same_command_again_ends_as_if_nothing_had_been(
    number: int, rule: str, whole: bool, study: Study, tmp_path: Path
) -> None:
    job = next(job for job in study.jobs() if job.rule == rule)
    kill = kill_once(study, job, number, tmp_path / "copy", whole=whole, seed=5)
    assert kill.problems == []
    assert kill.made_again == kill.hit  # a job that was over before its time came has left nothing to do


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    """A temporary file of the same target, that is, at once or, of a writer elsewhere, of long ago; nobody else's."""
    left = begin_and_kill(tmp_path / "t.csv")
    _, writer, _ = left.name.removeprefix(".t.csv").split(".", 2)
    elsewhere, number = "0" * 8, writer.split("-")[1]
    old = tmp_path / f".t.csv.{elsewhere}-{number}.abcdefgh.part"
    young = tmp_path / f".t.csv.{elsewhere}-{number}.youngone.part"
    mine = tmp_path / f".t.csv.{writer.split('-')[0]}-{os.getpid()}.abcdefgh.part"
    others = [tmp_path / f".{name}.{writer}.abcdefgh.part" for name in ("t.csv.digest", "other.csv", "t.csv.x")]
    for path in [old, young, mine, *others]:
        path.write_text("half")
    for path in [old, *others]:
        os.utime(path, (0, 0))
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    assert sorted(tmp_path.iterdir()) == sorted([young, mine, *others, tmp_path / "t.csv"])


def begin_and_kill(path: Path) -> Path:
    """What a process leaves that is killed while it writes a file."""
    code = (
        "import os, signal, sys; from pathlib import Path; from heteroscope.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = path.parent.iterdir()
    return left


def test_kills_are_judged(study: Study, tmp_path: Path) -> None:
    """What the kills above must not find is found where it is."""
    copy = shutil.copytree(study.folder, tmp_path / "copy")
    assert differences(study.folder, copy) == []
    results = copy / "results"
    (results / "split/toy/holdout.csv").write_text("other")
    (results / "dataset/toy/classes.csv").unlink()
    (results / "dataset/toy/.images.parquet.abc.part").write_text("half")
    (results / "embed/toy/small-cnn/embeddings.h5").write_bytes(
        (results / "dataset/toy/square-32/pixels.h5").read_bytes()
    )
    assert differences(study.folder, copy) == [
        "missing: results/dataset/toy/classes.csv",
        "left behind: results/dataset/toy/.images.parquet.abc.part",
        "other content: results/embed/toy/small-cnn/embeddings.h5",
        "other content: results/split/toy/holdout.csv",
    ]


def test_every_rule_has_a_job_to_be_killed(planned: Callable, tmp_path: Path) -> None:
    assert planned(tmp_path, CONFIG).keys() == rules().keys()


def test_the_page_counts_kills(tmp_path: Path) -> None:
    kills = [
        Kill(0, "the run", "embed", 0.5, True, 1, 90, []),
        Kill(1, "a job", "train", 0.25, True, 1, 90, ["missing: results/x"]),
        Kill(2, "a job", "train", 0.99, False, 0, 90, []),
    ]
    write_page(kills, "0123abc", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "2 kills hit a running job, of 2 rules; 1 of them killed the whole run" in text
    assert "After 2 of 3" in text
    assert "missing: results/x" in text


def test_a_second_run_on_the_same_results_is_refused_and_the_first_goes_on(
    study: Study, snakemake: Callable, tiny: dict[str, Any], tmp_path: Path
) -> None:
    copy = shutil.copytree(study.folder, tmp_path / "copy")
    target = "results/split/toy/holdout.parquet"
    (copy / target).unlink()
    first = study.start(copy, target)
    try:
        locks = copy / ".snakemake/locks"
        while first.poll() is None and not (locks.is_dir() and any(locks.iterdir())):
            time.sleep(0.02)
        assert first.poll() is None
        os.killpg(first.pid, signal.SIGSTOP)  # it takes its time
        second = snakemake(copy, tiny, "--cores", "1", target)
        os.killpg(first.pid, signal.SIGCONT)
        output = second.stdout + second.stderr
        assert second.returncode
        assert "Directory cannot be locked" in output
        assert "Traceback" not in output
        assert first.wait(timeout=120) == 0
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
    assert differences(study.folder, copy) == []


def test_the_committed_page_holds_fifty_kills_without_a_problem() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    assert len([row for row in rows if "after its end" not in row]) >= 50
    assert all(row.rstrip(" |").endswith("as undisturbed") for row in rows)
