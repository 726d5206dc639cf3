"""Methods, costs, branches and the page over all studies say what configuration, benchmarks and results say."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope import config
from heteroscope.errors import StoreError
from heteroscope.report import tables
from heteroscope.report.branches import MOST_ROWS, branch_sections
from heteroscope.report.costs import cost_table
from heteroscope.report.methods import methods_paragraphs
from heteroscope.stages import overview
from heteroscope.store import write_json, write_table
from tests.unit.report.test_report_page import NASTY, PNG, Page, study_context

DOCUMENT: dict[str, Any] = {
    "study": "one",
    "title": "The first",
    "verdict": "equivalent",
    "primary": {"backbone": "net", "clustering": "kmeans-2"},
    "counts": {"images": {"train": 31, "test": 17}, "patients": {"train": 13, "test": 11}},
    "arithmetic": {"engine": "openvino", "precision": "bfloat16"},
    "test": {"draws": 399, "p": 0.25, "p_nonlinear": 0.31, "accuracy_gain": 0.0123,
             "accuracy_gain_interval_90": [-0.01, 0.034], "compared_clusters": [0, 1]},
    "warnings": ["random weights: net was never trained", "few draws: so"],
    "sensitivity": [{"backbone": "net", "clustering": "kmeans-5", "verdict": "different", "images": 16,
                     "compared_clusters": 4, "accuracy_gain": 0.05, "accuracy_gain_low": 0.01,
                     "accuracy_gain_high": 0.09, "p": 0.02, "p_nonlinear": 0.03, "p_holm": 0.04}],
}  # fmt: skip

# ------------------------------------------------------------------------------------------ methods


def methods(context: config.StudyContext, **changed: Any) -> str:
    return " ".join(methods_paragraphs(context, DOCUMENT | changed, 59))


def changed(context: config.StudyContext, **entries: Any) -> config.StudyContext:
    return context.model_copy(update=entries)


def test_methods_name_what_was_done() -> None:
    said = methods(study_context())
    for part in (
        f"59 images of 2 classes (normal, {NASTY}) were divided by patient, stratified by class:",
        "31 for training (13 patients), 17 for test (11 patients).",
        "the penultimate activations of small-cnn (random weights), computed by openvino in bfloat16.",
        "were clustered by k-means (k = 3);",
        "2 seeds): one on all training images",
        "on 399 copies of the data whose labels were redrawn",
        "within ±5 points",
        "on 20 random divisions of the training images",
    ):
        assert part in said, part


def test_methods_follow_the_configuration() -> None:
    context = study_context()
    own = config.Backbone(model="resnet50", weights="trained", pixels="p", layer="layer3", finetune=config.Finetune())
    counts = {"images": {"train": 48, "backbone": 11, "test": 48}, "patients": {"train": 19, "backbone": 5, "test": 19}}
    said = methods(
        changed(
            context,
            backbones={"small-cnn": own},
            split=config.Split(test=None, folds=4, group="none", stratify="none"),
            clusterings={"kmeans-3": config.Clustering(method="ward", k=3, reduce={"method": "pca", "variance": 0.9})},
            head=config.Head(standardize=False, optimizer="sgd", weight_decay=0.01, selection="test"),
            augmentation=config.Augmentation(copies=3),
        ),
        counts=counts,
    )
    for part in (
        "divided by image, whoever the patient, into 4 folds: 48 (19 patients) were each tested once, by heads trained"
        " on the other folds; 11 (5 patients) were kept for training a network.",
        "Each training image was used with 3 augmented copies.",
        "the output of layer layer3 of resnet50 (trained on patients who took no further part, from random weights)",
        "The embeddings of the images of all folds together, reduced to principal components with 90% of the variance,"
        " were clustered by Ward's method (k = 3); no label had a part in it",
        "by stochastic gradient descent (cross-entropy, learning rate 0.001, weight decay 0.01,",
        "the epoch of the best test accuracy",
    ):
        assert part in said, part
    assert "scaled to mean 0" not in said
    assert "validation" not in said
    assert "scaled to mean 0" in methods(context)
    assert "labels were redrawn" not in methods(context, test=None)


# -------------------------------------------------------------------------------------------- costs


def test_costs_add_up_the_jobs_of_the_study_and_its_dataset(tmp_path: Path) -> None:
    times = {"embed/eyes/net.tsv": (7.5, 3.25), "embed/eyes/other.tsv": (2.5, 1.0), "compare/one.tsv": (4.0, 2.0)}
    foreign = {"embed/ears/net.tsv": (100.0, 50.0), "compare/two.tsv": (100.0, 50.0)}
    for name, (wall, cpu) in (times | foreign).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tcpu_time\n{wall}\t{cpu}\n")
    (tmp_path / "embed/eyes/begun.tsv").touch()
    (tmp_path / "report").mkdir()
    (tmp_path / "report/one.tsv").write_text("s\tcpu_time\n3.0\t2.0\n")  # of an earlier page
    table = cost_table({"one", "eyes"}, tmp_path)
    assert table is not None
    rows = {row.pop("stage"): row for row in table.to_dict("records")}
    assert rows["embed"] == {"jobs": 2, "wall_s": 10.0, "cpu_s": 4.25, "longest_s": 7.5}
    assert rows["all"] == {"jobs": 3, "wall_s": 14.0, "cpu_s": 6.25, "longest_s": 7.5}
    assert cost_table({"three"}, tmp_path) is None


# ----------------------------------------------------------------------------------------- branches


def test_a_branch_shows_its_figures_and_the_first_rows_of_its_tables(tmp_path: Path) -> None:
    (tmp_path / "volcano.png").write_bytes(PNG)
    frame = pd.DataFrame({"feature": range(MOST_ROWS + 5), "q": [0.5] * (MOST_ROWS + 5), "name": NASTY})
    write_table(frame, tmp_path / "features.csv")
    files = [[str(tmp_path / "volcano.png"), "volcano"], [str(tmp_path / "features.csv"), "features"]]
    [section] = branch_sections(
        [
            {"branch": "features", "parts": [{"name": "net, all", "files": files}]},
            {"branch": "models", "parts": []},
        ]
    )
    assert section["title"] == "Features and search"
    figure, table = section["parts"][0]["shown"]
    assert base64.b64decode(figure["figure"]["src"].split(",")[1]) == PNG
    assert len(figure["figure"]["caption"]) > 50
    assert [row[0]["text"] for row in table["table"]["rows"]] == [str(number) for number in range(MOST_ROWS)]
    assert f"first {MOST_ROWS} of {MOST_ROWS + 5} rows" in table["table"]["caption"]
    assert base64.b64decode(table["download"]["href"].split(",")[1]) == (tmp_path / "features.csv").read_bytes()
    (tmp_path / "volcano.png").unlink()
    with pytest.raises(StoreError, match=r"volcano\.png: no such file"):
        branch_sections([{"branch": "features", "parts": [{"name": "", "files": files}]}])


# ----------------------------------------------------------------------------------------- overview


def test_the_overview_has_a_row_an_analysis_and_a_link_a_study(tmp_path: Path) -> None:
    second = DOCUMENT | {"study": "two", "title": NASTY, "verdict": "not assessable", "sensitivity": []}
    for document in (DOCUMENT, second):
        write_json(document, tmp_path / f"{document['study']}.json")
    page = tmp_path / "index.html"
    verdicts = [str(tmp_path / f"{name}.json") for name in ("one", "two")]
    overview.main(["--verdicts", *verdicts, "--output", str(page)])
    found = Page(page.read_text(encoding="utf-8"))
    links = [attrs["href"] for tag, attrs in found.tags if tag == "a"]
    assert links == ["one/index.html", "two/index.html"]
    cells = [re.sub(r"\s+", " ", cell).strip() for cell in found.cells]
    rows = [cells[start : start + 10] for start in range(0, len(cells), 10)]
    gain = "+1.2 (-1.0 to +3.4)"
    title = "The first warnings: random weights; few draws"
    assert rows[0] == [title, "net, kmeans-2", "equivalent", "17", "11", "2", gain, "0.25", "0.31", "–"]
    assert rows[1] == ["", "net, kmeans-5", "different", "16", "–", "4", "+5.0 (+1.0 to +9.0)", "0.02", "0.03", "0.04"]
    # numbers of a study that cannot tell stand in no page
    assert rows[2][0].startswith(f"{NASTY} warnings: ")
    assert rows[2][1:3] == ["net, kmeans-2", "not assessable"]
    assert rows[2][5:10] == ["–"] * 5


def test_a_sheet_of_photographs_becomes_smaller_and_looks_the_same(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(128, 20, (40, 60, 3)).clip(0, 255).astype(np.uint8)
    sheet = Image.fromarray(noise).resize((600, 400))
    sheet.save(tmp_path / "sheet.png")
    size = (tmp_path / "sheet.png").stat().st_size
    assert size > tables.LARGEST_PICTURE
    kind, content = tables.picture(tmp_path / "sheet.png").split(";base64,")
    assert kind == "data:image/webp"
    shown = Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")
    assert shown.size == sheet.size
    assert np.abs(np.asarray(shown, dtype=float) - np.asarray(sheet, dtype=float)).mean() < 4
    assert len(base64.b64decode(content)) < size / 3
