"""How few images a change decodes and embeds; what makes which job run is in test_staleness."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pytest

from heteroscope.data.shards import shard_of
from tests.e2e.raw_folder import IMAGES, add, on_the_folder, relabel, remove, replace

EMBEDDING = {"engine": 1, "embed": 1}
INCREMENT = {"dataset": 1, "pixels": 1} | EMBEDDING
PIXELS = "dataset/toy/square-32/pixels.h5"
EMBEDDINGS = "embed/toy/small-cnn/embeddings.h5"
VIEWS = "embed/toy/small-cnn/holdout/turned/views.h5"


def counts(folder: Path, name: str) -> tuple[int, int]:
    """Rows that the last job computed, and rows that it took over."""
    with h5py.File(folder / "results" / name) as file:
        return int(file.attrs["computed"]), int(file.attrs["reused"])


def rows(folder: Path, name: str) -> dict[str, bytes]:
    """Everything in a file but its attributes."""
    with h5py.File(folder / "results" / name) as file:
        return {dataset: file[dataset][:].tobytes() for dataset in file}


@pytest.mark.parametrize(
    ("happened", "computed", "kept"),
    [(replace, 1, IMAGES - 1), (add, 1, IMAGES), (remove, 0, IMAGES - 1), (relabel, 0, IMAGES)],
)
def test_no_image_is_decoded_or_embedded_twice(
    ran: Callable,
    folder: Path,
    config: dict[str, Any],
    happened: Callable[[Path], None],
    computed: int,
    kept: int,
) -> None:
    happened(folder / "raw")
    assert ran(folder, config, "embeddings") == INCREMENT
    assert counts(folder, PIXELS) == (computed, kept)
    assert counts(folder, EMBEDDINGS) == (computed, kept)
    assert (
        f"{computed} embeddings computed, {kept} reused"
        in (folder / "results/logs/embed/toy/small-cnn.log").read_text()
    )


def test_another_backbone_is_added_to_what_stands(ran: Callable, folder: Path, config: dict[str, Any]) -> None:
    config["backbones"]["other"] = config["backbones"]["small-cnn"] | {"seed": 1}
    config["studies"]["tiny"]["backbones"] = ["small-cnn", "other"]
    assert ran(folder, config, "embeddings") == {"weights": 1} | EMBEDDING
    assert counts(folder, "embed/toy/other/embeddings.h5") == (IMAGES, 0)


def test_other_weights_embed_every_image_again_and_decode_none(
    ran: Callable, folder: Path, config: dict[str, Any]
) -> None:
    before = rows(folder, EMBEDDINGS)
    config["backbones"]["small-cnn"]["seed"] = 1
    assert ran(folder, config, "embeddings") == {"weights": 1} | EMBEDDING
    assert counts(folder, EMBEDDINGS) == (IMAGES, 0)
    after = rows(folder, EMBEDDINGS)
    assert after["image_id"] == before["image_id"]
    assert after["features"] != before["features"]


def test_a_second_copy_is_embedded_beside_the_first(ran: Callable, folder: Path, config: dict[str, Any]) -> None:
    training = int((pd.read_parquet(folder / "results/split/toy/holdout.parquet")["part"] == "train").sum())
    for copies, computed, kept in ((1, training, 0), (2, training, training)):
        config["augmentations"] = {"turned": {"rotation": 10, "copies": copies}}
        assert ran(folder, config, f"results/{VIEWS}") == {"views": 1}
        assert counts(folder, VIEWS) == (computed, kept)


def test_a_lost_choice_of_engine_comes_back_the_same(ran: Callable, folder: Path, config: dict[str, Any]) -> None:
    path = folder / "results/embed/toy/small-cnn/engine.json"
    before = path.read_bytes()
    path.unlink()
    replace(folder / "raw")
    assert ran(folder, config, "embeddings") == INCREMENT
    assert path.read_bytes() == before
    assert counts(folder, EMBEDDINGS) == (1, IMAGES - 1)


@pytest.fixture(scope="module")
def scattered(ran: Callable, run_once: Path, unchanged_tiny: dict[str, Any], tmp_path_factory: Any) -> Path:
    """A copy of the folder in which the same embeddings, and views, were made again in two shards."""
    folder: Path = shutil.copytree(run_once, tmp_path_factory.mktemp("scattered") / "copy")
    config = in_shards(on_the_folder(unchanged_tiny))
    shutil.rmtree(folder / "results/embed")
    jobs = ran(folder, config, "embeddings", f"results/{VIEWS}")
    assert jobs == EMBEDDING | {"shard": 2, "embed_shard": 2, "views_shard": 2, "views": 1}
    return folder


def in_shards(config: dict[str, Any]) -> dict[str, Any]:
    config["datasets"]["toy"]["scatter"] = 2
    config["augmentations"] = {"turned": {"rotation": 10}}
    return config


def test_shards_make_the_same_file(scattered: Path, run_once: Path) -> None:
    assert rows(scattered, EMBEDDINGS) == rows(run_once, EMBEDDINGS)
    shards = [counts(scattered, f"embed/toy/small-cnn/shards/2/{shard}.h5") for shard in (1, 2)]
    assert [kept for _, kept in shards] == [0, 0]
    assert min(computed for computed, _ in shards) > 0
    assert sum(computed for computed, _ in shards) == IMAGES
    assert counts(scattered, EMBEDDINGS) == (0, IMAGES)
    assert counts(scattered, VIEWS)[0] == 0


def test_the_recorded_study_goes_on_from_shards(planned: Callable, scattered: Path, config: dict[str, Any]) -> None:
    """Nothing behind the embeddings is stale, nor before them."""
    assert planned(scattered, in_shards(config)) == {}


def test_a_new_image_makes_its_own_shard_stale_and_no_other(
    ran: Callable, planned: Callable, scattered: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(scattered, tmp_path / "copy")
    before = [counts(folder, f"embed/toy/small-cnn/shards/2/{shard}.h5") for shard in (1, 2)]
    add(folder / "raw")
    own = shard_of(hashlib.sha256((folder / "raw/added.png").read_bytes()).hexdigest(), 2)
    config = in_shards(config)
    jobs = ran(folder, config, "embeddings")
    assert jobs == INCREMENT | {"shard": 1, "embed_shard": 1}
    after = [counts(folder, f"embed/toy/small-cnn/shards/2/{shard}.h5") for shard in (1, 2)]
    assert after[own - 1] == (1, before[own - 1][0])
    assert after[2 - own] == before[2 - own]
    assert counts(folder, EMBEDDINGS) == (0, IMAGES + 1)
    assert planned(folder, config, "embeddings") == {}


def test_another_number_of_shards_computes_nothing_again(
    ran: Callable, scattered: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(scattered, tmp_path / "copy")
    config = in_shards(config)
    config["datasets"]["toy"]["scatter"] = 3
    jobs = ran(folder, config, "embeddings")
    assert jobs == {"shard": 3, "embed_shard": 3, "embed": 1}
    assert [counts(folder, f"embed/toy/small-cnn/shards/3/{shard}.h5")[0] for shard in (1, 2, 3)] == [0, 0, 0]


@pytest.mark.parametrize(("key", "value"), [("precision", "float32"), ("layer", "features.6")])
def test_another_network_makes_all_shards_stale_even_beside_a_new_image(
    planned: Callable, scattered: Path, config: dict[str, Any], tmp_path: Path, key: str, value: str
) -> None:
    """Snakemake looks at no params of a job behind one that runs and none of whose files is tracked."""
    folder = shutil.copytree(scattered, tmp_path / "copy")
    add(folder / "raw")
    config = in_shards(config)
    config["backbones"]["small-cnn"][key] = value
    assert planned(folder, config, "embeddings") == INCREMENT | {"shard": 2, "embed_shard": 2}
