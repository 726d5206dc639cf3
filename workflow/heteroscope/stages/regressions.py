"""Put a study's regressions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.stages.command import fix_threads, json_argument, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table (CSV, Markdown, LaTeX)."""
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="JSON: the files of every backbone and regression; -: stdin")
    arguments.add_argument("--output", type=Path, required=True, help="output: the table as CSV")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope import store
    from heteroscope.evaluation.regressions import regression_table

    store.write_table_in_all_formats(regression_table(json_argument(args.plan)), args.output)


if __name__ == "__main__":
    run(main)
