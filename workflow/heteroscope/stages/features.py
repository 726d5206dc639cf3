"""Test every feature of an embedding between the classes, group redundant ones, and search images by embedding."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heteroscope.config import Features, parse
from heteroscope.stages.command import fix_threads, parser, run

if TYPE_CHECKING:
    from heteroscope.embedding.samples import Samples
    from heteroscope.evaluation.features import Search
    from heteroscope.figures.retrieval import Shown


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tables of features, redundant groups and precision, the summary, and the figures."""
    args = _arguments().parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.embedding.samples import load_samples
    from heteroscope.evaluation import features
    from heteroscope.evaluation.feature_tests import correlate, redundancy_table
    from heteroscope.figures.features import draw_correlations, draw_volcano
    from heteroscope.figures.retrieval import retrieval_figure
    from heteroscope.figures.scatter import PART_NAMES
    from heteroscope.figures.style import save_figure

    spec: Features = parse(Features, args.spec)
    samples = load_samples(args.embeddings, [], args.split, in_memory=False)
    tested = features.run_tests(samples, spec, args.part)
    telling = tested.telling()
    correlated = correlate(tested.units.features, telling, spec.correlation)
    groups = redundancy_table(correlated)
    found = features.search(samples, spec)
    precision = features.retrieval_table(samples, spec, found)
    document = features.summary(samples, spec, tested, groups, correlated, found)
    document["silhouette"] = features.silhouettes(samples, store.read_table(args.images), args.part)

    weights = str(samples.embedding.get("weights", "unknown"))
    for name, table in (("features", tested.table), ("redundancy", groups), ("retrieval", precision)):
        store.write_table(table.assign(weights=weights), args.output / f"{name}.csv")
    store.write_json(document, args.output / "summary.json")
    drawn = {
        "volcano": draw_volcano(tested.table, samples.class_names, spec.level, spec.unit),
        "correlations": draw_correlations(
            correlate(tested.units.features, telling[: spec.shown], spec.correlation),
            tested.table,
            samples.class_names,
            spec.correlation,
        ),
        "retrieval": retrieval_figure(
            _sheet(samples, spec, found, args.pixels),
            samples.class_names,
            title="The training images nearest to some queries, drawn at random",
        ),
    }
    for name, figure in drawn.items():
        images = f"{len(found.query)} queries" if name == "retrieval" else f"{PART_NAMES[args.part]} images"
        save_figure(figure, args.output / f"{name}.png", footer=f"{images}. weights: {weights}")


def _sheet(samples: Samples, spec: Features, found: Search, pixels: Path) -> list[list[Shown]]:
    """Pictures of some queries and of what each found."""
    from heteroscope.evaluation.features import sheet_queries
    from heteroscope.figures.pictures import read_pictures
    from heteroscope.figures.retrieval import SHEET_NEAREST, Shown

    queries = sheet_queries(samples, spec, found)
    nearest = [[place for place in found.found.row[query][:SHEET_NEAREST] if place >= 0] for query in queries]
    shown = [[found.query[query], *found.gallery[places]] for query, places in zip(queries, nearest, strict=True)]
    pictures = read_pictures(pixels, list({samples.image_id[row]: None for rows in shown for row in rows}))
    return [
        [
            Shown(pictures[samples.image_id[row]], int(samples.label[row]), similarity)
            for row, similarity in zip(rows, [float("nan"), *found.found.similarity[query]], strict=False)
        ]
        for query, rows in zip(queries, shown, strict=True)
    ]


def _arguments() -> argparse.ArgumentParser:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--embeddings", type=Path, nargs="+", required=True, help="embeddings.h5; several are fused")
    add("--split", type=Path, required=True, help="split.parquet")
    add("--images", type=Path, required=True, help="images.parquet, for attributes")
    add("--pixels", type=Path, required=True, help="pixels.h5, for the sheet of images")
    add("--spec", required=True, help="JSON of a `features` entry")
    add("--part", choices=["train", "test"], required=True, help="images that features are tested on")
    add("--output", type=Path, required=True, help="output folder")
    return arguments


if __name__ == "__main__":
    run(main)
