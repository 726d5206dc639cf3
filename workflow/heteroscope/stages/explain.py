"""Show where in the test images the decisions of a trained head come from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heteroscope.config import FUSION, Explanation, Pixels, parse
from heteroscope.stages.command import fix_threads, parser, run

if TYPE_CHECKING:
    from heteroscope.data.places import Lesions
    from heteroscope.embedding.samples import Samples
    from heteroscope.evaluation.explained import Network
    from heteroscope.evaluation.explanations import Decisions


def main(argv: Sequence[str] | None = None) -> None:
    """Write the sheets of maps, the tables of maps and of single features, and the summary."""
    args = _arguments().parse_args(argv)
    fix_threads(args.threads)

    import torch

    from heteroscope import store
    from heteroscope.evaluation.explained import explain, summary
    from heteroscope.figures.explanations import sheet_of_examples, sheet_of_features
    from heteroscope.figures.style import save_figure

    torch.set_num_threads(args.threads)
    found = explain(*_loaded(args))
    store.write_table(found.table, args.cams)
    store.write_table(found.features, args.features)
    document = summary(found)
    footer = f"weights: {document['weights']}; every map is scaled to its own strongest place"
    save_figure(sheet_of_examples(found, args.pixels), args.sheet, footer=footer)
    save_figure(sheet_of_features(found, args.pixels), args.features_sheet, footer=footer)
    store.write_json(document, args.summary)


def _loaded(args: argparse.Namespace) -> tuple[Network, Samples, Decisions, list[Lesions], Explanation]:
    """What `explain` takes."""
    from heteroscope.data.places import lesions_in_pixels
    from heteroscope.embedding.cams import read_branch
    from heteroscope.embedding.recipe import read_recipe
    from heteroscope.embedding.samples import load_samples
    from heteroscope.evaluation.explained import Network
    from heteroscope.evaluation.explanations import decisions
    from heteroscope.store import read_table
    from heteroscope.training.linear import read_head

    spec: Explanation = parse(Explanation, args.spec)
    samples, head = load_samples(args.embeddings, [], args.split), read_head(args.head)
    made = decisions(samples, head, args.predictions, spec)
    backbones, recipes = args.backbone.split(FUSION), [read_recipe(path) for path in args.recipes]
    for recipe, weights in zip(recipes, args.weights, strict=True):
        recipe.check(pixels=args.pixels, weights=weights)
    network = Network(
        backbones=backbones,
        branches=[
            read_branch(recipe, weights, spec.layers.get(backbone))
            for recipe, weights, backbone in zip(recipes, args.weights, backbones, strict=True)
        ],
        head=head,
        part_heads=[read_head(path) for path in args.part_heads],
        pixels=args.pixels,
        precision=str(samples.embedding["precision"]),
        tested=args.part,
    )
    images = read_table(args.images).set_index("image_id").loc[samples.image_id[samples.rows("test")]]
    shown, roots = parse(Pixels, args.pixels_spec), json.loads(args.roots)
    lesions = [lesions_in_pixels(image, shown, roots) for image in images.to_dict("records")]
    return network, samples, made, lesions, spec


def _arguments() -> argparse.ArgumentParser:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--backbone", required=True, help="id of the backbone, those of a fusion's parts joined by +")
    add("--embeddings", type=Path, nargs="+", required=True, help="embeddings.h5 of each part")
    add("--recipes", type=Path, nargs="+", required=True, help="engine.json of each part")
    add("--weights", type=Path, nargs="+", required=True, help="weights of each part")
    add("--head", type=Path, required=True, help="head.h5, trained on the embedding")
    add("--part-heads", type=Path, nargs="*", default=[], help="head.h5 of each part of a fusion by itself")
    add("--predictions", type=Path, required=True, help="the head's predictions.parquet")
    add("--split", type=Path, required=True, help="split.parquet")
    add("--images", type=Path, required=True, help="images.parquet")
    add("--pixels", type=Path, required=True, help="pixels.h5 that all parts look at")
    add("--pixels-spec", required=True, help="JSON of its `pixels` entry")
    add("--roots", required=True, help="JSON: the folder of the image files, of a union one for each member")
    add("--spec", required=True, help="JSON of an `explanations` entry")
    add("--part", choices=["train", "test"], required=True, help="images that features are tested on")
    add("--sheet", type=Path, required=True, help="output: figure of examples")
    add("--features-sheet", type=Path, required=True, help="output: figure of single features")
    add("--cams", type=Path, required=True, help="output: a row an explained image")
    add("--features", type=Path, required=True, help="output: a row a feature that is shown")
    add("--summary", type=Path, required=True, help="output: what was explained, and the pointing game")
    return arguments


if __name__ == "__main__":
    run(main)
