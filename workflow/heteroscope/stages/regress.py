"""Train a regressor on embeddings, and test it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Regression, parse
from heteroscope.stages.command import add_sample_arguments, fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the test predictions, their errors, and a figure."""
    arguments = parser(__doc__)
    add_sample_arguments(arguments)
    arguments.add_argument("--images", type=Path, required=True, help="images.parquet, which has the target")
    arguments.add_argument("--dataset", required=True, help="its id, for messages")
    arguments.add_argument("--spec", required=True, help="JSON of a `regressions` entry")
    arguments.add_argument("--predictions", type=Path, required=True, help="output: a row a seed and test image")
    arguments.add_argument("--metrics", type=Path, required=True, help="output: errors, and what they stand on")
    arguments.add_argument("--scatter", type=Path, required=True, help="output: figure of predicted and true values")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    import numpy as np

    from heteroscope import store
    from heteroscope.embedding.samples import load_samples
    from heteroscope.evaluation.leaks import seen_rows
    from heteroscope.evaluation.regressions import prediction_rows, summary
    from heteroscope.figures.regressions import draw_predicted, stands_on
    from heteroscope.figures.style import save_figure
    from heteroscope.training.regression import target_of, train_regression

    spec: Regression = parse(Regression, args.spec)
    samples = load_samples(args.embeddings, args.views, args.split)
    images, split = store.read_table(args.images), store.read_table(args.split)
    target = target_of(samples, images, spec.target, args.dataset)
    trained = train_regression(samples, target, spec, dataset=args.dataset, threads=args.threads)
    taking_part = split["image_id"].isin(samples.image_id[np.isfinite(target)])
    predictions = prediction_rows(samples, trained, seen_rows(split[taking_part], images, ["train"]))
    document = summary(samples, trained, predictions, spec.target)
    store.write_table(predictions, args.predictions)
    store.write_json(document, args.metrics)
    figure = draw_predicted(
        trained.predicted.mean(axis=0), trained.target, document["metrics"], mean=trained.mean, name=spec.target
    )
    save_figure(figure, args.scatter, footer=stands_on(document))


if __name__ == "__main__":
    run(main)
