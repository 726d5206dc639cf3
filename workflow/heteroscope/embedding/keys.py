"""What is embedded, and the key of each of its rows: a digest of all that the row's values depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from heteroscope.config import Augmentation
from heteroscope.data.shards import shard_of
from heteroscope.embedding.recipe import EngineName, Recipe
from heteroscope.provenance import digest, modules_digest
from heteroscope.store import open_h5, read_strings

KEY_BYTES = 32

# what a row's values pass through, from pixels to features; a test follows them
NETWORK_CODE = (
    "heteroscope.backbones.pooling",
    "heteroscope.backbones.registry",
    "heteroscope.backbones.small_cnn",
)
ENGINE_CODE: dict[EngineName, tuple[str, ...]] = {
    "torch": ("heteroscope.embedding.torch_engine", "heteroscope.embedding.gpu"),
    "openvino": ("heteroscope.embedding.openvino_engine",),
}
AUGMENTATION_CODE = ("heteroscope.data.augmentation",)
WHICH_VIEWS = {"copies", "first"}  # of an augmentation: they say which views are made, not how


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


def originals(pixels: Path) -> Target:
    """Every image of a pixels file, as it is."""
    with open_h5(pixels, "pixels") as file:
        image_id = read_strings(file, "image_id")
    return Target(image_id, np.zeros(len(image_id), dtype=np.int64))


def views(rows: pd.DataFrame, augmentation: Augmentation) -> Target:
    """Augmented copies, from columns image_id and view."""
    image_id = rows["image_id"].to_numpy(dtype=object)
    return Target(image_id, rows["view"].to_numpy(dtype=np.int64), augmentation)


def shard(target: Target, number: int, shards: int) -> Target:
    """The rows of one shard, numbered from 1, in the target's order."""
    here = np.array([shard_of(image_id, shards) == number for image_id in target.image_id], dtype=bool)
    return replace(target, image_id=target.image_id[here], view=target.view[here])


def row_keys(pixel_keys: np.ndarray, target: Target, recipe: Recipe) -> np.ndarray:
    """Key of each row, (n,) bytes, from the (n,) keys of its pixels.

    Copies of one image share their pixels' key, and so their row; a view is drawn by the image's id as well.
    """
    drawing = target.augmentation and target.augmentation.model_dump(mode="json", exclude=WHICH_VIEWS)
    code = NETWORK_CODE + ENGINE_CODE[recipe.engine] + (AUGMENTATION_CODE if target.augmentation else ())
    common = digest(
        [recipe.model, recipe.weights_sha256, recipe.pooling, recipe.layer, recipe.engine, recipe.precision],
        drawing,
        modules_digest(*code),
    )
    drawn_by = target.image_id if target.augmentation else [""] * len(pixel_keys)
    rows = zip(pixel_keys, drawn_by, target.view, strict=True)
    keys = (digest(key.decode(), image_id, int(view), common).encode() for key, image_id, view in rows)
    return np.fromiter(keys, dtype=f"S{KEY_BYTES}", count=len(pixel_keys))
