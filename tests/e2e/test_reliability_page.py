"""docs/reliability.md speaks of tests that are there, and of all changes that are tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.e2e.test_staleness import RUN, TABLE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 50
    missing = [f"{path}::{name}" for path, name in named if name not in functions(ROOT / path)]
    assert missing == []


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_the_table_of_changes_is_the_one_that_is_tested() -> None:
    section = PAGE.split("## What a change makes again")[1].split("\nThe end of")[0]
    rows = re.findall(r"^\| ([a-z][^|]*?) +\| ([^|]*?) +\| ([^|]*?) +\| ([^|]*?) +\|$", section, re.M)
    expected = [
        (change.replace("-", " "), ", ".join(why.split()), jobs or "nothing", "run" if change in RUN else "dry run")
        for change, (_, why, jobs) in TABLE.items()
    ]
    assert rows == [("change", "why", "what runs again", "shown by"), *expected]
