"""Folders of images with faults among them; fusion, folds, views and external validation, each run to its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

CLASSES = {"normal": ["normal"], "disease": ["disease"]}
FUSION = "small-cnn+other"
PATIENTS = 30


def write_images(root: Path, *, seed: int, classes: tuple[str, ...] = ("normal", "disease")) -> None:
    """Two images a patient in a folder a class; disease is brighter in the middle, every second patient dark."""
    generator = np.random.default_rng(seed)
    for number, label in enumerate(classes):
        folder = root / label
        folder.mkdir(parents=True)
        for patient in range(PATIENTS):
            for view in range(2):
                pixels = generator.integers(0, 120, (40, 40, 3), dtype=np.uint8)
                pixels[15:25, 15:25] += np.uint8(100 * number)
                pixels //= np.uint8(1 + 3 * (patient % 2))
                Image.fromarray(pixels).save(folder / f"{label[0]}{patient:02d}-{view}.jpg", quality=90)


def folder_dataset(root: str) -> dict[str, Any]:
    pattern = r"^(?P<label>\w+)/(?P<group>\w+)-"
    return {"adapter": "folder", "root": root, "classes": CLASSES, "pattern": pattern}


@pytest.fixture(scope="module")
def collected(snakemake: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies: folder `a` in three folds, with a fusion and views; heads trained on `a`, tested on `b`."""
    folder = tmp_path_factory.mktemp("features")
    write_images(folder / "a", seed=0)
    write_images(folder / "b", seed=1)
    whole = (folder / "a/normal/n00-0.jpg").read_bytes()
    (folder / "a/normal/cut-0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "a/disease/text-0.png").write_text("not an image")
    done = snakemake(folder, features_config(), "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def features_config() -> dict[str, Any]:
    study = {
        "dataset": "a",
        "split": "cv",
        "augmentation": "turned",
        "backbones": [FUSION],
        "clusterings": ["kmeans-2"],
        "head": "linear",
        "controls": "few",
        "primary": {"backbone": FUSION, "clustering": "kmeans-2"},
    }
    backbone = {"model": "small-cnn", "weights": "random", "pixels": "square-32"}
    few = {"arms": ["size", "balanced", "labels"], "repeats": 2, "draws": 19, "power": 0, "min_class": 2, "min_test": 2}
    hybrids = {
        "forest": {
            "classifier": {"method": "random-forest", "n_estimators": 20},
            "imbalance": "smote",
            "handcrafted": ["colour-moments", "lbp"],
            "seeds": 2,
        }
    }
    external = {"split": "external", "augmentation": "none", "dataset": "both"}
    return {
        "threads": 1,
        "datasets": {
            "a": folder_dataset("a"),
            "b": folder_dataset("b"),
            "both": {"adapter": "union", "datasets": ["a", "b"], "classes": CLASSES},
        },
        "pixels": {"square-32": {"size": 32}},
        "splits": {
            "cv": {"test": None, "folds": 3, "validation": 0.2},
            "external": {"test": {"where": {"dataset": ["b"]}}, "validation": 0.2},
        },
        "augmentations": {"turned": {"copies": 1, "rotation": 15, "flip": True}},
        "backbones": {"small-cnn": backbone, "other": backbone | {"seed": 1}},
        "clusterings": {"kmeans-2": {"k": 2, "reduce": {"method": "pca", "components": 5}}},
        "heads": {"linear": {"epochs": 3, "seeds": 2}},
        "controls": {"few": few},
        "hybrids": hybrids,
        "studies": {
            "folded": study | {"hybrids": ["forest"]},
            "abroad": study
            | external
            | {"backbones": ["small-cnn"], "primary": {"backbone": "small-cnn", "clustering": "kmeans-2"}},
        },
    }


def test_every_study_ends_in_a_report_and_a_second_run_has_nothing_to_do(planned: Callable, collected: Path) -> None:
    for study in ("folded", "abroad"):
        assert "<html" in (collected / f"results/report/{study}/index.html").read_text()
    assert planned(collected, features_config()) == {}


def test_broken_files_are_rejected_and_the_rest_goes_on(collected: Path) -> None:
    rejected = pd.read_csv(collected / "results/dataset/a/rejected.csv")
    reasons = dict(zip(rejected["path"], rejected["reason"], strict=True))
    assert reasons == {"normal/cut-0.jpg": "truncated", "disease/text-0.png": "unreadable"}
    assert len(pd.read_parquet(collected / "results/dataset/a/images.parquet")) == 4 * PATIENTS


def test_every_image_is_tested_in_one_fold(collected: Path) -> None:
    folds = [pd.read_parquet(collected / f"results/split/a/cv-{fold}.parquet") for fold in (1, 2, 3)]
    for split in folds:
        assert (split["part"] == "test").sum() == pytest.approx(4 * PATIENTS / 3, abs=4)
        assert split.groupby("group")["part"].nunique().max() == 1
    tested = pd.concat([split[split["part"] == "test"] for split in folds])["image_id"]
    assert sorted(tested) == sorted(folds[0]["image_id"])


def test_a_fold_trains_on_the_views_of_its_training_images(collected: Path) -> None:
    path = collected / f"results/cluster/a/{FUSION}/cv/turned/kmeans-2/assignments.parquet"
    rows = pd.read_parquet(path)
    assert rows["view"].value_counts().to_dict() == {0: 4 * PATIENTS, 1: 4 * PATIENTS}  # clustered over all folds
    for fold in (1, 2, 3):
        split = pd.read_parquet(collected / f"results/split/a/cv-{fold}.parquet").set_index("image_id")
        trained = rows[rows["image_id"].map(split["part"]) == "train"].groupby("cluster").size()
        for cluster, size in trained.items():
            folder = collected / f"results/retrain/a/{FUSION}/cv-{fold}/turned/kmeans-2/linear/few/cluster-{cluster}"
            with h5py.File(folder / "cluster.h5") as file:
                assert file["size"][:].tolist() == [size]


def test_folds_are_merged_before_anything_is_compared(collected: Path) -> None:
    folder = collected / f"results/train/a/{FUSION}"
    predictions = pd.concat([pd.read_parquet(folder / f"cv-{f}/turned/linear/predictions.parquet") for f in (1, 2, 3)])
    by_seed = [roc_auc_score(rows["label"], rows["probability_disease"]) for _, rows in predictions.groupby("seed")]
    table = pd.read_csv(collected / "results/compare/folded/baseline.csv").set_index("cluster").loc["all"]
    assert table["test_size"] == 4 * PATIENTS
    assert table["auc"] == pytest.approx(np.mean(by_seed), abs=1e-5)
    verdict = json.loads((collected / "results/compare/folded/verdict.json").read_text())
    assert verdict["counts"]["images"] == {"train": 4 * PATIENTS, "test": 4 * PATIENTS}
    assert verdict["test"]["images"] == 4 * PATIENTS
    assert verdict["test"]["patients"] == 2 * PATIENTS
    assert "heads in 3 folds, each trained on what it does not test of 120 images" in verdict["paragraph"]


def test_the_page_of_folds_tells_no_parts(collected: Path) -> None:
    """Every image trains in some folds and is tested in another."""
    page = (collected / "results/report/folded/index.html").read_text(encoding="utf-8")
    assert '"title": "part of the split"' not in page  # of a colouring
    assert '"title": "label"' in page
    assert "circles train" not in page


def test_a_draw_covers_all_folds(collected: Path) -> None:
    """G of every label set: the sum over the folds' images, before any ranking."""
    base = collected / f"results/retrain/a/{FUSION}"
    folds = []
    for fold in (1, 2, 3):
        with h5py.File(base / f"cv-{fold}/turned/kmeans-2/linear/few/labels.h5") as file:
            folds.append({name: file[name][:] for name in ("pooled_loss", "own_loss", "compared", "cluster")})
    losses, images = 0.0, 0
    for number in (0, 1):
        rows = [fold["cluster"] == number for fold in folds]
        whole = [fold["compared"][:, inside].all(axis=1) for fold, inside in zip(folds, rows, strict=True)]
        compared = np.all(whole, axis=0)  # in every fold
        for fold, inside in zip(folds, rows, strict=True):
            difference = (fold["pooled_loss"] - fold["own_loss"])[:, inside].sum(axis=1)
            losses = losses + np.where(compared, difference, 0)
            images = images + compared * inside.sum()
    gain = (losses / images)[:20]
    test = json.loads((collected / "results/compare/folded/verdict.json").read_text())["test"]
    assert test["gain"] == pytest.approx(gain[0], abs=1e-6)
    assert test["p"] == pytest.approx((1 + (gain[1:] >= gain[0]).sum()) / 20)


def test_a_forest_on_embeddings_and_colours_is_compared_with_the_head(collected: Path) -> None:
    """Of all folds together: a row a model, and what divides the two."""
    folders = [collected / f"results/hybrid/a/{FUSION}/cv-{fold}/turned/forest" for fold in (1, 2, 3)]
    predictions = pd.concat([pd.read_parquet(folder / "predictions.parquet") for folder in folders])
    assert predictions.groupby("seed")["image_id"].nunique().tolist() == [4 * PATIENTS] * 2
    called = (predictions["probability_disease"] > predictions["probability_normal"]).astype(int)
    table = pd.read_csv(collected / "results/compare/folded/hybrids.csv").set_index("classifier")
    forest = table.loc["forest"]
    assert forest["accuracy"] == pytest.approx((called == predictions["label"]).mean(), abs=1e-5)
    assert forest["accuracy"] > 0.8  # the planted disease is a bright middle, which colours tell
    hits = [(called == predictions["label"])[predictions["label"] == c].mean() for c in (0, 1)]
    assert forest["auc_from_labels"] == pytest.approx(np.mean(hits), abs=1e-5)  # balanced accuracy
    baseline = pd.read_csv(collected / "results/compare/folded/baseline.csv").set_index("cluster").loc["all"]
    assert table.loc["linear", "accuracy"] == pytest.approx(baseline["accuracy"])
    [pair] = pd.read_csv(collected / "results/compare/folded/hybrid-tests.csv").to_dict("records")
    assert (pair["model"], pair["other"], pair["images"], pair["patients"]) == ("linear", "forest", 120, 60)
    classes = pd.read_csv(collected / "results/compare/folded/hybrid-classes.csv").set_index(["classifier", "class"])
    assert classes.loc["forest", "recall"].tolist() == pytest.approx(hits, abs=1e-5)
    times = pd.read_csv(collected / "results/compare/folded/hybrid-times.csv").set_index("classifier")
    assert (times[["training_s", "ms_per_image"]] > 0).all(axis=None)
    document = json.loads((folders[0] / "metrics.json").read_text())
    assert document["features"] == 2 * 64 + 9 + 10
    split = pd.read_parquet(collected / "results/split/a/cv-1.parquet")
    assert document["rows"]["train"] == 2 * (split["part"] == "train").sum()  # with views


def test_a_fusion_computes_nothing_again(collected: Path) -> None:
    embedded = {path.parent.name for path in (collected / "results/embed/a").glob("*/embeddings.h5")}
    assert embedded == {"small-cnn", "other"}
    verdict = json.loads((collected / "results/compare/folded/verdict.json").read_text())
    assert verdict["primary"]["backbone"] == FUSION


def test_external_validation_tests_on_the_other_source(collected: Path) -> None:
    images = pd.read_parquet(collected / "results/dataset/both/images.parquet")[["image_id", "attr_dataset"]]
    split = pd.read_parquet(collected / "results/split/both/external.parquet").merge(images, on="image_id")
    assert set(split.query("part == 'test'")["attr_dataset"]) == {"b"}
    assert set(split.query("part != 'test'")["attr_dataset"]) == {"a"}


def test_a_new_image_is_noticed(planned: Callable, collected: Path) -> None:
    added = collected / "a/normal/n00-2.jpg"
    Image.new("RGB", (40, 40), "grey").save(added)
    try:
        jobs = planned(collected, features_config())
    finally:
        added.unlink()
    assert {"dataset", "split", "pixels", "embed"} <= jobs.keys()
    assert planned(collected, features_config()) == {}


@pytest.mark.parametrize("study", ["folded", "abroad"])
def test_verdicts_warn_of_random_weights(collected: Path, study: str) -> None:
    verdict = json.loads((collected / f"results/compare/{study}/verdict.json").read_text())
    assert any(warning.startswith("random weights") for warning in verdict["warnings"])


def test_one_class_only_ends_in_words(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    write_images(tmp_path / "one", seed=0, classes=("normal",))
    tiny["datasets"]["toy"] = folder_dataset("one")
    done = snakemake(tmp_path, tiny, "--cores", "2")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in output
    assert "disease" in output


def test_more_clusters_than_training_rows_end_in_words(
    snakemake: Callable, finished: Path, tiny: dict[str, Any]
) -> None:
    tiny["clusterings"]["kmeans-90"] = {"method": "kmeans", "k": 90}
    tiny["studies"]["tiny"] |= {
        "clusterings": ["kmeans-90"],
        "primary": {"backbone": "small-cnn", "clustering": "kmeans-90"},
    }
    target = "results/cluster/toy/small-cnn/holdout/none/kmeans-90/quality.json"
    done = snakemake(finished, tiny, "--cores", "2", target)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in output
    assert "error:" in output
    assert "90" in output
