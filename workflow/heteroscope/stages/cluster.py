"""Cluster the training rows of an embedding and assign all others: tables, projections, quality, figures."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import fix_threads, parser, run

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    args = _arguments().parse_args(argv)
    fix_threads(args.threads)
    spec: config.Clustering = config.parse(config.Clustering, args.spec)

    from heteroscope.clustering.partition import (
        assignments_table,
        distance_table,
        partition_samples,
        quality_summary,
    )
    from heteroscope.clustering.projections import pca_projection, projection_table, umap_projection
    from heteroscope.embedding.blocks import IN_MEMORY_VALUES
    from heteroscope.embedding.samples import load_samples
    from heteroscope.figures.partition import partition_figures
    from heteroscope.figures.style import save_figure
    from heteroscope.store import read_table, write_json, write_table

    samples = load_samples(args.embeddings, args.views, args.split, in_memory=False)
    logger.info("%d rows of %d values: %s, k = %d", *samples.features.shape, spec.method, spec.k)
    partition = partition_samples(samples, spec)
    for sentence in partition.approximate:
        logger.info("more than %d values: %s", IN_MEMORY_VALUES, sentence)
    logger.info("training rows a cluster: %s", ", ".join(str(size) for size in partition.clusters.sizes))
    assignments = assignments_table(samples, partition)
    distances = distance_table(samples, partition)
    write_table(assignments, args.assignments)
    write_table(distances, args.distances)
    write_json(quality_summary(samples, partition, spec), args.quality)
    logger.info("projecting the images to a plane")
    projections = {"pca": pca_projection(partition, spec.seed), "umap": umap_projection(partition, spec.seed)}
    write_table(projection_table(samples, projections), args.projections)
    logger.info("tables written; drawing figures")
    figures = partition_figures(
        samples,
        partition,
        assignments,
        distances,
        projections,
        images=read_table(args.images),
        pixels=args.pixels,
        seed=spec.seed,
    )
    for name, figure in figures:
        save_figure(figure, args.figures / name, footer=f"weights: {samples.embedding.get('weights', 'unknown')}")
        logger.info("%s", args.figures / name)


def _arguments() -> argparse.ArgumentParser:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--embeddings", type=Path, nargs="+", required=True, help="embeddings.h5; several are a fusion")
    add("--views", type=Path, nargs="*", default=[], help="views.h5 of each embedding, in the same order")
    add("--split", type=Path, required=True, help="split.parquet")
    add("--images", type=Path, required=True, help="images.parquet, for attributes and distinct images")
    add("--pixels", type=Path, required=True, help="pixels.h5, for the sheet of images")
    add("--spec", required=True, help="the clustering, as JSON")
    add("--assignments", type=Path, required=True, help="output: assignments.parquet")
    add("--distances", type=Path, required=True, help="output: distances.csv")
    add(
        "--projections",
        type=Path,
        required=True,
        help="output: projections.parquet",
    )
    add("--quality", type=Path, required=True, help="output: quality.json")
    add("--figures", type=Path, required=True, help="output: folder of the PNG files")
    return arguments


if __name__ == "__main__":
    run(main)
