"""The figures of the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from calibration.summary import BOUND, LEVEL, Rate
from heteroscope.evaluation.verdict import POWER
from heteroscope.figures.style import INK, NEUTRAL, PALETTE, WIDTH, styled

MARKERS = "osD^vPX"
ROW = 0.26  # inches a row


@styled
def draw_rates(rates: dict[str, Rate]) -> Figure:
    """The verdict's error rate in every setting with its 95 % interval, the last row that of all."""
    figure = Figure(figsize=(WIDTH, 1.1 + ROW * len(rates)), layout="constrained")
    axis = figure.subplots()
    for place, (name, found) in enumerate(rates.items()):
        color = INK if place == len(rates) - 1 else PALETTE[0]
        axis.plot([found.low, found.high], [place, place], color=color, linewidth=1.2)
        # a mark at 0 % stands whole, over the axis
        axis.plot(found.value, place, "o", color=color, markersize=5, gid=name, clip_on=False, zorder=3)
    axis.set_yticks(range(len(rates)), list(rates))
    axis.axvline(LEVEL, color=NEUTRAL, linestyle=":", label=f"the level, {LEVEL:.0%}")
    axis.axvline(BOUND, color=PALETTE[5], linestyle="--", label=f"the bound, {BOUND:.0%}")
    axis.set_xlim(0, max(0.15, max(found.high for found in rates.values()) * 1.05))
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.set_ylim(len(rates) - 0.4, -0.6)
    axis.set_xlabel("studies called different, with 95 % intervals")
    axis.legend(loc="lower right")
    return figure


@styled
def draw_comparison(rates: pd.DataFrame) -> Figure:
    """How often each way of testing finds heterogeneity where there is none: a row a population, a mark a test."""
    figure = Figure(figsize=(WIDTH, 1.5 + 1.3 * ROW * len(rates)), layout="constrained")
    axis = figure.subplots()
    offsets = np.linspace(-0.25, 0.25, rates.shape[1])
    for number, (name, column) in enumerate(rates.items()):
        places = np.arange(len(rates)) + offsets[number]
        color = INK if number == rates.shape[1] - 1 else PALETTE[number]
        axis.plot(
            column,
            places,
            MARKERS[number % len(MARKERS)],
            color=color,
            markersize=5,
            label=str(name).replace("`", ""),
            clip_on=False,
        )
    for place in range(1, len(rates)):
        axis.axhline(place - 0.5, color="#E6E6E6", linewidth=0.6)
    axis.set_yticks(range(len(rates)), list(rates.index))
    axis.set_ylim(len(rates) - 0.5, -0.5)
    axis.set_xlim(-0.01, 1.01)
    axis.axvline(LEVEL, color=NEUTRAL, linestyle=":")
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.set_xlabel(f"studies in which heterogeneity is found; dotted: {LEVEL:.0%}")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


@styled
def draw_power(by_angle: dict[str, pd.DataFrame], by_size: dict[str, pd.DataFrame]) -> Figure:
    """Power over the planted angle, and over the number of training images.

    Args:
        by_angle: name of a curve → columns degrees and rate, a `Rate` each.
        by_size: name of a curve → columns size and rate.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _curves(left, by_angle, "degrees")
    left.set_xlabel("degrees between the strata's rules")
    left.set_xticks(sorted({angle for curve in by_angle.values() for angle in curve["degrees"]}))
    left.set_ylabel("studies called different")
    left.set_title("500 training images")
    _curves(right, by_size, "size")
    right.set_xscale("log")
    sizes = sorted({size for curve in by_size.values() for size in curve["size"]})
    right.set_xticks(sizes, [f"{size:,}" for size in sizes])
    right.xaxis.set_minor_locator(NullLocator())
    right.set_xlabel("training images")
    right.set_title("strata of equal size")
    left.set_ylim(-0.02, 1.02)
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def _curves(axis: Axes, curves: dict[str, pd.DataFrame], column: str) -> None:
    for number, (name, curve) in enumerate(curves.items()):
        values = [found.value for found in curve["rate"]]
        axis.fill_between(
            curve[column],
            [found.low for found in curve["rate"]],
            [found.high for found in curve["rate"]],
            color=PALETTE[number],
            alpha=0.15,
            linewidth=0,
        )
        axis.plot(
            curve[column], values, MARKERS[number], linestyle="-", color=PALETTE[number], markersize=4, label=name
        )
    axis.axhline(POWER, color=NEUTRAL, linestyle="--", linewidth=0.8)
    axis.axhline(LEVEL, color=NEUTRAL, linestyle=":", linewidth=0.8)
    axis.legend(loc="center right" if column == "size" else "upper left")


@styled
def draw_p_values(columns: dict[str, Sequence[float]]) -> Figure:
    """The share of studies with a p at most as small: on the diagonal where a test is exact, below it where careful."""
    figure = Figure(figsize=(WIDTH * 0.6, WIDTH * 0.52), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":")
    for number, (name, values) in enumerate(columns.items()):
        ordered = np.sort(np.asarray(values, dtype=float))
        axis.step(
            ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", color=PALETTE[number], label=name
        )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xlabel("p")
    axis.set_ylabel("share of studies with a p at most as small")
    axis.legend(loc="upper left")
    return figure
