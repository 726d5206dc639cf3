"""The page of the systems on real images, on made-up results."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from heteroscope import store, systems
from heteroscope.errors import StoreError
from heteroscope.layout import SHOWN_OF_BRANCHES
from heteroscope.report.branches import caption_text

AXES = "eyes/net/holdout"
FOREST = {"classifier": {"method": "random-forest"}}
SHEETS = {"first.png", "wrong.png", "retrieval.png", "examples.png", "features.png"}


def configuration() -> dict[str, Any]:
    recipe = {"share": "train"}
    study = {"title": "Both eyes", "dataset": "eyes", "split": "holdout", "backbones": ["net", "tuned"]}
    study |= {"clusterings": ["ward-2"], "head": "linear", "controls": "few", "features": ["welch"]}
    study |= {"hybrids": ["forest", "forest-by-hand", "deep-forest"], "explanations": ["cam"]}
    study |= {"regressions": ["age"]}
    study |= {"primary": {"backbone": "net", "clustering": "ward-2"}}
    return {
        "datasets": {"eyes": {"adapter": "odir5k", "root": "eye-images", "classes": {"no": ["n"], "yes": ["y"]}}},
        "pixels": {"square": {"size": 32}},
        "splits": {"holdout": {}},
        "backbones": {
            "net": {"model": "resnet18", "weights": "random", "pixels": "square"},
            "tuned": {"model": "small-cnn", "weights": "trained", "pixels": "square", "finetune": recipe},
        },
        "clusterings": {"ward-2": {"method": "ward", "k": 2}},
        "heads": {"linear": {}},
        "controls": {"few": {"arms": ["size", "balanced"]}},
        "features": {"welch": {}},
        "hybrids": {
            "forest": FOREST,
            "forest-by-hand": FOREST | {"handcrafted": ["lbp"]},
            "deep-forest": {"classifier": {"method": "random-forest", "max_depth": 3}, "handcrafted": ["lbp"]},
        },
        "regressions": {"age": {"target": "age", "regressor": {"method": "linear"}}},
        "explanations": {"cam": {}},
        "studies": {"both": study, "later": study | {"title": "Not yet"}},
    }


def scored(**means: float) -> dict[str, float]:
    """Scores with intervals of a tenth to either side."""
    return {
        f"{name}{end}": mean + by
        for name, mean in means.items()
        for end, by in (("", 0.0), ("_low", -0.1), ("_high", 0.1))
    }


def pair(model: str, other: str, **changed: Any) -> dict[str, Any]:
    row = {"backbone": "tuned", "model": model, "other": other, "accuracy_gain": -0.05, "accuracy_low": -0.1}
    row |= {"accuracy_high": 0.02, "mcnemar_p": 0.03, "mcnemar_p_holm": 0.06, "auc_gain": 0.1, "auc_low": 0.05}
    return row | {"auc_high": 0.15, "delong_p": 0.001, "delong_p_holm": 0.004} | changed


def write(path: str, rows: Iterable[Mapping[str, Any]]) -> None:
    store.write_table(pd.DataFrame(list(rows)), Path("results", path))


def write_comparison() -> None:
    score = {"accuracy": 0.8, "patient_accuracy": 0.75, "f1": 0.7, "auc": 0.9}
    models = [
        {"backbone": name, "classifier": head} | scored(**score)
        for name, head in (("net", "linear"), ("tuned", "linear"), ("tuned", "end-to-end"))
    ]
    undefined = [{"dimension": None, "silhouette_labels": None, "silhouette_clusters": None}]
    separated = [{"dimension": 512, "silhouette_labels": -0.012, "silhouette_clusters": 0.34}] * 2
    write("compare/both/models.csv", [a | b for a, b in zip(models, separated + undefined, strict=True)])
    write("compare/both/model-tests.csv", [pair("net linear", "tuned linear")])
    write("compare/both/hybrids.csv", models)
    times = [{"training_s": 0.0123, "tuning_s": 0, "ms_per_image": 0.00061}] * 2
    times += [{"training_s": 638, "tuning_s": 0, "ms_per_image": 48}]
    write("compare/both/hybrid-times.csv", [a | b for a, b in zip(models, times, strict=True)])
    tests = [pair("forest", "forest-by-hand"), pair("forest", "deep-forest", delong_p_holm=0.3)]
    write("compare/both/hybrid-tests.csv", [*tests, pair("linear", "end-to-end", mcnemar_p_holm=0.01)])
    age = {"backbone": "net", "regression": "age", "target": "age", "images": 20, "patients": 11}
    errors = scored(rmse=12.0, mae=9.5, r2=0.2) | {"rmse_of_mean": 14.0, "mae_of_mean": 11.25, "r2_of_mean": -0.01}
    write("compare/both/regressions.csv", [age | errors])
    write("compare/both/explanations.csv", [{"backbone": "net", "n": 0, "share": None, "weights": "w"}])


def write_parts() -> None:
    network = "finetune/eyes/tuned/holdout"
    score = {"mean": 0.8, "low": 0.7, "high": 0.9}
    found = {"metrics": dict.fromkeys(systems.OF_IMAGES_AND_PATIENTS, score), "rows": {"test": 20}}
    found["metrics"] |= {"auc": {"mean": 0.6, "low": None, "high": None}}
    store.write_json(
        found | {"trained_parameters": 60_818, "training_images": 44}, Path("results", network, "metrics.json")
    )
    write(f"{network}/report.csv", [{"class": "yes", "images": 9} | scored(precision=0.3, recall=0.4, f1=0.5)])
    write(f"{network}/misclassified.csv", [{"image_id": "a"}, {"image_id": "b"}, {"image_id": "c"}])
    for name in ("net", "tuned"):
        folder = f"features/eyes/{name}/holdout/welch"
        found = {"features": 512, "significant": 31, "level": 0.05, "held_out": {"significant_again": 12}}
        found |= {"strongest": {"measure": "Cohen's d", "effect": -1.26, "q": 1.5e-7}, "silhouette": {"labels": 0.0216}}
        found |= {"redundancy": {"features": 19, "groups": 7}}
        store.write_json(
            found if name == "net" else found | {"held_out": None}, Path("results", folder, "summary.json")
        )
        search = {"query": "all", "k": 5, "queries": 20, "precision": 0.6, "low": 0.5, "high": 0.7, "chance": 0.55}
        write(f"{folder}/retrieval.csv", [search, search | {"query": "yes", "precision": 0.1}])
        explained = f"explain/eyes/{name}/holdout/none/linear/cam"
        told = {"layers": {name: "layer4"}, "without_a_peak": 1, "probability_difference": {"largest": 2e-7}}
        store.write_json(told, Path("results", explained, "summary.json"))
        write(f"{explained}/cams.csv", [{"example": n < 3, "right": n != 1} for n in range(5)])
        strongest = {"backbone": name, "number": 40, "q": 0.004, "measure": "Cohen's d", "effect": 1.5}
        write(f"{explained}/features.csv", [strongest])
        weights = "random (seed 0)" if name == "net" else "trained on 44 images (initial: random (seed 0))"
        store.write_json({"weights": weights}, Path(f"results/train/eyes/{name}/holdout/none/linear/metrics.json"))


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study `both` has run; of `later`, which shares all but its comparison, that is missing."""
    monkeypatch.chdir(tmp_path)
    Path("eyes.yaml").write_text(yaml.safe_dump(configuration(), sort_keys=False))
    parts = ["train"] * 40 + ["validation"] * 10 + ["test"] * 20
    write("split/eyes/holdout.parquet", [{"part": part, "group": row // 2} for row, part in enumerate(parts)])
    write_comparison()
    write_parts()
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    layout = systems.finished_studies(Path("eyes.yaml"))[0].layout
    for path in (*layout.branch_files("both"), "results/cluster/eyes/net/holdout/none/ward-2/dendrogram.png"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".png"):
            Image.fromarray(noise).save(path)
        Path(path).touch()
    return tmp_path


def written(*options: str) -> str:
    systems.main(["--config", "eyes.yaml", "--page", "docs/real.md", "--made-by", "make it", *options])
    return Path("docs/real.md").read_text()


def table_after(page: str, heading: str, first: str) -> dict[str, str]:
    """The first row below a heading that begins with a word: column → cell."""
    lines = page.split(f"### {heading}\n")[1].splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} "))
    head = next(
        number for number in range(row, -1, -1) if lines[number].startswith("|:") or lines[number].startswith("|-")
    )
    names, cells = ([cell.strip() for cell in lines[number].strip("|").split("|")] for number in (head - 1, row))
    return dict(zip(names, cells, strict=True))


@pytest.mark.usefixtures("finished")
def test_what_made_it_what_ran_and_what_did_not() -> None:
    page = written("--seconds", "600")
    assert "Made by `make it` at commit " in page
    assert ", from `eyes.yaml`." in page
    assert "| both    |       70 |         35 |         40 |           10 |     20 |         0 | 32×32    |" in page
    assert "## both: Both eyes\n\n- `net`: random (seed 0)\n- `tuned`: trained on 44 images" in page
    assert "## later: Not yet\n\nNot run here: it reads images in `eye-images` below the data root." in page
    assert "This run took 10 minutes by the clock" in page


@pytest.mark.usefixtures("finished")
def test_the_commit_may_be_that_of_an_earlier_run() -> None:
    assert "at commit abc1234, from" in written("--commit", "abc1234")


def test_without_a_finished_study_there_is_no_page(finished: Path) -> None:
    finished.joinpath("results/compare/both/models.csv").unlink()
    with pytest.raises(StoreError, match="no study of this configuration has run"):
        written()
    assert not Path("docs").exists()


@pytest.mark.usefixtures("finished")
def test_random_weights_are_named_before_any_number() -> None:
    assert systems.BLIND in written().split("\n## ")[0]
    store.write_json({"weights": "IMAGENET1K_V1"}, Path(f"results/train/{AXES}/none/linear/metrics.json"))
    assert systems.BLIND not in written()


@pytest.mark.usefixtures("finished")
def test_classifiers_have_scores_times_and_the_pairs_that_are_asked_about() -> None:
    page, title = written(), "Classical classifiers on the embeddings"
    lines = [line for line in page.split(f"### {title}")[1].splitlines() if line.startswith("| tuned ")]
    network = [cell.strip() for cell in lines[1].strip("|").split("|")]
    interval = "0.800 (0.700 to 0.900)"
    assert network[:3] == ["tuned", "end-to-end", interval]
    assert network[-3:] == ["638", "0", "48"]
    assert table_after(page, title, "net")["ms an image"] == "0.00061"
    assert "Of 3 pairs 1 in accuracy and 2 in AUC differ at the level 0.05." in page
    asked = [line.split("|")[2:4] for line in lines if "-0.050 (-0.100 to +0.020)" in line]
    # deep-forest differs from forest in more than handcrafted features
    assert [[cell.strip() for cell in pair] for pair in asked] == [
        ["forest", "forest-by-hand"],
        ["linear", "end-to-end"],
    ]
    assert "+0.100 (+0.050 to +0.150)" in page
    assert "0.03 (0.06)" in page


@pytest.mark.usefixtures("finished")
def test_networks_by_image_patient_and_class() -> None:
    page = written()
    row = table_after(page, "Fine-tuned networks", "tuned, holdout")
    assert row["accuracy, patients"] == "0.800 (0.700 to 0.900)"
    assert row["AUC"] == "0.600 (– to –)"
    assert (row["parameters"], row["trained on"], row["wrong"]) == ("60818", "44", "3 of 20")
    assert "0.300 (0.200 to 0.400)" in page.split("### Fine-tuned networks")[1]
    assert table_after(page, "Backbones side by side", "tuned end-to-end")["values"] == "–"
    assert table_after(page, "Backbones side by side", "net linear")["silhouette of labels"] == "-0.012"


@pytest.mark.usefixtures("finished")
def test_features_search_and_explanations() -> None:
    page = written()
    row = table_after(page, "Features and search", "net, welch")
    assert (row["q ≤ 0.05"], row["again on other images"], row["redundant"]) == ("31", "12", "19 in 7 groups")
    assert (row["strongest"], row["its q"]) == ("Cohen's d -1.26", "1.5e-07")
    assert table_after(page, "Features and search", "tuned, welch")["again on other images"] == "–"
    # of all queries, not of those of one class
    assert page.count("0.600 (0.500 to 0.700)") == page.count(" (0.500 to 0.700)") == 2
    row = table_after(page, "Decisions one by one", "net, cam, holdout")
    assert row["layers"] == "layer4"
    assert (row["on the sheet"], row["called right"], row["maps without a place"]) == ("3", "2", "1")
    assert systems.NO_LESIONS in page
    write("compare/both/explanations.csv", [{"backbone": "net", "n": 8, "share": 0.25, "weights": "w"}])
    assert table_after(written(), "Where decisions come from", "net")["share"] == "0.250"


@pytest.mark.usefixtures("finished")
def test_numbers_have_errors_beside_those_of_the_mean() -> None:
    row = table_after(written(), "Numbers predicted from the embeddings", "net")
    assert (row["target"], row["RMSE"], row["MAE of the mean"]) == ("age", "12.000 (11.900 to 12.100)", "11.250")


@pytest.mark.usefixtures("finished")
def test_figures_are_kept_with_what_is_to_be_seen_and_sheets_of_images_are_not() -> None:
    page = written()
    shown = re.findall(r"!\[.*?\]\((.*?)\)\n\n\*(.*?)\*", page)
    assert {path for path, _ in shown} == {f"images/real/{path.name}" for path in Path("docs/images/real").iterdir()}
    assert {path.removeprefix("images/real/both-") for path, _ in shown} == {
        *("roc.png", "curves.png", "confusion.png", "hybrid-times.png", "hybrid-confusions.png"),
        *("volcano.png", "correlations.png", "dendrogram.png", "scatter.png"),
    }
    assert dict(shown)["images/real/both-curves.png"].endswith(caption_text("network-curves"))
    for sheet in SHEETS:
        assert f"/{sheet}`" in page
    with Image.open("docs/images/real/both-roc.png") as image:
        assert (image.mode, image.size) == ("P", (50, 40))


@pytest.mark.usefixtures("finished")
def test_a_caption_of_tables_is_told_once() -> None:
    shutil.copytree("results/compare/both", "results/compare/later")
    page = written()
    assert page.count("### Backbones side by side") == 2
    assert page.count(caption_text("model-tests")) == 1
    assert page.count(caption_text("roc")) == 2, "every figure has its own"


def test_every_branch_of_a_report_is_written() -> None:
    assert set(systems.BLOCKS) == set(SHOWN_OF_BRANCHES)
