"""Numbers predicted from embeddings: one that images show and one that they do not, the report, and messages."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from heteroscope.config import load
from heteroscope.layout import Layout
from heteroscope.report.branches import TITLES, caption_text
from heteroscope.stages import command, regress

BY_SCIKIT_LEARN = {"rmse": root_mean_squared_error, "mae": mean_absolute_error, "r2": r2_score}
RIDGE = "results/regress/toy/small-cnn/holdout/none/ridge"
PATIENTS = 160
TABLE = "results/compare/tiny/regressions.csv"


def entry(target: str, method: str = "linear", **keys: Any) -> dict[str, Any]:
    return {"target": target, "regressor": {"method": method} | keys}


def with_regressions(config: dict[str, Any], **entries: dict[str, Any]) -> dict[str, Any]:
    study = config["studies"]["tiny"] | {"regressions": list(entries)}
    return config | {"regressions": entries, "studies": {"tiny": study}}


# ------------------------------------------------------------------------------------- planted truth


@pytest.fixture(scope="module")
def planted(ran: Callable, unchanged_tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of which exudates and ages are known, in two folds; an early layer tells small bright places best."""
    folder = tmp_path_factory.mktemp("planted")
    known = ["exudates", "age"]
    toy = {"adapter": "phantom", "truth": "homogeneous", "patients": PATIENTS, "size": 32, "attributes": known}
    early = unchanged_tiny["backbones"]["small-cnn"] | {"layer": "features.7", "seed": 2}
    config = unchanged_tiny | {
        "datasets": {"toy": toy},
        "backbones": {"small-cnn": early},
        "splits": {"holdout": {"test": None, "folds": 2, "validation": 0.1}},
    }
    config = with_regressions(config, shown=entry("exudates", alpha=10.0), hidden=entry("age", alpha=10.0))
    jobs = ran(folder, config, "regression_tables")
    assert {rule: jobs[rule] for rule in ("regress", "regressions")} == {"regress": 4, "regressions": 1}
    return folder


def test_a_number_that_images_show_is_found_and_one_that_they_do_not_is_not(planted: Path) -> None:
    table = pd.read_csv(planted / TABLE).set_index("regression")
    assert table["target"].to_dict() == {"shown": "exudates", "hidden": "age"}
    assert table.loc["shown", "r2_low"] > 0.1
    assert table.loc["shown", "rmse_high"] < table.loc["shown", "rmse_of_mean"]
    assert table.loc["hidden", "r2"] < 0
    assert table.loc["hidden", "rmse"] > table.loc["hidden", "rmse_of_mean"]
    assert table["r2_of_mean"].abs().max() < 0.05
    assert table["weights"].str.contains("random").all()


@pytest.mark.parametrize("name", ["shown", "hidden"])
def test_errors_of_all_folds_are_scikit_learns_against_what_was_drawn(planted: Path, name: str) -> None:
    drawn = pd.read_csv(planted / "results/phantom/toy/phantom.csv").set_index("path")
    path = pd.read_parquet(planted / "results/dataset/toy/images.parquet").set_index("image_id")["path"]
    row = pd.read_csv(planted / TABLE).set_index("regression").loc[name]
    parts = []
    for fold in ("holdout-1", "holdout-2"):
        folder = planted / f"results/regress/toy/small-cnn/{fold}/none/{name}"
        split = pd.read_parquet(planted / f"results/split/toy/{fold}.parquet").set_index("image_id")
        rows = pd.read_parquet(folder / "predictions.parquet")
        trained = split.index[split["part"] == "train"]
        assert set(rows["image_id"]) == set(split.index[split["part"] == "test"])
        assert set(rows["group"]).isdisjoint(split.loc[trained, "group"])
        document = json.loads((folder / "metrics.json").read_text())
        assert document["rows"] == {"train": len(trained), "test": len(rows)}
        assert document["unknown"] == {"train": 0, "test": 0}
        truth = drawn.loc[path[trained], row["target"]].mean()
        assert document["training_mean"] == pytest.approx(truth)
        parts.append(rows.assign(truth=drawn.loc[path[rows["image_id"]], row["target"]].to_numpy(), mean=truth))
    tested = pd.concat(parts)
    assert row["images"] == len(drawn) == tested["image_id"].nunique()
    assert row["patients"] == PATIENTS
    for measure, score in BY_SCIKIT_LEARN.items():
        assert row[measure] == pytest.approx(score(tested["truth"], tested["predicted"]), rel=1e-5, abs=1e-6)
        assert row[f"{measure}_low"] < row[measure] < row[f"{measure}_high"]
        assert row[f"{measure}_of_mean"] == pytest.approx(score(tested["truth"], tested["mean"]), rel=1e-5, abs=1e-6)


