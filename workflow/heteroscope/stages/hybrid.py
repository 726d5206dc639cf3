"""Train a classical classifier on embeddings, and test it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Augmentation, Hybrid, parse
from heteroscope.stages.command import add_classifier_outputs, add_sample_arguments, fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the test predictions, their metrics and confusions, and what they took."""
    arguments = parser(__doc__)
    add_sample_arguments(arguments)
    arguments.add_argument("--spec", required=True, help="JSON of a `hybrids` entry")
    arguments.add_argument("--pixels", type=Path, nargs="*", default=[], help="pixels.h5, for handcrafted features")
    arguments.add_argument("--augmentation", default="null", help="JSON of what made the views; null for none")
    add_classifier_outputs(arguments)
    arguments.add_argument("--confusion", type=Path, required=True, help="output: figure of the confusions")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.embedding.samples import load_samples
    from heteroscope.evaluation.baseline import prediction_table
    from heteroscope.evaluation.confusions import confusions
    from heteroscope.evaluation.hybrids import summary
    from heteroscope.figures.confusion import draw_confusion
    from heteroscope.figures.style import save_figure
    from heteroscope.stopwatch import Stopwatch, times_document
    from heteroscope.training.hybrid import train_hybrid

    spec: Hybrid = parse(Hybrid, args.spec)
    samples = load_samples(args.embeddings, args.views, args.split)
    watch, handcrafted = Stopwatch(), 0.0
    if spec.handcrafted:
        from heteroscope.embedding.appended import append_handcrafted

        made_by = parse(Augmentation | None, args.augmentation)
        samples = append_handcrafted(samples, spec.handcrafted, args.pixels[0], made_by)
        handcrafted = watch.lap() / len(samples)
    trained = train_hybrid(samples, spec, threads=args.threads)
    test = samples.rows("test")
    label, names = samples.label[test], samples.class_names

    store.write_table(prediction_table(samples, trained.probability), args.predictions)
    document = summary(samples, trained)
    store.write_json(document, args.metrics)
    figure = draw_confusion(
        confusions(trained.probability, label, names), title=f"What {spec.classifier.method} calls each class"
    )
    save_figure(figure, args.confusion, footer=f"weights: {document['weights']}")
    times = times_document(
        training=trained.training_s,
        prediction=trained.prediction_s,
        images=len(test),
        trainings=len(trained.probability),
        threads=args.threads,
        tuning=trained.tuning_s,
        handcrafted=handcrafted,
    )
    store.write_json(times, args.times)


if __name__ == "__main__":
    run(main)
