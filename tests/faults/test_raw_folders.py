"""Folders of images as people really have them: vanished and monstrous files, odd names, loops, careless tables."""

from __future__ import annotations

import importlib
import io
import os
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import FolderDataset, Pixels, TableDataset, dump
from heteroscope.data.listing import update_listing
from heteroscope.stages import command

CLASSES = {"normal": ["n"], "disease": ["d"]}
ODD_NAMES = [
    "a b.png",
    "it's.png",
    'q"uo"te.png',
    "new\nline.png",
    "tab\there.png",
    "auge-ö-目-🙂.png",
    "-leading-dash.png",
    "--output.png",
    "$(touch hacked).png",
    "semi;colon & `tick`.png",
    "{wildcard}.png",
    "per%cent*?.png",
]


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder a class, three images each; the working directory is above it."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        picture(Path(f"raw/n/{number}.png"), number)
        picture(Path(f"raw/d/{number}.png"), 10 + number)
    return Path("raw")


FOLDERS = FolderDataset(adapter="folder", root="raw", classes=CLASSES)
TABLE = TableDataset(adapter="table", root="raw", table="t.csv", path="file", label="finding", classes=CLASSES)


def dataset(spec: Any) -> tuple[list[str], dict[str, str]]:
    """List and curate `raw`; paths of usable images, and the reason of each rejected row."""
    update_listing(Path("raw"), Path("listing.tsv"), [spec.table] if isinstance(spec, TableDataset) else [])
    return curate(spec)


def curate(spec: Any) -> tuple[list[str], dict[str, str]]:
    stage("dataset", spec=dump(spec), root="raw", listing="listing.tsv", images="images.parquet")
    rejected = pd.read_csv("rejected.csv")
    reasons = [f"{reason}: {detail}" for reason, detail in rejected[["reason", "detail"]].to_numpy()]
    return pd.read_parquet("images.parquet")["path"].tolist(), dict(zip(rejected["path"], reasons, strict=True))


def decode() -> None:
    stage("pixels", images="images.parquet", root="raw", spec=dump(Pixels(size=8)), pixels="pixels.h5")


def stage(name: str, **flags: str) -> None:
    outputs = {"rejected": "rejected.csv", "classes": "classes.csv"} if name == "dataset" else {}
    arguments = [f"--{flag}={value}" for flag, value in (flags | outputs).items()]
    command.run(importlib.import_module(f"heteroscope.stages.{name}").main, arguments)


