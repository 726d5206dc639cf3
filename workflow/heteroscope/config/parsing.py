"""From raw mappings and JSON text to configuration objects, with errors that a reader can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from heteroscope.config.base import Range, did_you_mean
from heteroscope.config.data import Augmentation, Pixels, Shuffle, Split, TestWhere
from heteroscope.config.datasets import (
    Balance,
    FolderDataset,
    NihChestDataset,
    OdirDataset,
    PhantomDataset,
    TableDataset,
    UnionDataset,
)
from heteroscope.config.experiment import Clustering, Controls, Head, Primary, Reduction, Study
from heteroscope.config.networks import Backbone, Finetune
from heteroscope.config.whole import Config
from heteroscope.errors import ConfigError

Model = TypeVar("Model")


def load(raw: Mapping[str, Any]) -> Config:
    """Check a raw configuration.

    Raises:
        ConfigError: with one line a problem: key path, value, what is allowed.
    """
    return _validate(
        TypeAdapter(Config), dict(raw) if isinstance(raw, Mapping) else raw, "the configuration cannot be used"
    )


def parse(kind: Any, text: str) -> Any:
    """One configuration entry from the JSON text that a stage receives.

    Raises:
        ConfigError: with one line a problem.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error}: {text[:80]!r}") from None
    return _validate(TypeAdapter(kind), raw, "the specification cannot be used")


def dump(entry: BaseModel | None) -> str:
    """The JSON text of a configuration entry, with every default written out; the order of classes is kept."""
    return json.dumps(entry.model_dump(mode="json") if entry else None)


def _validate(adapter: TypeAdapter[Model], raw: Any, headline: str) -> Model:
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        problems = _without_other_kinds([Problem.of(dict(details), raw) for details in error.errors()])
        lines = [line for problem in problems for line in problem.explain()]
        raise ConfigError("\n".join([f"{headline}:", *(f"  {line}" for line in lines)])) from None


@dataclass(frozen=True)
class Problem:
    """One pydantic error.

    Attributes:
        location: keys and list positions that lead to it in the file.
        kind: pydantic's name of it.
        message: pydantic's sentence.
        value: what stands there.
    """

    location: tuple[str, ...]
    kind: str
    message: str
    value: Any

    @classmethod
    def of(cls, details: dict[str, Any], raw: Any) -> Self:
        """From one entry of `ValidationError.errors()` on a raw value."""
        location = tuple(str(part) for part in _real_path(details["loc"], raw, missing=details["type"] == "missing"))
        # a key of a mapping that is no text: pydantic says so in two ways
        kind = (
            "invalid_key" if (details["loc"][-1:], details["type"]) == (("[key]",), "string_type") else details["type"]
        )
        return cls(location, kind, str(details["msg"]).removeprefix("Value error, "), details["input"])

    def explain(self) -> list[str]:
        """Lines that name the key's path, the value and what is allowed."""
        path = ".".join(self.location)
        if self.kind == "extra_forbidden":
            return [f"{path}: unknown key{did_you_mean(self.location[-1], _known_keys(list(self.location[:-1])))}"]
        if self.kind == "missing":
            return [f"{path}: this key is required"]
        if self.kind == "value_error":
            return [f"{path}{self._joint(line)}{line}" for line in self.message.split("\n")]
        message = f"{self.message[0].lower()}{self.message[1:]}"
        if self.kind == "string_pattern_mismatch":
            message = "an id holds lower-case letters, digits and hyphens only"
        if self.kind == "invalid_key":
            message = "a key is text: put what YAML reads as a number or a truth value (on, yes) in quotes"
        return [f"{path or 'the whole'}: {_shown(self.value)}: {message}"]

    def _joint(self, line: str) -> str:
        """What stands between the path and a line: a dot where the line goes on with a key of the object."""
        if not self.location:
            return ""
        key = re.match(r"(\w+)[\w.]*: ", line)
        return "." if key and key[1] in _known_keys(list(self.location)) else ": "


OTHER_KINDS = re.compile(r"(list|dict|model|model_attributes|float|int|string|bool)_(type|parsing)|literal_error")


def _without_other_kinds(problems: list[Problem]) -> list[Problem]:
    """Without the complaints of those members of a union that another member understood better."""
    understood = [problem.location for problem in problems if not OTHER_KINDS.fullmatch(problem.kind)]
    return [
        problem
        for problem in problems
        if not OTHER_KINDS.fullmatch(problem.kind)
        or not any(location[: len(problem.location)] == problem.location for location in understood)
    ]


def _real_path(location: tuple[Any, ...], raw: Any, *, missing: bool) -> Iterator[Any]:
    """The location without the names of union members, which stand in no file."""
    node = raw
    for index, part in enumerate(location):
        if isinstance(node, list) and isinstance(part, int):
            yield part
            node = node[part] if part < len(node) else None
        # pydantic names the keys true, false and null 1, 0 and "None"
        elif isinstance(node, Mapping) and (keys := [key for key in node if key == part or str(key) == part]):
            yield keys[0]
            node = node[keys[0]]
        elif missing and index == len(location) - 1:
            yield part


def _known_keys(location: list[str]) -> list[str]:
    """Keys that the object at a location may have, for a suggestion."""
    sections: dict[str, list[type[BaseModel]]] = {
        "datasets": [
            FolderDataset,
            TableDataset,
            OdirDataset,
            NihChestDataset,
            PhantomDataset,
            UnionDataset,
            Balance,
            Range,
        ],
        "pixels": [Pixels],
        "splits": [Split, TestWhere, Shuffle, Range],
        "augmentations": [Augmentation],
        "backbones": [Backbone, Finetune],
        "clusterings": [Clustering, Reduction],
        "heads": [Head],
        "controls": [Controls],
        "studies": [Study, Primary],
    }
    models: list[type[BaseModel]] = sections.get(location[0], []) if location else [Config]
    return sorted({key for model in models for key in model.model_fields})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
