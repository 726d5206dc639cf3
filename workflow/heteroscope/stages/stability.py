"""Measure how stable a clustering is over bootstraps of the training patients and over seeds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import add_sample_arguments, fix_threads, parser, run

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Write stability.json."""
    arguments = parser(__doc__)
    add_sample_arguments(arguments)
    arguments.add_argument("--assignments", type=Path, required=True, help="assignments.parquet")
    arguments.add_argument("--spec", required=True, help="the clustering, as JSON")
    arguments.add_argument("--stability", type=Path, required=True, help="output: stability.json")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)
    spec: config.Clustering = config.parse(config.Clustering, args.spec)

    from heteroscope.clustering.stability import stability
    from heteroscope.embedding.samples import clusters_of, load_samples
    from heteroscope.store import write_json

    samples = load_samples(args.embeddings, args.views, args.split, in_memory=False)
    found = stability(samples, clusters_of(samples, args.assignments), spec)
    write_json(found, args.stability)
    for name in ("bootstraps", "seeds"):
        if refits := found[name]:
            logger.info("%d %s: adjusted Rand index %.3f", refits["number"], name, refits["mean"])
            if refits["failed"]:
                logger.info("%d of them failed: %s", refits["failed"], refits["failure"])


if __name__ == "__main__":
    run(main)
