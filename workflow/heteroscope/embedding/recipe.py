"""How one backbone embeds a study's images: the small file that `engine` writes and `embed` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from heteroscope.config import Closed
from heteroscope.errors import StoreError
from heteroscope.provenance import file_sha256
from heteroscope.store import open_h5, read_json, write_json

EngineName = Literal["openvino", "torch"]
Precision = Literal["float32", "bfloat16"]


class Recipe(Closed):
    """Everything but the pixels that decides an embedding's values, and what the choice stands on.

    Attributes:
        model: name of the network.
        pooling: how its activations become one row.
        layer: a named module instead of the last one.
        weights: what the weights are, in words.
        weights_sha256: of the tensors.
        weights_file_sha256: of the weights file's bytes.
        channels: of the images, 1 or 3.
        size: of the images, pixels a side.
        width: number of values of one embedding.
        batch_size: images a step; None is the engine's own.
        engine: what computes.
        precision: of its arithmetic.
        requested_engine: what the configuration asked for when the choice was made.
        requested_precision: the same of the precision.
        agreement: lowest cosine similarity to torch in float32 over the images compared.
        compared: number of images compared.
        note: why this engine and this precision, in one sentence.
        device: what the choice was made on, in words.
        versions: of the libraries that were compared.
    """

    model: str
    pooling: Literal["avg", "flatten"]
    layer: str | None
    weights: str
    weights_sha256: str
    weights_file_sha256: str
    channels: int
    size: int
    width: int
    batch_size: int | None
    engine: EngineName
    precision: Precision
    requested_engine: Literal["auto"] | EngineName = "auto"
    requested_precision: Literal["auto"] | Precision = "auto"
    agreement: float = Field(ge=-1, le=1)
    compared: int
    note: str
    device: str
    versions: dict[str, str]

    def check(self, *, pixels: Path, weights: Path) -> None:
        """Refuse files that this recipe was not made for.

        Raises:
            StoreError: names the file.
        """
        if not weights.is_file():
            raise StoreError(f"{weights}: no such file; run the workflow again to make it")
        if file_sha256(weights) != self.weights_file_sha256:
            raise StoreError(f"{weights}: other weights than the engine was chosen for; run the workflow again")
        if pixels_shape(pixels) != (self.channels, self.size):
            raise StoreError(f"{pixels}: images of another form than the engine was chosen for; run the workflow again")


def pixels_shape(pixels: Path) -> tuple[int, int]:
    """Channels and side length of the images of a pixels file."""
    with open_h5(pixels, "pixels") as file:
        _, channels, size, _ = file["pixels"].shape
    return channels, size


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as JSON, atomically; the same recipe gives the same bytes."""
    write_json(recipe.model_dump(mode="json"), path)


def read_recipe(path: Path) -> Recipe:
    """The recipe of a file.

    Raises:
        StoreError: the file is missing or damaged, or holds something else.
    """
    try:
        return Recipe.model_validate(read_json(path))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"]) or "the whole"
        raise StoreError(
            f"{path}: not a recipe of an embedding ({key}: {problem['msg']}); delete it and run the workflow again"
        ) from None
