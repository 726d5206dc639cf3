"""`heteroscope check` before and after a run: its numbers are those of the run that follows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest
import yaml

from heteroscope.benchmarked import rule_of
from heteroscope.cli.plan import comparison_lines, earlier_jobs, image_count, plan_lines, size_lines
from heteroscope.config import load
from heteroscope.layout import Layout
from tests.workflow.configurations import expected_jobs


def check(folder: Path, config: str = "study.yaml") -> str:
    command = [sys.executable, "-m", "heteroscope", "check", config]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def counts(config: dict[str, Any]) -> dict[str, int]:
    written_out = load(config).model_dump(mode="json", exclude_none=True)
    return {rule: len(ids) for rule, ids in expected_jobs(written_out).items()}


def test_a_fresh_study_is_told_with_its_jobs_and_without_a_time(tmp_path: Path, tiny: dict[str, Any]) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tiny))
    output = check(tmp_path)
    told = re.search(r"would run   (\d+) jobs: (.*)\n", output)
    assert told
    expected = counts(tiny)
    assert {rule: int(count) for count, rule in re.findall(r"(\d+) (\w+)", told[2])} == expected
    assert int(told[1]) == sum(expected.values())
    assert "how long    not known: no such job has run in this folder before\n" in output
    assert re.search(r"for comparison, on \d+ cores of .* \(benchmarks/results.md\):\n", output)
    assert not (tmp_path / "results").exists()


def test_a_finished_study_has_nothing_to_run(finished: Path) -> None:
    assert check(finished, "tiny.yaml").endswith("would run   nothing: all results are up to date\n")


@pytest.fixture
def layout(finished: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(finished)
    return Layout(load(tiny))


def test_the_estimated_size_is_that_of_the_files(layout: Layout, tmp_path: Path, monkeypatch: Any) -> None:
    """Estimated before anything is there, from the number of patients."""
    with (
        h5py.File(layout.pixels_of("toy", "small-cnn")[0]) as pixels,
        h5py.File(layout.embeddings("toy", "small-cnn")) as embeddings,
    ):
        decoded, embedded = (array.nbytes / 1000 for array in (pixels["pixels"], embeddings["features"]))
    large = f"pixels.h5 {decoded:.0f} kB, embeddings {embedded:.0f} kB"
    assert image_count(layout, "toy") == 80
    assert large in next(size_lines(layout))
    monkeypatch.chdir(tmp_path)
    assert large in next(size_lines(layout))


def test_a_time_is_the_mean_of_earlier_jobs(layout: Layout, tiny: dict[str, Any]) -> None:
    assert set(earlier_jobs()) == set(counts(tiny))
    assert len(earlier_jobs()["retrain"]) == 2
    seconds = sum(float(path.read_text().split("\n")[1].split("\t")[0]) for path in Path().rglob("cluster-?.tsv"))
    lines = list(plan_lines(layout, {"retrain": 20, "finetune": 1}))
    assert lines[0] == "would run   21 jobs: 1 finetune, 20 retrain"
    told = re.search(r"roughly (\d+) (s|min) of jobs", lines[2])
    assert told
    unit = {"s": 1, "min": 60}[told[2]]
    assert int(told[1]) == pytest.approx(10 * seconds / unit, abs=0.51)
    assert "by the mean of 2 earlier jobs of these rules in results/benchmarks" in lines[2]
    assert lines[3].endswith("not counted: finetune, which have not run here before")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("embed/toy/net", "embed"),
        ("embed/toy/net/holdout", "embed"),
        ("embed/toy/net/holdout/flip", "views"),
        ("embed/toy/net/shards/4/1", "embed_shard"),
        ("embed/toy/net/holdout/shards/4/1", "embed_shard"),
        ("embed/toy/net/holdout/flip/shards/4/1", "views_shard"),
        ("retrain/toy/net/holdout/none/k2/linear/few/labels", "labels"),
    ],
)
def test_a_benchmark_file_is_of_the_rule_that_names_it(path: str, rule: str) -> None:
    """The paths are those of rules/embed.smk and rules/retrain.smk."""
    assert rule_of(path.split("/")) == rule


def test_figures_of_another_machine_are_named_as_that(layout: Layout, tiny: dict[str, Any]) -> None:
    assert not any("an image" in line for line in comparison_lines(layout))
    tiny["backbones"]["small-cnn"]["model"] = "efficientnet_b0"
    lines = list(comparison_lines(Layout(load(tiny))))
    assert re.search(r"\d min \(800 training images\), .* min \(8000 training images\)$", lines[1])
    assert re.search(r"efficientnet_b0 in bfloat16: \d\.\d ms an image, \d+ s for 80 images", lines[2])
