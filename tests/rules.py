"""The rules of the workflow, as their files say."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^rule (\w+):", (ROOT / "Snakefile").read_text(encoding="utf-8"), re.M))
"""The rules that stand for others, and have no job of their own."""


def rules() -> dict[str, str]:
    """Name → text; of a rule that takes over another (`use rule … as`), with the text of that one behind its own."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for text in re.split(r"^(?=rule |use rule )", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            name, new = re.match(r"(?:use )?rule (\w+)(?: as (\w+))?", text).groups()
            found[new or name] = text + found[name] if new else text
    return found


def stages() -> dict[str, str]:
    """Rule → the stage that its jobs run; rules that run none are left out."""
    started = {rule: re.search(r"python -m heteroscope\.stages\.(\w+)", text) for rule, text in rules().items()}
    return {rule: match[1] for rule, match in started.items() if match}
