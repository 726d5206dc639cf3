"""The sections of a report about what ran beside the clusters: networks, classifiers, features, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from heteroscope.report import tables
from heteroscope.store import read_table

CAPTIONS = Path(__file__).parent / "captions"
MOST_ROWS = 12  # of a table that is shown; a download has all of them
LARGEST_DOWNLOAD = 100_000  # bytes of a table that is part of the page
TITLES = {
    "models": "Backbones side by side",
    "networks": "Fine-tuned networks",
    "hybrids": "Classical classifiers on the embeddings",
    "regressions": "Numbers predicted from the embeddings",
    "scatters": "Predicted numbers against the true ones",
    "features": "Features and search",
    "explanations": "Where decisions come from",
    "examples": "Decisions one by one",
}


def branch_sections(plan: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the template shows of each branch.

    Args:
        plan: `Layout.branches`: for each its `branch` and `parts`; a part has a `name` and `files`, pairs of a path
            (PNG or CSV) and the name of its caption.

    Raises:
        StoreError: a file is missing or damaged.
    """
    return [
        {
            "id": section["branch"],
            "title": TITLES[section["branch"]],
            "parts": [
                {"name": part["name"], "shown": [_shown(Path(path), caption) for path, caption in part["files"]]}
                for part in section["parts"]
            ],
        }
        for section in plan
        if section["parts"]
    ]


def _shown(path: Path, caption: str) -> dict[str, Any]:
    """A figure, or the first rows of a table with a link to all of them."""
    text = caption_text(caption)
    if path.suffix == ".png":
        title = path.stem.replace("-", " ").capitalize()
        return {"figure": tables.figure(path, title, text), "table": None}
    frame = read_table(path)
    rows = f" Here are the first {MOST_ROWS} of {len(frame)} rows." if len(frame) > MOST_ROWS else ""
    download = {"name": "-".join(path.parts[-5:]), "href": None, "path": str(path)}  # its folders tell tables apart
    if path.stat().st_size <= LARGEST_DOWNLOAD:
        download["href"] = tables.data_uri("text/csv", path.read_bytes())
    return {"figure": None, "table": tables.plain_table(f"{text}{rows}", frame.head(MOST_ROWS)), "download": download}


@cache
def caption_text(name: str) -> str:
    """A caption as Snakemake's own report has it."""
    return (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").strip().replace("`", "")
