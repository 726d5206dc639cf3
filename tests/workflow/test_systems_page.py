"""docs/systems.md names tests, keys, values and files that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from heteroscope.config import Config
from tests import rules
from tests.pages import ROOT, missing_tests, named_tests

PAGE = (ROOT / "docs/systems.md").read_text(encoding="utf-8")
SYSTEMS = {text.split("\n")[0]: text for text in PAGE.split("\n## ")[1:]}
SCHEMA = Config.model_json_schema()
KEY = re.compile(rf"((?:{'|'.join(Config.model_fields)})\.[\w.+-]+)(?:: (.+))?")
PACKAGE = ROOT / "workflow/heteroscope"
FILES = "".join([*rules.rules().values(), *(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))])
"""Where the workflow names the files that it writes."""


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_test_that_is_named_is_there() -> None:
    assert len(named_tests(PAGE)) == PAGE.count("::") > 100
    assert missing_tests(PAGE) == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_row_has_a_proof_or_says_what_is_not_here(system: str) -> None:
    rows = [line.strip("| ").split(" | ") for line in SYSTEMS[system].splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    for text, here, proof in rows:
        assert "::" in proof or here.startswith("**not here**"), text


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_key_is_one_of_the_configuration_or_has_that_value_in_the_study_file(system: str) -> None:
    """`section.key` of the reference or `section.id.key` of the section's study file, with `: value` or without."""
    path = ROOT / re.search(r"`(config/studies/[\w-]+\.yaml)`", SYSTEMS[system])[1]
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys = [match.groups() for match in map(KEY.fullmatch, spans(SYSTEMS[system])) if match]
    assert len(keys) > 10
    assert [key for key, value in keys if not (in_file(study, key, value) or in_schema(key, value))] == []


def in_file(study: Any, key: str, value: str | None) -> bool:
    for name in key.split("."):
        if not isinstance(study, dict) or name not in study:
            return False
        study = study[name]
    return value is None or study == yaml.safe_load(value)


def in_schema(key: str, value: str | None) -> bool:
    """Whether a key is one of the reference; ids of entries are left out, as there."""
    section, *names = key.split(".")
    [entries] = flat(SCHEMA["properties"][section])
    nodes = list(flat(entries["entry"]))
    for name in names:
        nodes = [
            below for node in nodes if name in node.get("properties", {}) for below in flat(node["properties"][name])
        ]
    allowed = [choice for node in nodes for choice in node.get("enum", [node.get("const")])]
    return bool(nodes) and (value is None or value in allowed)


def flat(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of the schema without references and alternatives; a mapping by id has what it holds as `entry`."""
    if "$ref" in node:
        yield from flat(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
    elif options := node.get("anyOf", node.get("oneOf")):
        for option in options:
            yield from flat(option)
    elif node.get("type") == "array":
        yield from flat(node["items"])
    elif node.get("type") == "object" and "properties" not in node:
        [entry] = [*node.get("patternProperties", {}).values()] or [node.get("additionalProperties", {})]
        yield node | {"entry": entry}
    else:
        yield node


def test_every_file_is_there_or_is_written() -> None:
    kept = [span for span in spans(PAGE) if re.fullmatch(r"[\w/-]+\.(py|yaml)", span)]
    assert len(kept) > 10
    assert [path for path in kept if not any((folder / path).is_file() for folder in (ROOT, PACKAGE))] == []
    written = [span for span in spans(PAGE) if span.startswith("results/") and not span.endswith("/")]
    assert len(written) > 20
    assert [path for path in written if Path(path).name not in FILES] == []
