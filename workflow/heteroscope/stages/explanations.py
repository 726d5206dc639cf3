"""Compare where the backbones of a study look: the pointing game of each of its explanations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.stages.command import fix_threads, json_argument, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table as CSV, Markdown and LaTeX."""
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="JSON: the files of every backbone and explanation; -: stdin")
    arguments.add_argument("--table", type=Path, required=True, help="output: explanations.csv")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.evaluation.explanations import study_table

    store.write_table_in_all_formats(study_table(json_argument(args.plan)), args.table)


if __name__ == "__main__":
    run(main)
