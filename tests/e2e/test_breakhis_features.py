"""Features of a fusion on a tree named as BreakHis is; backbones side by side, as one job of a finished study."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import binomtest, ttest_ind
from sklearn.metrics import roc_auc_score

from heteroscope.store import read_embeddings, read_table, write_table
from tests.unit.data.test_data_breakhis import in_tree

FUSION = "small-cnn+shallow"
ANALYSIS = f"results/features/breakhis/{FUSION}/holdout/by-patient"
# real slides of BreakHis, of four subtypes
SLIDES = {
    "B_A-14": ["22549AB", "22549CD", "22549G", "29960CD"],
    "B_F-14": ["14134", "14134E", "23060AB", "25197", "29960AB", "9133"],
    "M_DC-14": ["10926", "11031", "11520", "11951", "12312", "13993"],
    "M_MC-14": ["10147", "12773", "13413", "13418DE"],
}


def write_tree(root: Path) -> None:
    """Three images of each slide at two magnifications; malignant ones hold more dark nuclei, stains differ."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    for subtype, slides in SLIDES.items():
        for slide in slides:
            stain = generator.integers(-25, 25, 3)
            for number in range(3):
                pixels = generator.normal([215, 160, 200], 12, (32, 32, 3)) + stain
                for _ in range(generator.poisson(14 if subtype[0] == "M" else 5)):
                    a, b = generator.integers(0, 32, 2)
                    pixels[(y - a) ** 2 + (x - b) ** 2 < 7] *= [0.45, 0.35, 0.7]
                name = f"SOB_{subtype}-{slide}-{(40, 100)[number % 2]}-{number + 1:03d}.png"
                path = root / in_tree(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def config() -> dict[str, Any]:
    network = {"model": "small-cnn", "weights": "random", "pixels": "square-32", "engine": "torch"}
    study = {
        "dataset": "breakhis",
        "split": "holdout",
        "backbones": [FUSION],
        "clusterings": ["kmeans-2"],
        "head": "linear",
        "controls": "few",
        "features": ["by-patient"],
        "primary": {"backbone": FUSION, "clustering": "kmeans-2"},
    }
    classes = {"benign": ["benign"], "malignant": ["malignant"]}
    return {
        "threads": 1,
        "datasets": {"breakhis": {"adapter": "breakhis", "root": "raw", "classes": classes}},
        "pixels": {"square-32": {"size": 32}},
        "splits": {"holdout": {"test": 0.4, "validation": 0.15}},
        "backbones": {"small-cnn": network, "shallow": network | {"layer": "features.7"}},
        "clusterings": {"kmeans-2": {"k": 2}},
        "heads": {"linear": {}},
        "controls": {"few": {}},
        "features": {"by-patient": {"shown": 12, "retrieval": {"at": [1, 3], "queries": 4}}},
        "studies": {"fused": study},
    }


@pytest.fixture(scope="module")
def analysed(ran: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the results; nothing is clustered or trained for them."""
    folder = tmp_path_factory.mktemp("breakhis")
    write_tree(folder / "raw")
    jobs = ran(folder, config(), f"{ANALYSIS}/features.csv")
    once, each = ["dataset", "split", "pixels", "features"], ["weights", "engine", "embed"]
    assert jobs == dict.fromkeys(once, 1) | dict.fromkeys(each, 2)
    return folder


@pytest.fixture(scope="module")
def rows(analysed: Path) -> pd.DataFrame:
    """A row an image: its part, label, patient, and the features of the fusion, f0 …"""
    split = pd.read_parquet(analysed / "results/split/breakhis/holdout.parquet")
    files = [analysed / f"results/embed/breakhis/{name}/embeddings.h5" for name in ("small-cnn", "shallow")]
    embeddings = read_embeddings(files)
    values = pd.DataFrame(embeddings.features).add_prefix("f").assign(image_id=embeddings.image_id)
    return split.merge(values, on="image_id")


def test_features_are_tested_on_patients_of_the_training_images(analysed: Path, rows: pd.DataFrame) -> None:
    """The fusion's second part is an intermediate layer of 32 channels."""
    folder = analysed / ANALYSIS
    table = pd.read_csv(folder / "features.csv").set_index("feature")
    assert sorted(table.index) == list(range(64 + 32))
    for part, p in (("train", "p"), ("test", "held_out_p")):
        patients = rows[rows["part"] == part].groupby("group").mean(numeric_only=True)
        for feature in (table.index[0], 70, 95):
            benign, malignant = (patients.loc[patients["label"] == c, f"f{feature}"] for c in (0, 1))
            assert table.loc[feature, p] == pytest.approx(
                ttest_ind(malignant, benign, equal_var=False).pvalue, rel=1e-4
            )
    summary = json.loads((folder / "summary.json").read_text())
    patients = rows[rows["part"] == "train"].groupby("group")["class"].first().value_counts().to_dict()
    assert summary["tested_on"] == {"part": "train", "units": patients}
    assert summary["significant"] == (table["q"] <= 0.05).sum() > 0
    again = table[
        (table["q"] <= 0.05) & (table["held_out_p"] <= 0.05) & (table["effect"] * table["held_out_effect"] > 0)
    ]
    assert summary["held_out"]["significant_again"] == len(again)
    assert (
        summary["held_out"]["units"]
        == rows[rows["part"] == "test"].groupby("group")["class"].first().value_counts().to_dict()
    )
    assert set(summary["silhouette"]["attributes"]) == {"subtype", "magnification"}


def test_a_search_finds_images_of_the_class_on_other_slides(analysed: Path, rows: pd.DataFrame) -> None:
    table = pd.read_csv(analysed / ANALYSIS / "retrieval.csv")
    assert table["query"].tolist() == ["all", "benign", "malignant"] * 2
    columns = [f"f{number}" for number in range(96)]
    train, test = (rows[rows["part"] == part] for part in ("train", "test"))
    unit = [part[columns].to_numpy(float) for part in (test, train)]
    unit = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in unit]
    nearest = (unit[0] @ unit[1].T).argsort(axis=1)[:, ::-1][:, :3]
    right = train["label"].to_numpy()[nearest] == test["label"].to_numpy()[:, None]
    by_k = table[table["query"] == "all"].set_index("k")["precision"]
    assert by_k[1] == pytest.approx(right[:, 0].mean(), rel=1e-5)
    assert by_k[3] == pytest.approx(right.mean(), rel=1e-5)
    assert (by_k > 0.6).all()  # nuclei are dark
    assert table["chance"].unique() == (train["label"] == 0).mean()


def test_a_second_run_has_nothing_to_do(planned: Callable, analysed: Path) -> None:
    assert planned(analysed, config(), f"{ANALYSIS}/features.csv") == {}


def test_backbones_stand_side_by_side(ran: Callable, finished: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """The job alone, of a finished study and a second backbone whose results are the first one's, called otherwise."""
    results = shutil.copytree(finished, tmp_path / "copy") / "results"
    for branch in ("train", "cluster"):
        shutil.copytree(results / f"{branch}/toy/small-cnn", results / f"{branch}/toy/other")
    path = results / "train/toy/other/holdout/none/linear/predictions.parquet"
    predictions = read_table(path)
    columns = [name for name in predictions if name.startswith("probability_")]
    predictions[columns] = predictions[columns].to_numpy()[:, ::-1]
    write_table(predictions, path)
    tiny["backbones"]["other"] = tiny["backbones"]["small-cnn"]
    tiny["studies"]["tiny"]["backbones"] = ["small-cnn", "other"]
    target = "results/compare/tiny/models.csv"
    assert ran(results.parent, tiny, target, "--allowed-rules", "models") == {"models": 1}

    table = pd.read_csv(results.parent / target).set_index("backbone")
    by_seed = [roc_auc_score(seed["label"], seed[columns[1]]) for _, seed in predictions.groupby("seed")]
    assert table.loc["other", "auc"] == pytest.approx(np.mean(by_seed), rel=1e-5)
    assert table["auc"].sum() == pytest.approx(1, abs=1e-5)
    assert table["accuracy"].sum() == pytest.approx(1, abs=1e-5)
    assert table["dimension"].tolist() == [64, 64]
    quality = json.loads((results / "cluster/toy/small-cnn/holdout/none/kmeans-2/quality.json").read_text())
    for name in ("labels", "clusters"):
        assert table[f"silhouette_{name}"].tolist() == pytest.approx([quality["silhouette"][name]] * 2)
    mean = predictions.groupby("image_id", sort=False)[[columns[1], "label"]].mean()
    right = int(((mean[columns[1]] > 0.5) == mean["label"]).sum())
    [pair] = pd.read_csv(results / "compare/tiny/model-tests.csv").to_dict("records")
    assert (pair["model"], pair["other"]) == ("small-cnn linear", "other linear")
    assert (pair["only_model_right"], pair["only_other_right"]) == (len(mean) - right, right)
    assert pair["mcnemar_p"] == pytest.approx(binomtest(right, len(mean)).pvalue, rel=1e-5)
