"""Images for the benchmarks: real ones where HETEROSCOPE_REALDATA names their folder, generated ones elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance

from benchmarks.workplace import Workplace
from heteroscope.config import Dataset, parse
from heteroscope.data.fundus import LOOKS, draw_fundus
from heteroscope.data.listing import read_listing, update_listing
from heteroscope.data.quality import curate
from heteroscope.data.sources import read_source

QUALITY = 90
PHANTOMS = 24
TURNS = (None, *Image.Transpose)  # eight pictures of one
CLASSES = ("normal", "disease")
SPEC = json.dumps({"adapter": "folder", "root": ".", "classes": {name: [name] for name in CLASSES}})


def _real(pattern: str) -> list[Path]:
    root = os.environ.get("HETEROSCOPE_REALDATA", "")
    return sorted(Path(root).glob(pattern)) if root else []


def real_fundus() -> list[Path]:
    """ODIR-5K's photographs of 512×512 pixels."""
    return _real("odir5k/preprocessed_images/*.jpg")


def origin() -> str:
    """What the photographs are, in words."""
    if real_fundus():
        return f"fundus photographs of ODIR-5K ({len(real_fundus())} distinct ones, turned where more are needed)"
    return f"generated fundus photographs ({PHANTOMS} distinct ones, turned and dimmed), JPEG quality {QUALITY}"


def photographs(place: Workplace, count: int, side: int) -> Path:
    """A folder of distinct JPEGs of the given width and height, half of them in each of two classes.

    Real files are linked as they are where their size is the one asked for; all others are saved anew.
    """
    folder = place.folder / f"photographs-{count}-{side}"
    if folder.is_dir():
        return folder
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    bases = len(real_fundus()) or PHANTOMS

    def save_variants(base: int) -> None:
        picture, file = _photograph(base, side)
        # photograph `number` is variant number // bases of its base
        for number, variant in zip(range(base, count, bases), _variants(picture), strict=False):
            path = folder / CLASSES[number % 2] / f"{number:05d}.jpg"
            if file and number == base:
                path.symlink_to(file)
            else:
                variant.save(path, quality=QUALITY)

    with ThreadPoolExecutor(place.cores) as pool:
        list(pool.map(save_variants, range(min(bases, count))))
    return folder


def _photograph(number: int, side: int) -> tuple[Image.Image, Path | None]:
    """One photograph, and its file where that has the size already."""
    files = real_fundus()
    if not files:
        return Image.fromarray(_phantom(number, side)), None
    with Image.open(files[number]) as opened:
        file = files[number] if opened.size == (side, side) else None
        return opened.convert("RGB").resize((side, side), Image.Resampling.BILINEAR), file


def _variants(picture: Image.Image) -> Iterator[Image.Image]:
    """A picture as it is, turned, then dimmed step by step and turned."""
    for step in range(90):
        dimmed = ImageEnhance.Brightness(picture).enhance(1 - step / 100)
        yield from (dimmed if turn is None else dimmed.transpose(turn) for turn in TURNS)


@cache
def _phantom(number: int, side: int) -> np.ndarray:
    return draw_fundus(
        side,
        LOOKS[number % len(LOOKS)],
        right_eye=number % 2 == 0,
        exudates=number % 3 == 0,
        haemorrhages=number % 3 == 1,
        rng=np.random.default_rng(number),
    )


def radiographs(place: Workplace, count: int, side: int) -> tuple[Path, str]:
    """A folder of grey PNGs of the given width and height, and what they are."""
    folder = place.folder / f"radiographs-{count}-{side}"
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
    targets = [folder / CLASSES[number % 2] / f"{number:05d}.png" for number in range(count)]
    files = [path for path in _real("nih-cxr/images/*.png") if side == 1024][:count]
    if len(files) == count:
        for target, file in zip(targets, files, strict=True):
            target.symlink_to(file)
        return folder, "chest radiographs of NIH ChestX-ray14"
    for number, target in enumerate(targets):
        grey = np.asarray(Image.fromarray(_phantom(number % PHANTOMS, side)).convert("L"))
        grain = np.random.default_rng(number).normal(0, 2, grey.shape)  # a detector's noise, which PNG cannot pack
        Image.fromarray(np.clip(grey + grain, 0, 255).astype(np.uint8)).save(target)
    return folder, "generated grey PNGs with noise"


def images_table(place: Workplace, folder: Path) -> pd.DataFrame:
    """The table of a folder's images, as the stage `dataset` makes it."""
    listing = place.below("listings") / f"{folder.name}.tsv"
    update_listing(folder, listing)
    files, spec = read_listing(listing), parse(Dataset, SPEC)
    source = read_source(spec, folder, files)
    images, _ = curate(source, spec, root=folder, listing=files, workers=place.cores)
    return images
