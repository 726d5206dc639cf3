"""Choose the engine and the precision that embed a study's images, and convert the network for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from heteroscope.config import Backbone, parse
from heteroscope.provenance import file_sha256
from heteroscope.stages.command import fix_threads, parser, run

if TYPE_CHECKING:
    from heteroscope.backbones.pooling import FeatureExtractor
    from heteroscope.embedding.recipe import Recipe

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="the backbone as JSON")
    arguments.add_argument("--pixels", required=True, type=Path, help="pixels.h5")
    arguments.add_argument("--weights", required=True, type=Path, help="the backbone's weights file")
    arguments.add_argument("--workers", type=int, default=1, help="cores to use; no part of the result (default 1)")
    arguments.add_argument("--cache", required=True, type=Path, help="folder of converted networks")
    arguments.add_argument("--output", required=True, type=Path, help="engine.json; may exist")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)
    from heteroscope.embedding.choice import Machine, choose, kept, make_engine
    from heteroscope.embedding.recipe import pixels_shape, write_recipe

    spec: Backbone = parse(Backbone, args.spec)
    recipe = kept(args.output, spec, weights=args.weights, shape=pixels_shape(args.pixels))
    if recipe is None:
        reference, extractor = _reference(spec, args.weights, args.pixels)
        common = {"cache": args.cache, "threads": args.threads, "workers": args.workers}
        make = partial(make_engine, extractor=lambda: extractor, **common)
        recipe = choose(spec, reference, args.pixels, make, Machine.here())
    log.info("%s", recipe.note)
    write_recipe(recipe, args.output)


def _reference(spec: Backbone, weights: Path, pixels: Path) -> tuple[Recipe, FeatureExtractor]:
    """The recipe of torch in float32, and the network."""
    from heteroscope.backbones.pooling import FeatureExtractor, embedding_width
    from heteroscope.backbones.weights import read_weights
    from heteroscope.embedding.recipe import Recipe, pixels_shape

    read = read_weights(weights, model=spec.model)
    extractor = FeatureExtractor(read.network, model=spec.model, pooling=spec.pooling, layer=spec.layer)
    channels, size = pixels_shape(pixels)
    recipe = Recipe(
        model=spec.model,
        pooling=spec.pooling,
        layer=spec.layer,
        weights=read.description,
        weights_sha256=read.sha256,
        weights_file_sha256=file_sha256(weights),
        channels=channels,
        size=size,
        width=embedding_width(extractor, channels=channels, size=size),
        batch_size=spec.batch_size,
        engine="torch",
        precision="float32",
        agreement=1.0,
        compared=0,
        note="",
        device="",
        versions={},
    )
    return recipe, extractor


if __name__ == "__main__":
    run(main)
