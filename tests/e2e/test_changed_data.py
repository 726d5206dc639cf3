"""What a changed folder or table makes stale, on a study of a folder of images with a table beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

PATIENTS = 40
BEHIND_IMAGES = {"split": 1, "pixels": 1, "embed": 1, "train": 1, "cluster": 1, "retrain": 2, "labels": 1}
EVERYTHING = {"dataset": 1} | BEHIND_IMAGES | {"compare": 1, "report": 1}


def write_source(root: Path) -> None:
    """Two images a patient and a table of them; disease is brighter in the middle."""
    generator = np.random.default_rng(0)
    root.mkdir()
    rows = []
    for number in range(2 * PATIENTS):
        patient, diseased = number // 2, number // 2 % 2
        pixels = generator.integers(0, 120, (40, 40, 3), dtype=np.uint8)
        pixels[15:25, 15:25] += np.uint8(100 * diseased)
        Image.fromarray(pixels).save(root / f"{number:03d}.png")
        rows.append({"file": f"{number:03d}.png", "finding": ["healthy", "ill"][diseased], "patient": f"p{patient}"})
    pd.DataFrame(rows).to_csv(root / "table.csv", index=False)


def on_the_table(config: dict[str, Any]) -> dict[str, Any]:
    columns = {"table": "table.csv", "path": "file", "label": "finding", "group": "patient"}
    classes = {"normal": ["healthy"], "disease": ["ill"]}
    return config | {"datasets": {"toy": {"adapter": "table", "root": "raw", "classes": classes} | columns}}


@pytest.fixture
def config(tiny: dict[str, Any]) -> dict[str, Any]:
    return on_the_table(tiny)


@pytest.fixture(scope="module")
def run_once(snakemake: Callable, unchanged_tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    write_source(folder / "raw")
    done = snakemake(folder, on_the_table(unchanged_tiny), "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def folder(run_once: Path, tmp_path: Path) -> Path:
    """A copy, for one test, of a folder in which the study was run."""
    return shutil.copytree(run_once, tmp_path / "copy")


def brighten(path: Path) -> None:
    pixels = np.asarray(Image.open(path))
    Image.fromarray(pixels + np.uint8(9)).save(path)


def test_a_moved_folder_makes_nothing_stale(planned: Callable, folder: Path, config: dict[str, Any]) -> None:
    assert planned(folder, config) == {}
    (folder / "elsewhere").mkdir()
    shutil.copytree(folder / "raw", folder / "elsewhere/raw", copy_function=shutil.copy)  # with other times
    shutil.rmtree(folder / "raw")
    assert planned(folder, config | {"data_root": str(folder / "elsewhere")}) == {}


def test_a_changed_image_is_decoded_and_embedded_alone(
    snakemake: Callable, planned: Callable, folder: Path, config: dict[str, Any]
) -> None:
    brighten(folder / "raw/003.png")
    assert planned(folder, config) == EVERYTHING
    done = snakemake(folder, config, "--cores", "2", "results/embed/toy/small-cnn/embeddings.h5")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("dataset/toy/square-32/pixels.h5", "embed/toy/small-cnn/embeddings.h5"):
        with h5py.File(folder / "results" / name) as file:
            assert (file.attrs["computed"], file.attrs["reused"]) == (1, 2 * PATIENTS - 1)


def test_a_removed_image_is_noticed(planned: Callable, folder: Path, config: dict[str, Any]) -> None:
    (folder / "raw/003.png").unlink()
    assert planned(folder, config) == EVERYTHING


def test_a_changed_label_is_noticed(planned: Callable, folder: Path, config: dict[str, Any]) -> None:
    table = folder / "raw/table.csv"
    table.write_text(table.read_text().replace("000.png,healthy", "000.png,ill"))
    assert planned(folder, config) == EVERYTHING


def test_another_backbone_is_added_to_what_stands(planned: Callable, folder: Path, config: dict[str, Any]) -> None:
    config["backbones"]["other"] = config["backbones"]["small-cnn"] | {"seed": 1}
    config["studies"]["tiny"]["backbones"] = ["small-cnn", "other"]
    added = {"weights": 1, "embed": 1, "train": 1, "cluster": 1, "retrain": 2, "labels": 1}
    assert planned(folder, config) == added | {"compare": 1, "report": 1}
