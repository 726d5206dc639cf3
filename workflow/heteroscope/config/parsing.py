"""From raw mappings and JSON text to configuration objects, with errors that a reader can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from heteroscope.config.plain import plain_problems
from heteroscope.config.problems import explained
from heteroscope.config.whole import Config
from heteroscope.errors import ConfigError


def load(raw: Mapping[str, Any]) -> Config:
    """Check a raw configuration.

    Raises:
        ConfigError: with one line a problem: key path, value, what is allowed.
    """
    plain = dict(raw) if isinstance(raw, Mapping) else raw
    loaded: Config = _validate(Config, plain, "the configuration cannot be used")
    return loaded


def parse(kind: Any, text: str) -> Any:
    """One configuration entry from the JSON text that a stage receives.

    Raises:
        ConfigError: with one line a problem.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error}: {text[:80]!r}") from None
    return _validate(kind, raw, "the specification cannot be used")


def dump(entry: BaseModel | None) -> str:
    """The JSON text of a configuration entry, with every default written out; the order of classes is kept."""
    return json.dumps(entry.model_dump(mode="json") if entry else None)


def _validate(kind: Any, raw: Any, headline: str) -> Any:
    lines = list(plain_problems(raw))
    if not lines:
        try:
            return TypeAdapter(kind).validate_python(raw)
        except ValidationError as error:
            lines = explained(error, raw, kind)
    raise ConfigError("\n".join([f"{headline}:", *(f"  {line}" for line in lines)]))
