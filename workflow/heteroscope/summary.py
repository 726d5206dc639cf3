"""Say what finished studies found and where their reports are; with `--page`, count their verdicts in Markdown."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heteroscope import store
from heteroscope.atomic import atomic_path
from heteroscope.stages.command import run

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = ("different", "nonlinear rule", "equivalent", "undecided", "not assessable")


def main(argv: Sequence[str] | None = None) -> None:
    """Print title, verdict, reason and report of every study named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="+", help="ids of finished studies; with --page <kind>-<number> each")
    arguments.add_argument("--page", type=Path, help="output: a Markdown page; verdicts by kind, then a row a study")
    arguments.add_argument("--title", default="Verdicts", help="heading of the page")
    arguments.add_argument("--made-by", default="", help="the command that makes the page, for its second line")
    arguments.add_argument("--about", default="", help="what the studies are, in a sentence or two for the page")
    args = arguments.parse_args(argv)
    documents = [store.read_json(verdict_file(study)) for study in args.studies]
    if args.page:
        with atomic_path(args.page) as temporary:
            text = page(documents, title=args.title, made_by=args.made_by, about=args.about)
            temporary.write_text(text, encoding="utf-8")
        print(f"{args.page}: the verdicts of {len(documents)} studies")
        return
    for found in documents:
        print(f"\n{found['study']}: {found['title']}\n  verdict  {found['verdict']} ({found['reason']})")
        print(f"  report   {Path('results/report', found['study'], 'index.html').resolve()}")


def verdict_file(study: str) -> Path:
    """Where a study's verdict stands."""
    return Path("results/compare", study, "verdict.json")


def commit() -> str:
    """The commit that is checked out, marked where files have changed since; "unknown" without git."""
    git = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def page(documents: Sequence[dict[str, Any]], *, title: str, made_by: str, about: str = "") -> str:
    """A Markdown page: what it is about and stands on, verdicts counted by kind, and a row a study."""
    import pandas as pd

    rows = pd.DataFrame([_row(document) for document in documents])
    return "\n\n".join(
        [
            f"# {title}",
            *([about] if about else []),
            f"Made by `{made_by}` at commit {commit()}. {_cost([document['study'] for document in documents])}",
            "## How often",
            "The interval holds the share of studies called `different` that endless studies of this kind would have"
            " (95 %, Clopper and Pearson).",
            markdown(verdict_counts(documents)),
            "## Study by study",
            markdown(rows),
            _standing_on(documents) + "\n",
        ]
    )


def markdown(table: pd.DataFrame) -> str:
    """A table as a Markdown page shows it: three digits, a dash for what is not there."""
    return store.markdown(table, floatfmt=".3f", missing="–")


def kind_of(study: str) -> str:
    """What a study is one of: its id without the number at its end."""
    return study.rpartition("-")[0] or study


def verdict_counts(documents: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a kind of study, as they come: how many have each verdict, and the share called `different`."""
    import pandas as pd
    from statsmodels.stats.proportion import proportion_confint

    found = pd.DataFrame(
        {"truth": kind_of(document["study"]), "verdict": document["verdict"]} for document in documents
    )
    counts = pd.crosstab(found["truth"], found["verdict"]).reindex(
        index=found["truth"].unique(), columns=VERDICTS, fill_value=0
    )
    studies = counts.sum(axis=1)
    low, high = proportion_confint(counts["different"], studies, alpha=0.05, method="beta")
    shares = counts["different"] / studies
    counts.insert(0, "studies", studies)
    return counts.assign(**{"share different": shares, "from": low, "to": high}).rename_axis(columns=None).reset_index()


def _cost(studies: Sequence[str]) -> str:
    from heteroscope.benchmarked import job_times, jobs_of  # pandas: not for what every run prints at its end

    own = jobs_of(job_times(), studies)
    if own.empty:
        return "What its jobs cost was not measured."
    return (
        f"Its {len(own)} jobs took {own['wall'].sum() / 60:.0f} minutes one after another and"
        f" {own['cpu'].sum() / 60:.0f} minutes of CPU time: {own['cpu'].sum() / len(studies):.0f} s a study."
    )


def _row(document: dict[str, Any]) -> dict[str, Any]:
    test = document["test"] or {}
    low, high = test.get("accuracy_gain_interval_90", (None, None))
    return {
        "study": document["study"],
        "verdict": document["verdict"],
        "p": test.get("p"),
        "p, curved rule": test.get("p_nonlinear"),
        "gain (log loss)": test.get("gain"),
        "accuracy gain": test.get("accuracy_gain"),
        "90 % from": low,
        "to": high,
        "pooled accuracy": test.get("pooled_accuracy"),
    }


def _standing_on(documents: Sequence[dict[str, Any]]) -> str:
    """All weights and warnings of the studies, each once."""
    weights = sorted({document["weights"] for document in documents})
    warnings = sorted({warning for document in documents for warning in document["warnings"]})
    return "\n".join([*(f"- weights: {line}" for line in weights), *(f"- warning: {line}" for line in warnings)])


if __name__ == "__main__":
    run(main)
