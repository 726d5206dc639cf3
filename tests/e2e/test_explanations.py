"""Explanations through the whole workflow, on a folder like MIAS whose circles decide the class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

PATIENTS = 70
SIDE = 96
FUSED = "trained+random"
BACKBONES = ("trained", FUSED)


def write_mias(root: Path) -> None:
    """Two films a patient, each with one lesion: bright if malignant, dark if benign; the origin is at the bottom."""
    generator = np.random.default_rng(0)
    lines = ["some words about the list", ""]
    y, x = np.mgrid[:SIDE, :SIDE]
    root.mkdir(parents=True)
    for number in range(1, 2 * PATIENTS + 1):
        malignant = (number - 1) // 2 % 2 == 1
        radius = int(generator.integers(9, 13))
        cx, cy = generator.integers(radius, SIDE - radius, 2)
        grey = generator.normal(110, 12, (SIDE, SIDE))
        grey[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] += 90 if malignant else -90
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(root / f"mdb{number:03d}.pgm")
        kind = "M" if malignant else "B"
        lines.append(f"mdb{number:03d} G CIRC {kind} {cx} {SIDE - cy} {radius}")
    (root / "Info.txt").write_text("\n".join(lines) + "\n")


def config() -> dict[str, Any]:
    trained = {"share": "backbone", "epochs": 12, "patience": 12, "learning_rate": 0.005, "batch_size": 16}
    network = {
        "model": "small-cnn",
        "weights": "random",
        "pixels": "grey-96",
        "engine": "torch",
        "precision": "float32",
    }
    study = {
        "dataset": "mias",
        "split": "holdout",
        "backbones": list(BACKBONES),
        "clusterings": ["kmeans-2"],
        "head": "linear",
        "controls": "few",
        "explanations": ["cam"],
        "primary": {"backbone": FUSED, "clustering": "kmeans-2"},
    }
    return {
        "threads": 1,
        "datasets": {
            "mias": {"adapter": "mias", "root": "mias", "classes": {"benign": ["benign"], "malignant": ["malignant"]}}
        },
        "pixels": {"grey-96": {"size": SIDE, "channels": 1}},
        "splits": {"holdout": {"test": 0.3, "validation": 0.15, "backbone": 0.35}},
        "backbones": {"random": network, "trained": network | {"weights": "trained", "finetune": trained}},
        "clusterings": {"kmeans-2": {"k": 2}},
        "heads": {"linear": {"epochs": 10, "seeds": 2, "monitor": "loss"}},
        "controls": {"few": {"repeats": 2, "draws": 19, "power": 0}},
        "explanations": {
            "cam": {"tolerance": 8, "seed": 1, "features": 3, "layers": {"random": "features.10"}},
        },
        "studies": {"masses": study},
    }


@pytest.fixture(scope="module")
def explained(ran: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explanations")
    write_mias(folder / "mias")
    jobs = ran(folder, config(), "explanation_tables")
    assert (jobs["explain"], jobs["explanations"], jobs["train"]) == (2, 1, 3)
    return folder


def results(folder: Path, backbone: str, explanation: str) -> Path:
    return folder / f"results/explain/mias/{backbone}/holdout/none/linear/{explanation}"


def test_a_second_run_has_nothing_to_do(explained: Path, planned: Callable) -> None:
    assert planned(explained, config(), "explanation_tables") == {}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_test_image_with_a_lesion_is_explained_as_it_was_predicted(explained: Path, backbone: str) -> None:
    cams = pd.read_csv(results(explained, backbone, "cam") / "cams.csv")
    folder = explained / f"results/train/mias/{backbone}/holdout/none/linear"
    predictions = pd.read_parquet(folder / "predictions.parquet").query("seed == 1").set_index("image_id")
    assert sorted(cams["image_id"]) == sorted(predictions.index)
    reported = predictions.loc[cams["image_id"]]
    malignant = reported["probability_malignant"].to_numpy()
    assert (cams["called"] == np.where(malignant > 0.5, "malignant", "benign")).all()
    np.testing.assert_allclose(cams["probability"], np.maximum(malignant, 1 - malignant), rtol=1e-5)
    assert (cams["label"] == np.where(reported["label"] == 1, "malignant", "benign")).all()
    assert (cams["explained"] == cams["called"]).all()
    assert cams["example"].sum() == sum(
        min(2, ((cams["label"] == name) & (cams["right"] == right)).sum())
        for name in ("benign", "malignant")
        for right in (True, False)
    )


def test_a_trained_network_points_at_the_lesions_that_decide(explained: Path) -> None:
    """Against places by hand; a random point hits one image in ten."""
    cams = pd.read_csv(results(explained, "trained", "cam") / "cams.csv")
    images = pd.read_parquet(explained / "results/dataset/mias/images.parquet").set_index("image_id")
    place = images.loc[cams["image_id"], ["lesion_x", "lesion_y", "lesion_radius"]].map(lambda values: values[0])
    far = np.hypot(cams["peak_x"] - place["lesion_x"].to_numpy(), cams["peak_y"] - place["lesion_y"].to_numpy())
    assert (cams["hit"] == (far <= place["lesion_radius"].to_numpy() + 8)).all()
    assert cams["hit"].mean() > 0.7
    assert cams["lesion_area"].mean() < 0.2


def test_the_study_compares_its_branches_and_their_fusion(explained: Path) -> None:
    table = pd.read_csv(explained / "results/compare/masses/explanations.csv")
    whole = table[table["images"] == "all"].set_index(["backbone", "explanation"])
    assert whole.index.tolist() == [(backbone, "cam") for backbone in BACKBONES]
    for backbone in BACKBONES:
        cams = pd.read_csv(results(explained, backbone, "cam") / "cams.csv")
        row = whole.loc[(backbone, "cam")]
        assert (row["n"], row["hits"], row["patients"]) == (len(cams), cams["hit"].sum(), cams["group"].nunique())
        assert row["low"] <= row["share"] <= row["high"]
    assert (explained / "results/compare/masses/explanations.tex").is_file()


def test_an_explanation_says_what_it_stands_on(explained: Path) -> None:
    summary = json.loads((results(explained, FUSED, "cam") / "summary.json").read_text())
    assert summary["layers"] == {"trained": "features", "random": "features.10"}
    assert "random" in summary["weights"]
    assert summary["probability_difference"]["largest"] < 1e-3


def test_the_features_shown_are_those_with_the_smallest_p(explained: Path) -> None:
    from scipy import stats

    from heteroscope.embedding.samples import load_samples

    embeddings = [explained / f"results/embed/mias/{name}/embeddings.h5" for name in ("trained/holdout", "random")]
    samples = load_samples(embeddings, [], explained / "results/split/mias/holdout.parquet")
    rows = pd.DataFrame(samples.in_memory()[samples.rows("train")])
    means = rows.groupby([samples.label[samples.rows("train")], samples.group[samples.rows("train")]]).mean()
    p = stats.ttest_ind(means.loc[1], means.loc[0], equal_var=False).pvalue
    shown = pd.read_csv(results(explained, FUSED, "cam") / "features.csv")
    assert shown["feature"].tolist() == np.argsort(np.nan_to_num(p, nan=1.0), kind="stable")[:3].tolist()
    np.testing.assert_allclose(shown["p"], np.sort(np.nan_to_num(p, nan=1.0))[:3], rtol=1e-4)
    assert shown["number"].tolist() == (shown["feature"] % 64).tolist()
    assert shown["backbone"].tolist() == [("trained", "random")[feature // 64] for feature in shown["feature"]]
