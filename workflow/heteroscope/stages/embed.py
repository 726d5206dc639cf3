"""Embed images, or augmented views of training images, with a frozen backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Augmentation, Backbone, parse
from heteroscope.stages.command import fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="the backbone as JSON")
    arguments.add_argument("--pixels", required=True, type=Path, help="pixels.h5")
    arguments.add_argument("--weights", required=True, type=Path, help="the backbone's weights file")
    arguments.add_argument("--reuse", nargs="*", default=[], type=Path, help="files whose known rows are copied")
    arguments.add_argument("--split", type=Path, help="split.parquet; makes views of its training images")
    arguments.add_argument("--augmentation", help="the augmentation as JSON; needed with --split")
    arguments.add_argument("--output", required=True, type=Path, help="embeddings.h5 or views.h5; may exist")
    args = arguments.parse_args(argv)
    if (args.split is None) != (args.augmentation is None):
        arguments.error("--split and --augmentation go together")
    fix_threads(args.threads)
    from heteroscope.backbones.pooling import FeatureExtractor, embedding_width
    from heteroscope.backbones.weights import read_weights
    from heteroscope.embedding.embed import Recipe, embed, originals, pixels_shape, views
    from heteroscope.embedding.torch_engine import TorchEngine

    spec: Backbone = parse(Backbone, args.spec)
    weights = read_weights(args.weights, model=spec.model)
    extractor = FeatureExtractor(weights.network, model=spec.model, pooling=spec.pooling, layer=spec.layer)
    channels, size = pixels_shape(args.pixels)
    width = embedding_width(extractor, channels=channels, size=size)
    recipe = Recipe(
        spec,
        weights.description,
        weights.sha256,
        width,
        TorchEngine(extractor, threads=args.threads, batch_size=spec.batch_size or 32),
    )
    if args.augmentation is None:
        target = originals(args.pixels)
    else:
        from heteroscope.data.augmentation import viewed_rows
        from heteroscope.store import read_table

        augmentation: Augmentation = parse(Augmentation, args.augmentation)
        target = views(viewed_rows(read_table(args.split), augmentation), augmentation)
    embed(target, recipe, pixels=args.pixels, output=args.output, reuse=args.reuse)


if __name__ == "__main__":
    run(main)