# ----------------------------------------------------------------------------- beside a finished study


@pytest.fixture(scope="module")
def added(ran: Callable, finished: Path, unchanged_tiny: dict[str, Any], tmp_path_factory: Any) -> Path:
    """The finished study, and then with a regression."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("regressions") / "study")
    config = with_regressions(unchanged_tiny, ridge=entry("exudates", alpha=10.0))
    jobs = ran(folder, config)
    assert jobs == {"regress": 1, "regressions": 1, "report": 1}  # and no comparison
    return folder


def test_the_report_shows_table_figure_and_captions(added: Path, tiny: dict[str, Any]) -> None:
    page = (added / "results/report/tiny/index.html").read_text()
    for title, caption in (("regressions", "regressions"), ("scatters", "regression-scatter")):
        assert TITLES[title] in page
        assert caption_text(caption) in page.replace("&#39;", "'")
    assert base64.b64encode((added / RIDGE / "scatter.png").read_bytes()).decode() in page
    [table] = re.findall(r'download="[\w-]*regressions\.csv" href="data:text/csv;base64,([^"]+)"', page)
    assert base64.b64decode(table) == (added / TABLE).read_bytes()
    for ending in (".md", ".tex"):
        assert (added / TABLE).with_suffix(ending).is_file()
    before, after = (Layout(load(config)) for config in (tiny, with_regressions(tiny, ridge=entry("exudates"))))
    assert after.context("tiny") == before.context("tiny")
    shown = {f"{RIDGE}/scatter.png", TABLE}
    assert set(after.branch_files("tiny")) - set(before.branch_files("tiny")) == shown


@pytest.mark.parametrize("name", [f"{RIDGE}/scatter.png", "results/compare/tiny/regressions.tex"])
def test_what_is_deleted_of_them_comes_back(name: str, added: Path, planned: Callable, tiny: dict[str, Any]) -> None:
    config = with_regressions(tiny, ridge=entry("exudates", alpha=10.0))
    assert planned(added, config) == {}
    kept = (added / name).read_bytes()
    (added / name).unlink()
    try:
        assert "regressions" in planned(added, config, "regression_tables")
    finally:
        (added / name).write_bytes(kept)


# ------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (entry("agee"), "dataset 'toy': no attribute 'agee'; the attributes of these images: camera, exudates"),
        (entry("camera"), "dataset 'toy': attribute 'camera' is not numeric (it is 'camera-"),
        (entry("exudates", "knn", n_neighbors=999), "n_neighbors: 999, but there are"),
        (
            entry("exudates") | {"reduce": {"method": "pca", "components": 999}},
            "999 principal components",
        ),
    ],
    ids=["unknown", "words", "neighbours", "components"],
)
def test_what_cannot_be_is_named_and_nothing_is_written(
    spec: dict[str, Any], said: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job by itself: what a configuration tells of its images is refused before."""
    results = finished / "results"
    given = {
        "embeddings": results / "embed/toy/small-cnn/embeddings.h5",
        "split": results / "split/toy/holdout.parquet",
        "images": results / "dataset/toy/images.parquet",
    }
    made = {name: tmp_path / name for name in ("predictions", "metrics", "scatter")}
    arguments = [word for name, path in (given | made).items() for word in (f"--{name}", str(path))]
    with pytest.raises(SystemExit) as ended:
        command.run(regress.main, ["--threads", "1", "--dataset", "toy", "--spec", json.dumps(spec), *arguments])
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert said in message
    assert message.count("error:") == 1
    assert not any(tmp_path.iterdir())
