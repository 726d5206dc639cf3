"""The published chest protocol, on generated images under the names and columns of the real table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
# jobs call `python`: it must be the one that runs the tests
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
CARDIOMEGALY_BY_SEX = {"M": 68, "F": 73}
NO_FINDING = 200


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cardiomegaly")
    write_sample(folder / "nih-sample")
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder, "--cores", "2"),
        *("--configfile", ROOT / "config/studies/cardiomegaly-published.yaml", "--config", f"data_root={folder}"),
        # the same protocol at a size that runs in seconds
        "backbones={efficientnet-b0: {model: small-cnn, weights: random, engine: torch}}",
        "pixels={bgr-224: {size: 32}}",
        "heads={published: {epochs: 5}}",
        "controls={published: {arms: [size, balanced, labels], repeats: 2, draws: 19, power: 0}}",
        "threads=1",
    ]
    done = subprocess.run(list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results"


def write_sample(root: Path) -> None:
    """A table like the sample's, other findings among its rows, and an image a row."""
    generator = np.random.default_rng(0)
    rows = [
        ("Cardiomegaly|Effusion" if i % 3 else "Cardiomegaly", sex)
        for sex, n in CARDIOMEGALY_BY_SEX.items()
        for i in range(n)
    ]
    rows += [("No Finding", "MF"[i % 2]) for i in range(NO_FINDING)] + [("Infiltration", "M")] * 20
    (root / "images").mkdir(parents=True)
    table = []
    for number in generator.permutation(len(rows)):
        finding, sex = rows[number]
        name = f"{number // 2:08d}_{number % 2:03d}.png"
        pixels = generator.integers(0, 120, (40, 40), dtype=np.uint8) + (80 if "Cardiomegaly" in finding else 40)
        Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / name)
        table.append(
            {
                "Image Index": name,
                "Finding Labels": finding,
                "Follow-up #": number % 2,
                "Patient ID": number // 2,
                "Patient Age": f"{int(generator.integers(20, 90)):03d}Y",
                "Patient Gender": sex,
                "View Position": "PA",
                "OriginalImageWidth": 2048,
                "OriginalImageHeight": 2500,
            }
        )
    pd.DataFrame(table).to_csv(root / "sample_labels.csv", index=False)


def test_rows_are_those_of_the_publication(finished: Path) -> None:
    split = pd.read_parquet(finished / "split/nih-cardiomegaly/published.parquet")
    assert split["part"].value_counts().to_dict() == {"train": 225, "test": 57}
    images = pd.read_parquet(finished / "dataset/nih-cardiomegaly/images.parquet")
    assert images.groupby(["label", "attr_sex"]).size().to_dict() == {
        (label, sex): n for label in ("cardiomegaly", "no-finding") for sex, n in CARDIOMEGALY_BY_SEX.items()
    }


def test_every_training_image_is_clustered_with_one_copy(finished: Path) -> None:
    for clustering in ("kmeans-4", "kmeans-4-pca"):
        path = (
            finished / f"cluster/nih-cardiomegaly/efficientnet-b0/published/one-copy/{clustering}/assignments.parquet"
        )
        train = pd.read_parquet(path).query("part == 'train'")
        assert len(train) == 450
        assert train.groupby("image_id")["view"].apply(sorted).map(tuple).unique().tolist() == [(0, 1)]


def test_the_four_tables_and_the_warnings(finished: Path) -> None:
    compared = finished / "compare/cardiomegaly-published"
    clusters = pd.read_csv(compared / "clusters.csv")
    assert clusters.groupby("clustering")["size"].sum().to_dict() == {"kmeans-4": 450, "kmeans-4-pca": 450}
    baseline = pd.read_csv(compared / "baseline.csv")
    assert baseline.query("cluster == 'all'")["test_size"].tolist() == [57, 57]
    warnings = " ".join(json.loads((compared / "verdict.json").read_text())["warnings"])
    for name in ("selection on the test set", "duplicates", "patients", "views", "random weights", "small test set"):
        assert name in warnings
