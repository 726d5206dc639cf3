"""Times measured in turn, what a row of the page holds, and whether its bar is met."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Action = Callable[[], object]


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def seconds(action: Action) -> float:
    """Wall time of one call."""
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_turn(actions: Mapping[str, Action], rounds: int, *, warm_up: bool = True) -> dict[str, list[float]]:
    """Wall times of several actions, A B C, A B C …, after a round that is not counted.

    Args:
        actions: by name.
        rounds: how often each is timed.
        warm_up: run every action once before.

    Returns:
        For each name the seconds of every round.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(-1 if warm_up else 0, rounds):
        for name, action in actions.items():
            taken = seconds(action)
            if number >= 0:
                times[name].append(taken)
        if number >= 0:
            shown = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in times.items())
            say(f"  round {number + 1} of {rounds}: {shown}")
    return times


def quotients(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The quotient of every round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def spread(values: Sequence[float], unit: str = "×", digits: int = 2) -> str:
    """Median and range in words, such as `5.31× (5.12–5.40)`; one value alone stands for itself."""
    middle = f"{statistics.median(values):.{digits}f}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach.

    Attributes:
        limit: the bar itself.
        least: whether the figure must be at least, or else at most, the limit.
        unit: of limit and figure.
    """

    limit: float
    least: bool = True
    unit: str = "×"

    def met(self, values: Sequence[float]) -> bool:
        """Whether the median reaches the bar; no rounding helps it."""
        middle = statistics.median(values)
        return middle >= self.limit if self.least else middle <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.limit:g}{self.unit}"


def at_least(limit: float, unit: str = "×") -> Bar:
    """A bar from below."""
    return Bar(limit, True, unit)


def at_most(limit: float, unit: str = "×") -> Bar:
    """A bar from above."""
    return Bar(limit, False, unit)


@dataclass(frozen=True)
class Row:
    """One line of the page.

    Attributes:
        what: is measured.
        against: what it is compared with.
        bar: in words; empty for what is told as information.
        measured: the figure with its spread.
        met: whether the bar is met; None without a bar or a measurement.
    """

    what: str
    against: str
    bar: str
    measured: str
    met: bool | None


def judged(what: str, against: str, values: Sequence[float], bar: Bar, *, digits: int = 2, note: str = "") -> Row:
    """A row whose values are held against a bar."""
    measured = spread(values, bar.unit, digits) + (f"; {note}" if note else "")
    return Row(what, against, str(bar), measured, bar.met(values))


def told(what: str, against: str, measured: str) -> Row:
    """A row of information: no bar."""
    return Row(what, against, "", measured, None)


def not_measured(what: str, against: str, bar: Bar, reason: str) -> Row:
    """A row whose bar could not be tried here."""
    return Row(what, against, str(bar), f"not measured ({reason})", None)


@dataclass(frozen=True)
class Table:
    """A table of its own below the rows."""

    title: str
    header: list[str]
    cells: list[list[str]]
    text: str = ""


@dataclass(frozen=True)
class Result:
    """What a group of measurements yields.

    Attributes:
        rows: of the page's first table.
        tables: of its own.
        notes: sentences that say what stood behind the rows: sizes, samples, scaling.
    """

    rows: list[Row] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
