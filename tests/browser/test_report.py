"""The report of a finished study in a real browser: what a reader does with it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Page

CLUSTER = "results/cluster/toy/small-cnn/holdout/none/kmeans-2"
SECTIONS = ["data", "clusters", "explorer", "tables", "attributes", "sensitivity", "arms", "basis"]
# the place of an image's point in the window
PLACE = """image => {
  const plot = document.getElementById("explorer-plot"), axes = plot._fullLayout, box = plot.getBoundingClientRect();
  for (const trace of plot.data) {
    const at = trace.customdata.indexOf(image);
    const along = (axis, value) => axis._offset + axis.l2p(value);
    if (at >= 0) return [box.x + along(axes.xaxis, trace.x[at]), box.y + along(axes.yaxis, trace.y[at])];
  }
}"""
POINTS = """() => document.getElementById("explorer-plot").data.filter(trace => trace.visible !== false)
  .map(trace => [trace.name, trace.customdata])"""
DATA = """() => JSON.parse(document.getElementById("explorer-data").textContent)"""


@pytest.fixture
def report(finished: Path) -> Path:
    return finished / "results/report/tiny/index.html"


@pytest.fixture
def images(finished: Path) -> pd.DataFrame:
    """What the results say of every image, by its id."""
    rows = pd.read_parquet(finished / CLUSTER / "assignments.parquet").query("view == 0").set_index("image_id")
    return rows.join(pd.read_parquet(finished / "results/dataset/toy/images.parquet").set_index("image_id")["path"])


def ready(page: Page) -> Page:
    page.wait_for_selector("html[data-explorer=ready]")
    page.locator("#explorer-plot").scroll_into_view_if_needed()
    return page


def facts(page: Page) -> dict[str, str]:
    """What the card beside the plot says."""
    names, values = (page.locator(f"#explorer-card {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def assert_card_is_true(page: Page, images: pd.DataFrame) -> None:
    said = facts(page)
    image = images.loc[said["image id"]]
    assert said["file"] == image["path"]
    assert said["patient"] == str(image["group"])
    assert said["cluster"] == str(image["cluster"])
    assert page.locator("#explorer-card img").evaluate("image => image.naturalWidth") > 0


def test_every_section_is_there_and_reached(opened: Callable[..., Page], report: Path) -> None:
    page = opened(report)
    for name in SECTIONS:
        page.click(f"nav a[href='#{name}']")
        assert page.locator(f"#{name}").is_visible()
    assert all(width > 0 for width in page.evaluate("[...document.images].map(image => image.naturalWidth)"))


def test_a_point_shows_its_image(opened: Callable[..., Page], report: Path, images: pd.DataFrame) -> None:
    page = ready(opened(report))
    shown = set()
    for number in (0, 5, 11):
        x, y = page.evaluate(PLACE, number)
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        page.wait_for_selector("#explorer-card dl")
        page.wait_for_timeout(200)
        assert_card_is_true(page, images)
        shown.add(facts(page)["image id"])
    assert len(shown) == 3


def test_drawing_around_points_lists_their_images(
    opened: Callable[..., Page], report: Path, images: pd.DataFrame
) -> None:
    page = ready(opened(report))
    box = page.locator("#explorer-plot").bounding_box()
    assert box is not None
    corners = [(0.1, 0.1), (0.5, 0.1), (0.5, 0.9), (0.1, 0.9), (0.1, 0.12)]
    path = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*path[0])
    page.mouse.down()
    for corner in path[1:]:
        page.mouse.move(*corner, steps=5)
    page.mouse.up()
    page.wait_for_selector("#explorer-list button")
    within = [
        name
        for number, name in enumerate(page.evaluate(DATA)["id"])
        if path[0][0] < page.evaluate(PLACE, number)[0] < path[1][0]
    ]
    assert 0 < len(within) < len(images)
    assert page.locator("#explorer-list button").count() == len(within)
    counts = images.loc[within, "cluster"].value_counts()
    summary = page.locator("#explorer-summary").inner_text()
    assert summary.startswith(f"{len(within)} images selected (cluster ")
    assert all(f"{cluster}: {count}" in summary for cluster, count in counts.items())
    with page.expect_download() as download:
        page.click("#explorer-save")
    with download.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["image_id"] for row in rows) == sorted(within)
    assert all(row["path"] == images.loc[row["image_id"], "path"] for row in rows)
    page.click("#explorer-clear")
    assert page.locator("#explorer-list button").count() == 0


def test_colours_and_filters_follow_what_is_chosen(
    opened: Callable[..., Page], report: Path, images: pd.DataFrame
) -> None:
    page = ready(opened(report))

    def groups() -> dict[str, int]:
        return {name: len(points) for name, points in page.evaluate(POINTS)}

    assert groups() == images["cluster"].astype(str).value_counts().to_dict()
    page.select_option("#explorer-colour", "label")
    assert sorted(groups().values()) == sorted(images["label"].value_counts())
    page.uncheck("#explorer-legend label:nth-child(1) input")
    assert len(groups()) == 1
    page.select_option("#explorer-colour", "answer of the pooled head")
    answers = groups()
    assert answers["not tested"] == int((images["part"] != "test").sum())
    assert answers.get("called right", 0) + answers.get("called wrong", 0) == int((images["part"] == "test").sum())
    page.select_option("#explorer-projection", "UMAP")
    assert sum(groups().values()) == len(images)


def test_keys_go_from_image_to_image(opened: Callable[..., Page], report: Path, images: pd.DataFrame) -> None:
    page = ready(opened(report))
    page.focus("#explorer-plot")
    seen: list[str] = []
    places: list[Any] = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
        assert_card_is_true(page, images)
        seen.append(facts(page)["image id"])
        places.append(page.evaluate(PLACE, page.evaluate(DATA)["id"].index(seen[-1])))
    moved = {tuple(place) for place in places}
    assert len(moved) >= 2
    assert any(after[0] < before[0] for before, after in pairwise(places))
    page.keyboard.press("Enter")
    assert page.locator("#explorer-list button").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#explorer-list button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_in_its_width(opened: Callable[..., Page], report: Path, scheme: str) -> None:
    page = ready(opened(report, width=390, height=844, color_scheme=scheme, has_touch=True, is_mobile=True))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.getElementById('explorer-plot')._fullLayout.dragmode") is False
    bright = page.evaluate("getComputedStyle(document.body).backgroundColor").startswith("rgb(25")
    assert bright == (scheme == "light")
