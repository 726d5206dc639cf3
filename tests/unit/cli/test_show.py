"""`heteroscope show` on tables that are made here: those that not every study has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from heteroscope.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study with the tables that all have."""
    folder = tmp_path / "results/compare/one"
    folder.mkdir(parents=True)
    verdict = {"study": "one", "title": "One", "verdict": "different", "paragraph": "So.", "warnings": []}
    verdict["primary"] = {"backbone": "net", "clustering": "k2"}
    (folder / "verdict.json").write_text(json.dumps(verdict))
    for name, columns in (("clusters", ["cluster"]), ("baseline", ["cluster"]), ("attributes", ["attribute"])):
        pd.DataFrame([dict.fromkeys(columns, 0)]).to_csv(folder / f"{name}.csv", index=False)
    return folder


def shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    main(["show", "one", "--plain", "--directory", str(folder.parents[2])])
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_a_study_without_them_is_shown_without_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not [line for line in shown(folder, capsys) if line[0].startswith(("regressions:", "attribute-scores:"))]


def test_regressions_are_shown_beside_the_training_mean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = {"mae": 8.5, "mae_low": 7.0, "mae_of_mean": 9.25, "r2": 0.125, "r2_low": -0.5, "r2_high": 0.25}
    row: dict[str, Any] = {
        "regression": "ridge",
        "target": "age",
        "images": 50,
        "patients": 40,
        "weights": "w",
    } | errors
    rows = [row | {"backbone": backbone, "r2": r2} for backbone, r2 in (("net", 0.125), ("other", 0.75))]
    pd.DataFrame(rows).to_csv(folder / "regressions.csv", index=False)
    lines = shown(folder, capsys)
    at = lines.index(["regression", "target", "patients", "mae", "mae_of_mean", "r2", "r2_low", "r2_high"])
    assert [word.replace("−", "-") for word in lines[at + 1]][:5] == ["ridge", "age", "40", "8.5", "9.25"]
    assert not [line for line in lines if "0.75" in line]  # of another backbone


def test_scores_by_attribute_are_those_of_accuracy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    level = {"backbone": "net", "attribute": "site", "level": "east", "images": 30, "patients": 20}
    rows = [level | {"metric": name, "value": value} for name, value in (("accuracy", 0.75), ("auc", 0.875))]
    pd.DataFrame(rows).to_csv(folder / "attribute-scores.csv", index=False)
    lines = shown(folder, capsys)
    at = lines.index(["attribute", "level", "images", "patients", "value"])
    assert lines[at + 1] == ["site", "east", "30", "20", "0.75"]
    assert not [line for line in lines if "0.875" in line]
