"""The study file of BreakHis with ResNet50, on a small tree of its naming: published and grouped division."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.metrics import accuracy_score

from heteroscope.networks import main, side_by_side
from tests.unit.data.test_data_breakhis import in_tree

ROOT = Path(__file__).parents[2]
MAGNIFICATIONS = (40, 100, 200, 400)
SUBTYPES = {"B": ("A", "F", "PT", "TA"), "M": ("DC", "LC", "MC", "PC")}
PATIENTS = 4  # of a subtype
NETWORKS = "results/finetune/{}/small-cnn/{}"


def write_tree(root: Path) -> None:
    """Two images of each patient at each magnification, and the table of five folds of them all.

    Malignant images hold more dark nuclei; every patient has a stain of their own, which says nothing of others.
    """
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    lines = ["fold,mag,grp,filename"]
    for tumour, subtypes in SUBTYPES.items():
        for slide, subtype in enumerate(np.repeat(subtypes, PATIENTS)):
            stain = generator.integers(-45, 45, 3)
            for number in range(2 * len(MAGNIFICATIONS)):
                magnification = MAGNIFICATIONS[number % 4]
                pixels = generator.normal([205, 150, 190], 9, (32, 32, 3)) + stain
                for _ in range(generator.poisson(11 if tumour == "M" else 3)):
                    a, b = generator.integers(0, 32, 2)
                    pixels[(y - a) ** 2 + (x - b) ** 2 < 7] *= 0.5
                name = f"SOB_{tumour}_{subtype}-14-{1000 + slide}{tumour}-{magnification}-{number + 1:03d}.png"
                path = root / in_tree(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
                lines += [f"{fold},{magnification},train,{in_tree(name)}" for fold in range(1, 6)]
    (root / "Folds.csv").write_text("\n".join(lines) + "\n")


def study_file() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config/studies/breakhis-resnet50.yaml").read_text())
    return config


def small(config: dict[str, Any]) -> dict[str, Any]:
    """The published recipe on a network that a CPU trains in seconds, for the published and the grouped study."""
    config |= {"threads": 1, "pixels": {"square-224": {"size": 32}}}
    config["splits"]["published"]["test"] = {"per_class": 30}
    recipe = config["backbones"]["resnet50"]["finetune"]
    recipe |= {"initial": "random", "batch_size": 16, "epochs": 4, "learning_rate": 0.02, "momentum": 0.9}
    recipe["schedule"] |= {"maximum": 0.1, "step_size": 1}
    config["backbones"] = {"small-cnn": config["backbones"]["small-cnn"] | {"engine": "torch", "finetune": recipe}}
    config["hybrids"] = {"knn": {"classifier": {"method": "knn"}}}
    config["studies"] = {name: config["studies"][name] for name in ("breakhis-published", "breakhis-grouped")}
    for study in config["studies"].values():
        study |= {"backbones": ["small-cnn"], "primary": study["primary"] | {"backbone": "small-cnn"}}
    config["studies"]["breakhis-grouped"] |= {"hybrids": ["knn"]}
    return config


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("breakhis")
    write_tree(folder / "breakhis")
    return folder


@pytest.fixture(scope="module")
def tested(ran: Callable, tree: Path) -> Path:
    """The folder in which both studies' networks were tested, and one compared with a head and a hybrid."""
    jobs = ran(tree, small(study_file()), "network_tables", "results/compare/breakhis-grouped/hybrids.csv")
    assert {rule: jobs[rule] for rule in ("weights", "finetune", "network", "hybrids")} == {
        "weights": 1,
        "finetune": 2,
        "network": 2,
        "hybrids": 1,
    }
    return tree


def metrics(folder: Path, dataset: str, split: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / NETWORKS.format(dataset, split) / "metrics.json").read_text())
    return content


def test_the_study_file_plans_all_its_networks(planned: Callable, tree: Path) -> None:
    config = study_file()
    for backbone in config["backbones"].values():
        backbone["finetune"]["initial"] = "random"  # a plan must not need weights
    jobs = planned(tree, config, "network_tables")
    assert jobs["finetune"] == jobs["network"] == 3 * len(config["studies"])


def test_copies_leak_in_the_published_division_and_not_in_the_grouped_one(tested: Path) -> None:
    published, grouped = metrics(tested, "breakhis-folds", "published"), metrics(tested, "breakhis", "grouped")
    assert published["rows"] == {"train": 976, "validation": 244, "test": 60}
    assert published["test_images_in_training"] > 55
    assert published["test_patients_in_training"] == published["test_patients"]
    assert (grouped["test_images_in_training"], grouped["test_patients_in_training"]) == (0, 0)
    assert sum(grouped["rows"].values()) == 256


