"""The curve over training size: the pooled head on nested random subsets of the training set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import add_sample_arguments, fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the test metrics of every size, random order and seed."""
    arguments = parser(__doc__)
    add_sample_arguments(arguments)
    arguments.add_argument("--head", required=True, help="JSON of a `heads` entry")
    arguments.add_argument("--curve", type=Path, required=True, help="output: a row a size, random order and seed")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.embedding.samples import load_samples
    from heteroscope.training.curve import training_curve

    head = config.parse(config.Head, args.head)
    samples = load_samples(args.embeddings, args.views, args.split, standardize=head.standardize)
    store.write_table(training_curve(samples, head, threads=args.threads), args.curve)


if __name__ == "__main__":
    run(main)
