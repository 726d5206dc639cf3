"""Fit the shared rules of the label arm and redraw all labels from them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import add_arm_arguments, fix_threads, parser, run

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the label sets of all images."""
    arguments = parser(__doc__)
    add_arm_arguments(arguments)
    arguments.add_argument("--label-sets", type=Path, required=True, help="output: label-sets.h5")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope.embedding.samples import clusters_of, load_samples
    from heteroscope.evaluation.label_sets import write_label_sets
    from heteroscope.evaluation.redraw import draw_label_sets

    head, controls = config.parse(config.Head, args.head), config.parse(config.Controls, args.controls)
    samples = load_samples(args.embeddings, args.views, args.split, standardize=head.standardize)
    sets = draw_label_sets(samples, clusters_of(samples, args.assignments), controls)
    logger.info("%d label sets of %d images", *sets.label.shape)
    write_label_sets(args.label_sets, sets)


if __name__ == "__main__":
    run(main)
