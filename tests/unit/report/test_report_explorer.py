"""What the explorer of a report shows of each image is what the tables say."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.evaluation.analysis import Analysis
from heteroscope.report import explorer
from heteroscope.report.explorer import explorer_data
from heteroscope.store import create_h5, read_table, write_strings, write_table
from tests.unit.report.test_report_page import NASTY, Study

CLASSES = ["normal", "disease"]


@pytest.fixture(scope="module")
def analysis(analysis: Analysis) -> Analysis:
    """Five test images are called wrong."""
    baseline = analysis.baseline.copy()
    baseline[:, :5] = 1 - baseline[:, :5]
    return replace(analysis, baseline=baseline)


@pytest.fixture(scope="module")
def study(tmp_path_factory, analysis) -> Study:
    return Study(tmp_path_factory.mktemp("study"), analysis, ("kmeans-3", "kmeans-9"))


@pytest.fixture(scope="module")
def data(study: Study) -> dict[str, Any]:
    return explore(study)


def explore(study: Study) -> dict[str, Any]:
    folder = study.folder
    return explorer_data(
        study.plan, CLASSES, images=folder / "images.parquet", pixels=folder / "pixels.h5", room=10_000_000
    )


def shown(data: dict[str, Any], colouring: dict[str, Any]) -> dict[str, str]:
    """Image id → what its point is said to be."""
    assert len(colouring["codes"]) == len(data["id"])
    names = [colouring["names"][code] if code >= 0 else colouring["unknown"] for code in colouring["codes"]]
    return dict(zip(data["id"], names, strict=True))


def test_images_have_their_file_patient_and_part(data: dict[str, Any], study: Study) -> None:
    rows = pd.read_parquet(study.folder / "explored/kmeans-3/assignments.parquet").query("view == 0")
    assert sorted(data["id"]) == sorted(rows["image_id"])
    by_name = rows.set_index("image_id").loc[data["id"]]
    assert data["patient"] == by_name["group"].astype(str).tolist()
    assert [("train", "validation", "test")[code] for code in data["part"]] == by_name["part"].tolist()
    assert data["path"] == [f"{NASTY}/{name}.png" for name in data["id"]]


def test_points_lie_where_the_projections_put_them(data: dict[str, Any], study: Study) -> None:
    table = read_table(study.folder / "explored/kmeans-3/projections.parquet").set_index("image_id").loc[data["id"]]
    for name, title in (("pca", "PCA"), ("umap", "UMAP")):
        expected = table[[f"{name}_1", f"{name}_2"]].to_numpy()
        places = data["analyses"][0]["projections"][title]
        found = np.array([places["x"], places["y"]], dtype=float).T
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        known = np.isfinite(expected).all(axis=1)
        found, expected = found[known], expected[known]
        scale = (expected.max(axis=0) - expected.min(axis=0)).max()
        np.testing.assert_allclose(found, (expected - expected.min(axis=0)) / scale * explorer.STEPS, atol=0.51)
    assert sum(x is None for x in data["analyses"][0]["projections"]["UMAP"]["x"]) == 1


def test_colours_tell_cluster_answer_label_and_attributes(data: dict[str, Any], study: Study, analysis) -> None:
    rows = analysis.assignments[analysis.assignments["view"] == 0].set_index("image_id").loc[data["id"]]
    clusters, answers = data["analyses"][0]["colourings"]
    assert list(shown(data, clusters).values()) == rows["cluster"].astype(str).tolist()
    label, part, site, age = (
        next(one for one in data["colourings"] if one["title"] == title)
        for title in ("label", "part of the split", "site", "age")
    )
    assert list(shown(data, label).values()) == [CLASSES[value] for value in rows["label"]]
    assert set(shown(data, part).values()) == {"training", "test"}
    known = read_table(study.folder / "images.parquet").set_index("image_id").loc[data["id"]]
    assert list(shown(data, site).values()) == known["attr_site"].tolist()
    assert age["values"].count(None) == 1
    values = np.array(age["values"], dtype=float)
    np.testing.assert_allclose(values, known["attr_age"], rtol=1e-5)

    called = analysis.baseline.mean(axis=0)[:, 1] > 0.5
    right = {
        name: "called right" if call == label else "called wrong"
        for name, call, label in zip(analysis.test["image_id"], called, analysis.test["label"], strict=True)
    }
    assert set(right.values()) == {"called right", "called wrong"}
    assert shown(data, answers) == {name: right.get(name, "not tested") for name in data["id"]}


def test_no_two_colourings_or_groups_have_one_name(study: Study, tmp_path: Path) -> None:
    known = read_table(study.folder / "images.parquet")
    known["attr_cluster"] = np.arange(len(known)) % 2
    known["attr_label"] = np.where(np.arange(len(known)) % 3, "known", "not known")
    known.loc[0, "attr_label"] = None
    write_table(known, tmp_path / "images.parquet")
    pixels = study.folder / "pixels.h5"
    found = explorer_data(study.plan, CLASSES, images=tmp_path / "images.parquet", pixels=pixels, room=10_000_000)
    colourings = [*found["analyses"][0]["colourings"], *found["colourings"]]
    titles = [one["title"] for one in colourings]
    assert len(set(titles)) == len(titles)
    assert {"cluster", "cluster (attribute)", "label", "label (attribute)"} <= set(titles)
    for one in colourings:
        assert one["unknown"] not in one.get("names", [])


def test_pictures_show_their_own_image(data: dict[str, Any], study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = study_pixels(study.folder / "pixels.h5")
    for name, picture in zip(data["id"], data["pictures"], strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(picture)))
        assert image.size == (16, 16)
        assert abs(np.asarray(image).mean() - stored[name].mean()) < 4
    whole = sum(map(len, data["pictures"]))
    monkeypatch.setattr(explorer, "PICTURE_BYTES", whole // 3)
    some = explore(study)["pictures"]
    assert len(some) == len(data["id"])
    assert 0 < sum(len(picture) for picture in some if picture) <= whole // 3 * 1.1
    assert None in some


def study_pixels(path: Path) -> dict[str, np.ndarray]:
    from heteroscope.store import open_h5, read_strings

    with open_h5(path, "pixels") as file:
        return dict(zip(read_strings(file, "image_id"), file["pixels"][:], strict=True))


def test_larger_pictures_are_made_smaller(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 3, 120, 120), dtype=np.uint8)
    names = np.array([f"i{number}" for number in range(30)], dtype=object)
    with create_h5(tmp_path / "pixels.h5", "pixels", {"spec": {"channel_order": "rgb"}}) as file:
        file.create_dataset("pixels", data=noise)
        write_strings(file, "image_id", names.tolist())

    def side(room: int) -> set[tuple[int, int]]:
        made = explorer.pictures(tmp_path / "pixels.h5", names, room)
        return {Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in made if picture}

    assert side(6_000_000) == {(96, 96)}
    assert side(60_000) in ({(40, 40)}, {(56, 56)})


def test_pictures_take_the_room_that_the_page_has_left(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rooms = study.folder, []
    monkeypatch.setattr(explorer, "pictures", lambda pixels, names, room: rooms.append(room))
    for room in (20_000_000, 4_000_000, 0):
        files = {"images": folder / "images.parquet", "pixels": folder / "pixels.h5"}
        data = explorer_data(study.plan, CLASSES, **files, room=room)
    points = len(json.dumps({name: value for name, value in data.items() if name != "pictures"}))
    assert rooms == [explorer.PICTURE_BYTES, 4_000_000 - points, explorer.FEWEST_BYTES]


def test_analyses_that_find_no_room_are_counted(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explore(study)["left_out"] == 0
    monkeypatch.setattr(explorer, "MOST_POINTS", 10)
    data = explore(study)
    assert [one["name"] for one in data["analyses"]] == ["small-cnn, kmeans-3"]
    assert data["left_out"] == 1
