"""Retrain one cluster's head: on its members, and on random parts of its size (and class counts)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import add_arm_arguments, fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the runs of the arms `cluster`, `size` and `balanced` of one cluster."""
    arguments = parser(__doc__)
    add_arm_arguments(arguments)
    arguments.add_argument("--fold", type=int, default=0, help="number of the fold; 0 without folds")
    arguments.add_argument("--cluster", type=int, required=True, help="number of the cluster")
    for arm in ("cluster", "size", "balanced"):
        arguments.add_argument(f"--{arm}-runs", type=Path, required=True, help=f"output: runs of the arm {arm}")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope.embedding.samples import clusters_of, load_samples
    from heteroscope.evaluation.runs import write_arm
    from heteroscope.training.arms import retrain_cluster, retrain_random

    head, controls = config.parse(config.Head, args.head), config.parse(config.Controls, args.controls)
    samples = load_samples(args.embeddings, args.views, args.split, standardize=head.standardize)
    cluster = clusters_of(samples, args.assignments)
    test_images = samples.image_id[samples.rows("test")].tolist()

    runs = retrain_cluster(samples, cluster, args.cluster, head, threads=args.threads)
    write_arm(args.cluster_runs, runs, cluster=args.cluster, arm="cluster", test_images=test_images)
    for arm, path in (("size", args.size_runs), ("balanced", args.balanced_runs)):
        runs = retrain_random(
            samples,
            cluster,
            args.cluster,
            head,
            controls,
            balanced=arm == "balanced",
            folds=args.fold > 0,
            threads=args.threads,
        )
        write_arm(path, runs, cluster=args.cluster, arm=arm, test_images=test_images)


if __name__ == "__main__":
    run(main)
