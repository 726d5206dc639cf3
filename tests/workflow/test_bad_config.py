"""What a user gets wrong is refused before any job starts, in words, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
Change = Callable[[dict[str, Any]], Any]

PROBLEMS: dict[str, tuple[Change, list[str]]] = {
    "unknown id": (
        lambda config: config["studies"]["tiny"].update(head="liner"),
        ["studies.tiny.head: unknown id 'liner' (did you mean 'linear'?); known: linear"],
    ),
    "unknown features": (
        lambda config: config["studies"]["tiny"].update(features=["welch"]),
        ["studies.tiny.features.0: unknown id 'welch'; known: none"],
    ),
    "features without images to find": (
        lambda config: config.update(features={"welch": {"retrieval": {"at": [5, 0]}}}),
        ["features.welch.retrieval.at.1: 0: allowed: at least 1"],
    ),
    "misspelt key": (
        lambda config: config["heads"]["linear"].update(epoch=3),
        ["heads.linear.epoch: unknown key (did you mean 'epochs'?)"],
    ),
    "missing section": (lambda config: config.pop("splits"), ["splits: this key is required"]),
    "impossible value": (lambda config: config["clusterings"]["kmeans-2"].update(k=1), ["clusterings.kmeans-2.k", "1"]),
    "missing root": (
        lambda config: config["datasets"].update(toy=folder_dataset("nowhere")),
        ["nowhere", "data_root"],
    ),
    "empty folder": (
        lambda config: config["datasets"].update(toy=folder_dataset("empty")),
        ["empty: no image below it", "data_root"],
    ),
}


def folder_dataset(root: str) -> dict[str, Any]:
    return {"adapter": "folder", "root": root, "classes": {"normal": ["normal"], "disease": ["disease"]}}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_refused_in_words(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any], problem: str) -> None:
    change, words = PROBLEMS[problem]
    (tmp_path / "empty").mkdir()
    change(tiny)
    done = snakemake(tmp_path, tiny, "--cores", "1")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in output
    assert 'File "' not in output
    for word in words:
        assert word in output, output
    assert not (tmp_path / "results/dataset/toy/images.parquet").exists()


def test_a_key_that_stands_twice_is_refused(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    """YAML keeps the last one without a word."""
    (tmp_path / "study.yaml").write_text(f"{yaml.safe_dump(tiny)}\nthreads: 2\n")
    done = snakemake(tmp_path, tmp_path / "study.yaml", "--cores", "1", "--dry-run")
    assert done.returncode != 0
    assert (
        "study.yaml: the configuration cannot be used:\n  threads: this key stands in lines"
        in done.stdout + done.stderr
    )


def test_an_unknown_profile_is_refused(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    done = snakemake(tmp_path, tiny, "--profile", str(ROOT / "config/profiles/locla"), "--dry-run")
    assert done.returncode != 0
    assert "locla" in done.stdout + done.stderr
