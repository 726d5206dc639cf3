"""What pages that tell of tests name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named_tests(page: str) -> list[tuple[str, str]]:
    """File and name of every test that a page names."""
    return NAMED.findall(page)


def missing_tests(page: str) -> list[str]:
    """Those of them that are not there."""
    return [f"{path}::{name}" for path, name in named_tests(page) if name not in _functions(ROOT / path)]


def _functions(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
