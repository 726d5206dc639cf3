"""The page of real studies, on made-up results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from heteroscope import store, studies, summary

ACCURACY = {"mean": 0.75, "low": 0.7, "high": 0.81}


def configuration(*names: str, dataset: str = "eyes") -> dict[str, Any]:
    study: dict[str, Any] = {"dataset": dataset, "split": "holdout", "backbones": ["net"], "clusterings": ["kmeans-2"]}
    study |= {"head": "linear", "controls": "few", "primary": {"backbone": "net", "clustering": "kmeans-2"}}
    return {
        "datasets": {
            dataset: {"adapter": "folder", "root": f"{dataset}-root", "classes": {"no": ["no"], "yes": ["y"]}}
        },
        "pixels": {"square": {"size": 32}},
        "splits": {"holdout": {}},
        "backbones": {"net": {"model": "small-cnn", "weights": "random", "pixels": "square"}},
        "clusterings": {"kmeans-2": {"k": 2}},
        "heads": {"linear": {}},
        "controls": {"few": {}},
        "studies": {name: study | {"title": f"title of {name}"} for name in names},
    }


def verdict(study: str, **changed: Any) -> dict[str, Any]:
    return {
        "study": study,
        "verdict": "undecided",
        "level": 0.05,
        "primary": {"backbone": "net", "clustering": "kmeans-2"},
        "paragraph": f"What {study} says.",
        "test": {"p": 0.3},
        "published_comparison": {
            "clusters": 2,
            "T": 0.000123,
            "p_size": 0.04,
            "p_balanced": 0.5,
            "called_by_eye": [1, 3],
        },
        "counts": {
            "images": {"train": 30, "test": 20},
            "training_rows": 45,
            "test_images_also_in_training": 7,
            "test_patients_also_in_training": 9,
        },
        "weights": "random (seed 0)",
        "warnings": ["random weights: net was never trained", "small test set: 20 images"],
    } | changed


def write_metrics(study: str, **accuracy: float | None) -> None:
    """metrics.csv as `compare` writes it, of two backbones; `net` is the primary one."""
    other = {"mean": 0.1, "low": 0.05, "high": 0.2}
    rows: list[dict[str, Any]] = [
        {"backbone": "net-2", "average": "overall", "metric": "accuracy"} | other,
        {"backbone": "net", "average": "macro", "class": "", "metric": "auc"} | other,
        {"backbone": "net", "average": "overall", "class": "", "metric": "accuracy"} | accuracy,
        {"backbone": "net", "average": "overall", "class": "", "metric": "patient_accuracy"} | other,
    ]
    store.write_table(pd.DataFrame(rows), summary.verdict_file(study).with_name("metrics.csv"))


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two studies, `mine` and two of a factor, have run; `yours` has not."""
    monkeypatch.chdir(tmp_path)
    for name, config in {
        "mine": configuration("mine"),
        "yours": configuration("yours", dataset="chests"),
        "factors": configuration("base", "base-factor", "other"),
    }.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    undefined: dict[str, Any] = {"clusters": 1, "T": None, "p_size": None, "p_balanced": None, "called_by_eye": []}
    for found in [
        verdict("mine", warnings=[], weights="IMAGENET1K_V1"),
        verdict("base"),
        verdict("base-factor", published_comparison=undefined, verdict="not assessable", test={"p": 0.01}),
    ]:
        store.write_json(found, summary.verdict_file(found["study"]))
        write_metrics(found["study"], **ACCURACY)
    attributes = {"measure": ["eta squared", "Cramér's V"], "association": [0.2, 0.1], "p": [0.01, 0.4]}
    attributes |= {"p_holm": [0.02, 0.4], "images": [50, 49], "levels": [9, 2], "weights": ["w", "w"]}
    table = pd.DataFrame({"attribute": ["age", "view"]} | attributes)
    store.write_table(table, summary.verdict_file("mine").with_name("attributes.csv"))
    return tmp_path


def written(*options: str) -> str:
    required = ["--configs", "mine.yaml", "yours.yaml", "--factors", "factors.yaml", "--page", "page.md"]
    studies.main([*required, "--hidden", "mine=view", *options])
    return Path("page.md").read_text()


def cells(page: str, first: str) -> list[str]:
    """The row of a table that begins with a word."""
    row = next(line for line in page.splitlines() if line.startswith(f"| {first} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.usefixtures("finished")
def test_what_every_study_finds_and_which_did_not_run() -> None:
    page = written("--made-by", "make it")
    assert "Made by `make it` at commit " in page
    assert "### mine: title of mine\n\n**undecided**. What mine says.\n\nNo warnings." in page
    assert "### yours: title of yours\n\nNot run here: it reads images in `chests-root` below the data root." in page


@pytest.mark.usefixtures("finished")
def test_random_weights_are_named_before_any_number() -> None:
    first = written().split("\n## ")[0]
    assert "**The studies base, base-factor stand on random weights**" in first
    store.write_json(verdict("mine"), summary.verdict_file("mine"))
    assert "**All studies stand on random weights**" in written().split("\n## ")[0]
    for name in ("mine", "base", "base-factor"):
        store.write_json(verdict(name, warnings=[]), summary.verdict_file(name))
    assert "random weights" not in written()


@pytest.mark.usefixtures("finished")
def test_a_row_of_a_factor() -> None:
    page = written()
    expected = "45 20 7 9 | 0.750 (0.700 to 0.810) | 2 0.00012 0.040 0.500 | 1, 3 | undecided | 0.300"
    assert " ".join(cells(page, "title of base")[1:]) == expected.replace(" | ", " ")
    undefined = cells(page, "title of base-factor")
    assert undefined[6:] == ["1", "–", "–", "–", "none", "not assessable", "–"]
    assert "### other\n\nNot run." in page
    write_metrics("base", **ACCURACY | {"low": None, "high": None})
    assert cells(written(), "title of base")[5] == "0.750 (– to –)"
    assert page.count("### base") == 1, "a base and its factors share a table"


@pytest.mark.usefixtures("finished")
def test_an_attribute_that_does_and_one_that_does_not_go_with_the_clusters() -> None:
    page = written()
    assert "clusters of kmeans-2 do not go with `view`: Cramér's V 0.100 over 49 images, p = 0.4, Holm-adjusted" in page
    assert cells(page, "age")[:3] == ["age", "eta squared", "0.200"]
    assert "clusters of kmeans-2 go with `age`: eta squared 0.200" in written("--hidden", "mine=age")
    assert "## yours: what goes with the clusters\n\nNot run." in written("--hidden", "yours=view")


@pytest.mark.usefixtures("finished")
def test_what_it_cost() -> None:
    for path, seconds in {
        "dataset/eyes": 60,
        "train/eyes/net/holdout/none/linear": 120,
        "train/chests/net/holdout/none/linear": 999,
        "train/another/net/holdout/none/linear": 999,
        "compare/mine": 6,
        "compare/base": 12,
    }.items():
        file = Path("results/benchmarks", f"{path}.tsv")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tcpu_time\n{seconds}\t0\t{2 * seconds}\n")
    page = written("--seconds", "600").split("## What they cost")[1]
    assert "This run took 10 minutes by the clock" in page
    assert [float(cell) for cell in cells(page, "mine")[1:]] == [3, 3.1, 6.2]
    assert [float(cell) for cell in cells(page, "base")[1:]] == [3, 3.2, 6.4]
    assert "yours" not in page
    assert "by the clock" not in written()
