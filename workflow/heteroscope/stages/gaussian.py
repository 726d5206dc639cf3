"""The arm `gaussian`: repeat clustering and retraining on data sets drawn from one Gaussian a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import add_sample_arguments, fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the metrics of the clusters' heads of every data set."""
    arguments = parser(__doc__)
    add_sample_arguments(arguments)
    arguments.add_argument("--clustering", required=True, help="JSON of a `clusterings` entry")
    arguments.add_argument("--head", required=True, help="JSON of a `heads` entry")
    arguments.add_argument("--controls", required=True, help="JSON of a `controls` entry")
    arguments.add_argument("--gaussian", type=Path, required=True, help="output: gaussian.h5")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)
    clustering = config.parse(config.Clustering, args.clustering)
    head, controls = config.parse(config.Head, args.head), config.parse(config.Controls, args.controls)

    from heteroscope.embedding.samples import load_samples
    from heteroscope.evaluation.gaussian import write_gaussian
    from heteroscope.training.gaussian_arm import retrain_on_gaussian

    samples = load_samples(args.embeddings, args.views, args.split, in_memory=False)
    write_gaussian(args.gaussian, retrain_on_gaussian(samples, clustering, head, controls, threads=args.threads))


if __name__ == "__main__":
    run(main)
