"""Put the verdicts of several studies into one Markdown table."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heteroscope import store
from heteroscope.stages.command import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table, with the commit that it stands on and the command that makes it."""
    arguments = parser(__doc__)
    arguments.add_argument("verdicts", type=Path, nargs="+", help="verdict.json of each study")
    arguments.add_argument("--title", required=True, help="heading of the page")
    arguments.add_argument("--command", required=True, help="the command that makes the page")
    arguments.add_argument("--output", type=Path, required=True, help="output: a Markdown file")
    args = arguments.parse_args(argv)

    import pandas as pd

    table = pd.DataFrame([_row(store.read_json(path)) for path in args.verdicts])
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    text = (
        f"# {args.title}\n\nMade by `{args.command}` at commit {commit or 'unknown'}.\n\n"
        f"{table.to_markdown(index=False, floatfmt='.3f')}\n"
    )
    with store.atomic_path(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _row(document: dict[str, Any]) -> dict[str, Any]:
    test = document["test"] or {}
    low, high = test.get("accuracy_gain_interval_90", (None, None))
    return {
        "study": document["study"],
        "verdict": document["verdict"],
        "p": test.get("p"),
        "gain (log loss)": test.get("gain"),
        "accuracy gain": test.get("accuracy_gain"),
        "90 % from": low,
        "to": high,
        "pooled accuracy": test.get("pooled_accuracy"),
        "weights": document["weights"],
    }


if __name__ == "__main__":
    run(main)
