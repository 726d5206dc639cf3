"""The label arm of one fold: train the pooled and every cluster's head on the observed and on redrawn labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import add_arm_arguments, fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write losses and hits of pooled and own heads for every label set."""
    arguments = parser(__doc__)
    add_arm_arguments(arguments)
    arguments.add_argument("--fold", type=int, default=0, help="number of the fold; 0 without folds")
    arguments.add_argument("--label-sets", type=Path, required=True, help="label-sets.h5")
    arguments.add_argument("--labels", type=Path, required=True, help="output: labels.h5")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope.embedding.samples import clusters_of, load_samples
    from heteroscope.evaluation.label_sets import read_label_sets
    from heteroscope.evaluation.runs import write_labels
    from heteroscope.training.label_arm import train_on_label_sets

    head, controls = config.parse(config.Head, args.head), config.parse(config.Controls, args.controls)
    samples = load_samples(args.embeddings, args.views, args.split, standardize=head.standardize)
    cluster = clusters_of(samples, args.assignments)
    labels = read_label_sets(args.label_sets).of(samples, args.label_sets)
    runs = train_on_label_sets(samples, cluster, labels, head, controls, folds=args.fold > 0, threads=args.threads)
    write_labels(args.labels, runs, test_images=samples.image_id[samples.rows("test")].tolist())


if __name__ == "__main__":
    run(main)
