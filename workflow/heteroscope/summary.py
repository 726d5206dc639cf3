"""Say what finished studies found and where their reports are; with `--page`, also as a Markdown table."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heteroscope.atomic import atomic_path
from heteroscope.stages.command import run
from heteroscope.store import read_json


def main(argv: Sequence[str] | None = None) -> None:
    """Print title, verdict, reason and report of every study named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="+", help="ids of finished studies")
    arguments.add_argument("--page", type=Path, help="output: a Markdown page with a row a study")
    arguments.add_argument("--title", default="Verdicts", help="heading of the page")
    arguments.add_argument("--made-by", default="", help="the command that makes the page, for its second line")
    args = arguments.parse_args(argv)
    documents = [read_json(Path(f"results/compare/{study}/verdict.json")) for study in args.studies]
    for found in documents:
        print(f"\n{found['study']}: {found['title']}\n  verdict  {found['verdict']} ({found['reason']})")
        print(f"  report   {Path('results/report', found['study'], 'index.html').resolve()}")
    if args.page:
        with atomic_path(args.page) as temporary:
            temporary.write_text(page(documents, title=args.title, made_by=args.made_by), encoding="utf-8")


def page(documents: Sequence[dict[str, Any]], *, title: str, made_by: str) -> str:
    """A Markdown page: the command and commit that it stands on, and a row a study."""
    import pandas as pd

    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    table = pd.DataFrame([_row(document) for document in documents]).to_markdown(index=False, floatfmt=".3f")
    return f"# {title}\n\nMade by `{made_by}` at commit {commit}.\n\n{table}\n"


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
