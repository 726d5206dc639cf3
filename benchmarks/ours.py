"""Our way to embed, in steps that can be timed one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from benchmarks.data import images_table
from benchmarks.measure import say, seconds
from benchmarks.workplace import Workplace, stage
from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.weights import read_weights
from heteroscope.config import Pixels
from heteroscope.data.pixels import build_pixels
from heteroscope.embedding.choice import cpu_has_bfloat16, make_engine
from heteroscope.embedding.embed import embed
from heteroscope.embedding.engine import Engine
from heteroscope.embedding.keys import originals
from heteroscope.embedding.recipe import EngineName, Precision, read_recipe, write_recipe


def precisions() -> list[Precision]:
    """What this processor computes in without emulation, the fastest first."""
    return ["bfloat16", "float32"] if cpu_has_bfloat16() else ["float32"]


def weights_of(place: Workplace, model: str) -> Path:
    """The weights file of a network with random weights, made once."""
    path = place.below("weights") / f"{model}.pt"
    if not path.is_file():
        stage("weights", threads=place.cores, backbone_id=model, spec=backbone(model), output=path)
    return path


def backbone(model: str, **keys: object) -> str:
    """The JSON of a backbone with random weights."""
    return json.dumps({"model": model, "weights": "random", "pixels": "any", **keys})


def extractor_of(weights: Path, model: str) -> FeatureExtractor:
    """The network of a weights file in torch, with normalisation."""
    return FeatureExtractor(read_weights(weights, model=model).network, model=model, pooling="avg")


@dataclass
class Ready:
    """A network on a folder of images, chosen, compiled and warm.

    Attributes:
        place: where files are written.
        root: the folder of images.
        images: its table.
        spec: how they are decoded.
        model: the network's name.
        precision: of the engine.
        weights: the weights file.
        recipe: as the stage `engine` wrote it.
        cold: in words, what starting cost.
        engine: of the recipe, compiled.
    """

    place: Workplace
    root: Path
    images: pd.DataFrame
    spec: Pixels
    model: str
    precision: Precision
    weights: Path
    recipe: Path
    cold: str
    engine: Engine = field(init=False)

    @classmethod
    def make(cls, place: Workplace, root: Path, model: str, precision: Precision) -> Ready:
        """Run the stages once, as a study does, and make the engine of the recipe in this process."""
        say(f"  preparing {model}, {precision}")
        name = f"ready/{root.name}/{model}-{precision}"
        folder, weights = place.below(name), weights_of(place, model)
        cache = place.below("networks")
        images, spec = images_table(place, root), Pixels(size=place.sizes.side)
        pixels, recipe = folder / "pixels.h5", folder / "engine.json"
        build_pixels(images, root=root, spec=spec, target=pixels, workers=place.cores)
        common = {"threads": place.cores, "workers": place.cores, "pixels": pixels, "weights": weights, "cache": cache}
        asked = backbone(model, engine="openvino", precision=precision)
        choose = seconds(lambda: stage("engine", **common, spec=asked, output=recipe))
        start = seconds(lambda: stage("embed", **common, recipe=recipe, output=folder / "embeddings.h5"))
        again = seconds(lambda: stage("embed", **common, recipe=recipe, output=folder / "embeddings.h5"))
        cold = f"choosing the engine {choose:.1f} s, embedding {start:.1f} s, with nothing new {again:.1f} s"
        chosen = read_recipe(recipe)
        if chosen.precision != precision:  # too far from float32 for a study; its speed is still of interest
            cold += f" (a study would take {chosen.precision}: {chosen.note})"
            write_recipe(chosen.model_copy(update={"precision": precision}), recipe)
        ready = cls(place, root, images, spec, model, precision, weights, recipe, cold)
        ready.engine = ready.engine_in("openvino", precision)
        return ready

    def engine_in(self, engine: EngineName, precision: Precision) -> Engine:
        """A compiled engine for this network."""
        recipe = read_recipe(self.recipe).model_copy(update={"engine": engine, "precision": precision})
        cache, cores = self.place.below("networks"), self.place.cores
        network = partial(extractor_of, self.weights, self.model)
        return make_engine(recipe, network, cache=cache, threads=cores, workers=cores)

    @property
    def name(self) -> str:
        """Of this way from end to end, in words."""
        return f"ours in {self.precision}"

    @property
    def forward_name(self) -> str:
        """Of the forward pass alone, in words."""
        return f"the network alone in {self.precision}"

    @property
    def folder(self) -> Path:
        """Of this network's files."""
        return self.recipe.parent

    @property
    def pixels(self) -> Path:
        """The decoded images."""
        return self.folder / "pixels.h5"

    def decode(self, *, anew: bool = True) -> None:
        """Make pixels.h5, from nothing or beside the old one."""
        if anew:
            self._set_aside(self.pixels)
        build_pixels(self.images, root=self.root, spec=self.spec, target=self.pixels, workers=self.place.cores)

    def embed(self, pixels: Path | None = None) -> None:
        """Make embeddings.h5 from nothing, of these pixels or of another network's."""
        pixels, output = pixels or self.pixels, self.folder / "embeddings.h5"
        self._set_aside(output)
        recipe = read_recipe(self.recipe)
        embed(originals(pixels), recipe, lambda: self.engine, pixels=pixels, output=output, workers=self.place.cores)

    def _set_aside(self, path: Path) -> None:
        """Make room for a new file; to delete the old one would take time that a first run does not need."""
        path.rename(path.with_name(f"{len(list(self.folder.iterdir()))}-{path.name}"))

    def end_to_end(self) -> None:
        """From files to embeddings."""
        self.decode()
        self.embed()

    def pixel_rows(self) -> np.ndarray:
        """The decoded images in memory, (n, channels, size, size) uint8."""
        with h5py.File(self.pixels) as file:
            rows: np.ndarray = file["pixels"][:]
        return rows

    def batches(self) -> list[np.ndarray]:
        """The same in batches of the engine's size."""
        rows, size = self.pixel_rows(), self.engine.batch_size
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def forward(self, batches: list[np.ndarray]) -> np.ndarray:
        """The embeddings of batches in memory."""
        return np.concatenate(list(self.engine.stream(iter(batches))))
