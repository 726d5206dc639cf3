"""Compare a study's backbones, all with the same head: scores, separability, paired tests, ROC curves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from heteroscope.stages.command import fix_threads, json_argument, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tables (CSV, Markdown, LaTeX) and the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="JSON: the files of every model; -: stdin")
    arguments.add_argument("--output", type=Path, required=True, help="output folder")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.evaluation.models import (
        load_model,
        mean_roc,
        model_table,
        pair_table,
        ranked_classes,
        separability,
        weights_of,
    )
    from heteroscope.figures.models import draw_models, draw_roc
    from heteroscope.figures.style import save_figure

    models = [load_model(files) for files in json_argument(args.plan)]
    scores = model_table(models, separability)
    pairs = list(combinations(models, 2))
    tests = pair_table(models, pairs).assign(
        weights=[a.summary["weights"] for a, _ in pairs], other_weights=[b.summary["weights"] for _, b in pairs]
    )
    for name, table in (("models", scores), ("model-tests", tests)):
        store.write_table_in_all_formats(table, args.output / f"{name}.csv")
    curves = {
        name: {model.name: mean_roc(model, number) for model in models} for number, name in ranked_classes(models[0])
    }
    footer = weights_of(models)
    save_figure(draw_models(scores), args.output / "models.png", footer=footer)
    save_figure(draw_roc(curves, scores), args.output / "roc.png", footer=footer)


if __name__ == "__main__":
    run(main)
