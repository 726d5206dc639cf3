"""The measurements of scale, on sizes of seconds, and what the page says of numbers that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from heteroscope import config
from reliability import manifest, scale
from reliability.scale_page import exponent, growth, read_costs, write_page


def test_a_small_study_is_planned_run_and_planned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "SHARES", {"tiny": (1, 1)})
    monkeypatch.setattr(scale, "RESULTS", tmp_path)
    for name, count in {"CLUSTERINGS": 1, "CLUSTERS": 2, "SPLITS": 1}.items():
        monkeypatch.setattr(scale, name, count)
    steps = scale.plan("tiny")
    # dataset, weights, pixels, split, engine, embed, train, curve, cluster, stability, redraw, labels, gaussian,
    # two clusters, compare, report, the page over all studies, and the target
    assert [step.size for step in steps] == [19, 19, 19]
    assert all(step.processor > 0 and step.mebibytes > 10 for step in steps)


def test_the_whole_study_has_the_axes_that_the_page_names() -> None:
    loaded = config.load(scale.study(*scale.SHARES["1"]))
    assert (len(loaded.datasets), len(loaded.backbones), len(loaded.clusterings)) == (10, 8, 5)
    assert {clustering.k for clustering in loaded.clusterings.values()} == {8}
    assert len(loaded.studies) == 20
    assert yaml.safe_load(yaml.safe_dump(scale.study(1, 1)))["studies"].keys() == {"set-0-holdout-a", "set-0-holdout-b"}


def test_every_row_of_a_manifest_becomes_an_image(tmp_path: Path) -> None:
    steps = manifest.measure(tmp_path / "manifest", 60)
    assert [step.name for step in steps] == ["scan", "scan again", "validate", "split"]
    assert {step.size for step in steps} == {60}
    assert not (tmp_path / "manifest").exists()


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_power(power: float) -> None:
    sizes = np.array([10.0, 100.0, 1000.0])
    assert exponent(sizes, 3 * sizes**power) == pytest.approx(power)


def test_the_exponent_is_taken_where_start_up_is_small() -> None:
    sizes = [10, 1000, 2000, 4000]
    costs = pd.DataFrame(
        {
            "name": "plan",
            "size": sizes,
            "seconds": 1.0,
            "processor": [50.0, 100, 400, 1600],
            "mebibytes": [9.0, 10, 20, 40],
        }
    )
    row = growth(costs).iloc[0]
    assert (row["exponent of time"], row["exponent of memory"]) == ("2.00", "1.00")
    assert (row["largest"], row["CPU time (s)"], row["CPU time each (ms)"]) == ("4,000", "1600", "4e+02")


def test_the_page_names_what_was_not_measured_and_the_commits(tmp_path: Path) -> None:
    steps = [{"name": "plan", "size": 700, "seconds": 1.0, "processor": 2.0, "mebibytes": 3.0}]
    (tmp_path / "plan-1-16.json").write_text(json.dumps({"commit": "abc1234", "machine": {}, "steps": steps}))
    assert read_costs(tmp_path, "plan")[1] == ["abc1234"]
    write_page(tmp_path, tmp_path / "page/scale.md")
    text = (tmp_path / "page/scale.md").read_text()
    assert "measured at commit abc1234" in text
    assert "## A manifest of a million rows\n\nNot measured." in text
    assert (tmp_path / "page/scale-jobs.png").is_file()
