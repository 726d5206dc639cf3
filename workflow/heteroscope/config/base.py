"""What all configuration objects share: closed objects, ids, conditions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

NO_AUGMENTATION = "none"
FUSION = "+"

# an id is a folder's name, which may have 255 bytes, with an ending
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
FusionIdentifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*(\+[a-z0-9][a-z0-9-]*)*$", max_length=200)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[int, Field(ge=1)]
Item = TypeVar("Item")


class Closed(BaseModel):
    """A configuration object that refuses unknown keys and changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _a_truth_value_is_no_number(cls, raw: Any) -> Any:
        # YAML reads `on` and `yes` as true, which Python would take for 1
        for key, value in raw.items() if isinstance(raw, Mapping) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls.model_fields[key].annotation is not bool:
                raise ValueError(f"{key}: {value}: this key takes no truth value (YAML reads on, yes, off, no as such)")
        return raw


def distinct(values: list[Item]) -> list[Item]:
    """A validator: the same values, refused where one is named twice."""
    if repeated := sorted({str(value) for value in values if values.count(value) > 1}):
        raise ValueError(f"named twice: {', '.join(repeated)}")
    return values


def did_you_mean(value: str, allowed: list[str]) -> str:
    """A suggestion in brackets for a word that is not known; empty where none is close."""
    close = difflib.get_close_matches(value, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class Range(Closed):
    """A closed interval of a numeric attribute; a missing end is open."""

    min: float | None = Field(None, description="smallest allowed value")
    max: float | None = Field(None, description="largest allowed value")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no value lies between min: {self.min:g} and max: {self.max:g}")
        return self


Condition = Annotated[list[str | int | float], Field(min_length=1)] | Range
Where = dict[str, Condition]
