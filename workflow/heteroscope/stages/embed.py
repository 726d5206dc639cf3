"""Embed images, or augmented views of training images, as a recipe says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from heteroscope.config import Augmentation, parse
from heteroscope.stages.command import fix_threads, parser, run

if TYPE_CHECKING:
    from heteroscope.embedding.engine import Engine
    from heteroscope.embedding.keys import Target


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--recipe", required=True, type=Path, help="engine.json")
    arguments.add_argument("--pixels", required=True, type=Path, help="pixels.h5")
    arguments.add_argument("--weights", required=True, type=Path, help="the weights file that the recipe is made for")
    arguments.add_argument("--reuse", nargs="*", default=[], type=Path, help="files whose known rows are copied")
    arguments.add_argument("--split", type=Path, help="split.parquet; makes views of its training images")
    arguments.add_argument("--augmentation", help="the augmentation as JSON; needed with --split")
    arguments.add_argument("--shard", type=_shard, help="only images of this part, such as 2/4")
    arguments.add_argument("--workers", type=int, default=1, help="cores to use; no part of the result (default 1)")
    arguments.add_argument("--cache", required=True, type=Path, help="folder of converted networks")
    arguments.add_argument("--output", required=True, type=Path, help="embeddings.h5 or views.h5; may exist")
    args = arguments.parse_args(argv)
    if (args.split is None) != (args.augmentation is None):
        arguments.error("--split and --augmentation go together")
    fix_threads(args.threads)
    from heteroscope.embedding.choice import make_engine, read_extractor, require_able
    from heteroscope.embedding.embed import embed
    from heteroscope.embedding.keys import shard
    from heteroscope.embedding.recipe import read_recipe

    recipe = read_recipe(args.recipe)
    recipe.check(pixels=args.pixels, weights=args.weights)

    def engine() -> Engine:
        require_able(recipe, args.recipe)
        network = partial(read_extractor, recipe, args.weights)
        return make_engine(recipe, network, cache=args.cache, threads=args.threads, workers=args.workers)

    target = _target(args)
    target = shard(target, *args.shard) if args.shard else target
    embed(target, recipe, engine, pixels=args.pixels, output=args.output, reuse=args.reuse, workers=args.workers)


def _target(args: argparse.Namespace) -> Target:
    from heteroscope.embedding.keys import originals, views

    if args.augmentation is None:
        return originals(args.pixels)
    from heteroscope.data.augmentation import viewed_rows
    from heteroscope.store import read_table

    augmentation: Augmentation = parse(Augmentation, args.augmentation)
    return views(viewed_rows(read_table(args.split), augmentation), augmentation)


def _shard(text: str) -> tuple[int, int]:
    """Number of the shard, from 1, and how many there are."""
    shard, _, shards = text.partition("/")
    if not (shard.isdecimal() and shards.isdecimal() and 1 <= int(shard) <= int(shards)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number and how many there are, such as 2/4")
    return int(shard), int(shards)


if __name__ == "__main__":
    run(main)
