"""Compare a study's classical classifiers with the network's own last layer, and with one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from heteroscope.stages.command import fix_threads, json_argument, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tables (CSV, Markdown, LaTeX) and the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="JSON: the files of every backbone and classifier; -: stdin")
    arguments.add_argument("--output", type=Path, required=True, help="output folder")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.evaluation.confusions import confusions
    from heteroscope.evaluation.hybrids import class_table, hybrid_pairs, hybrid_table, time_table
    from heteroscope.evaluation.models import load_model, weights_of
    from heteroscope.figures.hybrids import draw_all_confusions, draw_costs
    from heteroscope.figures.style import save_figure

    models = [load_model(files) for files in json_argument(args.plan)]
    scores = hybrid_table(models)
    times = time_table(models, scores)
    tables = {
        "hybrids": scores,
        "hybrid-classes": class_table(models),
        "hybrid-tests": hybrid_pairs(models),
        "hybrid-times": times,
    }
    for name, table in tables.items():
        store.write_table_in_all_formats(table, args.output / f"{name}.csv")
    footer = weights_of(models)
    save_figure(draw_costs(times), args.output / "hybrid-times.png", footer=footer + _counted_from(times["classifier"]))
    called = {model.name: confusions(model.probability, model.label, model.class_names) for model in models}
    save_figure(draw_all_confusions(called), args.output / "hybrid-confusions.png", footer=footer)


def _counted_from(classifiers: Iterable[str]) -> str:
    """What times of different kinds count from, where there are such."""
    return "; times: of end-to-end from decoded images, else from embeddings" if "end-to-end" in [*classifiers] else ""


if __name__ == "__main__":
    run(main)
