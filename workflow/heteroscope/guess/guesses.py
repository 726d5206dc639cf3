"""What guesses about folders and tables share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heteroscope.errors import DataError

MOST_CLASSES = 20
FEW_IMAGES = 150  # of a class: below, a study seldom has an answer
FEWEST_PATIENTS = 10
SHOWN = 6  # names in one sentence
_NEGATIVE = """
    0 absent benign clean control controls false healthy n neg negative no no_finding nofinding none normal
"""
NEGATIVE = frozenset(_NEGATIVE.split())
"""Words for a class that is the absence of what is looked for."""


@dataclass(frozen=True)
class Guess:
    """What was guessed about the images of one source.

    Attributes:
        dataset: the entry of the configuration's `datasets`.
        counts: class name → images, the negative class first.
        tested: images that the source itself sets aside for testing; None where it has no split of its own.
        validated: whether the source sets validation images aside too.
        found: subject → a sentence that says what was found, and why it was taken for that.
        doubts: what a user should look at.
    """

    dataset: dict[str, Any]
    counts: dict[str, int]
    tested: int | None = None
    validated: bool = False
    found: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    @property
    def images(self) -> int:
        """Images of all classes."""
        return sum(self.counts.values())


def in_order(names: Iterable[str]) -> list[str]:
    """Class names by alphabet, those first that say that something is absent."""
    return sorted(names, key=lambda name: (not is_negative(name), name.lower(), name))


def is_negative(name: str) -> bool:
    """Whether a class's name says that something is absent, such as `normal` or `No Finding`."""
    return re.sub(r"[\W_]+", "_", name.strip().lower()) in NEGATIVE


def shown(names: Sequence[str]) -> str:
    """The first few names, in quotes."""
    more = " …" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def class_sentence(counts: Mapping[str, int], whence: str) -> str:
    """Which classes there are, and which one is taken for the negative one."""
    first = next(iter(counts))
    why = "by its name" if is_negative(first) else "as the first by alphabet"
    listed = ", ".join(f"{name} ({number} images)" for name, number in counts.items())
    return f"{listed}: {whence}; {first!r} is taken for the negative class, {why}"


def class_doubts(counts: Mapping[str, int]) -> list[str]:
    """What may be wrong with the classes."""
    doubts = []
    if not is_negative(next(iter(counts))):
        doubts.append("the order of `classes`: the first one should be the negative class")
    if few := [name for name, number in counts.items() if number < FEW_IMAGES]:
        doubts.append(
            f"{shown(few)}: fewer than {FEW_IMAGES} images; such a study may well end as `not assessable` or"
            " `undecided`"
        )
    return doubts


def refuse_one_class(names: Sequence[str], whence: str, remedy: str) -> None:
    """Refuse what holds fewer than two classes, or too many to be classes.

    Raises:
        DataError: with what was found and what to do.
    """
    if len(names) < 2:
        raise DataError(f"{whence} {shown(names)} alone; a study compares at least two classes: {remedy}")
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"{whence} {shown(names)}, {len(names)} in all: too many for classes (at most"
            f" {MOST_CLASSES} are guessed); join them by hand in `classes` of a configuration (config/README.md)"
        )
