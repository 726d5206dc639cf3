"""The stage on a small study: every file, the same bytes twice, and messages for bad input."""

import json

import numpy as np
import pandas as pd
import pytest

from heteroscope.errors import DataError
from heteroscope.stages import cluster
from heteroscope.store import create_h5, read_json, read_table, write_strings, write_table

FIGURES = ["centroid-distances.png", "dendrogram.png", "exemplars.png", "pca.png", "umap.png"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Embeddings, views, split, images and pixels of 60 images in two blobs."""
    folder = tmp_path_factory.mktemp("study")
    generator = np.random.default_rng(0)
    blob = np.arange(60) % 2
    names = [f"{number:016x}" for number in range(60)]
    features = (20 * blob[:, None] + generator.normal(size=(60, 6))).astype(np.float32)
    with create_h5(folder / "embeddings.h5", "embeddings") as file:
        file.create_dataset("features", data=features[::-1])
        write_strings(file, "image_id", names[::-1])
    with create_h5(folder / "views.h5", "views") as file:
        file.create_dataset("features", data=features[:4] + 0.1)
        file.create_dataset("view", data=[1] * 4)
        write_strings(file, "image_id", names[:4])
    with create_h5(folder / "pixels.h5", "pixels", {"spec": {"channel_order": "rgb"}}) as file:
        file.create_dataset("pixels", data=generator.integers(0, 255, (60, 3, 8, 8), dtype=np.uint8))
        write_strings(file, "image_id", names)
    label = generator.integers(0, 2, 60)
    part = ["train"] * 40 + ["validation"] * 8 + ["test"] * 12
    split = {"image_id": names, "class": np.array(["normal", "cataract"])[label], "label": label, "part": part}
    write_table(pd.DataFrame({**split, "group": names}), folder / "split.parquet")
    attributes = {"attr_site": np.array(["Oslo", "Kyoto"])[blob], "attr_age": generator.normal(50, 9, 60)}
    images = pd.DataFrame({"image_id": names, "content": names, "group": names, **attributes})
    write_table(images, folder / "images.parquet")
    return folder


def run(study, target, **spec):
    outputs = {name.split(".")[0]: target / name for name in
               ("assignments.parquet", "distances.csv", "projections.parquet", "quality.json")}  # fmt: skip
    inputs = {name.split(".")[0]: study / name for name in
              ("embeddings.h5", "views.h5", "split.parquet", "images.parquet", "pixels.h5")}  # fmt: skip
    flags = [text for name, path in {**inputs, **outputs}.items() for text in (f"--{name}", str(path))]
    cluster.main([*flags, "--figures", str(target), "--spec", json.dumps(spec), "--threads", "1"])


def test_two_runs_write_the_same_bytes_of_every_file(study, tmp_path):
    spec = {"method": "kmeans", "k": 2, "reduce": {"method": "pca", "components": 3}}
    for name in ("one", "two"):
        run(study, tmp_path / name, **spec)
    tables = ["assignments.parquet", "distances.csv", "projections.parquet", "quality.json"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted([*FIGURES, *tables])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name

    assignments = read_table(tmp_path / "one" / "assignments.parquet")
    blob = assignments["image_id"].map(lambda name: int(name, 16) % 2)
    assert assignments.groupby("cluster").size().tolist() == [32, 32]
    assert (assignments["cluster"] == blob).all()
    assert assignments["part"].tolist() == ["train"] * 40 + ["validation"] * 8 + ["test"] * 12 + ["train"] * 4
    assert assignments["view"].tolist() == [0] * 60 + [1] * 4
    assert read_json(tmp_path / "one" / "quality.json")["rows"] == {"train": 44, "validation": 8, "test": 12}


def test_k_above_the_training_set_writes_nothing(study, tmp_path):
    with pytest.raises(DataError, match=r"k: 60 clusters are asked for, but there are 44 training rows"):
        run(study, tmp_path, method="kmeans", k=60)
    assert not list(tmp_path.iterdir())
