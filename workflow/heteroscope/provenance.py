"""What a result stands on: digests of code and rows, versions, threads."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "heteroscope"
ROOT = Path(__file__).parent


def digest(*parts: object) -> str:
    """32 hex digits of the SHA-256 of the parts' JSON; the same parts give the same digest anywhere."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def rows_digest(keys: Iterable[str]) -> str:
    """A digest of row keys in their order."""
    return digest(list(keys))


def code_digest(module: str) -> str:
    """A digest of a module and of all package modules that it imports, directly or not.

    It is taken over the parsed code without docstrings, so that a changed comment, docstring or
    layout changes nothing.
    """
    return digest({name: _module_digest(name) for name in sorted(_imported(module))})


def modules_digest(*modules: str) -> str:
    """A digest of exactly these package modules, without what they import; for keys of cached rows."""
    return digest({name: _module_digest(name) for name in sorted(modules)})


@cache
def _imported(module: str) -> frozenset[str]:
    """The module and every package module reachable from it by import statements."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or _path(name) is None:
            continue
        seen.add(name)
        waiting += _imports(name)
    return frozenset(seen)


def _path(module: str) -> Path | None:
    if module.split(".")[0] != PACKAGE:
        return None
    base = ROOT.joinpath(*module.split(".")[1:])
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _imports(module: str) -> list[str]:
    """Names that a module's import statements may bring in, package or not; imports for types alone do not count."""
    names: list[str] = []
    for node in _running_nodes(_parse(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all nodes below it, without the blocks under `if TYPE_CHECKING:`."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _running_nodes(child)


@cache
def _parse(module: str) -> ast.Module:
    path = _path(module)
    assert path is not None, module
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _module_digest(module: str) -> str:
    tree = ast.parse(ast.unparse(_parse(module)))  # a copy: docstrings are cut out of it
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return digest(ast.dump(tree), *_templates(module))


def _templates(module: str) -> list[str]:
    """The templates that stand beside a module: part of what it does."""
    path = _path(module)
    assert path is not None, module
    return [template.read_text(encoding="utf-8") for template in sorted(path.parent.glob("*.j2"))]


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of packages; a missing one is left out."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
