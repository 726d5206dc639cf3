"""The comparison as a command line: every table and figure, with a metric of the study's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heteroscope import config
from heteroscope.evaluation.analysis import Analysis
from heteroscope.stages.compare import main
from heteroscope.store import write_table

TABLES = ("clusters", "baseline", "transfer", "attributes", "attribute-scores", "curve", "metrics", "confusion",
          "sensitivity")  # fmt: skip
FIGURES = ("retraining", "gain", "power", "curve", "transfer", "baseline", "attribute-scores", "confusion",
           "sensitivity")  # fmt: skip


def study_context(controls: config.Controls, metric: str) -> config.StudyContext:
    return config.StudyContext(
        id="tiny",
        study=config.Study(
            dataset="eyes",
            split="holdout",
            backbones=["small-cnn"],
            clusterings=["kmeans-3"],
            head="linear",
            controls="few",
            metric=metric,
            primary=config.Primary(backbone="small-cnn", clustering="kmeans-3"),
        ),
        dataset=config.FolderDataset(adapter="folder", root="eyes", classes={"normal": ["n"], "disease": ["d"]}),
        split=config.Split(),
        augmentation=None,
        backbones={"small-cnn": config.Backbone(model="small-cnn", weights="random", pixels="square")},
        clusterings={"kmeans-3": config.Clustering(k=3)},
        head=config.Head(seeds=2),
        controls=controls,
    )


def run(folder: Path, output: Path, files: dict[str, Any], context: config.StudyContext) -> None:
    main(["--context", config.dump(context), "--plan", json.dumps([files]), "--images", str(folder / "images.parquet"),
          "--split", str(folder / "split.parquet"), "--output", str(output), "--threads", "1"])  # fmt: skip


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_everything_is_written_twice_the_same(
    tmp_path: Path,
    analysis: Analysis,
    controls: config.Controls,
    write_analysis: Callable[[Path, Analysis], dict[str, Any]],
    metric: str,
) -> None:
    files = write_analysis(tmp_path, analysis)
    rows = analysis.assignments
    site = np.array(["a", "b", "c"])[rows["cluster"]]
    images = pd.DataFrame(
        {"image_id": rows["image_id"], "content": rows["image_id"], "group": rows["group"], "attr_site": site}
    )
    write_table(images, tmp_path / "images.parquet")
    write_table(rows[["image_id", "label", "group", "part"]], tmp_path / "split.parquet")
    for name in ("one", "two"):
        run(tmp_path, tmp_path / name, files, study_context(controls, metric))
    expected = {f"{name}.{ending}" for name in TABLES for ending in ("csv", "md", "tex")}
    expected |= {f"{name}.png" for name in FIGURES} | {"verdict.json"}
    written = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert set(written) == expected
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    clusters = pd.read_csv(tmp_path / "one/clusters.csv")
    assert {metric, f"{metric}_size_gap", f"{metric}_balanced_p", "auc", "gain_p_holm"} <= set(clusters.columns)
    assert metric in pd.read_csv(tmp_path / "one/baseline.csv")
    verdict = json.loads(written["verdict.json"])
    assert verdict["verdict"] == "different"
    assert verdict["published_comparison"]["metric"] == metric
    assert "go most with site" in verdict["paragraph"]
