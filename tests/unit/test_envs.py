"""The conda environments hold the lock's versions, and every job's environment holds what the job imports."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from heteroscope import provenance

ROOT = Path(__file__).parents[2]
PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
IMPORT_NAMES = {
    "grad-cam": "pytorch_grad_cam",
    "imbalanced-learn": "imblearn",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
    "xgboost-cpu": "xgboost",
}
HEAD_ONLY = {"rich", "shtab", "snakemake", "snakemake-executor-plugin-slurm"}


def locked() -> dict[str, set[str]]:
    """Package name → its versions in the lock (several where they depend on Python's)."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.M):
        versions.setdefault(name, set()).add(version)
    return versions


def environment(name: str) -> dict[str, str]:
    """PyPI name → version of an environment, Python itself left out."""
    entries = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
    pairs = dict(entry.split("=") for entry in entries if isinstance(entry, str) and entry != "pip")
    pairs |= dict(line.split("==") for entry in entries if isinstance(entry, dict) for line in entry["pip"])
    assert pairs.pop("python") >= "3.11"
    return {PYPI_NAMES.get(package, package): version for package, version in pairs.items()}


def requirements() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]}


def imported_packages(stage: str) -> set[str]:
    """Top-level names of all modules that a stage's package modules import."""
    modules = provenance.imported_modules(f"heteroscope.stages.{stage}")
    return {name.split(".")[0] for module in modules for name in provenance.imports_of(module)}


def rules() -> dict[str, tuple[str, str]]:
    """Rule → the environment that it names and the stage that it runs."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    one = r'^rule (\w+):(?:(?!^rule ).)*?"\.\./envs/(\w+)\.yaml"(?:(?!^rule ).)*?-m heteroscope\.stages\.(\w+)'
    found = re.findall(one, text, re.M | re.S)
    return {rule: (name, stage) for rule, name, stage in found}


def test_the_lock_pins_by_hash_and_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert all(line.startswith("    --hash=sha256:") or "==" in line for line in text.splitlines())
    assert requirements() | {"uv", "hatchling", "pytest"} <= set(locked())


@pytest.mark.parametrize("name", ["base", "torch"])
def test_versions_are_the_locks(name: str) -> None:
    versions = locked()
    wrong = {package: version for package, version in environment(name).items() if version not in versions[package]}
    assert not wrong


def test_the_torch_environment_holds_all_that_the_package_needs() -> None:
    assert set(environment("torch")) == requirements() - HEAD_ONLY


def test_the_base_environment_is_a_part_of_the_torch_environment() -> None:
    assert environment("base").items() < environment("torch").items()


def test_every_job_imports_only_what_its_environment_holds() -> None:
    """What the rules import beyond the standard library stands in the environment that they name."""
    known = {IMPORT_NAMES.get(name, name.replace("-", "_")): name for name in requirements()}
    assert len(rules()) >= 12
    for rule, (name, stage) in rules().items():
        needed = {known[package] for package in imported_packages(stage) if package in known}
        assert needed <= set(environment(name)), f"rule {rule} of stage {stage}"
