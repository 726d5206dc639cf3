"""Keys that a configuration file gives twice, which nothing that has read the file can tell any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from heteroscope.config.plain import dotted
from heteroscope.errors import ConfigError

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def refuse_repeated_keys(path: Path) -> None:
    """Refuse a YAML or JSON file that gives a key twice: all readers of YAML keep the last one without a word.

    Raises:
        ConfigError: with the file, the key's path and the lines.
    """
    lines = list(_repeated(yaml.compose(path.read_text(encoding="utf-8"), Loader=Loader)))
    if lines:
        raise ConfigError("\n".join([f"{path}: the configuration cannot be used:", *(f"  {line}" for line in lines)]))


def _repeated(root: yaml.Node | None) -> Iterator[str]:
    """A line a key that stands twice in one mapping."""
    waiting: list[tuple[tuple[str, ...], yaml.Node | None]] = [((), root)]
    seen: set[int] = set()
    while waiting:
        location, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [((*location, str(place)), item) for place, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in first and name != "<<":
                    yield (
                        f"{dotted((*location, name))}: this key stands in lines {first[name]} and {line}; keep one of"
                        " them, or give one another name"
                    )
                first.setdefault(name, line)
                waiting.append(((*location, name), value))
