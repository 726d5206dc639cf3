"""The workflow as a piece of software: lint, format, profile, shape of the demo's plan."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake.scheduling.job_scheduler import JobRateLimiter, JobScheduler
from snakemake.settings.types import DAGSettings

ROOT = Path(__file__).parents[2]


def test_lint_is_clean(snakemake: Callable, tmp_path: Path) -> None:
    done = snakemake(tmp_path, ROOT / "config/config.yaml", "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layout_of_rules_is_snakefmts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakefmt.snakefmt", "--check", "Snakefile", "rules"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(("options", "lifted"), [([], True), (["--max-jobs-per-timespan", "7/1s"], False)])
def test_the_snakefile_lifts_snakemakes_own_limit_of_jobs_and_no_users(options: list[str], lifted: bool) -> None:
    limit = JobRateLimiter(
        get_argument_parser(profiles=[]).parse_args(["--cores", "1", *options]).max_jobs_per_timespan
    )
    workflow = SimpleNamespace(scheduler=SimpleNamespace(job_rate_limiter=limit))
    at_start = re.search(r"^onstart:\n((?: .*\n)+)", (ROOT / "Snakefile").read_text(), re.M)
    assert at_start is not None
    exec(textwrap.dedent(at_start[1]), {"workflow": workflow})
    assert workflow.scheduler.job_rate_limiter is (None if lifted else limit)
    # the name under which the scheduler looks for it
    assert "if self.job_rate_limiter is None" in inspect.getsource(JobScheduler.job_selector)


@pytest.mark.parametrize("asked", [None, "targets", "until", "omit_from"])
def test_a_run_of_everything_ends_by_saying_where_the_reports_are(asked: str | None) -> None:
    """A run of named files, or of a part, does not: reports that stand there may be those of an older one."""
    at_end = re.search(r"^onsuccess:\n((?: .*\n)+)", (ROOT / "Snakefile").read_text(), re.M)
    assert at_end is not None
    called: list[list[str]] = []

    def shell(command: str) -> None:
        assert command == "python -m heteroscope.summary {studies:q}"
        called.append(inspect.currentframe().f_back.f_locals["studies"])

    settings: dict[str, set[str]] = {"targets": set(), "until": set(), "omit_from": set()}
    assert settings.keys() <= {field.name for field in fields(DAGSettings)}
    if asked:
        settings[asked] = {"data"}
    workflow = SimpleNamespace(dag_settings=SimpleNamespace(**settings))
    layout = SimpleNamespace(config=SimpleNamespace(studies=dict.fromkeys(["one", "two"])))
    exec(textwrap.dedent(at_end[1]), {"workflow": workflow, "layout": layout, "shell": shell})
    assert called == ([] if asked else [["one", "two"]])


def test_the_demo_is_two_studies_that_share_nothing_but_initial_weights(planned: Callable, tmp_path: Path) -> None:
    demo = {"phantom", "dataset", "split", "pixels", "finetune", "network", "engine", "embed", "train", "cluster"}
    demo |= {"stability", "curve", "redraw", "labels", "gaussian", "compare", "overview", "report"}
    expected = dict.fromkeys(demo, 2) | {"weights": 1, "retrain": 4, "overview": 1}
    assert planned(tmp_path, ROOT / "config/config.yaml") == expected


def test_the_demo_runs_where_no_config_file_is_named(snakemake: Callable, tmp_path: Path) -> None:
    """`--config` alone changes the demo; it does not replace it."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    done = snakemake(tmp_path, None, "--cores", "1", "--dry-run", "--printshellcmds", "--config", "threads=7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "heteroscope.stages.split --threads 7 --images results/dataset/benign" in done.stdout


def test_studies_share_all_that_does_not_differ(planned: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["heads"]["other"] = {"epochs": 2, "seeds": 1}
    tiny["studies"]["second"] = tiny["studies"]["tiny"] | {"head": "other"}
    once = dict.fromkeys(
        ["phantom", "dataset", "split", "pixels", "weights", "engine", "embed", "cluster", "stability"], 1
    )
    each = dict.fromkeys(["train", "curve", "redraw", "labels", "gaussian", "compare", "report"], 2)
    assert planned(tmp_path, tiny) == once | each | {"retrain": 4, "overview": 1}


def test_data_sets_are_drawn_only_where_the_controls_list_them(
    planned: Callable, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    tiny["controls"]["few"]["arms"] = ["size", "balanced"]
    jobs = planned(tmp_path, tiny)
    assert (jobs["retrain"], jobs["compare"]) == (2, 1)
    assert not {"redraw", "labels", "gaussian"} & set(jobs)
    tiny["controls"]["few"]["arms"] = ["size", "balanced", "gaussian"]
    assert planned(tmp_path, tiny) == jobs | {"gaussian": 1}


def test_a_job_per_cluster_and_fold_and_part_of_a_fusion(
    planned: Callable, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    tiny["clusterings"]["kmeans-2"]["k"] = 3
    tiny["backbones"]["other"] = tiny["backbones"]["small-cnn"] | {"seed": 1}
    tiny["splits"]["cv"] = {"test": None, "folds": 4, "validation": 0.2}
    tiny["augmentations"] = {"turned": {"rotation": 10}}
    fused = {"backbones": ["small-cnn+other"], "primary": {"backbone": "small-cnn+other", "clustering": "kmeans-2"}}
    tiny["studies"] = {"folded": tiny["studies"]["tiny"] | fused | {"split": "cv", "augmentation": "turned"}}
    jobs = planned(tmp_path, tiny)
    assert (jobs["split"], jobs["weights"], jobs["engine"], jobs["embed"], jobs["views"]) == (5, 2, 2, 2, 2)
    assert (jobs["cluster"], jobs["stability"], jobs["redraw"]) == (1, 1, 1)
    assert (jobs["train"], jobs["curve"], jobs["retrain"], jobs["labels"], jobs["gaussian"]) == (4, 4, 12, 4, 4)


def test_the_local_profile_takes_effect(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    """It gives the number of cores, without which nothing runs, and the total of `gpu`."""
    target = "results/weights/small-cnn.pt"
    without = snakemake(tmp_path, tiny, target)
    assert without.returncode != 0
    assert "cores" in without.stderr
    profile = ROOT / "config/profiles/local"
    done = snakemake(tmp_path, tiny, "--profile", str(profile), target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Provided resources: gpu=(1|Resource\(.gpu., 1\))\n", done.stdout + done.stderr)
    assert (tmp_path / target).is_file()


def test_every_job_writes_a_log_a_benchmark_and_the_digest_of_its_code() -> None:
    for path in (ROOT / "rules").glob("*.smk"):
        text = path.read_text()
        for rule in re.split(r"^rule ", text, flags=re.M)[1:]:
            assert all(part in rule for part in ("log:", "benchmark:", "conda:", "code=code_digest(")), (path, rule)


def test_every_study_file_is_complete_by_itself() -> None:
    from heteroscope.config import load

    for path in [ROOT / "config/config.yaml", *(ROOT / "config/studies").glob("*.yaml")]:
        assert load(yaml.safe_load(path.read_text())).studies
