"""Write the page that puts all studies of a configuration side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.stages.command import fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write index.html."""
    arguments = parser(__doc__)
    arguments.add_argument("--verdicts", type=Path, nargs="+", required=True, help="verdict.json of each study")
    arguments.add_argument("--output", type=Path, required=True, help="output: index.html")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)

    from heteroscope.report.overview import overview_data
    from heteroscope.report.pages import write_page
    from heteroscope.store import read_json

    write_page("overview.html.j2", overview_data([read_json(path) for path in args.verdicts]), args.output)


if __name__ == "__main__":
    run(main)
