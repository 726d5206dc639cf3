"""What a result stands on: digests of code and rows, versions, threads."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
BESIDE = ("*.j2", "*.js", "captions/*.rst")  # templates, scripts, and what a page says of its figures
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


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
    return modules_digest(*imported_modules(module))


def modules_digest(*modules: str) -> str:
    """A digest of exactly these package modules, without what they import; for keys of cached rows."""
    return digest({name: _code(name).digest for name in sorted(modules)})


@cache
def imported_modules(module: str) -> frozenset[str]:
    """The module and every package module reachable from it by import statements, in functions or not."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in _paths():
            continue
        seen.add(name)
        waiting += imports_of(name)
    return frozenset(seen)


def imports_of(module: str) -> tuple[str, ...]:
    """Names that a package module's import statements may bring in, package or not; not those for types alone."""
    return _code(module).imports


@dataclass(frozen=True)
class _Code:
    """What a module's source says.

    Attributes:
        imports: see `imports_of`.
        digest: of the code without docstrings, and of templates, scripts and captions beside it.
    """

    imports: tuple[str, ...]
    digest: str


@cache
def _code(module: str) -> _Code:
    path = _paths()[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports: list[str] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    # what stands beside a module is part of what it does
    beside = sorted(file for kind in BESIDE for file in path.parent.glob(kind))
    templates = [file.read_text(encoding="utf-8") for file in beside]
    return _Code(tuple(imports), digest(ast.dump(tree), *templates))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all statements below it, without the blocks under `if TYPE_CHECKING:`."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for block in ("body", "handlers", "cases", "orelse", "finalbody"):
        for child in getattr(node, block, ()):
            yield from _statements(child)


@cache
def _paths() -> dict[str, Path]:
    """Every module of the package and its file."""
    files = {path.relative_to(ROOT.parent).with_suffix("").parts: path for path in ROOT.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for parts, path in files.items()}


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
