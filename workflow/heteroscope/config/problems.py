"""From pydantic's errors to lines that name the key's path, the value and what is allowed, in words of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from heteroscope.config.base import did_you_mean
from heteroscope.config.plain import dotted, shown

ALLOWED = {
    "string_type": "text (in quotes, where YAML would read it as something else)",
    "string_unicode": "text in UTF-8",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
    "string_too_long": "at most {max_length} letters",
    "string_pattern_mismatch": "an id of lower-case letters, digits and hyphens",
}
"""pydantic's name of an error: what is allowed instead."""
OTHER_KINDS = re.compile(r"(list|dict|model|model_attributes|float|int|string|bool)_(type|parsing)|literal_error")


def explained(error: ValidationError, raw: Any, root: Any) -> list[str]:
    """The lines of all that is wrong in a raw value which should be of the type `root`."""
    problems = [Problem.of(dict(details), raw, root) for details in error.errors()]
    return [line for problem in _joined(_without_other_kinds(problems)) for line in problem.explain()]


@dataclass(frozen=True)
class Problem:
    """One pydantic error.

    Attributes:
        location: keys and list positions that lead to it in the file.
        kind: pydantic's name of it.
        message: what is allowed, or a validator's sentence.
        value: what stands there.
        known: keys of the object that stands there; of an unknown key, those of the object around it.
    """

    location: tuple[str, ...]
    kind: str
    message: str
    value: Any
    known: tuple[str, ...]

    @classmethod
    def of(cls, details: dict[str, Any], raw: Any, root: Any) -> Self:
        """From one entry of `ValidationError.errors()` on a raw value."""
        kind, value, context = details["type"], details["input"], details.get("ctx", {})
        location = _real_path(details["loc"], raw, root, missing=kind == "missing")
        message = str(details["msg"]).removeprefix("Value error, ")
        if (details["loc"][-1:], kind) == (("[key]",), "string_type"):
            kind = "invalid_key"  # a key of a mapping that is no text: pydantic says so in two ways
        elif kind in ALLOWED:
            message = ALLOWED[kind].format(**{name: _number(limit) for name, limit in context.items()})
        elif kind.startswith("union_tag"):  # one of the object's keys says of what kind it is
            key = context["discriminator"].strip("'")
            tags = [tag for model in _objects(root, location, raw) for tag in _words(model, key)]
            message = " or ".join(map(repr, tags))
            location.append(key)
            kind, value = ("literal_error", value[key]) if key in value else ("missing", value)
        around = _objects(root, location[:-1] if kind == "extra_forbidden" else location, raw)
        known = sorted({name for model in around for name in model.model_fields})
        return cls(tuple(map(str, location)), kind, message, value, tuple(known))

    def explain(self) -> list[str]:
        """Lines that name the key's path, the value and what is allowed."""
        path = dotted(self.location)
        if self.kind == "extra_forbidden":
            suggestion = did_you_mean(self.location[-1], list(self.known))
            return [f"{path}: unknown key{suggestion}; allowed: {', '.join(self.known)}"]
        if self.kind == "missing":
            return [f"{path}: this key is required"]
        if self.kind == "value_error":
            return [f"{self._begin(line)}{line}" for line in self.message.split("\n")]
        if self.kind == "invalid_key":
            advice = "a key is text: put what YAML reads as a number or a truth value (on, yes) in quotes"
            return [f"{path}: {shown(self.value)}: {advice}"]
        return [f"{path}: {shown(self.value)}: allowed: {self.message}"]

    def _begin(self, line: str) -> str:
        """The path before a validator's line; a dot joins them where the line goes on with a key of the object."""
        if not self.location:
            return ""
        key = re.match(r"(\w+)[\w.]*: ", line)
        return dotted(self.location) + ("." if key and key[1] in self.known else ": ")


def _without_other_kinds(problems: list[Problem]) -> list[Problem]:
    """Without the complaints of those members of a union that another member understood better."""
    understood = [problem.location for problem in problems if not OTHER_KINDS.fullmatch(problem.kind)]
    return [
        problem
        for problem in problems
        if not OTHER_KINDS.fullmatch(problem.kind)
        or not any(location[: len(problem.location)] == problem.location for location in understood)
    ]


def _joined(problems: list[Problem]) -> list[Problem]:
    """What the members of a union allow at one place as one problem."""
    found: dict[tuple[Any, ...], Problem] = {}
    for problem in problems:
        one_line = problem.kind in ALLOWED
        place = (problem.location, one_line, "" if one_line else problem.message)
        before = found.get(place)
        if before is None:
            found[place] = problem
        elif problem.message not in before.message.split(" or "):
            found[place] = replace(before, message=f"{before.message} or {problem.message}")
    return list(found.values())


def _real_path(location: tuple[Any, ...], raw: Any, root: Any, *, missing: bool) -> list[Any]:
    """The location without the names of union members, which stand in no file."""
    found: list[Any] = []
    node, entered = raw, True
    for index, part in enumerate(location):
        # the word that says which member of a union an object is comes first, and may be one of its keys as well
        if entered and part in [word for model in _objects(root, found, None) for word in _kinds(model).values()]:
            entered = False
            continue
        if isinstance(node, list) and isinstance(part, int):
            found.append(part)
            node, entered = node[part] if part < len(node) else None, True
        # pydantic names the keys true, false and null 1, 0 and "None"
        elif isinstance(node, Mapping) and (keys := [key for key in node if key == part or str(key) == part]):
            found.append(keys[0])
            node, entered = node[keys[0]], True
        elif missing and index == len(location) - 1:
            found.append(part)
    return found


def _objects(kind: Any, location: Sequence[Any], raw: Any) -> list[type[BaseModel]]:
    """The models that a value may be of which stands at a location below a raw value of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not location:
            return [kind]
        field = kind.model_fields.get(str(location[0]))
        return _objects(field.rebuild_annotation(), location[1:], _at(raw, location[0])) if field else []
    if origin is Annotated:
        return _objects(arguments[0], location, raw)
    if origin in (Union, UnionType):
        members = [kind for kind in arguments if _fits(kind, raw)]
        return [model for member in members or arguments for model in _objects(member, location, raw)]
    if origin in (dict, list) and location:
        return _objects(arguments[-1], location[1:], _at(raw, location[0]))
    return []


def _number(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _at(raw: Any, key: Any) -> Any:
    try:
        return raw[key]
    except (KeyError, IndexError, TypeError):
        return None


def _fits(kind: Any, raw: Any) -> bool:
    """Whether a raw value says by a key of one word, such as `adapter: folder`, that it is this member of a union."""
    return any(_at(raw, key) == word for key, word in _kinds(kind).items())


def _kinds(kind: Any) -> dict[str, str]:
    """The keys of a model that must hold one word, and the word: what tells it from others of its union."""
    fields = getattr(kind, "model_fields", {})
    words = {name: _words(kind, name) for name in fields if fields[name].is_required()}
    return {name: allowed[0] for name, allowed in words.items() if len(allowed) == 1}


def _words(model: Any, key: str) -> tuple[Any, ...]:
    """The words that a key of a model may hold, where it is one of a few."""
    annotation = model.model_fields[key].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()
