"""Print what a study found: the verdict, its reason and warnings, and the main tables.

Colours and lines are for terminals; into a file or another program goes plain text.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heteroscope.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

NAME = "show"
EXAMPLES = """\
  heteroscope show planted
  heteroscope show planted --table transfer
  heteroscope show planted --plain > planted.txt"""
COMPARE = Path("results/compare")
STYLES = {"different": "bold yellow", "equivalent": "bold green", "nonlinear rule": "bold cyan"}
OTHER = "bold"
WIDEST = 10_000  # letters; rich measures no table as wider than its terminal
SHOWN = {  # table → the columns that answer most questions; all of them by --table
    "clusters": [
        *("cluster", "n_*", "test_size", "gain", "gain_p_holm"),
        *("accuracy_gain", "accuracy_gain_low", "accuracy_gain_high"),
    ],
    "baseline": ["cluster", "test_size", "patients", "accuracy", "auc", "sensitivity", "specificity"],
    "attributes": ["attribute", "measure", "association", "p_holm"],
    "attribute-scores": ["attribute", "level", "images", "patients", "value", "low", "high"],
    "regressions": ["regression", "target", "patients", "mae", "mae_of_mean", "r2", "r2_low", "r2_high"],
}
EXPLAINED = {
    "clusters": "training rows by class, test images, and what a head of its own gains",
    "baseline": "the pooled head, on all test images and cluster by cluster",
    "attributes": "what goes with the clusters: a correlate, not a cause",
    "attribute-scores": "accuracy of the pooled head, level by level; no test",
    "regressions": "numbers predicted from embeddings, beside the training mean",
}


OPTIONAL = ("attribute-scores", "regressions")  # an older version has no scores, and many a study no regressions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("study", metavar="STUDY", help="id of a study that has been run")
    parser.add_argument("--table", metavar="NAME", help="print this table instead, with all its rows and columns")
    parser.add_argument("--plain", action="store_true", help="no colours and no lines, in a terminal too")
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="where results/ stands (default: the current folder)"
    )


def main(args: argparse.Namespace) -> None:
    """Print.

    Raises:
        DataError: the study has not been run, or has no such table; with what to do.
    """
    from rich.console import Console
    from rich.text import Text

    from heteroscope.store import read_json, read_table

    folder = args.directory / COMPARE / args.study
    if not (folder / "verdict.json").is_file():
        raise DataError(_not_there(args.directory / COMPARE, args.study))
    console = Console(no_color=True, highlight=False, force_terminal=False) if args.plain else Console(highlight=False)
    names = sorted(path.stem for path in folder.glob("*.csv"))
    if args.table:
        if args.table not in names:
            raise DataError(f"{args.study} has no table {args.table!r}; its tables: {', '.join(names)}")
        print_table(console, read_table(folder / f"{args.table}.csv"))
        return
    verdict = read_json(folder / "verdict.json")
    print_verdict(console, verdict)
    for name, columns in SHOWN.items():
        if name in OPTIONAL and name not in names:
            continue
        table = of_accuracy(of_primary(read_table(folder / f"{name}.csv"), verdict["primary"]))
        console.print(Text.assemble("\n", (name, "bold"), f": {EXPLAINED[name]}"), soft_wrap=True)
        print_table(console, selected(table, columns))
    report = args.directory / "results/report" / args.study / "index.html"
    console.print(Text(f"\nall of a table: heteroscope show {args.study} --table {'|'.join(names)}"), soft_wrap=True)
    console.print(Text(f"as a page: {report.resolve()}"), soft_wrap=True)


def _not_there(folder: Path, study: str) -> str:
    found = sorted(path.parent.name for path in folder.glob("*/verdict.json"))
    known = f"; studies with an answer here: {', '.join(found)}" if found else ""
    return (
        f"{folder / study}: the study {study!r} has not been run here; run it by `snakemake --cores all --configfile"
        f" CONFIG`, or name the folder where results/ stands by --directory{known}"
    )


def print_verdict(console: Console, verdict: dict[str, Any]) -> None:
    """Title, verdict, paragraph and warnings."""
    from rich.text import Text

    lines = [
        Text(verdict["title"] or verdict["study"], style="bold underline"),
        Text.assemble("verdict: ", (verdict["verdict"], STYLES.get(verdict["verdict"], OTHER))),
        Text(verdict["paragraph"]),
        *(Text.assemble(("warning: ", "bold red"), warning) for warning in verdict["warnings"]),
    ]
    for line in lines:
        console.print(line, soft_wrap=not console.is_terminal)  # only a terminal has a width


def of_primary(table: pd.DataFrame, primary: dict[str, str]) -> pd.DataFrame:
    """The rows of the analysis that the verdict rests on; all rows of a table of the whole study."""
    for axis, value in primary.items():
        if axis in table:
            table = table[table[axis] == value]
    return table


def of_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of one metric, accuracy, of a table that has a row a metric; all rows of others."""
    return table[table["metric"] == "accuracy"] if "metric" in table else table


def selected(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """These columns, in this order; `n_*` stands for all that begin so."""
    found = [name for wanted in columns for name in table if name == wanted or _begins(str(name), wanted)]
    return table[found]


def _begins(name: str, wanted: str) -> bool:
    return wanted.endswith("*") and name.startswith(wanted[:-1])


def print_table(console: Console, table: pd.DataFrame) -> None:
    """A table in a terminal; tab-separated text where there is none, or where it is too narrow for the numbers."""
    from heteroscope.report.tables import cell

    rows = [[cell(value)["text"] for value in row] for row in table.astype(object).itertuples(index=False, name=None)]
    shown = ruled(table, rows)
    needed = console.measure(shown, options=console.options.update_width(WIDEST)).minimum
    if console.is_terminal and needed <= console.width:
        console.print(shown)
        return
    for row in [list(map(str, table.columns)), *rows]:
        print("\t".join(row))


def ruled(table: pd.DataFrame, rows: list[list[str]]) -> Table:
    """The texts of a table under its names for readers; only names may be broken, between words."""
    from rich import box
    from rich.table import Table

    from heteroscope.report.words import COLUMNS

    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place, (name, kind) in enumerate(zip(map(str, table.columns), table.dtypes, strict=True)):
        title = COLUMNS.get(name, name.replace("_", " "))
        width = max(map(len, [*title.split(), *(row[place] for row in rows)]))
        shown.add_column(title, justify="right" if kind.kind in "if" else "left", min_width=width)
    for row in rows:
        shown.add_row(*row)
    return shown
