"""pixels.h5: every image of a dataset at one size, decoded once.

A row's key is a digest of the image's bytes, its view (0, the original), the pixel specification, the
code that decodes, and, for a JPEG that is decoded at reduced scale, of that; where the lesions of an
image are shown, also of their area. Rows whose key stands in
an older file are copied; so are those of a file that a killed run has left.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from heteroscope.config import Pixels
from heteroscope.data.ahead import map_ahead
from heteroscope.data.areas import Area, lesion_area
from heteroscope.data.decoding import ImageError, Properties, read_pixels
from heteroscope.data.known_rows import ENCODING, KnownRows, rows_at_once
from heteroscope.data.tables import LESIONS
from heteroscope.errors import DataError, StoreError
from heteroscope.provenance import digest, modules_digest
from heteroscope.store import create_h5, flush_h5, runs, write_digest, write_strings

log = logging.getLogger(__name__)

DECODING = ("heteroscope.data.areas", "heteroscope.data.decoding", "heteroscope.data.dicom")
COMPARED = 8  # images that are decoded both ways before reduced decoding is used
MOST_DIFFERENCE = 2.0
"""Grey levels (of 255), the mean over an image's pixels, by which reduced decoding may differ from full.

On 780 fundus photographs the choice between two common antialiasing filters, triangle and box, makes
0.6 on average and 1.7 at most; reduced decoding makes 0.5 and 1.0 (512 to 224 pixels).
"""
FLUSHED_EVERY = 5.0  # seconds; what a killed run loses
BYTES_PER_PIXEL = 8  # of an image that is decoded: its file, Pillow's four bytes, a copy in part


def pixel_keys(images: pd.DataFrame, spec: Pixels, *, reduced: bool) -> list[str]:
    """The key of every image's row: the same bytes, specification, decoding and code give the same key.

    Args:
        images: columns sha256, width, height, mode and format, and lesions where they are shown.
        spec: area, size and form of the pixels.
        reduced: whether JPEGs that are large enough are decoded at reduced scale; others are not concerned.
    """
    code, settings = modules_digest(*DECODING), spec.model_dump(mode="json", exclude={"decoding"})
    marks = np.where(_reducible(images, spec) & reduced, "reduced", "").tolist()
    return [
        digest(sha256, 0, settings, code, *filter(None, [mark, area]))
        for sha256, mark, area in zip(images["sha256"], marks, _lesion_areas(images, spec), strict=True)
    ]


def _reducible(images: pd.DataFrame, spec: Pixels) -> np.ndarray:
    """Which images can be decoded at reduced scale, (n,) bool."""
    columns = (images[name] for name in ("width", "height", "mode", "format"))
    return np.array([Properties(*row).is_reducible(spec) for row in zip(*columns, strict=True)], dtype=bool)


def _lesion_areas(images: pd.DataFrame, spec: Pixels) -> list[Area | None]:
    """What is shown of every image, where lesions are.

    Raises:
        DataError: an image has none whose place is known.
    """
    if spec.area != "lesion":
        return [None] * len(images)
    remedy = "take the others alone by the dataset's `filter: {lesions: {min: 1}}`, or show another `area`"
    if missing := [name for name in LESIONS if name not in images]:
        raise DataError(f"`area: lesion`: the images have no {', '.join(missing)}; their source gives no lesions")
    rows = list(zip(*(images[name] for name in LESIONS), strict=True))
    for path, (x, _, _) in zip(images["path"], rows, strict=True):
        if len(x) == 0:
            raise DataError(f"`area: lesion`: no place of a lesion is known in {path}; {remedy}")
    return [lesion_area(*row) for row in rows]


def build_pixels(
    images: pd.DataFrame,
    *,
    root: Path | None,
    spec: Pixels,
    target: Path,
    reuse: Sequence[Path] = (),
    workers: int = 2,
) -> None:
    """Write `target` and its digest; copy the rows that stand in the old `target` or in `reuse`.

    Memory does not grow with the number of images. A run that is killed or interrupted, or meets an
    image that has changed, leaves its file beside the target, from which the next one copies.

    Args:
        images: columns image_id, path, sha256, width, height, mode and format; rows of the file in their order.
        root: the folder that paths are relative to; None for a union, whose rows all stand in `reuse`.
        spec: size and form of the pixels.
        target: the HDF5 file; an older one is the first place where rows are looked for.
        reuse: further files of the same encoding.
        workers: threads that decode; no part of the result.

    Raises:
        DataError: an image that must be decoded has changed since the listing, or cannot be decoded.
        StoreError: without a root, a row stands whole in no file.
    """
    shape = (spec.channels, spec.size, spec.size)
    left = sorted(target.parent.glob(f".{target.name}.*.part"))
    with ExitStack() as stack:
        old = KnownRows([target, *left, *reuse], shape, stack, unfinished=left)
        if root is None:
            decoding, keys = _decoding_of_union(images, spec, old, reuse)
        else:
            decoding = _choose_decoding(images, spec, root, old, workers)
            keys = pixel_keys(images, spec, reduced=decoding.reduced)
        attributes = {"spec": spec.model_dump(mode="json"), "code": modules_digest(*DECODING)} | decoding.attributes()
        file = stack.enter_context(create_h5(target, ENCODING, attributes))
        write_strings(file, "image_id", images["image_id"].tolist())
        write_strings(file, "key", keys)
        rows = file.create_dataset(
            "pixels", shape=(len(images), *shape), dtype=np.uint8, chunks=(1, *shape), fletcher32=True
        )
        missing = np.flatnonzero(~old.copy_to(rows, keys))
        files = _files(images.iloc[missing], root, spec, reuse)
        _fill(rows, missing, files, spec, reduced=decoding.reduced, workers=workers)
        file.attrs["computed"], file.attrs["reused"] = len(missing), len(images) - len(missing)
    for path in left:
        path.unlink(missing_ok=True)
    log.info("%s: %d images decoded, %d copied from older files", target, len(missing), len(images) - len(missing))
    write_digest(target, keys)


# ---------------------------------------------------------------------------------------- decoding


@dataclass(frozen=True)
class Decoding:
    """How the JPEGs of a file that are large enough are decoded.

    Attributes:
        reduced: at reduced scale; otherwise in full.
        difference: largest mean difference between the two, in grey levels, of the images compared.
        compared: number of images that were decoded both ways.
    """

    reduced: bool
    difference: float = 0.0
    compared: int = 0

    def attributes(self) -> dict[str, Any]:
        """As they stand in a pixels file."""
        word = "reduced" if self.reduced else "full"
        return {"decoding": word, "decoding_difference": self.difference, "compared": self.compared}

    @classmethod
    def of(cls, attributes: dict[str, Any]) -> Decoding:
        """From the attributes of a pixels file; one that says nothing was decoded in full."""
        difference, compared = attributes.get("decoding_difference", 0.0), attributes.get("compared", 0)
        return cls(attributes.get("decoding") == "reduced", float(difference), int(compared))


def _choose_decoding(images: pd.DataFrame, spec: Pixels, root: Path, old: KnownRows, workers: int) -> Decoding:
    """Reduced where the configuration allows it and a sample of the images differs little.

    Full decoding of an older file holds as long as one of its rows that it matters for is copied. Reduced
    decoding holds as long as a sample of the new images bears it out as well; else all are decoded anew.
    """
    images = images[_reducible(images, spec)]
    if spec.decoding == "full" or images.empty:
        return Decoding(reduced=False)
    for attributes in old.attributes.values():
        kept = Decoding.of(attributes)
        known = np.array([key in old for key in pixel_keys(images, spec, reduced=kept.reduced)])
        if known.any():
            break
    else:
        kept, known = Decoding(reduced=True), np.zeros(len(images), dtype=bool)
    if known.all() or not kept.reduced:
        return kept
    sample = images[~known].drop_duplicates("sha256").sort_values("sha256").head(COMPARED)
    compare = partial(_difference, spec=spec)
    files = _files(sample, root, spec, ())
    difference = max(map_ahead(compare, files, size=lambda file: file.memory(spec), workers=workers))
    reduced = difference <= MOST_DIFFERENCE
    log.info(
        "JPEGs are decoded %s: in %d of them the two ways differ by %.2f grey levels on average or less (allowed: %g)",
        "at reduced scale" if reduced else "in full",
        len(sample),
        difference,
        MOST_DIFFERENCE,
    )
    return Decoding(reduced, max(difference, kept.difference), len(sample) + kept.compared)


def _difference(file: _ImageFile, spec: Pixels) -> float:
    """Mean absolute difference between reduced and full decoding in grey levels."""
    full, reduced = (file.decoded(spec, reduced=reduced).astype(np.int16) for reduced in (False, True))
    return float(np.abs(full - reduced).mean())


def _decoding_of_union(
    images: pd.DataFrame, spec: Pixels, old: KnownRows, reuse: Sequence[Path]
) -> tuple[Decoding, list[str]]:
    """A union takes every row as its member has it: the decoding that was used at all, and the keys."""
    full = pixel_keys(images, spec, reduced=False)
    reduced = full if spec.decoding == "full" else pixel_keys(images, spec, reduced=True)
    keys = [first if first in old else second for first, second in zip(reduced, full, strict=True)]
    members = [Decoding.of(old.attributes[path]) for path in reuse if path in old.attributes]
    decoding = Decoding(
        keys != full, max((one.difference for one in members), default=0.0), sum(one.compared for one in members)
    )
    return decoding, keys


# ------------------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class _ImageFile:
    """An image file as it was listed."""

    path: Path
    sha256: str
    pixels: int
    lesion: Area | None

    def memory(self, spec: Pixels) -> int:
        """Bytes that decoding it takes, about."""
        return BYTES_PER_PIXEL * self.pixels + spec.channels * spec.size**2

    def decoded(self, spec: Pixels, *, reduced: bool) -> np.ndarray:
        """(channels, size, size) uint8.

        Raises:
            DataError: the file has changed since the listing, or cannot be decoded.
        """
        remedy = "run the workflow again, so that the files are listed anew"
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); {remedy}") from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise DataError(f"{self.path}: changed since it was listed; {remedy}")
        try:
            return read_pixels(io.BytesIO(data), spec, reduced=reduced, lesion=self.lesion)
        except ImageError as error:
            raise DataError(f"{self.path}: {error}; {remedy}") from None


def _files(images: pd.DataFrame, root: Path | None, spec: Pixels, reuse: Sequence[Path]) -> list[_ImageFile]:
    """What is to be decoded.

    Raises:
        StoreError: there is no folder to decode from.
    """
    if root is None and len(images):
        member = images["path"].iloc[0].split("/")[0]  # a union's paths begin with the member's id
        origin = [str(path) for path in reuse if member in path.parts] or [str(path) for path in reuse]
        raise StoreError(
            f"{', '.join(origin)}: image {images['path'].iloc[0]} is missing or damaged there; delete the file and run"
            " the workflow again"
        )
    columns = (images[name] for name in ("path", "sha256", "width", "height"))
    return [
        _ImageFile((root or Path()) / path, sha256, int(width) * int(height), area)
        for path, sha256, width, height, area in zip(*columns, _lesion_areas(images, spec), strict=True)
    ]


def _fill(
    rows: h5py.Dataset, missing: np.ndarray, files: Sequence[_ImageFile], spec: Pixels, *, reduced: bool, workers: int
) -> None:
    """Decode files into the missing rows, (n,) int; interrupted, or at a changed file, leave what there is."""
    decode = partial(_ImageFile.decoded, spec=spec, reduced=reduced)
    decoded = map_ahead(decode, files, size=lambda file: file.memory(spec), workers=workers)
    progress = iter(tqdm(decoded, total=len(files), desc="decode", unit="image", mininterval=1))
    flush_h5(rows.file)
    flushed = time.monotonic()
    try:
        for run in runs(missing, most=rows_at_once(rows.shape[1:])):
            numbers = missing[run]
            rows[numbers[0] : numbers[-1] + 1] = np.stack(list(islice(progress, len(numbers))))
            if time.monotonic() - flushed > FLUSHED_EVERY:
                flush_h5(rows.file)  # what the kernel has outlives the process
                flushed = time.monotonic()
    except (KeyboardInterrupt, DataError):
        temporary = Path(rows.file.filename)
        temporary.rename(temporary.with_suffix(".interrupted.part"))  # from where nothing takes it away
        raise
