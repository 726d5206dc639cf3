"""Writing embeddings row by row: known rows are copied, only the rest is computed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from heteroscope.config import Augmentation, Backbone, dump
from heteroscope.data.augmentation import augment_batch
from heteroscope.embedding.engine import Engine
from heteroscope.errors import StoreError
from heteroscope.provenance import digest, modules_digest, versions
from heteroscope.store import create_h5, open_h5, read_strings, write_digest, write_strings

BLOCK_BYTES = 2**20  # of features: a chunk of the file, and what is copied at a time

# what a row's values pass through, from pixels to features; a test follows them
EMBEDDING_CODE = (
    "heteroscope.backbones.pooling",
    "heteroscope.backbones.registry",
    "heteroscope.backbones.small_cnn",
    "heteroscope.embedding.torch_engine",
)
AUGMENTATION_CODE = ("heteroscope.data.augmentation",)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """What is embedded: originals, or augmented views of training images.

    Attributes:
        image_id: (n,) str, in the order of the file to be written.
        view: (n,) int, 0 for originals.
        augmentation: how views are made; None for originals.
    """

    image_id: np.ndarray
    view: np.ndarray
    augmentation: Augmentation | None = None

    @property
    def encoding(self) -> str:
        """The encoding of the file."""
        return "views" if self.augmentation else "embeddings"


@dataclass(frozen=True)
class Recipe:
    """Everything but the pixels that decides an embedding's values.

    Attributes:
        spec: the backbone.
        weights: what the weights are, in words.
        weights_sha256: of the tensors.
        width: number of values of one embedding.
        engine: from pixels to features.
    """

    spec: Backbone
    weights: str
    weights_sha256: str
    width: int
    engine: Engine


def pixels_shape(pixels: Path) -> tuple[int, int]:
    """Channels and side length of the images of a pixels file."""
    with open_h5(pixels, "pixels") as file:
        _, channels, size, _ = file["pixels"].shape
    return channels, size


def originals(pixels: Path) -> Target:
    """Every image of a pixels file, as it is."""
    with open_h5(pixels, "pixels") as file:
        image_id = read_strings(file, "image_id")
    return Target(image_id, np.zeros(len(image_id), dtype=np.int64))


def views(rows: pd.DataFrame, augmentation: Augmentation) -> Target:
    """Augmented copies, from columns image_id and view."""
    image_id = rows["image_id"].to_numpy(dtype=object)
    return Target(image_id, rows["view"].to_numpy(dtype=np.int64), augmentation)


def embed(target: Target, recipe: Recipe, *, pixels: Path, output: Path, reuse: Sequence[Path] = ()) -> None:
    """Write an embeddings or views file and its digest file.

    Rows whose key stands in the old file at `output`, or in one of the `reuse` files, are copied;
    a damaged old file is logged, and its rows are computed anew. Memory does not grow with the
    number of rows.

    Args:
        target: which images and views.
        recipe: how they are embedded.
        pixels: the pixels file.
        output: the file to write; it may exist.
        reuse: further embeddings or views files whose rows may be copied.

    Raises:
        StoreError: the pixels file is damaged or misses an image.
    """
    with open_h5(pixels, "pixels") as source:
        rows, pixel_keys = _pixel_rows(source, target.image_id, pixels)
        keys = _keys(pixel_keys, target, recipe)
        attributes = _attributes(recipe, target, preprocessing=str(source.attrs["spec"]))
        with create_h5(output, target.encoding, attributes) as file:
            features = _create(file, target, keys, recipe.width)
            pending = np.ones(len(keys), dtype=bool)
            for old in dict.fromkeys([output, *reuse]):
                _copy_known(old, target.encoding, keys, features, pending)
            compute = np.flatnonzero(pending)
            _compute(compute, features, target, recipe, source["pixels"], rows)
            file.attrs["computed"] = len(compute)
            file.attrs["reused"] = len(keys) - len(compute)
    write_digest(output, keys)


# --------------------------------------------------------------------------------- keys and origin


def _pixel_rows(source: h5py.File, image_id: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Row number and key in the pixels file of each image."""
    row_of = {name: row for row, name in enumerate(read_strings(source, "image_id"))}
    keys = read_strings(source, "key")
    try:
        rows = np.array([row_of[name] for name in image_id], dtype=np.int64)
    except KeyError as error:
        raise StoreError(f"{path}: has no image {error}; run the workflow again to make it anew") from None
    return rows, keys[rows]


