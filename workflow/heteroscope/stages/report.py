"""Write a study's report as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import StudyContext, parse
from heteroscope.stages.command import fix_threads, json_argument, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write index.html."""
    arguments = parser(__doc__)
    arguments.add_argument("--context", required=True, help="JSON of the study and every entry that it names")
    arguments.add_argument("--plan", required=True, help="JSON: the files of its analyses and branches; -: stdin")
    arguments.add_argument("--compare", type=Path, required=True, help="folder of the study's comparison")
    arguments.add_argument("--dataset", type=Path, required=True, help="folder of classes.csv and rejected.csv")
    arguments.add_argument("--split-counts", type=Path, required=True, help="counts of the split, CSV")
    arguments.add_argument("--split-figure", type=Path, required=True, help="figure of the split, PNG")
    arguments.add_argument("--images", type=Path, required=True, help="images.parquet")
    arguments.add_argument("--pixels", type=Path, required=True, help="pixels.h5, for the pictures of the explorer")
    arguments.add_argument("--output", type=Path, required=True, help="output: index.html")
    args = arguments.parse_args(argv)
    context = parse(StudyContext, args.context)
    fix_threads(args.threads)

    from heteroscope.report.page import page_data
    from heteroscope.report.pages import write_page

    plan = json_argument(args.plan)
    data = page_data(
        context,
        plan["analyses"],
        plan["branches"],
        compare=args.compare,
        dataset=args.dataset,
        split_counts=args.split_counts,
        split_figure=args.split_figure,
        images=args.images,
        pixels=args.pixels,
    )
    write_page("study.html.j2", data, args.output)


if __name__ == "__main__":
    run(main)
