"""The page of results, and the file beside it that keeps every group's rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from benchmarks.measure import Result, Row, Table
from heteroscope.atomic import atomic_path


@dataclass(frozen=True)
class Measured:
    """A group's result and what it stands on."""

    commit: str
    machine: dict[str, str]
    result: Result


def read(path: Path) -> dict[str, Measured]:
    """The groups of a results file; none where there is no file."""
    if not path.is_file():
        return {}
    return {name: _restored(entry) for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def write(path: Path, groups: dict[str, Measured]) -> None:
    """Write a results file, atomically."""
    text = json.dumps({name: asdict(entry) for name, entry in groups.items()}, indent=1, ensure_ascii=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def kept(groups: dict[str, Measured], machine: dict[str, str]) -> dict[str, Measured]:
    """The groups of this machine, and those of a machine with a GPU; the page names what commits they stand on."""
    return {name: entry for name, entry in groups.items() if entry.machine == machine or name == "gpu"}


def _restored(entry: dict) -> Measured:
    result = entry["result"]
    return Measured(
        entry["commit"],
        entry["machine"],
        Result([Row(**row) for row in result["rows"]], [Table(**table) for table in result["tables"]], result["notes"]),
    )


def page(groups: dict[str, Measured], order: Sequence[str], commit: str, machine: dict[str, str]) -> str:
    """The page in Markdown; a group that was not measured is named."""
    there = [groups[name] for name in order if name in groups]
    rows = [row for entry in there for row in entry.result.rows]
    missed = [row for row in rows if row.met is False]
    missing = [name for name in order if name not in groups]
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` at commit {commit}. A figure compares two measurements taken in turn in one run: the"
        " median of the rounds, and in brackets the smallest and the largest. There are five rounds unless a note says"
        " otherwise. Networks have random weights with settled batch norms: they cost what trained ones cost.",
        "",
        f"{_count(rows)} {f'Missed: {len(missed)}.' if missed else 'No bar is missed.'}",
        *[f"Measured at commit {earlier}: {', '.join(names)}." for earlier, names in _earlier(groups, commit).items()],
        *([f"Not measured: {', '.join(missing)}."] if missing else []),
        "",
        _table(["what", "against", "bar", "measured", "bar met"], [_cells(row) for row in rows]),
        "",
        "## What stands behind the rows",
        "",
        *[f"- {note}" for entry in there for note in entry.result.notes],
        "",
        *[line for entry in there for table in entry.result.tables for line in _section(table)],
        *_machines(groups, machine),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _earlier(groups: dict[str, Measured], commit: str) -> dict[str, list[str]]:
    """Other commit → the groups that stand on it."""
    found: dict[str, list[str]] = {}
    for name, entry in groups.items():
        if entry.commit != commit:
            found.setdefault(entry.commit, []).append(name)
    return found


def _count(rows: Sequence[Row]) -> str:
    tried = [row for row in rows if row.met is not None]
    return f"{sum(row.met is True for row in tried)} of {len(tried)} bars that were tried are met."


def _cells(row: Row) -> list[str]:
    words = {True: "met", False: "**missed**", None: "–"}
    return [row.what, row.against, row.bar or "–", row.measured, words[row.met]]


def _section(table: Table) -> list[str]:
    return [f"## {table.title}", "", *([table.text, ""] if table.text else []), _table(table.header, table.cells), ""]


def _machines(groups: dict[str, Measured], machine: dict[str, str]) -> list[str]:
    others = {name: entry.machine for name, entry in groups.items() if entry.machine != machine}
    lines = ["## The machine", "", _table(["", ""], [list(fact) for fact in machine.items()]), ""]
    for name, facts in others.items():
        lines += [
            f"The rows of `{name}` are of another one:",
            "",
            _table(["", ""], [list(fact) for fact in facts.items()]),
        ]
    return lines


def _table(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    return tabulate(cells, headers=list(header), tablefmt="github", disable_numparse=True)
