"""Merge a study's runs into its tables, figures and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heteroscope import config
from heteroscope.stages.command import fix_threads, json_argument, parser, run

if TYPE_CHECKING:
    import pandas as pd

    from heteroscope.evaluation.analysis import Analysis


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tables (CSV, Markdown, LaTeX), verdict.json and the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--context", required=True, help="JSON of the study and every entry that it names")
    arguments.add_argument("--plan", required=True, help="JSON: the files of every backbone and clustering; -: stdin")
    arguments.add_argument("--images", type=Path, required=True, help="images.parquet")
    arguments.add_argument("--split", type=Path, required=True, help="split.parquet")
    arguments.add_argument("--output", type=Path, required=True, help="output folder")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    import pandas as pd

    from heteroscope import store
    from heteroscope.evaluation import account, comparison, performance
    from heteroscope.evaluation.analysis import load_analysis
    from heteroscope.evaluation.attribute_scores import attribute_scores
    from heteroscope.evaluation.attributes import attribute_table
    from heteroscope.evaluation.sensitivity import sensitivity_table
    from heteroscope.evaluation.verdict import label_test
    from heteroscope.figures import comparison as figures
    from heteroscope.figures.attribute_scores import draw_attribute_scores
    from heteroscope.figures.confusion import draw_confusion
    from heteroscope.figures.curve import draw_curve
    from heteroscope.figures.sensitivity import draw_sensitivity
    from heteroscope.figures.style import save_figure

    context = config.parse(config.StudyContext, args.context)
    study = context.study
    analyses = [load_analysis(files) for files in json_argument(args.plan)]
    tests = [label_test(analysis, seed=comparison.SEED, level=study.level) for analysis in analyses]
    axes = (study.primary.backbone, study.primary.clustering)
    primary, test = next(
        (analysis, test)
        for analysis, test in zip(analyses, tests, strict=True)
        if (analysis.backbone, analysis.clustering) == axes
    )
    images = store.read_table(args.images)
    split = store.read_table(args.split).merge(images[["image_id", "content"]], on="image_id", how="left")

    by_backbone = {analysis.backbone: analysis for analysis in analyses}  # whose clusterings share their pooled heads
    tables = {
        "clusters": pd.concat([comparison.cluster_table(a, context.controls, study.metric) for a in analyses]),
        "baseline": pd.concat([comparison.baseline_table(a, study.metric) for a in analyses]),
        "transfer": pd.concat([comparison.transfer_table(a, study.metric) for a in analyses]),
        "attributes": attribute_table(images, primary.assignments, seed=comparison.SEED),
        "attribute-scores": pd.concat([attribute_scores(a, images, study.metric) for a in by_backbone.values()]),
        "curve": pd.concat([comparison.curve_table(a, study.metric) for a in by_backbone.values()]),
        "metrics": pd.concat([performance.metrics_table(a) for a in by_backbone.values()]),
        "confusion": pd.concat([performance.confusion_table(a) for a in by_backbone.values()]),
        "sensitivity": sensitivity_table(context, analyses, tests, split),
    }
    document = account.verdict_document(
        context,
        primary,
        test,
        attributes=tables["attributes"],
        sensitivity=tables["sensitivity"],
        split=split,
    )
    store.write_json(document, args.output / "verdict.json")
    names = account.warning_names(document["warnings"])
    for name, table in tables.items():
        marked = table.assign(weights=table.get("weights", document["weights"]), warnings=names)
        store.write_table_in_all_formats(marked, args.output / f"{name}.csv")

    drawn = {
        "retraining": figures.draw_retraining(primary, context.controls, study.metric),
        "gain": figures.draw_gain(test, document["verdict"], study.level),
        "power": figures.draw_power(test, study.level),
        "curve": draw_curve(primary, context.controls, study.metric),
        "transfer": figures.draw_transfer(comparison.transfer_table(primary, study.metric), study.metric),
        "baseline": figures.draw_baseline(_of(primary, tables["baseline"]), study.metric),
        "attribute-scores": draw_attribute_scores(_on(primary, tables["attribute-scores"]), study.metric),
        "confusion": draw_confusion(performance.confusion_table(primary)),
        "sensitivity": draw_sensitivity(tables["sensitivity"], level=study.level, margin=study.margin),
    }
    for name, figure in drawn.items():
        footer = f"weights: {document['weights']}. warnings: {names or 'none'}"
        save_figure(figure, args.output / f"{name}.png", footer=footer)


def _on(analysis: Analysis, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of an analysis' backbone."""
    return table[table["backbone"] == analysis.backbone]


def _of(analysis: Analysis, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of one analysis."""
    rows = _on(analysis, table)
    return rows[rows["clustering"] == analysis.clustering]


if __name__ == "__main__":
    run(main)
