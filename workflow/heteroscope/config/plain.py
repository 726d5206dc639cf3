"""What YAML can say that no configuration means: a date, a set, a loop, a letter that no path can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

LARGEST = 2**63 - 1
READ_AS = {"date": "a date", "datetime": "a date", "bytes": "binary data", "set": "a set", "tuple": "a tuple"}


def plain_problems(raw: Any) -> Iterator[str]:
    """A line a value that is neither text, number, truth value, list nor keys with values, or that nothing can hold."""
    waiting: list[tuple[tuple[str, ...], Any, frozenset[int]]] = [((), raw, frozenset())]
    while waiting:
        location, value, above = waiting.pop()
        if said := "it holds itself; write it out" if id(value) in above else _unusable(value):
            yield f"{dotted(location)}: {said}"
        elif isinstance(value, Mapping | list):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            inside = [((*location, str(key)), item, above | {id(value)}) for key, item in items]
            waiting += reversed(inside)


def _unusable(value: Any) -> str:
    """Why a value cannot be used; empty where it can."""
    if value is None or isinstance(value, bool | float | Mapping | list):
        return ""
    if isinstance(value, int):
        return "" if abs(value) <= LARGEST else f"a number of {value.bit_length()} bits; allowed: at most {LARGEST}"
    if isinstance(value, str):
        return f"{shown(value)}: the letter NUL stands in it; take it out" if "\0" in value else ""
    kind = READ_AS.get(type(value).__name__, f"a {type(value).__name__}")
    return f"{shown(value)}: YAML reads this as {kind}; for text put it in quotes, for several values write a list"


def dotted(location: tuple[str, ...]) -> str:
    """A key's path as it is shown; what is no plain word stands in quotes."""
    return ".".join(part if re.fullmatch(r"[\w+-]+", part) else repr(part) for part in location) or "the whole"


def shown(value: Any) -> str:
    """A value as it is shown: in one line, cut where it is long."""
    text = str(value) if type(value).__name__ in ("date", "datetime") else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
