"""A second run makes again what is stale, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STUDY = {"train": 1, "curve": 1, "retrain": 2, "labels": 1, "gaussian": 1, "compare": 1, "report": 1}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that a test may change."""
    shutil.copytree(ROOT / "workflow/heteroscope", tmp_path / "workflow/heteroscope")
    return tmp_path / "workflow"


def test_a_second_run_has_nothing_to_do(planned: Callable, finished: Path, tiny: dict[str, Any]) -> None:
    assert planned(finished, tiny) == {}


def test_the_number_of_cores_makes_nothing_stale(planned: Callable, finished: Path, tiny: dict[str, Any]) -> None:
    """The study was run on two."""
    assert planned(finished, tiny, cores=1) == {}


def test_a_learning_rate_reruns_what_trains_heads(planned: Callable, finished: Path, tiny: dict[str, Any]) -> None:
    tiny["heads"]["linear"]["learning_rate"] = 0.01
    assert planned(finished, tiny) == STUDY


@pytest.mark.parametrize(
    ("key", "value", "stale"),
    [
        ("draws", 29, ["redraw", "labels"]),
        ("repeats", 6, ["retrain", "gaussian"]),
        ("min_test", 3, ["labels", "gaussian"]),
    ],
)
def test_a_control_reruns_the_arms_that_read_it(
    planned: Callable, finished: Path, tiny: dict[str, Any], key: str, value: int, stale: list[str]
) -> None:
    tiny["controls"]["few"][key] = value
    assert planned(finished, tiny) == {stage: STUDY.get(stage, 1) for stage in [*stale, "compare", "report"]}


def test_a_title_reruns_what_shows_it(planned: Callable, finished: Path, tiny: dict[str, Any]) -> None:
    tiny["studies"]["tiny"]["title"] = "Another title"
    assert planned(finished, tiny) == {"compare": 1, "report": 1}


def test_a_second_study_takes_over_what_stands(planned: Callable, finished: Path, tiny: dict[str, Any]) -> None:
    tiny["heads"]["other"] = {"epochs": 2, "seeds": 1}
    tiny["studies"]["second"] = tiny["studies"]["tiny"] | {"head": "other"}
    assert planned(finished, tiny) == STUDY | {"redraw": 1}


def test_comments_and_docstrings_of_the_package_rerun_nothing(
    planned: Callable, finished: Path, tiny: dict[str, Any], package: Path
) -> None:
    for path in package.rglob("*.py"):
        text = path.read_text() + "\n# another comment\n"
        path.write_text(text.replace('"""', '"""Say more. ', 1) if text.startswith('"""') else text)
    assert planned(finished, tiny, package=package) == {}


def test_changed_code_reruns_what_imports_it(
    planned: Callable, finished: Path, tiny: dict[str, Any], package: Path
) -> None:
    distances = package / "heteroscope/clustering/distances.py"
    distances.write_text(distances.read_text() + "\nANOTHER = 1\n")
    jobs = planned(finished, tiny, package=package)
    assert jobs["cluster"] == 1
    assert not jobs.keys() & {"phantom", "dataset", "split", "pixels", "weights", "engine", "embed", "train"}


def test_the_time_of_a_large_file_makes_nothing_stale(planned: Callable, finished: Path, tiny: dict[str, Any]) -> None:
    for name in ("embed/toy/small-cnn/embeddings.h5", "dataset/toy/square-32/pixels.h5"):
        os.utime(finished / "results" / name)
    assert planned(finished, tiny) == {}


def test_a_lost_embedding_comes_back_where_it_is_needed_and_nothing_before_it(
    planned: Callable, finished: Path, tiny: dict[str, Any]
) -> None:
    path = finished / "results/embed/toy/small-cnn/embeddings.h5"
    path.rename(path.with_suffix(".aside"))
    try:
        assert planned(finished, tiny) == {}  # all that is made of it stands
        tiny["heads"]["linear"]["learning_rate"] = 0.01
        jobs = planned(finished, tiny)
    finally:
        path.with_suffix(".aside").rename(path)
    assert jobs["embed"] == 1
    assert not jobs.keys() & {"phantom", "dataset", "split", "pixels", "weights", "engine"}


def test_lost_photographs_of_a_phantom_come_back_where_they_are_needed(
    snakemake: Callable, planned: Callable, finished: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    photographs = folder / "results/phantom/toy/site-1"
    before = {path.name: path.read_bytes() for path in photographs.iterdir()}
    shutil.rmtree(photographs)
    assert planned(folder, tiny) == {}  # all that is made of them stands
    tiny["pixels"]["square-32"]["size"] = 40
    assert planned(folder, tiny)["phantom"] == 1
    done = snakemake(folder, tiny, "--cores", "2", "results/dataset/toy/square-32/pixels.h5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name: path.read_bytes() for path in photographs.iterdir()} == before
    assert "phantom" not in planned(folder, tiny)


def test_a_run_from_scratch_gives_the_same_bytes_however_it_is_scattered(
    snakemake: Callable, finished: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    tiny["datasets"]["toy"]["scatter"] = 2
    done = snakemake(tmp_path, tiny, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    tables = sorted(
        path.relative_to(finished)
        for path in (finished / "results").rglob("*")
        if path.suffix in {".csv", ".json", ".md", ".tex"} and "benchmarks" not in path.parts
    )
    assert len(tables) >= 15
    different = [str(path) for path in tables if (finished / path).read_bytes() != (tmp_path / path).read_bytes()]
    assert different == []
