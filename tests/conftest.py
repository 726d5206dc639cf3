"""Runs of the whole workflow, shared by all tests of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from tests.plans import jobs_of

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]

# the same examples in every run: a failure must be of the change under test
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(scope="session")
def snakemake() -> Run:
    """Run the workflow in a folder; `package` is a folder of other Python modules, such as a copy of the package."""

    def run(
        folder: Path, config: Mapping[str, Any] | Path | None, *arguments: str, package: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(config, Mapping):
            path = folder / "study.yaml"
            path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
            config = path
        named = ["--configfile", str(config)] if config else []
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory"]
        # jobs call `python`: it must be the one that runs the tests
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        if package:
            environment["PYTHONPATH"] = str(package)
        return subprocess.run(
            [*command, str(folder), *arguments, *named], env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="session")
def ran(snakemake: Run) -> Callable[..., dict[str, int]]:
    """A run that must end well: rule → number of its jobs. Options are those of `snakemake`."""

    def run(
        folder: Path,
        config: Mapping[str, Any] | Path | None,
        *arguments: str,
        cores: int = 2,
        dry_run: bool = False,
        **options: Any,
    ) -> dict[str, int]:
        done = snakemake(folder, config, *arguments, "--cores", str(cores), *["--dry-run"] * dry_run, **options)
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        return jobs_of(output)

    return run


@pytest.fixture(scope="session")
def planned(ran: Callable[..., dict[str, int]]) -> Callable[..., dict[str, int]]:
    """The same as a dry run: empty where nothing is to be done."""
    return partial(ran, dry_run=True)


@pytest.fixture
def tiny() -> dict[str, Any]:
    """A fresh configuration of one study that runs in seconds."""
    return tiny_config()


@pytest.fixture(scope="session")
def unchanged_tiny() -> dict[str, Any]:
    """The same for fixtures that many tests share; not to be changed."""
    return tiny_config()


@pytest.fixture(scope="session")
def finished(snakemake: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the tiny study was run; tests may only look, or plan.

    `imports` in it lists the modules that the jobs of every stage loaded, `tiny.yaml` is its configuration:
    `study.yaml` is that of the latest plan.
    """
    folder = tmp_path_factory.mktemp("finished")
    done = snakemake(folder, tiny_config(), "--cores", "2", package=ROOT / "tests/recorder")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "study.yaml").rename(folder / "tiny.yaml")
    return folder


def tiny_config() -> dict[str, Any]:
    study = {
        "dataset": "toy",
        "split": "holdout",
        "backbones": ["small-cnn"],
        "clusterings": ["kmeans-2"],
        "head": "linear",
        "controls": "few",
        "primary": {"backbone": "small-cnn", "clustering": "kmeans-2"},
    }
    return {
        "threads": 1,
        "datasets": {
            "toy": {"adapter": "phantom", "truth": "planted", "patients": 40, "size": 32, "attributes": ["exudates"]}
        },
        "pixels": {"square-32": {"size": 32}},
        "splits": {"holdout": {"test": 0.3, "validation": 0.2}},
        # an engine that needs no conversion, which would take longer than all the rest
        "backbones": {
            "small-cnn": {"model": "small-cnn", "weights": "random", "pixels": "square-32", "engine": "torch"}
        },
        "clusterings": {"kmeans-2": {"method": "kmeans", "k": 2, "reduce": {"method": "pca", "components": 5}}},
        "heads": {"linear": {"epochs": 3, "seeds": 2}},
        "controls": {"few": {"repeats": 5, "draws": 19, "power": 2, "min_class": 2, "min_test": 2}},
        "studies": {"tiny": study},
    }
