"""docs/systems-on-real-images.md is the page of its study file, which plans all that it should show."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from heteroscope.config import Config, load
from heteroscope.layout import Layout
from heteroscope.model_names import RANDOM
from heteroscope.report.branches import TITLES
from tests.pages import ROOT

STUDIES = ROOT / "config/studies/systems-on-real-images.yaml"
PAGE = ROOT / "docs/systems-on-real-images.md"
PICTURES = PAGE.parent / "images" / PAGE.stem
LARGEST = 250_000  # bytes of a picture in the repository


@pytest.fixture
def raw() -> dict[str, Any]:
    return yaml.safe_load(STUDIES.read_text(encoding="utf-8"))


def test_the_page_has_every_study_and_all_that_runs_beside_its_clusters(raw: dict[str, Any]) -> None:
    layout = Layout(load(raw))
    expected = ["## What ran"]
    for name, study in layout.config.studies.items():
        expected += [f"## {name}: {study.title}"]
        expected += [f"### {TITLES[section['branch']]}" for section in layout.branches(name)]
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^##.*", text, re.M) == [*expected, "## What it cost"]
    assert "dirty" not in text.split("\n\n")[1], "it must be made at a commit"


def test_its_pictures_are_there_and_small() -> None:
    shown = re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8"))
    assert {PAGE.parent / path for path in shown} == set(PICTURES.iterdir())
    assert max(path.stat().st_size for path in PICTURES.iterdir()) <= LARGEST


def test_everything_that_the_page_shows_is_planned(planned: Callable, tmp_path: Path, raw: dict[str, Any]) -> None:
    for table in ("odir5k/full_df.csv", "nih-cxr/Data_Entry_2017.csv"):
        folder = tmp_path.joinpath(table).parent
        folder.mkdir()
        for name in (Path(table).name, "image.png"):  # a plan only lists what there is
            folder.joinpath(name).touch()
    with_random = changed(raw, overrides("systems")[STUDIES.name])
    jobs = planned(tmp_path / "run", with_random | {"data_root": str(tmp_path)})
    assert {
        rule: jobs[rule] for rule in ("hybrid", "regress", "features", "finetune", "network", "explain", "report")
    } == {
        "hybrid": 2 * len(raw["hybrids"]),
        "regress": 2 * len(raw["regressions"]),
        "features": 2,
        "finetune": 5,
        "network": 5,
        "explain": 3,
        "report": 4,
    }


def overrides(target: str) -> dict[str, str]:
    """Study file → what `make TARGET WEIGHTS=random` changes of its backbones."""
    command = ["make", "--dry-run", "--no-print-directory", target, "DATA=images", "WEIGHTS=random"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"--configfile config/studies/(\S+).*?backbones='(.*?)'", made.replace("\\\n", " ")))


def changed(raw: dict[str, Any], backbones: str) -> dict[str, Any]:
    """A configuration with changes, merged as Snakemake does."""
    update_config(raw, {"backbones": yaml.safe_load(backbones)})
    return raw


@pytest.mark.parametrize("target", ["studies", "systems"])
def test_random_weights_need_no_network(target: str) -> None:
    found = overrides(target)
    assert found
    for name, backbones in found.items():
        config = load(changed(yaml.safe_load((ROOT / "config/studies" / name).read_text(encoding="utf-8")), backbones))
        assert origins(config) <= {RANDOM}


def origins(config: Config) -> set[str]:
    return {spec.finetune.initial if spec.finetune else spec.weights for spec in config.backbones.values()}
