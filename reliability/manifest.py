"""A manifest of many rows: real files, scanned, validated and split as the workflow does, with time and peak memory."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from benchmarks.workplace import command
from heteroscope.config import Split, TableDataset, dump
from reliability.cost import Cost, cost_of

ROWS = (10_000, 100_000, 1_000_000)
FOLDERS = 1000
CLASSES = {"normal": ["healthy"], "ill": ["ill", "very ill"]}
SCAN = "import sys; from pathlib import Path; from heteroscope.data.listing import update_listing; \
print(update_listing(Path(sys.argv[1]), Path(sys.argv[2]), ['manifest.csv']))"


def make_source(folder: Path, rows: int) -> None:
    """A manifest and its images, of four pixels each and all different; a patient has two."""
    per_folder = -(-rows // FOLDERS)
    for number in range(FOLDERS):
        (folder / f"{number:03}").mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", encoding="utf-8") as table:
        table.write("file,finding,patient,age,site\n")
        for row in range(rows):
            name = f"{row // per_folder:03}/{row:07}.pgm"
            (folder / name).write_bytes(b"P5 4 1 255\n" + row.to_bytes(4, "big"))
            finding = ("healthy", "ill", "healthy", "very ill")[row // 2 % 4]
            table.write(f"{name},{finding},p{row // 2:06},{20 + row // 2 % 70},site-{row // 2 % 5}\n")


def measure(folder: Path, rows: int) -> list[Cost]:
    """Scan, scan again, validate and split a manifest, each in a process of its own as in the DAG."""
    shutil.rmtree(folder, ignore_errors=True)
    raw, listing = folder / "raw", folder / "listing.tsv"
    raw.mkdir(parents=True)
    make_source(raw, rows)
    dataset = TableDataset(
        adapter="table",
        root="raw",
        table="manifest.csv",
        path="file",
        label="finding",
        group="patient",
        attributes={"age": "age", "site": "site"},
        classes=CLASSES,
    )
    images, split = folder / "images.parquet", folder / "split.parquet"
    steps = {
        "scan": [sys.executable, "-c", SCAN, str(raw), str(listing)],
        "scan again": [sys.executable, "-c", SCAN, str(raw), str(listing)],
        "validate": command(
            "dataset",
            spec=dump(dataset),
            root=raw,
            listing=listing,
            images=images,
            rejected=folder / "rejected.csv",
            classes=folder / "classes.csv",
        ),
        "split": command(
            "split",
            images=images,
            spec=dump(Split()),
            classes_order=json.dumps(list(CLASSES)),
            split=split,
            counts=folder / "counts.csv",
            figure=folder / "counts.png",
        ),
    }
    found = [cost_of(name, rows, words)[0] for name, words in steps.items()]
    _check(images, split, rows)
    shutil.rmtree(folder)
    return found


def _check(images: Path, split: Path, rows: int) -> None:
    """All rows are images, each in one part, and no patient in two."""
    from heteroscope.store import read_table

    table = read_table(split)
    parts = table.groupby("group")["part"].nunique()
    if len(read_table(images)) != rows or len(table) != rows or parts.max() != 1:
        raise RuntimeError(f"{split}: {len(table)} rows of {rows}, a patient in up to {parts.max()} parts")
