"""The report of a finished study in a real browser: what a reader does with it."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest
import yaml
from playwright.sync_api import Page

SECTIONS = {"data", "clusters", "explorer", "tables", "attributes", "sensitivity", "arms", "methods", "basis"}
MOST_LISTED = 120
EDGE = 2  # pixels by which a point may miss the line that is drawn around it
# the place of every image's point in the window
PLACES = """() => {
  const plot = document.getElementById("explorer-plot"), axes = plot._fullLayout, box = plot.getBoundingClientRect();
  const along = (axis, value) => axis._offset + axis.l2p(value), places = [];
  for (const trace of plot.data) trace.customdata.forEach((image, at) => {
    places[image] = [box.x + along(axes.xaxis, trace.x[at]), box.y + along(axes.yaxis, trace.y[at])];
  });
  return places;
}"""
POINTS = """() => document.getElementById("explorer-plot").data.filter(trace => trace.visible !== false)
  .map(trace => [trace.name, trace.customdata])"""
DATA = """() => JSON.parse(document.getElementById("explorer-data").textContent)"""


@pytest.fixture
def entries(report: Path) -> dict[str, Any]:
    """The configuration of the study, which stands in its report."""
    shown = re.search(r"<pre>(.*?)</pre>", report.read_text(encoding="utf-8"), re.S)[1]
    return yaml.safe_load(html.unescape(shown))


@pytest.fixture
def images(report: Path, entries: dict[str, Any]) -> pd.DataFrame:
    """What the results say of every image, by its id."""
    results, study = report.parents[2], entries["study"]
    axes = (study["dataset"], study["primary"]["backbone"], study["split"], study["augmentation"])
    table = results.joinpath("cluster", *axes, study["primary"]["clustering"], "assignments.parquet")
    rows = pd.read_parquet(table).query("view == 0").set_index("image_id")
    listed = pd.read_parquet(results / "dataset" / study["dataset"] / "images.parquet").set_index("image_id")
    return rows.join(listed["path"])


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
    links = [link.get_attribute("href") for link in page.locator("nav a").all()]
    assert {link.removeprefix("#") for link in links} >= SECTIONS
    for link in links:
        page.click(f"nav a[href='{link}']")
        assert page.locator(link).is_visible()
    assert all(width > 0 for width in page.evaluate("[...document.images].map(image => image.naturalWidth)"))


def test_all_studies_stand_on_one_page(opened: Callable[..., Page], report: Path) -> None:
    overview = report.parents[1] / "index.html"
    page = opened(overview, width=390, height=844)
    links = [link.get_attribute("href") for link in page.locator("main a").all()]
    assert overview.parent / report.parent.name / "index.html" in {overview.parent / link for link in links}
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_point_shows_its_image(opened: Callable[..., Page], report: Path, images: pd.DataFrame) -> None:
    page = ready(opened(report))
    shown = set()
    for number in (0, 5, 11):
        x, y = page.evaluate(PLACES)[number]
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
    places = dict(zip(page.evaluate(DATA)["id"], page.evaluate(PLACES), strict=True))
    left, top, bottom = box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"], box["y"] + 0.9 * box["height"]
    right = median(x for x, _ in places.values())
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top + 5)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=5)
    page.mouse.up()
    page.wait_for_selector("#explorer-list button")
    with page.expect_download() as download:
        page.click("#explorer-save")
    with download.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [row["image_id"] for row in rows]

    def within(by: float) -> set[str]:
        """Images at least so many pixels within the line."""
        return {name for name, (x, y) in places.items() if left + by < x < right - by and top + by < y < bottom - by}

    assert 0 < len(chosen) < len(images)
    assert within(EDGE) <= set(chosen) <= within(-EDGE)
    assert all(row["path"] == images.loc[row["image_id"], "path"] for row in rows)
    assert page.locator("#explorer-list button").count() == min(len(chosen), MOST_LISTED)
    counts = images.loc[chosen, "cluster"].value_counts()
    summary = page.locator("#explorer-summary").inner_text()
    assert summary.startswith(f"{len(chosen)} images selected (cluster ")
    assert all(f"{cluster}: {count}" in summary for cluster, count in counts.items())
    page.click("#explorer-clear")
    assert page.locator("#explorer-list button").count() == 0


def test_colours_and_filters_follow_what_is_chosen(
    opened: Callable[..., Page], report: Path, images: pd.DataFrame, entries: dict[str, Any]
) -> None:
    page = ready(opened(report))

    def groups() -> dict[str, int]:
        return {name: len(points) for name, points in page.evaluate(POINTS)}

    assert groups() == images["cluster"].astype(str).value_counts().to_dict()
    page.select_option("#explorer-colour", "label")
    labels = images["label"].value_counts()
    assert sorted(groups().values()) == sorted(labels)
    page.uncheck("#explorer-legend label:nth-child(1) input")
    assert len(groups()) == len(labels) - 1
    page.select_option("#explorer-colour", "answer of the pooled head")
    answers = groups()
    tested = len(images) if entries["split"]["folds"] else int((images["part"] == "test").sum())
    assert answers.pop("not tested", 0) == len(images) - tested
    assert sum(answers.values()) == tested
    assert set(answers) <= {"called right", "called wrong"}
    page.select_option("#explorer-projection", "UMAP")
    assert sum(groups().values()) == len(images)


def test_keys_go_from_image_to_image(opened: Callable[..., Page], report: Path, images: pd.DataFrame) -> None:
    page = ready(opened(report))
    names = page.evaluate(DATA)["id"]
    page.focus("#explorer-plot")
    places: list[Any] = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
        assert_card_is_true(page, images)
        places.append(page.evaluate(PLACES)[names.index(facts(page)["image id"])])
    assert len(set(map(tuple, places))) >= 2
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