def test_predictions_report_and_mistakes_are_of_the_same_images(tested: Path) -> None:
    folder = tested / NETWORKS.format("breakhis", "grouped")
    predictions = pd.read_parquet(folder / "predictions.parquet")
    called = predictions[["probability_benign", "probability_malignant"]].to_numpy().argmax(axis=1)
    accuracy = accuracy_score(predictions["label"], called)
    found = metrics(tested, "breakhis", "grouped")["metrics"]
    assert found["accuracy"]["mean"] == pytest.approx(accuracy, abs=1e-6)
    rates = (called == predictions["label"]).groupby(predictions["group"]).mean()
    assert found["recognition_rate"]["mean"] == pytest.approx(rates.mean(), abs=1e-6)
    assert accuracy > 0.7, "the nuclei were not learnt"
    wrong = pd.read_csv(folder / "misclassified.csv")
    assert set(wrong["image_id"]) == set(predictions.loc[called != predictions["label"], "image_id"])
    assert wrong["path"].map(lambda path: (tested / "breakhis" / path).is_file()).all()
    report = pd.read_csv(folder / "report.csv").set_index("class")
    assert report.loc["micro average", "f1"] == pytest.approx(accuracy, abs=1e-5)
    assert report["images"].tolist() == [*np.bincount(predictions["label"]), *[len(predictions)] * 3]
    for name in ("curves", "confusion", "first", "wrong"):
        assert Image.open(folder / f"{name}.png").size[0] > 500
    rates_of_epochs = pd.read_csv(folder / "history.csv")["learning_rate"]
    assert rates_of_epochs.tolist() == pytest.approx([0.1, 0.02, 0.06, 0.02])


def test_the_network_stands_beside_its_head_and_a_hybrid_with_its_times(tested: Path) -> None:
    folder = tested / "results/compare/breakhis-grouped"
    scores = pd.read_csv(folder / "hybrids.csv").set_index("classifier")
    assert scores["method"].to_dict() == {"linear": "head", "knn": "knn", "end-to-end": "fine-tuned network"}
    grouped = metrics(tested, "breakhis", "grouped")
    assert scores.loc["end-to-end", "accuracy"] == pytest.approx(grouped["metrics"]["accuracy"]["mean"], abs=1e-5)
    times = pd.read_csv(folder / "hybrid-times.csv").set_index("classifier")
    assert (times["ms_per_image"] > 0).all()
    assert times.loc["end-to-end", "training_s"] > times.loc["knn", "training_s"]


def test_what_the_leak_gains_is_told(
    tested: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tested)
    main([str(tested / "study.yaml")])
    lines = [line.strip("| ").split("|") for line in capsys.readouterr().out.splitlines()]
    rows = {line[0].strip(): dict(zip([name.strip() for name in lines[0]], line, strict=True)) for line in lines[2:]}
    gain = {name: float(row["accuracy minus breakhis-grouped"]) for name, row in rows.items()}
    accuracy = {name: float(row["accuracy"]) for name, row in rows.items()}
    assert gain["breakhis-grouped"] == 0
    difference = accuracy["breakhis-published"] - accuracy["breakhis-grouped"]
    assert gain["breakhis-published"] == pytest.approx(difference, abs=0.0011)
    assert int(rows["breakhis-published"]["test images in training"]) > 55


def test_networks_are_compared_with_the_study_that_is_named() -> None:
    names = ("accuracy", "patient_accuracy", "recognition_rate", "f1", "auc")
    clean = {"test_images_in_training": 0, "test_patients_in_training": 0, "rows": {"test": 9}, "split": "s"}
    rows = [
        clean | {"study": study, "network": network, "metrics": {name: {"mean": value} for name in names}}
        for study, network, value in (("a", "x", 0.5), ("b", "x", 0.7), ("b", "y", 0.9))
    ]
    table = side_by_side(rows, against="b")
    assert table["accuracy minus b"].tolist() == pytest.approx([-0.2, 0, 0])
    assert side_by_side(rows, against=None)["accuracy minus a"].isna().tolist() == [False, False, True]
    folds = [*rows, rows[1] | {"split": "t", "metrics": {name: {"mean": 0.3} for name in names}}]
    assert side_by_side(folds, against="b")["accuracy minus b"].tolist() == pytest.approx([0, 0.2, 0, -0.2])
