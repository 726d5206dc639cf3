"""Pages from templates: one self-contained file each, that asks nothing of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from heteroscope.atomic import atomic_path


def write_page(template: str, data: dict[str, Any], path: Path) -> None:
    """Fill a template, in which every text is escaped, and write the page whole or not at all."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(data)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
