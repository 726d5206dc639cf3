"""A browser that opens reports; without one, these tests are skipped and say so.

`pytest tests/browser --reports results/report` opens every report of a finished run instead of a tiny one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# a machine without a GPU draws WebGL by software; a container may have little shared memory
FLAGS = ("--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage")


def pytest_addoption(parser: pytest.Parser) -> None:
    # known only where this folder is named on the command line
    parser.addoption("--reports", type=Path, metavar="FOLDER", help="open the reports of this folder, results/report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder: Path | None = metafunc.config.getoption("--reports", None)
    if folder and "report" in metafunc.fixturenames:
        pages = sorted(folder.glob("*/index.html"))
        if not pages:
            raise pytest.UsageError(f"--reports {folder}: no report below it; name results/report of a finished run")
        metafunc.parametrize("report", pages, ids=[page.parent.name for page in pages], indirect=True)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Path:
    """The page of a finished study."""
    given: Path | None = getattr(request, "param", None)
    return given or request.getfixturevalue("finished") / "results/report/tiny/index.html"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed: reports are not opened in a browser")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page from disk; it must neither ask the network for anything nor have an error."""
    pages: list[tuple[Page, list[str]]] = []

    def open_page(path: Path, *, width: int = 1280, height: int = 900, **options: Any) -> Page:
        page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
        wrong: list[str] = []
        pages.append((page, wrong))
        address = path.resolve().as_uri()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                None
                if request.url.split("#")[0] == address or request.url.startswith(("data:", "blob:"))
                else wrong.append(request.url)
            ),
        )
        page.goto(address)
        return page

    yield open_page
    for page, wrong in pages:
        page.context.close()
        assert wrong == []