def _keys(pixel_keys: np.ndarray, target: Target, recipe: Recipe) -> list[str]:
    """Key of each row: a digest of all that its values depend on.

    Copies of one image share their pixels' key; a view is drawn by the image's id as well.
    """
    code = EMBEDDING_CODE + (AUGMENTATION_CODE if target.augmentation else ())
    spec, engine = recipe.spec, recipe.engine
    common = digest(
        [spec.model, recipe.weights_sha256, spec.pooling, spec.layer, engine.name, engine.precision],
        dump(target.augmentation),
        modules_digest(*code),
    )
    drawn_by = target.image_id if target.augmentation else [""] * len(pixel_keys)
    rows = zip(pixel_keys, drawn_by, target.view, strict=True)
    return [digest(key, image_id, int(view), common) for key, image_id, view in rows]


def _attributes(recipe: Recipe, target: Target, *, preprocessing: str) -> dict[str, Any]:
    spec = recipe.spec
    return {
        "model": spec.model,
        "weights": recipe.weights,
        "weights_sha256": recipe.weights_sha256,
        "pooling": f"{spec.layer or 'last'} ({spec.pooling})",
        "preprocessing": preprocessing,
        "augmentation": dump(target.augmentation),
        "engine": recipe.engine.name,
        "precision": recipe.engine.precision,
        "device": recipe.engine.device,
        "agreement": 1.0,  # the reference agrees with itself
        "versions": versions("heteroscope", "torch", "torchvision", "numpy"),
    }


# ----------------------------------------------------------------------------------------- writing


def _create(file: h5py.File, target: Target, keys: list[str], width: int) -> h5py.Dataset:
    """The datasets of the file; features are still empty."""
    count = len(keys)
    write_strings(file, "image_id", target.image_id.tolist())
    write_strings(file, "key", keys)
    if target.augmentation:
        file.create_dataset("view", data=target.view)
    chunk = (max(1, min(count, _block(width))), width)
    return file.create_dataset("features", (count, width), dtype="float32", chunks=chunk, fletcher32=True)


def _block(width: int) -> int:
    """Rows that make up one block."""
    return max(1, BLOCK_BYTES // (4 * width))


def _copy_known(path: Path, encoding: str, keys: list[str], features: h5py.Dataset, pending: np.ndarray) -> None:
    """Copy rows whose key an old file knows, and strike them off `pending`."""
    if not path.is_file():
        return
    try:
        with open_h5(path, encoding) as old:
            old_keys = read_strings(old, "key")
            row_of = {key: row for row, key in enumerate(old_keys)}
            known = np.array([row for row in np.flatnonzero(pending) if keys[row] in row_of], dtype=np.int64)
            if not len(known) or old["features"].shape != (len(old_keys), features.shape[1]):
                return
            for block in _blocks(known, _block(features.shape[1])):
                old_rows = np.array([row_of[keys[row]] for row in block])
                try:
                    features[block] = _gather(old["features"], old_rows)
                except OSError as error:
                    log.warning("%s: damaged (%s); %d of its rows are computed anew", path, error, len(block))
                    continue
                pending[block] = False
    except StoreError as error:
        log.warning("%s; its rows are computed anew", error)


def _compute(
    rows: np.ndarray,
    features: h5py.Dataset,
    target: Target,
    recipe: Recipe,
    pixels: h5py.Dataset,
    pixel_rows: np.ndarray,
) -> None:
    """Embed the given rows in batches, with progress."""
    start = time.perf_counter()
    with tqdm(total=len(rows), unit="image", desc="embedding", mininterval=2, disable=not len(rows)) as progress:
        batches = list(_blocks(rows, recipe.engine.batch_size))
        images = (_images(batch, target, pixels, pixel_rows) for batch in batches)
        for batch, values in zip(batches, recipe.engine.stream(images), strict=True):
            if not np.isfinite(values).all():
                bad = target.image_id[batch][~np.isfinite(values).all(axis=1)][0]
                raise StoreError(f"the embedding of image {bad} is not finite; check the backbone's weights")
            features[batch] = values
            progress.update(len(batch))
    seconds = max(time.perf_counter() - start, 1e-9)
    if len(rows):
        log.info("%.1f images/s", len(rows) / seconds)
    log.info("%d embeddings computed, %d reused", len(rows), len(features) - len(rows))


def _images(batch: np.ndarray, target: Target, pixels: h5py.Dataset, pixel_rows: np.ndarray) -> np.ndarray:
    """Pixels of a batch of rows, (n, channels, size, size) uint8."""
    images = _gather(pixels, pixel_rows[batch])
    if target.augmentation is None:
        return images
    return augment_batch(images, target.augmentation, target.image_id[batch], target.view[batch])


def _blocks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive pieces of row numbers."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _gather(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Rows of a dataset in any order, repeated ones too; HDF5 itself wants them increasing."""
    distinct, place = np.unique(rows, return_inverse=True)
    gathered: np.ndarray = dataset[distinct][place]
    return gathered
