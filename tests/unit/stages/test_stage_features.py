"""The stages on three classes: every file, the same bytes twice, and messages for bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway

from heteroscope.errors import DataError
from heteroscope.layout import FEATURE_FILES
from heteroscope.stages import features, models
from heteroscope.store import create_h5, read_embeddings, write_json, write_strings, write_table

CLASSES = ["round", "square", "striped"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings of 90 images of 45 patients, the split, images and pixels."""
    folder = tmp_path_factory.mktemp("study")
    generator = np.random.default_rng(0)
    patient = np.arange(90) // 2
    label = patient % 3
    values = generator.normal(size=(90, 20)).astype(np.float32)
    values[:, :3] += 3 * np.eye(3, dtype=np.float32)[label]
    names = [f"{number:016x}" for number in range(90)]
    with create_h5(folder / "embeddings.h5", "embeddings", {"weights": "random"}) as file:
        file.create_dataset("features", data=values)
        write_strings(file, "image_id", names)
    with create_h5(folder / "pixels.h5", "pixels", {"spec": {"channel_order": "rgb"}}) as file:
        file.create_dataset("pixels", data=generator.integers(0, 255, (90, 3, 8, 8), dtype=np.uint8))
        write_strings(file, "image_id", names)
    part = np.array(["train", "train", "test"])[patient // 3 % 3]
    group = [f"p{number}" for number in patient]
    split = {"image_id": names, "class": np.array(CLASSES)[label], "label": label, "group": group, "part": part}
    write_table(pd.DataFrame(split), folder / "split.parquet")
    images = {"image_id": names, "group": group, "attr_site": np.array(["Oslo", "Kyoto"])[patient % 2]}
    write_table(pd.DataFrame(images), folder / "images.parquet")
    return folder


def run(study: Path, target: Path, *, embeddings: tuple[str, ...] = ("embeddings.h5",), **spec: Any) -> None:
    inputs = {"split": "split.parquet", "images": "images.parquet", "pixels": "pixels.h5"}
    flags = [text for name, file in inputs.items() for text in (f"--{name}", str(study / file))]
    files = [str(study / file) for file in embeddings]
    flags += ["--embeddings", *files, "--spec", json.dumps(spec), "--part", "train", "--threads", "1"]
    features.main([*flags, "--output", str(target)])


def test_two_runs_write_the_same_bytes_of_every_file(study: Path, tmp_path: Path) -> None:
    spec = {"shown": 5, "retrieval": {"at": [2, 1], "queries": 3}}
    for name in ("one", "two"):
        run(study, tmp_path / name, **spec)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(FEATURE_FILES)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    table = pd.read_csv(tmp_path / "one/features.csv")
    assert sorted(table["feature"][:3]) == [0, 1, 2]
    assert set(table["weights"]) == {"random"}
    assert pd.read_csv(tmp_path / "one/retrieval.csv")["query"].tolist() == ["all", *CLASSES] * 2
    summary = json.loads((tmp_path / "one/summary.json").read_text())
    assert summary["tested_on"] == {"part": "train", "units": dict.fromkeys(CLASSES, 10)}
    assert set(summary["silhouette"]["attributes"]) == {"site"}


def test_features_of_a_fusion_stand_side_by_side(study: Path, tmp_path: Path) -> None:
    run(study, tmp_path, embeddings=("embeddings.h5", "embeddings.h5"), unit="image")
    table = pd.read_csv(tmp_path / "features.csv").set_index("feature")
    assert sorted(table.index) == list(range(40))
    np.testing.assert_allclose(table.loc[range(20), "p"], table.loc[range(20, 40), "p"])
    split = pd.read_parquet(study / "split.parquet")
    values = read_embeddings([study / "embeddings.h5"]).features[:, 7]
    groups = [values[((split["part"] == "train") & (split["label"] == c)).to_numpy()] for c in range(3)]
    assert table.loc[27, "p"] == pytest.approx(f_oneway(*groups).pvalue, rel=1e-4)
    groups_of_redundant = pd.read_csv(tmp_path / "redundancy.csv")
    assert len(groups_of_redundant) == 40
    assert groups_of_redundant["group"].nunique() == 20


def test_a_class_that_is_not_trained_on_is_named(study: Path, tmp_path: Path) -> None:
    split = pd.read_parquet(study / "split.parquet")
    split.loc[split["label"] == 2, "part"] = "test"
    for name in ("embeddings.h5", "images.parquet", "pixels.h5"):
        (tmp_path / name).symlink_to(study / name)
    write_table(split, tmp_path / "split.parquet")
    with pytest.raises(DataError, match="class striped: 0 patients or images to test features on"):
        run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_backbones_of_three_classes_side_by_side(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    label = np.arange(60) % 3
    plan = []
    for skill, name in enumerate(("a", "b")):
        score = generator.random((60, 3)) + skill * np.eye(3)[label]
        probability = pd.DataFrame(
            score / score.sum(axis=1, keepdims=True), columns=[f"probability_{c}" for c in CLASSES]
        )
        rows = pd.DataFrame({"seed": 0, "image_id": [f"i{i}" for i in range(60)], "group": np.arange(60) // 2})
        write_table(pd.concat([rows.assign(label=label), probability], axis=1), tmp_path / f"{name}.parquet")
        write_json({"weights": "random", "features": 8}, tmp_path / f"{name}.json")
        write_json({"silhouette": {"labels": 0.25, "clusters": 0.5}}, tmp_path / f"{name}-quality.json")
        files = {"predictions": [str(tmp_path / f"{name}.parquet")], "metrics": [str(tmp_path / f"{name}.json")]}
        names = {"backbone": name, "classifier": "linear", "method": "head"}
        plan.append(names | files | {"quality": str(tmp_path / f"{name}-quality.json")})
    models.main(["--plan", json.dumps(plan), "--output", str(tmp_path / "out"), "--threads", "1"])
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.{e}" for name in ("models", "model-tests") for e in ("csv", "md", "tex")} | {
        "models.png",
        "roc.png",
    }
    table = pd.read_csv(tmp_path / "out/models.csv")
    assert (table.loc[1, ["accuracy", "auc"]] > table.loc[0, ["accuracy", "auc"]]).all()
    assert table["silhouette_clusters"].tolist() == [0.5, 0.5]
    tests = pd.read_csv(tmp_path / "out/model-tests.csv")
    assert tests["delong_p"].isna().all()
    assert tests["auc_gain"][0] < 0
