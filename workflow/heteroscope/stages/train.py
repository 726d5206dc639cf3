"""Train the baseline: the pooled head on all training rows, once a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope import config
from heteroscope.stages.command import add_classifier_outputs, add_sample_arguments, fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the test predictions, their metrics, the training history and the trained heads of the baseline."""
    arguments = parser(__doc__)
    add_sample_arguments(arguments)
    arguments.add_argument("--head", required=True, help="JSON of a `heads` entry")
    add_classifier_outputs(arguments)
    arguments.add_argument("--history", type=Path, required=True, help="output: the monitored value by epoch")
    arguments.add_argument("--trained", type=Path, required=True, help="output: head.h5, the trained heads")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.embedding.samples import load_samples
    from heteroscope.evaluation.baseline import history_table, prediction_table, summary
    from heteroscope.stopwatch import Stopwatch, times_document
    from heteroscope.training.arms import train_baseline
    from heteroscope.training.linear import linear_head, write_head

    head = config.parse(config.Head, args.head)
    samples = load_samples(args.embeddings, args.views, args.split, standardize=head.standardize)
    test, watch = samples.features[samples.rows("test")], Stopwatch()
    trained = train_baseline(samples, head, threads=args.threads)
    training = watch.lap()
    probability = trained.probabilities(test)[:, 0]
    times = times_document(
        training=training / head.seeds,  # of one head in the stack
        prediction=watch.lap() / head.seeds,
        images=len(test),
        trainings=head.seeds,
        threads=args.threads,
    )
    store.write_table(prediction_table(samples, probability), args.predictions)
    store.write_table(history_table(trained.history[:, :, 0], trained.best_epoch[:, 0], head.monitor), args.history)
    store.write_json(summary(samples, probability, head), args.metrics)
    store.write_json(times, args.times)
    write_head(linear_head(trained.weight[:, 0], samples), args.trained)


if __name__ == "__main__":
    run(main)
