"""Test a trained network as a classifier of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Backbone, parse
from heteroscope.errors import ConfigError
from heteroscope.stages.command import fix_threads, parser, run

SHOWN = 30  # images on a sheet
FIGURES = ("curves", "confusion", "first", "wrong")


def main(argv: Sequence[str] | None = None) -> None:
    """Write predictions, metrics, the classification report, the mistakes, and figures of them and of the training."""
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="the backbone as JSON, with its finetune recipe")
    for name, what in (
        ("split", "split.parquet, of a fold where it has folds"),
        ("probabilities", "what the network says of all images that a fold tests"),
        ("summary", "what the network stands on (.json)"),
        ("history", "its training by epoch (.csv)"),
        ("images", "images.parquet of the dataset"),
        ("pixels", "pixels.h5, for the sheets"),
        ("output", "folder to write to"),
    ):
        arguments.add_argument(f"--{name}", required=True, type=Path, help=what)
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.evaluation import networks
    from heteroscope.evaluation.baseline import probabilities_of
    from heteroscope.evaluation.confusions import confusions
    from heteroscope.evaluation.scores import score_table
    from heteroscope.figures.confusion import draw_confusion
    from heteroscope.figures.networks import draw_called, draw_curves
    from heteroscope.figures.pictures import read_pictures
    from heteroscope.figures.style import save_figure

    spec: Backbone = parse(Backbone, args.spec)
    if spec.finetune is None:
        raise ConfigError("--spec: this backbone has no `finetune` recipe")
    split, images = store.read_table(args.split), store.read_table(args.images)
    predictions = networks.network_predictions(split, store.read_table(args.probabilities))
    names = [name.removeprefix("probability_") for name in predictions.columns if name.startswith("probability_")]
    probability, label = probabilities_of(predictions), predictions["label"].to_numpy()
    scores = score_table(probability, label, predictions["group"].to_numpy(), names)
    seen = networks.seen_in_training(split, images, spec.finetune.share)
    document = networks.summary(predictions, split, scores, store.read_json(args.summary), seen)
    called = networks.called_table(predictions, images, names)
    wrong = networks.misclassified(called)

    store.write_table(predictions, args.output / "predictions.parquet")
    store.write_json(document, args.output / "metrics.json")
    store.write_table(networks.classification_report(scores, label, names), args.output / "report.csv")
    store.write_table(wrong, args.output / "misclassified.csv")
    # ids come from the images' bytes, so their order is that of no class and no patient
    first, worst = called.sort_values("image_id").head(SHOWN), wrong.head(SHOWN)
    pictures = read_pictures(args.pixels, [*first["image_id"], *worst["image_id"]])
    footer = f"weights: {document['weights']}"
    figures = {
        "curves": draw_curves(store.read_table(args.history)),
        "confusion": draw_confusion(confusions(probability, label, names), title="What the network calls each class"),
        "first": draw_called(first, pictures, names, title=f"{len(first)} of {len(called)} test images"),
        "wrong": draw_called(
            worst, pictures, names, title=f"{len(wrong)} of {len(called)} test images are wrong: {_which(len(wrong))}"
        ),
    }
    for name in FIGURES:
        save_figure(figures[name], args.output / f"{name}.png", footer=footer)


def _which(wrong: int) -> str:
    """Which of the wrong images a sheet shows."""
    return "all of them" if wrong <= SHOWN else f"the {SHOWN} surest"


if __name__ == "__main__":
    run(main)