def failure(call: Callable[..., Any], capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert ended.value.code == 1
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text[text.index("error:") :].strip()


# ------------------------------------------------------------------------------------ vanished files


def test_an_image_that_vanishes_after_the_listing_is_rejected_as_missing(raw: Path) -> None:
    update_listing(raw, Path("listing.tsv"))
    (raw / "n/1.png").unlink()
    kept, rejected = curate(FOLDERS)
    assert rejected == {"n/1.png": "missing: no such file"}
    assert len(kept) == 5


def test_an_image_that_vanishes_before_it_is_decoded_is_named_and_costs_no_other(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset(FOLDERS)
    (raw / "n/1.png").rename("aside.png")
    assert failure(decode, capsys) == (
        "error: raw/n/1.png: cannot be read (No such file or directory); run the workflow again, so that the files are"
        " listed anew"
    )
    assert not Path("pixels.h5").exists()
    Path("aside.png").rename(raw / "n/1.png")
    decode()
    assert Path("pixels.h5").exists()


# ----------------------------------------------------------------------------------- monstrous files


def png_header(width: int, height: int, rows: int = 0) -> bytes:
    """A grey PNG that claims a size and holds few of its rows."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((width + 1) * rows)))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")


def bomb() -> bytes:
    """A gigapixel of zeros in a megabyte."""
    return png_header(32_000, 32_000, rows=32_000)


def webp() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (16_000, 8_000)).save(buffer, "WEBP", lossless=True, method=0)
    return buffer.getvalue()


MONSTERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb.png": (bomb, "1024000000 pixels"),
    "wide.png": (lambda: png_header(60_000, 500, rows=500), "60000x500"),
    "square.png": (lambda: png_header(60_000, 60_000, rows=1), "3600000000 pixels"),
    "canvas.webp": (webp, "128000000 pixels"),
}
MEASURED = """
    import resource, sys
    from heteroscope.stages import dataset
    from heteroscope.stages.command import run
    import heteroscope.data.quality, heteroscope.store
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    before = peak()
    run(dataset.main, sys.argv[1:])
    print(peak() - before)
"""
MOST_MEBIBYTES = 150
"""An image of the largest allowed size takes more than twice this."""


@pytest.mark.parametrize("name", MONSTERS)
def test_a_monstrous_image_is_rejected_with_its_size_before_it_fills_the_memory(name: str, raw: Path) -> None:
    make, size = MONSTERS[name]
    (raw / "n" / name).write_bytes(make())
    update_listing(raw, Path("listing.tsv"))
    outputs = [
        f"--{what}={what}.{end}" for what, end in (("images", "parquet"), ("rejected", "csv"), ("classes", "csv"))
    ]
    flags = [f"--spec={dump(FOLDERS)}", "--root=raw", "--listing=listing.tsv", "--workers=1", *outputs]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURED), *flags], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rejected = pd.read_csv("rejected.csv").set_index("path").loc[f"n/{name}"]
    assert rejected["reason"] == "unsupported"
    assert size in rejected["detail"]
    assert int(done.stdout) < MOST_MEBIBYTES
    assert len(pd.read_parquet("images.parquet")) == 6


# ---------------------------------------------------------------------------------------- odd names


def test_odd_file_names_go_all_the_way(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    """Listed, curated and decoded by the workflow itself; no shell ever sees the names."""
    for number, name in enumerate(ODD_NAMES):
        for seed, label in enumerate(("n", "d")):
            picture(tmp_path / "raw folder; $(touch hacked)" / label / name, 100 * seed + number)
    (tmp_path / "raw folder; $(touch hacked)/-n").mkdir()
    tiny["datasets"]["toy"] = {"adapter": "folder", "root": "raw folder; $(touch hacked)", "classes": CLASSES}
    done = snakemake(tmp_path, tiny, "--cores", "2", "results/dataset/toy/square-32/pixels.h5")
    assert done.returncode == 0, done.stdout + done.stderr
    images = pd.read_parquet(tmp_path / "results/dataset/toy/images.parquet")
    assert sorted(images["path"]) == sorted(f"{label}/{name}" for label in "nd" for name in ODD_NAMES)
    assert not list(tmp_path.rglob("hacked"))


def test_a_name_that_is_not_utf_8_is_named(raw: Path, snakemake: Callable, tiny: dict[str, Any]) -> None:
    with Path(os.fsdecode(os.fsencode(raw / "n") + b"/\xff.png")).open("wb") as stream:
        stream.write((raw / "n/0.png").read_bytes())
    tiny["datasets"]["toy"] = {"adapter": "folder", "root": "raw", "classes": CLASSES}
    done = snakemake(Path(), tiny, "--cores", "1", "--dry-run")
    assert done.returncode
    assert "is not UTF-8; rename it" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_loop_of_links_is_walked_once(raw: Path) -> None:
    (raw / "n/again").symlink_to(raw.resolve())
    (raw / "n/self").symlink_to(raw.resolve() / "n")
    (raw / "n/nowhere.png").symlink_to("nowhere.png")
    kept, rejected = dataset(FOLDERS)
    assert len(kept) == 6
    assert rejected == {}


# ----------------------------------------------------------------------------------- careless tables


def rows(ending: str = "\n") -> str:
    return "".join(f"{label}/{number}.png,{label}{ending}" for label in "nd" for number in range(3))


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + b"file,finding\n" + rows().encode(),
        b"file,finding\r\n" + rows("\r\n").encode(),
        b"\xef\xbb\xbf" + b'"file" , finding \r\n' + rows("\r\n").encode(),
    ],
    ids=["byte order mark", "CRLF", "both, and spaces in the header"],
)
def test_tables_as_spreadsheets_write_them_are_read(raw: Path, text: bytes) -> None:
    (raw / "t.csv").write_bytes(text)
    kept, rejected = dataset(TABLE)
    assert len(kept) == 6
    assert rejected == {}


def test_a_column_that_stands_twice_is_refused_where_it_is_used(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = rows().splitlines()
    (raw / "t.csv").write_text("file,finding,finding,note,note\n" + "".join(f"{line},d,x,y\n" for line in lines))
    message = failure(dataset, capsys, TABLE)
    assert message.startswith("error: raw/t.csv: the column 'finding' stands there more than once")
    (raw / "t.csv").write_text("file,finding,note,note\n" + "".join(f"{line},x,y\n" for line in lines))
    assert len(dataset(TABLE)[0]) == 6


def test_a_table_in_another_encoding_is_named(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "t.csv").write_bytes("file,finding\nn/0.png,gesünder\n".encode("latin-1"))
    assert "error: raw/t.csv: cannot be read as a table" in failure(dataset, capsys, TABLE)
